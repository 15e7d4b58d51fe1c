//! When a packet passed, in time and on the other stream.

use crate::time::Timestamp;

/// The moment at which a packet passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Its time.
    pub at: Timestamp,
    /// Position behind the last byte of the opposite direction that any packet covered before: what
    /// the packet caused lies at or behind it. 0 where nothing was seen.
    pub opposite_end: u64,
}
