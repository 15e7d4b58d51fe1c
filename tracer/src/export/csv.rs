//! The records as one table (RFC 4180): a row for each record, a column for each field of any of them
//! (docs/schema/README.md).

use std::io::Write;

use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use super::{ExportError, Records};
use crate::record::Record;
use crate::sanitize;

/// The fields of all kinds of records, in the order of docs/schema; a dot leads into an object.
const COLUMNS: [&str; 82] = [
    "type",
    "conn",
    "id",
    "at",
    "endpoint",
    "from",
    "to",
    "in_from_us",
    "source",
    "direction",
    "flags",
    "seq",
    "ack",
    "payload_bytes",
    "retransmit",
    "number",
    "protocol",
    "method",
    "scheme",
    "authority",
    "target",
    "status",
    "reason",
    "request.at",
    "request.seq",
    "request.wire_bytes",
    "request.headers",
    "request.body_bytes",
    "response.at",
    "response.seq",
    "response.wire_bytes",
    "response.headers",
    "response.body_bytes",
    "response.media_type",
    "response.from_cache",
    "timing.connect_us",
    "timing.tls_us",
    "timing.send_us",
    "timing.wait_us",
    "timing.receive_us",
    "reused_connection",
    "complete",
    "missing_bytes",
    "family",
    "local.ip",
    "local.port",
    "remote.ip",
    "remote.port",
    "peer",
    "pid",
    "comm",
    "exe",
    "cgroup",
    "container",
    "netns",
    "opened_at",
    "closed_at",
    "older_than_tracer",
    "states",
    "outcome",
    "closed_by",
    "bytes_sent",
    "bytes_received",
    "segments_retransmitted",
    "srtt_us",
    "exchanges",
    "lost_events",
    "isn_sent",
    "isn_received",
    "bypasses_tcp",
    "proxied_for.ip",
    "proxied_for.port",
    "hook",
    "events",
    "schema",
    "version",
    "hostname",
    "kernel",
    "started_at",
    "hooks",
    "show_secrets",
    "filter",
];

/// Writes `records`, a row each, behind a row of names.
///
/// # Errors
/// [`ExportError`]; what had been read until then is in `out`.
pub fn write(records: Records<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut rows = csv::Writer::from_writer(out);
    rows.write_record(COLUMNS).map_err(io_error)?;
    let mut row = Row::new();
    for record in records {
        match record {
            Ok(record) => {
                row.fill(&record)?;
                rows.write_record(&row.cells).map_err(io_error)?;
            }
            Err(error) => {
                rows.flush()?;
                return Err(error.into());
            }
        }
    }
    Ok(rows.flush()?)
}

/// Where a field of a record goes.
enum Place {
    Column(usize),
    /// An object: where its fields go.
    Inside(FxHashMap<&'static str, usize>),
}

/// A row, filled anew for each record.
struct Row {
    places: FxHashMap<&'static str, Place>,
    cells: Vec<String>,
    /// The record as JSON; kept for its memory.
    line: Vec<u8>,
}

impl Row {
    fn new() -> Row {
        let mut places = FxHashMap::default();
        for (index, column) in COLUMNS.into_iter().enumerate() {
            match column.split_once('.') {
                None => _ = places.insert(column, Place::Column(index)),
                Some((object, field)) => {
                    let place =
                        places.entry(object).or_insert_with(|| Place::Inside(FxHashMap::default()));
                    if let Place::Inside(fields) = place {
                        fields.insert(field, index);
                    }
                }
            }
        }
        Row { places, cells: vec![String::new(); COLUMNS.len()], line: Vec::new() }
    }

    /// The record's cells, by way of its JSON: whatever a record says there, it says here.
    fn fill(&mut self, record: &Record) -> std::io::Result<()> {
        self.line.clear();
        record.write_json(&mut self.line)?;
        let fields: Map<String, Value> = serde_json::from_slice(&self.line)?;
        self.cells.iter_mut().for_each(String::clear);
        for (name, value) in &fields {
            match (self.places.get(name.as_str()), value) {
                (Some(Place::Column(index)), _) => self.cells[*index] = cell(value),
                (Some(Place::Inside(columns)), Value::Object(inner)) => {
                    for (name, value) in inner {
                        if let Some(index) = columns.get(name.as_str()) {
                            self.cells[*index] = cell(value);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Unknown and absent are an empty cell; lists and maps stand as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text_cell(text),
        Value::Array(_) | Value::Object(_) => sanitize::printable(&value.to_string()).into_owned(),
        other => other.to_string(),
    }
}

/// Text may come from the network. Spreadsheets take one that begins like this as a formula, and run it; an apostrophe
/// in front makes it text for all of them.
fn text_cell(text: &str) -> String {
    let text = sanitize::printable(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.into_owned() }
}

/// The library's own errors are about rows of different lengths, which these are not.
fn io_error(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::export::fixture::{EXAMPLES, examples};

    fn table() -> Vec<Vec<String>> {
        let mut out = Vec::new();
        write(&mut examples().into_iter(), &mut out).unwrap();
        let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(&out[..]);
        rows.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    /// The names of all leaves, lists and the map of hooks being one.
    fn leaves(name: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if name != "hooks" => {
                for (inner, value) in fields {
                    let name =
                        if name.is_empty() { inner.clone() } else { format!("{name}.{inner}") };
                    leaves(&name, value, into);
                }
            }
            _ => _ = into.insert(name.to_owned()),
        }
    }

    #[test]
    fn there_is_a_column_for_each_field_of_any_record_and_no_other() {
        let mut names = BTreeSet::new();
        for line in EXAMPLES.lines() {
            leaves("", &serde_json::from_str(line).unwrap(), &mut names);
        }
        // Null where there is none.
        names.remove("request");
        names.remove("response");
        names.remove("proxied_for");
        let columns: BTreeSet<String> = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(columns, names);
        assert_eq!(columns.len(), COLUMNS.len());
    }

    #[test]
    fn every_record_is_a_row_that_says_what_its_line_says() {
        let table = table();
        assert_eq!(table[0], COLUMNS);
        assert_eq!(table.len(), EXAMPLES.lines().count() + 1);
        for (row, line) in table[1..].iter().zip(EXAMPLES.lines()) {
            let fields: Value = serde_json::from_str(line).unwrap();
            for (column, text) in COLUMNS.iter().zip(row) {
                let found = column.split('.').try_fold(&fields, |value, name| value.get(name));
                let expected = match found {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                assert_eq!(*text, expected, "{column} of {line}");
            }
        }
    }

    #[test]
    fn a_text_that_a_spreadsheet_would_run_or_a_terminal_obey_is_plain_text() {
        assert_eq!(text_cell("=HYPERLINK(\"http://x\")"), "'=HYPERLINK(\"http://x\")");
        assert_eq!(text_cell("@sum"), "'@sum");
        assert!(!text_cell("a\u{1b}[31m").contains('\u{1b}'));
        assert_eq!(text_cell("/a=b"), "/a=b");
        let list = serde_json::json!([["x", "\u{9b}31m\u{202e}"]]);
        assert!(!cell(&list).contains(['\u{9b}', '\u{202e}']));
    }

    #[test]
    fn a_recording_that_breaks_off_leaves_whole_rows() {
        let mut records = examples();
        let source = std::io::Error::other("the disk is gone");
        records.insert(2, Err(crate::recording::ReadError::Io { offset: 7, source }));
        let mut out = Vec::new();
        write(&mut records.into_iter(), &mut out).unwrap_err();
        assert_eq!(csv::Reader::from_reader(&out[..]).records().filter_map(Result::ok).count(), 2);
    }
}
