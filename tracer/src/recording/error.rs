//! What can go wrong with a recording as a whole. Damage inside one is no error but a [`super::Report`].

use std::io;
use std::path::PathBuf;

/// Why a recording cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system refused.
    #[error("cannot read the recording at byte {offset}: {source}")]
    Io {
        /// Where in the file, bytes.
        offset: u64,
        /// What it said.
        source: io::Error,
    },
    /// Neither the header nor a block was found where one must be.
    #[error(
        "not a tracer recording: no header and no block in its first {searched_bytes} bytes; recordings are made by `tracer record -o FILE`"
    )]
    NotARecording {
        /// How much was searched.
        searched_bytes: u64,
    },
    /// Written by a later version.
    #[error(
        "the recording has format {major}.{minor}, this version of tracer reads up to {}.x; use the version that made it, or a later one",
        super::FORMAT_MAJOR
    )]
    Newer {
        /// Major format version of the file.
        major: u16,
        /// Minor format version of the file.
        minor: u16,
    },
}

/// Why a recording cannot be written (on).
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is a file of that name.
    #[error("{} exists already; choose another name, or replace it with --force", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// `--force` replaces regular files only.
    #[error("{} exists and is no regular file; choose another name", path.display())]
    NotAFile {
        /// What was found there.
        path: PathBuf,
    },
    /// The file could not be made.
    #[error("cannot create {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk or the user's quota is full.
    #[error(
        "the disk is full: the recording ends after {whole_bytes} whole bytes, which stay readable; make room, or record to another disk ({source})"
    )]
    Full {
        /// Bytes of the file up to the end of its last whole block.
        whole_bytes: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// Writing failed in another way.
    #[error(
        "cannot write the recording: {source}; what was written before, {whole_bytes} bytes, stays readable"
    )]
    Io {
        /// Bytes of the file up to the end of its last whole block.
        whole_bytes: u64,
        /// What the operating system said.
        source: io::Error,
    },
}

impl WriteError {
    pub(super) fn writing(source: io::Error, whole_bytes: u64) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => WriteError::Full { whole_bytes, source },
            _ => WriteError::Io { whole_bytes, source },
        }
    }
}
