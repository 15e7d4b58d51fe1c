//! The records of the recording, as the JSON lines tell them: what the other forms are held against.

use std::{collections::HashMap, fs};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::place::Place;

/// All of them, in order.
pub fn read(place: &Place) -> Result<Vec<Value>> {
    let file = place.export("jsonl");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let parse = |(number, line)| {
        serde_json::from_str(line).with_context(|| format!("line {} is no JSON", number + 1))
    };
    text.lines().enumerate().map(parse).collect()
}

/// Each line is a record, and there are as many as the recorder wrote.
pub fn check_lines(place: &Place) -> Result<String> {
    let records = read(place)?;
    let word = fs::read_to_string(place.recorders_word()).context("reading the recorder's word")?;
    let figures = figures(&records);
    match recorded(&word) {
        Some(count) if count != records.len() => {
            bail!("{} lines, but {count} records were recorded", records.len())
        }
        Some(_) => Ok(format!("{} lines, as many as were recorded: {figures}", records.len())),
        None => Ok(format!("{} lines: {figures}", records.len())),
    }
}

/// `12 records` in what the recorder said.
fn recorded(word: &str) -> Option<usize> {
    let mut parts = word.split(", ");
    parts.find_map(|part| part.strip_suffix(" records")).and_then(|count| count.parse().ok())
}

/// How many of each type, in alphabetical order.
fn figures(records: &[Value]) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for record in records {
        *counts.entry(text(record, "type").unwrap_or("no type")).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    let words = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
    words.collect::<Vec<_>>().join(", ")
}

/// A field that is text.
pub fn text<'a>(record: &'a Value, field: &str) -> Option<&'a str> {
    record.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorders_word_has_the_number_of_records() {
        let word = "65 connections, 132 exchanges, 1035 records, 0 events lost";
        assert_eq!(recorded(word), Some(1035));
        assert_eq!(recorded(""), None);
    }

    #[test]
    fn figures_are_told_by_type() {
        let records = ["host", "loss", "host"].map(|kind| serde_json::json!({ "type": kind }));
        assert_eq!(figures(&records), "2 host, 1 loss");
    }
}
