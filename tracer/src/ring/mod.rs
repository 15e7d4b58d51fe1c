//! The rings, read without a system call per event and put into one order.
//!
//! Hooks write into two rings from every CPU ([`SharedRing`]: memory that is the kernel's and this program's).
//! [`Merger`] goes through both in the order of the kernel's time stamps and leaves every event where the kernel
//! wrote it until it is done with.

mod gauge;
mod merger;
mod shared;

pub use gauge::{Fill, Gauge};
pub use merger::{Merger, SETTLE_NS, Taken};
pub use shared::{MapError, SharedRing};

/// How far a scan came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Everything that is there.
    Whole,
    /// As many events as it might; more are there.
    Full,
    /// Up to one that is reserved and not yet submitted: what lies behind it may be old already.
    Blocked,
}

/// Events that stay where they are until they are released.
pub trait Source {
    /// Calls `each` with the place and the bytes of events that came since the last scan, oldest first, `most` of
    /// them at most.
    fn scan(&mut self, most: usize, each: &mut dyn FnMut(u64, &[u8])) -> Scan;

    /// The event at a place that a scan told of and that is not released; empty for any other place.
    fn event(&self, place: u64) -> &[u8];

    /// The event at such a place will be asked for soon.
    fn expect(&self, place: u64) {
        _ = place;
    }

    /// Events before `place` are done with; without a place, all that were scanned.
    fn release(&mut self, place: Option<u64>);
}
