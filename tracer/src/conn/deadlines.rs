//! What has to be looked at again, and when.

use std::collections::VecDeque;

use super::tables::Key;
use crate::time::Timestamp;

/// Why a connection is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A timewait or request timer was cancelled or ran out: was it the end?
    SmallSocketEnd,
    /// Its end is settled by now: tell it and forget it.
    Forget,
}

/// Two queues, for each reason waits equally long: what comes last is due last, give or take what waited before it.
/// An entry is a hint: whoever takes it checks that it still holds.
#[derive(Default, Debug)]
pub(super) struct Deadlines {
    small_socket_ends: VecDeque<(Timestamp, Key)>,
    forgets: VecDeque<(Timestamp, Key)>,
}

impl Deadlines {
    pub fn push(&mut self, at: Timestamp, conn: Key, due: Due) {
        match due {
            Due::SmallSocketEnd => self.small_socket_ends.push_back((at, conn)),
            Due::Forget => self.forgets.push_back((at, conn)),
        }
    }

    /// The next entry that is due at `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Key, Due)> {
        let small =
            pop_due(&mut self.small_socket_ends, now).map(|conn| (conn, Due::SmallSocketEnd));
        small.or_else(|| pop_due(&mut self.forgets, now).map(|conn| (conn, Due::Forget)))
    }
}

fn pop_due(queue: &mut VecDeque<(Timestamp, Key)>, now: Timestamp) -> Option<Key> {
    queue.front().filter(|(at, _)| *at <= now)?;
    queue.pop_front().map(|(_, conn)| conn)
}
