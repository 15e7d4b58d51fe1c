//! One page that shows a recording in a browser, without a network: markup, style and script are in it, and the records
//! as JSON lines (docs/schema).
//!
//! The page is laid out by its script from the records, which are data to it: whatever a header says goes in as text.
//! Its content security policy allows what is in it and nothing else.

mod budget;
mod escape;

use std::io::Write;

use serde::Serialize;

use self::budget::{Budget, LeftOut, MAX_RECORDS};
use self::escape::Escaping;
use super::{ExportError, Known, Records};
use crate::record::json;
use crate::sanitize;

/// The markup, with a mark where each other part goes.
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// The script's parts, in order; they share one scope.
const SCRIPT: [&str; 9] = [
    include_str!("script/data.js"),
    include_str!("script/words.js"),
    include_str!("script/elements.js"),
    include_str!("script/overview.js"),
    include_str!("script/timeline.js"),
    include_str!("script/table.js"),
    include_str!("script/ladder.js"),
    include_str!("script/details.js"),
    include_str!("script/main.js"),
];

/// Writes a page of `records`.
///
/// # Errors
/// [`ExportError`]. Where the recording cannot be read on, the page is whole, holds what was read, and says so.
pub fn write(records: Records<'_>, known: &Known, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut rest = until("/*style*/", PAGE, out)?;
    out.write_all(STYLE.as_bytes())?;
    rest = until("/*records*/", rest, out)?;
    let (budget, end) = write_records(records, Budget::new(MAX_RECORDS, known.counts()), out)?;
    rest = until("/*summary*/", rest, out)?;
    json::write_safely(&Summary::of(&budget, &end), &mut Escaping::new(out))?;
    rest = until("/*script*/", rest, out)?;
    for part in SCRIPT {
        out.write_all(part.as_bytes())?;
    }
    out.write_all(rest.as_bytes())?;
    out.flush()?;
    end
}

/// Writes `page` up to `mark` and returns what is behind it.
fn until<'a>(mark: &str, page: &'a str, out: &mut dyn Write) -> std::io::Result<&'a str> {
    let (before, behind) = page.split_once(mark).unwrap_or((page, ""));
    out.write_all(before.as_bytes())?;
    Ok(behind)
}

/// Writes the records that there is room for, a line each. The result's second half is how reading them ended.
fn write_records(
    records: Records<'_>,
    mut budget: Budget,
    out: &mut dyn Write,
) -> Result<(Budget, Result<(), ExportError>), ExportError> {
    let mut lines = Escaping::new(out);
    for record in records {
        match record {
            Ok(record) if budget.takes(&record, lines.bytes()) => {
                record.write_json_line(&mut lines)?;
            }
            Ok(_) => {}
            Err(error) => return Ok((budget, Err(error.into()))),
        }
    }
    Ok((budget, Ok(())))
}

/// What the page has to know beside the records.
#[derive(Serialize)]
struct Summary {
    /// Version of tracer that wrote the page.
    version: &'static str,
    /// Records in it.
    records: u64,
    /// Most that a page holds.
    max_records: u64,
    left_out: Vec<LeftOut>,
    /// Why the recording could not be read on; `None` where it was read to its end.
    broke_off: Option<String>,
    /// First and last code point of each range of [`sanitize::is_hazard`].
    hazards: Vec<(u32, u32)>,
}

impl Summary {
    fn of(budget: &Budget, end: &Result<(), ExportError>) -> Summary {
        Summary {
            version: env!("CARGO_PKG_VERSION"),
            records: budget.taken(),
            max_records: MAX_RECORDS,
            left_out: budget.left_out(),
            broke_off: end.as_ref().err().map(ToString::to_string),
            hazards: hazards(),
        }
    }
}

/// The characters that act on what they are shown with, so that a page and a terminal agree about them.
fn hazards() -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for code in ('\0'..=char::MAX).filter(|c| sanitize::is_hazard(*c)).map(u32::from) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == code => *last = code,
            _ => ranges.push((code, code)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
