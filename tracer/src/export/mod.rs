//! Recordings in other forms.

pub mod jsonl;

use std::io;
use std::str::FromStr;

use crate::recording::ReadError;

/// A form that this version can export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON lines, docs/schema.
    Jsonl,
}

impl Format {
    /// Every form.
    pub const ALL: [Format; 1] = [Format::Jsonl];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
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
    Write(#[source] io::Error),
}
