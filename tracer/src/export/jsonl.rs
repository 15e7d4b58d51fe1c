//! JSON lines: the records as they are (docs/schema).

use std::io::Write;

use super::{ExportError, Records};

/// Writes `records`, a line each.
///
/// # Errors
/// [`ExportError`]; what had been read until then is in `out`.
pub fn write(records: Records<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    for record in records {
        match record {
            Ok(record) => record.write_json_line(&mut *out)?,
            Err(error) => {
                out.flush()?;
                return Err(error.into());
            }
        }
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::export::fixture::{EXAMPLES, examples};
    use crate::recording::ReadError;

    #[test]
    fn every_record_is_a_line_in_order() {
        let mut out = Vec::new();
        write(&mut examples().into_iter(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), EXAMPLES);
    }

    #[test]
    fn an_error_of_the_recording_leaves_what_was_read_before_it() {
        let mut records = examples();
        let source = io::Error::other("the disk is gone");
        records.insert(2, Err(ReadError::Io { offset: 7, source }));
        let mut out = Vec::new();
        let error = write(&mut records.into_iter(), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the recording at byte 7: the disk is gone");
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 2);
    }
}
