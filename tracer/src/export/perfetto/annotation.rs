//! What is known of a record, in the names and units of docs/schema, beside its slice.

use std::io;

use serde::Serialize;
use serde_json::Value;

use super::proto::DebugAnnotation;
use crate::sanitize::printable;

/// Fields that slices show already, or that would outgrow all else: headers are for HAR and JSON lines.
const LEFT_OUT: [&str; 2] = ["states", "headers"];

/// The fields of `record`. The format has no null: what is unknown is not there.
///
/// # Errors
/// None that the records' types have: they all can be written as JSON.
pub fn of<T: Serialize>(record: &T) -> io::Result<Vec<DebugAnnotation>> {
    let Value::Object(fields) = serde_json::to_value(record)? else { return Ok(Vec::new()) };
    Ok(fields.into_iter().filter_map(|(name, value)| field(&name, value)).collect())
}

/// A fact in words.
pub fn text(name: &str, value: &str) -> DebugAnnotation {
    let value = Some(printable(value).into_owned());
    DebugAnnotation { string_value: value, ..named(name) }
}

/// A fact that is so or not.
pub fn flag(name: &str, value: bool) -> DebugAnnotation {
    DebugAnnotation { bool_value: Some(value), ..named(name) }
}

/// A number.
pub fn number(name: &str, value: u64) -> DebugAnnotation {
    DebugAnnotation { uint_value: Some(value), ..named(name) }
}

fn named(name: &str) -> DebugAnnotation {
    DebugAnnotation { name: Some(printable(name).into_owned()), ..DebugAnnotation::default() }
}

fn field(name: &str, value: Value) -> Option<DebugAnnotation> {
    if LEFT_OUT.contains(&name) {
        return None;
    }
    Some(DebugAnnotation { name: named(name).name, ..unnamed(value)? })
}

/// `None` for null.
fn unnamed(value: Value) -> Option<DebugAnnotation> {
    let mut annotation = DebugAnnotation::default();
    match value {
        Value::Null => return None,
        Value::Bool(value) => annotation.bool_value = Some(value),
        Value::String(value) => annotation.string_value = Some(printable(&value).into_owned()),
        Value::Number(value) => {
            annotation.uint_value = value.as_u64();
            if annotation.uint_value.is_none() {
                annotation.int_value = value.as_i64();
            }
            if annotation.uint_value.or(annotation.int_value.map(i64::unsigned_abs)).is_none() {
                annotation.double_value = value.as_f64();
            }
        }
        Value::Array(values) => {
            annotation.array_values = values.into_iter().filter_map(unnamed).collect();
        }
        Value::Object(fields) => {
            let entries = fields.into_iter().filter_map(|(name, value)| field(&name, value));
            annotation.dict_entries = entries.collect();
        }
    }
    Some(annotation)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unknown_is_not_there_and_zero_is() {
        let fields = of(&json!({"a": null, "b": 0, "c": {"d": null, "e": -1}})).unwrap();
        assert_eq!(fields.len(), 2);
        assert_eq!((fields[0].name.as_deref(), fields[0].uint_value), (Some("b"), Some(0)));
        let inner = &fields[1].dict_entries;
        assert_eq!((inner[0].name.as_deref(), inner[0].int_value), (Some("e"), Some(-1)));
    }

    #[test]
    fn escape_sequences_become_visible_in_names_and_values() {
        let fields = of(&json!({"\u{1b}[1m": "\u{202e}x"})).unwrap();
        assert_eq!(fields[0].name.as_deref(), Some("\\x1b[1m"));
        assert_eq!(fields[0].string_value.as_deref(), Some("\\u{202e}x"));
    }

    #[test]
    fn headers_are_left_out() {
        assert!(of(&json!({"headers": [["host", "a"]]})).unwrap().is_empty());
    }
}
