//! After a loss: what the kernel's socket table says is set right, as inferred and counted.
//!
//! Without it a connection whose last event was lost would stay open for ever.

use rustc_hash::{FxHashMap, FxHashSet};

use super::connection::{Connection, SmallKind};
use super::snapshot::{SnapshotSocket, SnapshotState};
use super::tables::Key;
use super::tracker::{Tracker, agrees};
use crate::event::Tuple;
use crate::record::Source;
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// How long TIME_WAIT lasts at most, nanoseconds: TCP_TIMEWAIT_LEN is a minute, and the timer wheel rounds it up by
/// 4.1 seconds (CONFIG_HZ=1000, its coarsest).
const TIME_WAIT_NS: u64 = 65_000_000_000;

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
        self.reconcile_these(self.keys(), census, at);
    }

    /// The same for some connections only.
    pub fn reconcile_these(&mut self, connections: Vec<Key>, census: &Census, at: Timestamp) {
        let by_cookie: FxHashMap<u64, &SnapshotSocket> =
            census.sockets.iter().map(|socket| (socket.cookie, socket)).collect();
        let by_tuple: FxHashMap<Tuple, &SnapshotSocket> =
            census.sockets.iter().map(|socket| (socket.tuple, socket)).collect();
        for id in self.older_than(census, connections) {
            let Some(connection) = self.tables.get(id) else { continue };
            let cookie = connection.cookie();
            // A socket that was used again may be in TIME_WAIT from its life before: two lives with one cookie.
            let same_life = |socket: &SnapshotSocket| {
                connection.state == TcpState::SynSent || agrees(&connection.tuple, &socket.tuple)
            };
            let named = cookie.and_then(|cookie| by_cookie.get(&cookie)).filter(|s| same_life(s));
            let found = named.or_else(|| {
                let same = by_tuple.get(&connection.tuple)?;
                cookie.is_none_or(|cookie| cookie == same.cookie).then_some(same)
            });
            match (found, connection.small_stopped()) {
                (Some(socket), None) => self.correct(id, socket.state, at),
                (None, None) => self.end_lost(id, at),
                // Its timer was seen to stop, as for an end: this is the proof that it was one. Else what explains
                // the stop is still to come.
                (None, Some(small)) => self.end_small_socket(id, small),
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// Those that were as they are now before the census began, in its namespaces.
    fn older_than(&self, census: &Census, mut connections: Vec<Key>) -> Vec<Key> {
        let is_older = |c: &Connection| {
            !c.is_closed()
                && census.namespaces.contains(&c.tuple.netns)
                && c.entered_at().is_none_or(|entered_at| entered_at < census.began_at)
        };
        connections.retain(|key| self.tables.get(*key).is_some_and(is_older));
        connections
    }

    /// Connections that have been in TIME_WAIT for longer than that lasts: the event of their end was lost, or the
    /// other end's repeated FIN began it again in the same slot of the timer wheel, which has no event.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<Key> {
        let is_overdue = |c: &Connection| {
            c.state == TcpState::TimeWait
                && !c.is_closed()
                && c.entered_at().is_none_or(|entered_at| now.since_ns(entered_at) > TIME_WAIT_NS)
        };
        self.tables.iter().filter(|(_, c)| is_overdue(c)).map(|(id, _)| id).collect()
    }

    /// The namespaces of these connections, each once.
    #[must_use]
    pub fn namespaces_of(&self, connections: &[Key]) -> Vec<u32> {
        let known = connections.iter().filter_map(|id| self.tables.get(*id));
        let namespaces: FxHashSet<u32> = known.map(|c| c.tuple.netns).collect();
        namespaces.into_iter().collect()
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
        connection.evidence.miss();
        if matches!(found, SnapshotState::TimeWait(_)) && !connection.is_timewait() {
            self.tables.set_small(id, SmallKind::TimeWait, 0);
        }
        self.step(id, state, at, Source::Inferred);
    }

    /// It is gone, and the event that told how was lost.
    fn end_lost(&mut self, id: Key, at: Timestamp) {
        if let Some(connection) = self.tables.get_mut(id) {
            connection.evidence.miss();
        }
        self.end_unseen(id, at);
    }

    /// It is gone, and nothing told how.
    pub(super) fn end_unseen(&mut self, id: Key, at: Timestamp) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        connection.evidence.end_unseen = true;
        self.step(id, TcpState::Close, at, Source::Inferred);
        self.end(id, at);
    }
}
