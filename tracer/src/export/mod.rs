//! Recordings in other forms. Each form is a writer of records, which come once, in order; what a form has to know of a
//! connection before its record comes is in [`Known`].

pub mod counts;
pub mod csv;
pub mod har;
pub mod html;
pub mod jsonl;
pub mod known;
mod packed;
pub mod pcapng;
pub mod perfetto;

use std::io::{self, Write};
use std::str::FromStr;

pub use known::Known;

use crate::record::Record;
use crate::recording::ReadError;

/// The records to export, in order.
pub type Records<'a> = &'a mut dyn Iterator<Item = Result<Record, ReadError>>;

/// A form that this version can export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON lines, docs/schema.
    Jsonl,
    /// The same records as a table, docs/schema.
    Csv,
    /// HTTP Archive 1.2.
    Har,
    /// A timeline for Perfetto.
    Perfetto,
    /// One page for a browser.
    Html,
    /// Packets, put together from the records.
    Pcapng,
}

impl Format {
    /// Every form.
    pub const ALL: [Format; 6] =
        [Format::Jsonl, Format::Csv, Format::Har, Format::Perfetto, Format::Pcapng, Format::Html];

    /// Its name on the command line, and the ending of its files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Har => "har",
            Format::Perfetto => "perfetto",
            Format::Html => "html",
            Format::Pcapng => "pcapng",
        }
    }

    /// Whether it asks [`Known`]: the records are then gone through twice.
    #[must_use]
    pub const fn needs_known(self) -> bool {
        match self {
            Format::Jsonl | Format::Csv => false,
            Format::Har | Format::Perfetto | Format::Pcapng | Format::Html => true,
        }
    }

    /// Whether it is no text, and nothing for a terminal.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        match self {
            Format::Jsonl | Format::Csv | Format::Har | Format::Html => false,
            Format::Perfetto | Format::Pcapng => true,
        }
    }

    /// Writes `records`, whose connections are `known`.
    ///
    /// # Errors
    /// [`ExportError`]. Where the recording cannot be read on, what had been read until then is in `out`, and whole as far
    /// as the form allows.
    pub fn write(
        self,
        records: Records<'_>,
        known: &Known,
        out: &mut dyn Write,
    ) -> Result<(), ExportError> {
        match self {
            Format::Jsonl => jsonl::write(records, out),
            Format::Csv => csv::write(records, out),
            Format::Har => har::write(records, known, out),
            Format::Perfetto => perfetto::write(records, known, out),
            Format::Html => html::write(records, known, out),
            Format::Pcapng => pcapng::write(records, known, out),
        }
    }
}

/// A form that this version does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this version of tracer does not export to it; it has: {}", Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The recording cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The output cannot be written on; a closed pipe is one of the reasons.
    #[error("cannot write the export: {0}")]
    Write(#[from] io::Error),
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Records to export.

    use super::*;

    pub const EXAMPLES: &str = include_str!("../../../docs/schema/examples.jsonl");

    pub fn examples() -> Vec<Result<Record, ReadError>> {
        EXAMPLES.lines().map(|line| Ok(Record::from_json(line).unwrap())).collect()
    }

    /// What the first pass over `records` finds.
    pub fn known(records: &[Result<Record, ReadError>]) -> Known {
        let mut known = Known::default();
        records.iter().flatten().for_each(|record| known.learn(record));
        known
    }
}
