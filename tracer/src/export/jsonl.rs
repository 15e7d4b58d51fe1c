//! JSON lines: the records as they are (docs/schema).

use std::io::Write;

use super::ExportError;
use crate::filter::Selector;
use crate::record::Record;
use crate::recording::ReadError;

/// Writes those of `records` that `selector` lets through, and tells how many they were.
///
/// # Errors
/// [`ExportError`]; what had been written until then is in `out`.
pub fn write<W: Write>(
    records: impl IntoIterator<Item = Result<Record, ReadError>>,
    selector: &mut Selector,
    mut out: W,
) -> Result<u64, ExportError> {
    let mut lines = 0;
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                out.flush().map_err(ExportError::Write)?;
                return Err(error.into());
            }
        };
        if selector.passes(&record, None) {
            record.write_json_line(&mut out).map_err(ExportError::Write)?;
            lines += 1;
        }
    }
    out.flush().map_err(ExportError::Write)?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::filter::Filter;

    const EXAMPLES: &str = include_str!("../../../docs/schema/examples.jsonl");

    fn records() -> Vec<Result<Record, ReadError>> {
        EXAMPLES.lines().map(|line| Ok(Record::from_json(line).unwrap())).collect()
    }

    #[test]
    fn every_record_is_a_line_in_order() {
        let mut out = Vec::new();
        let lines = write(records(), &mut Selector::new(Filter::all()), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), EXAMPLES);
        assert_eq!(lines, EXAMPLES.lines().count() as u64);
    }

    #[test]
    fn an_error_of_the_recording_leaves_what_was_read_before_it() {
        let mut records = records();
        let source = io::Error::other("the disk is gone");
        records.insert(2, Err(ReadError::Io { offset: 7, source }));
        let mut out = Vec::new();
        let error = write(records, &mut Selector::new(Filter::all()), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the recording at byte 7: the disk is gone");
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 2);
    }
}
