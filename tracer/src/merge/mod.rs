//! Recordings of two hosts as one: which ends are of the same connection, how far the hosts' clocks are apart, and the
//! records of both in one order. Pure; `cli::merge` reads and writes the files.
//!
//! The clock of the first recording is the one that counts.

mod clock;
mod pair;
mod shift;

pub use clock::{Clocks, Difference};
pub use pair::{Ends, Pairs};
pub use shift::Shift;
