//! After a loss: what the kernel's socket table says is set right, as inferred and counted.
//!
//! Without it a connection whose last event was lost would stay open for ever.

use rustc_hash::{FxHashMap, FxHashSet};

use super::connection::{Connection, SmallKind};
use super::snapshot::{SnapshotSocket, SnapshotState};
use super::tables::Key;
use super::tracker::Tracker;
use crate::event::Tuple;
use crate::record::Source;
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// The kernel's sockets at one moment. Every event up to the census must have been applied before it is used.
#[derive(Debug)]
pub struct Census {
    /// When the look began: what changed later is newer than the census.
    pub began_at: Timestamp,
    /// The sockets.
    pub sockets: Vec<SnapshotSocket>,
    /// The namespaces that were looked into; of others nothing is known.
    pub namespaces: FxHashSet<u32>,
}

impl Tracker {
    /// Sets right what differs from the census; `at` is the time that such steps are told with.
    pub fn reconcile(&mut self, census: &Census, at: Timestamp) {
        let by_cookie: FxHashMap<u64, &SnapshotSocket> =
            census.sockets.iter().map(|socket| (socket.cookie, socket)).collect();
        let by_tuple: FxHashMap<Tuple, &SnapshotSocket> =
            census.sockets.iter().map(|socket| (socket.tuple, socket)).collect();
        for id in self.older_than(census) {
            let Some(connection) = self.tables.get(id) else { continue };
            let found = match connection.cookie() {
                Some(cookie) => by_cookie.get(&cookie),
                None => by_tuple.get(&connection.tuple),
            };
            match found {
                Some(socket) => self.correct(id, socket.state, at),
                None => self.end_unseen(id, at),
            }
        }
    }

    /// Connections that were as they are now before the census began, in its namespaces.
    fn older_than(&self, census: &Census) -> Vec<Key> {
        let is_older = |c: &Connection| {
            !c.is_closed()
                && census.namespaces.contains(&c.tuple.netns)
                && c.entered_at().is_none_or(|entered_at| entered_at < census.began_at)
        };
        let mut keys = self.keys();
        keys.retain(|key| self.tables.get(*key).is_some_and(is_older));
        keys
    }

    fn correct(&mut self, id: Key, found: SnapshotState, at: Timestamp) {
        let state = match found {
            SnapshotState::Full(state) | SnapshotState::TimeWait(state) => state,
            SnapshotState::Request => TcpState::SynRecv,
        };
        let Some(connection) = self.tables.get_mut(id) else { return };
        if connection.state == state {
            return;
        }
        connection.evidence.missed += 1;
        if matches!(found, SnapshotState::TimeWait(_)) && !connection.is_timewait() {
            self.tables.set_small(id, SmallKind::TimeWait, 0);
        }
        self.step(id, state, at, Source::Inferred);
    }

    /// It is gone, and nothing told how.
    pub(super) fn end_unseen(&mut self, id: Key, at: Timestamp) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        connection.evidence.missed += 1;
        connection.evidence.end_unseen = true;
        self.step(id, TcpState::Close, at, Source::Inferred);
        self.end(id, at);
    }
}
