//! Holds records against docs/schema.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::Value;
use tracer::record::Record;

const EXAMPLES: &str = include_str!("../../docs/schema/examples.jsonl");
const SCHEMA: &str = include_str!("../../docs/schema/record.schema.json");

fn validator() -> Validator {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn problems(validator: &Validator, line: &Value) -> Vec<String> {
    validator.iter_errors(line).map(|e| format!("{}: {e}", e.instance_path)).collect()
}

fn examples() -> impl Iterator<Item = (&'static str, Value)> {
    EXAMPLES.lines().map(|line| (line, serde_json::from_str(line).unwrap()))
}

#[test]
fn every_example_is_valid() {
    let validator = validator();
    for (line, value) in examples() {
        assert_eq!(problems(&validator, &value), Vec::<String>::new(), "{line}");
    }
}

#[test]
fn there_is_an_example_of_every_kind() {
    let kinds: BTreeSet<String> =
        examples().map(|(_, value)| value["type"].as_str().unwrap().to_owned()).collect();
    let expected = ["connection", "exchange", "host", "loss", "segment", "transition"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// Field order, number forms and nulls included.
#[test]
fn the_program_writes_the_examples_byte_for_byte() {
    for line in EXAMPLES.lines() {
        let record = Record::from_json(line).unwrap();
        let mut written = Vec::new();
        record.write_json_line(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }
}

#[test]
fn a_line_without_any_one_of_its_fields_is_not_valid() {
    let validator = validator();
    for (line, value) in examples() {
        let fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        let sometimes = ["show_secrets", "filter"];
        for field in fields.iter().filter(|field| !sometimes.contains(&field.as_str())) {
            let mut cut = value.clone();
            cut.as_object_mut().unwrap().remove(field);
            assert!(!validator.is_valid(&cut), "valid without {field}: {line}");
        }
    }
}

#[test]
fn a_field_or_kind_that_the_schema_does_not_know_is_not_valid() {
    let validator = validator();
    for (line, value) in examples() {
        let mut extra = value.clone();
        extra["surprise"] = Value::Null;
        assert!(!validator.is_valid(&extra), "{line}");
        let mut kind = value;
        kind["type"] = "surprise".into();
        assert!(!validator.is_valid(&kind), "{line}");
    }
}

#[test]
fn unknown_must_be_null_and_mapped_addresses_must_be_ipv4() {
    let validator = validator();
    let connection = examples().map(|(_, v)| v).find(|v| v["type"] == "connection").unwrap();
    for (pointer, wrong) in [
        ("/comm", Value::from("")),
        ("/pid", Value::from(0)),
        ("/local/ip", Value::from("::ffff:127.0.0.1")),
        ("/local/ip", Value::from("localhost")),
        ("/opened_at", Value::from("2026-03-01T12:00:00Z")),
        ("/states/0/state", Value::from("NEW_SYN_RECV")),
    ] {
        let mut value = connection.clone();
        *value.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&value), "{pointer}");
    }
}
