//! The connection tracker: kernel events and time in, changes out. No clock, no file, no socket, no lock.
//!
//! A connection end lives in up to three kernel objects: a request socket (SYN_RECV of a server end), a full
//! socket, and a timewait socket (TIME_WAIT, and FIN_WAIT2 of an orphan). Events name them by different keys:
//! state events by cookie, timer events by the object's address, segments of listeners and control sockets by
//! four-tuple. The tracker ties them into one [`Connection`] and applies each change once.

mod connection;
mod deadlines;
mod life;
mod lone_ends;
mod moment;
mod owner;
mod peers;
mod reconcile;
mod segments;
mod snapshot;
mod states;
mod tables;
mod timers;
mod tracker;
mod verdict;

#[cfg(test)]
mod tests;

pub use connection::{Comm, Connection, Owner, ProcessFacts};
pub use life::Life;
pub use reconcile::Census;
pub use snapshot::{SnapshotSocket, SnapshotState};
pub use tables::Key;
pub use tracker::{Change, Limits, Tracker, TrackerCounters};
