//! Recordings: a run's records in a file that survives a full disk, a killed tracer and damaged bytes.
//!
//! The file is a header and then blocks, each with its own length, checksums and place in the sequence
//! (docs/recording-format.md). A block is whole or it is not there: what was written before a crash is
//! readable, and behind a damaged place reading goes on at the next whole block. The reader says exactly
//! what it could not read ([`Report`]).

mod ahead;
mod behind;
mod body;
mod error;
mod file;
mod flight;
mod frame;
mod outline;
mod pack;
mod reader;
mod report;
mod series;
mod tail;
mod told;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use ahead::{Ahead, Sight};
pub use behind::Behind;
pub use error::{ReadError, WriteError};
pub use file::{Existing, Sink, create};
pub use flight::{Kept, KeptBlocks};
pub use outline::outline;
pub use reader::Reader;
pub use report::{Gap, Report};
pub use series::{Limits, Series};
pub use tail::{Tail, tail};
pub use told::{Figures, Told};
pub use writer::{Totals, Writer};

/// Major version of the format: a reader refuses files with a higher one.
pub const FORMAT_MAJOR: u16 = 1;
/// Minor version: goes up with additions that older readers pass over.
pub const FORMAT_MINOR: u16 = 2;

/// Unpacked bytes at which the writer closes a block.
pub const BLOCK_TARGET_BYTES: usize = 256 * 1024;
/// Age of its first record at which the writer closes a block: what a crash can cost, in nanoseconds.
pub const BLOCK_AGE_NS: u64 = 1_000_000_000;
/// Largest packed record; a larger one is left out and told as a loss of `recording`.
pub const MAX_RECORD_BYTES: usize = 4 * 1024 * 1024;
/// Largest block, packed or unpacked: the reader's memory is bounded by it whatever a file claims.
pub const MAX_BLOCK_BYTES: usize = 8 * 1024 * 1024;
