//! A [`Record`] as one JSON line, and back (docs/schema).
//!
//! The writer goes straight from the record to bytes. `type` comes first, the fields in the contract's
//! order. Characters that a terminal could obey or hide ([`crate::sanitize::is_hazard`]) are written as
//! `\uXXXX`, so a line is safe to look at and still says exactly what was there.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::{Connection, Exchange, Host, Loss, Record, Segment, Transition};
use crate::sanitize;
use crate::time::Timestamp;

/// A line that is no record.
#[derive(Debug, thiserror::Error)]
#[error("not a record in JSON (schema version {}): {cause}", super::SCHEMA_VERSION)]
pub struct JsonError {
    #[source]
    cause: serde_json::Error,
}

impl Record {
    /// Writes the record as a JSON object, without a line break behind it.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write_json<W: io::Write>(&self, out: W) -> io::Result<()> {
        write_safely(&LineRef::from(self), out)
    }

    /// Writes the record as a line of its own.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write_json_line<W: io::Write>(&self, mut out: W) -> io::Result<()> {
        self.write_json(&mut out)?;
        out.write_all(b"\n")
    }

    /// Reads a record from a line. Fields that this version does not know are passed over.
    ///
    /// # Errors
    /// Where the line is no JSON object, has no known `type`, or lacks a field.
    pub fn from_json(line: &str) -> Result<Record, JsonError> {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => Ok(line.into()),
            Err(cause) => Err(JsonError { cause }),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum LineRef<'a> {
    Host(HostRef<'a>),
    Transition(&'a Transition),
    Segment(&'a Segment),
    Exchange(&'a Exchange),
    Connection(&'a Connection),
    Loss(&'a Loss),
}

/// [`Host`], whose `show_secrets` is there only when it is true, and `filter` when there is one.
#[derive(Serialize)]
struct HostRef<'a> {
    schema: u32,
    version: &'a str,
    hostname: &'a str,
    kernel: &'a str,
    started_at: Timestamp,
    hooks: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    show_secrets: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: &'a Option<String>,
}

impl<'a> From<&'a Record> for LineRef<'a> {
    fn from(record: &'a Record) -> Self {
        match record {
            Record::Host(host) => LineRef::Host(HostRef::from(&**host)),
            Record::Transition(transition) => LineRef::Transition(transition),
            Record::Segment(segment) => LineRef::Segment(segment),
            Record::Exchange(exchange) => LineRef::Exchange(exchange),
            Record::Connection(connection) => LineRef::Connection(connection),
            Record::Loss(loss) => LineRef::Loss(loss),
        }
    }
}

impl<'a> From<&'a Host> for HostRef<'a> {
    fn from(host: &'a Host) -> Self {
        let Host { schema, version, hostname, kernel, started_at, hooks, show_secrets, filter } =
            host;
        HostRef {
            schema: *schema,
            version,
            hostname,
            kernel,
            started_at: *started_at,
            hooks,
            show_secrets: *show_secrets,
            filter,
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Host(Arc<Host>),
    Transition(Transition),
    Segment(Segment),
    Exchange(Arc<Exchange>),
    Connection(Arc<Connection>),
    Loss(Loss),
}

impl From<Line> for Record {
    fn from(line: Line) -> Self {
        match line {
            Line::Host(host) => Record::Host(host),
            Line::Transition(transition) => Record::Transition(transition),
            Line::Segment(segment) => Record::Segment(segment),
            Line::Exchange(exchange) => Record::Exchange(exchange),
            Line::Connection(connection) => Record::Connection(connection),
            Line::Loss(loss) => Record::Loss(loss),
        }
    }
}

/// Writes any value as compact JSON in which nothing acts on a terminal.
///
/// # Errors
/// What `out` fails with.
pub fn write_safely<W: io::Write>(value: &impl Serialize, out: W) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, SafeFormatter);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// Compact JSON that also escapes what JSON allows raw but a terminal would act on.
struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        if sanitize::is_plain_ascii(fragment.as_bytes()) {
            return out.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(sanitize::is_hazard) {
            let (safe, tail) = rest.split_at(at);
            out.write_all(safe.as_bytes())?;
            let mut chars = tail.chars();
            if let Some(hazard) = chars.next() {
                write_escaped(out, hazard)?;
            }
            rest = chars.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// `\uXXXX`, as a surrogate pair beyond the basic plane (RFC 8259 section 7).
fn write_escaped<W: ?Sized + io::Write>(out: &mut W, c: char) -> io::Result<()> {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::ConnId;

    const EXAMPLES: &str = include_str!("../../../docs/schema/examples.jsonl");

    fn example(kind: &str) -> Record {
        let start = format!("{{\"type\":\"{kind}\"");
        Record::from_json(EXAMPLES.lines().find(|line| line.starts_with(&start)).unwrap()).unwrap()
    }

    fn json(record: &Record) -> String {
        let mut line = Vec::new();
        record.write_json(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_filter_is_there_only_when_the_run_had_one() {
        let Record::Host(host) = example("host") else { panic!("not a host") };
        let filtered = Host { filter: Some("port:443".to_owned()), ..(*host).clone() };
        assert!(!json(&Record::Host(host)).contains("filter"));
        let filtered = Record::Host(Arc::new(filtered));
        assert!(json(&filtered).ends_with("\"filter\":\"port:443\"}"));
        assert_eq!(Record::from_json(&json(&filtered)).unwrap(), filtered);
    }

    #[test]
    fn show_secrets_is_there_only_when_true() {
        let Record::Host(host) = example("host") else { panic!("not a host") };
        let shown = Host { show_secrets: true, ..(*host).clone() };
        assert!(!json(&Record::Host(host)).contains("show_secrets"));
        assert!(json(&Record::Host(Arc::new(shown))).ends_with("\"show_secrets\":true}"));
    }

    #[test]
    fn an_unknown_field_of_a_later_version_is_passed_over() {
        let line = r#"{"type":"loss","at":"2023-11-14T22:13:20.000000000Z","hook":"payload","events":12,"new":1}"#;
        assert!(matches!(Record::from_json(line), Ok(Record::Loss(loss)) if loss.events == 12));
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error_that_says_why() {
        for line in ["", "[]", "{}", r#"{"type":"cat"}"#, r#"{"type":"loss"}"#, "\0"] {
            let error = Record::from_json(line).unwrap_err().to_string();
            assert!(error.starts_with("not a record in JSON (schema version 1): "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_text_holds_the_line_is_safe_and_reads_back(text in any::<String>()) {
            let Record::Exchange(exchange) = example("exchange") else { unreachable!() };
            let exchange = Exchange {
                target: Some(text.as_str().into()),
                conn: ConnId(u64::MAX),
                ..(*exchange).clone()
            };
            let record = Record::Exchange(Arc::new(exchange));
            let line = json(&record);
            prop_assert!(!line.chars().any(sanitize::is_hazard));
            prop_assert_eq!(Record::from_json(&line).unwrap(), record);
        }
    }
}
