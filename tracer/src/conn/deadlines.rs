//! What has to be looked at again, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::record::ConnId;
use crate::time::Timestamp;

/// Why a connection is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// A timewait or request timer was cancelled or ran out: was it the end?
    SmallSocketEnd,
    /// Its end is settled by now: tell it and forget it.
    Forget,
}

/// A queue by time. An entry is a hint: whoever takes it checks that it still holds.
#[derive(Default, Debug)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Timestamp, ConnId, Due)>>,
}

impl Deadlines {
    pub fn push(&mut self, at: Timestamp, conn: ConnId, due: Due) {
        self.heap.push(Reverse((at, conn, due)));
    }

    /// The next entry that is due at `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, ConnId, Due)> {
        let Reverse((at, ..)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
