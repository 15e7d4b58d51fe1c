//! The tracker itself: finds the connection that an event is about and hands it to the rule for its kind.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use super::connection::Connection;
use super::deadlines::{Deadlines, Due};
use super::lone_ends::LoneEnds;
use super::owner::Owners;
use super::tables::{Key, Tables};
use crate::event::{Body, Event, Tuple};
use crate::record::{ConnId, Segment, Source, Transition};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

/// How long a closed end stays, so that a reset right behind it still counts, nanoseconds.
pub(super) const SETTLE_NS: u64 = 100_000_000;
/// How long a cancelled timer may wait for what explains it (a child, a re-arm, an expiry), nanoseconds.
pub(super) const TIMER_SETTLE_NS: u64 = 50_000_000;

/// How long a cancelled request waits for a child that is known to be born but not yet whose, nanoseconds.
pub(super) const CHILD_WAIT_NS: u64 = 1_000_000_000;

/// Bounds of the tracker's tables.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connection ends tracked at once.
    pub connections: usize,
    /// Seed of the tables' hashes: those who choose addresses and ports should not know it.
    pub hash_seed: u64,
    /// SYNs that arrived at listeners and wait for their request socket; children without a tuple yet.
    pub pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { connections: 2_000_000, hash_seed: 0, pending: 65_536 }
    }
}

/// What hit a bound or could not be tied to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerCounters {
    /// Connections not tracked because the table was full.
    pub connections_refused: u64,
    /// SYNs and children dropped from the waiting tables because they were full.
    pub pending_dropped: u64,
    /// Events about sockets that are not tracked (their opening was lost, or they are no connection).
    pub unattributed: u64,
}

/// What the tracker found out.
#[derive(Clone, Debug)]
pub enum Change {
    /// A connection is new.
    Opened(Key),
    /// It went from one state to another.
    Transition(Key, Transition),
    /// A segment worth telling passed.
    Segment(Segment),
    /// It has an owner, with this cgroup id; the edge adds the process's facts.
    Owned {
        /// The connection.
        conn: Key,
        /// Process id.
        pid: u32,
        /// cgroup v2 id, 0 where unknown.
        cgroup_id: u64,
    },
    /// Its other end is known.
    Paired(Key),
    /// It has ended and its verdict is settled: carried here whole, the tracker has forgotten it.
    Closed(Key, Box<Connection>),
}

/// A SYN that arrived at a listener, before its request socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingSyn {
    pub at: Timestamp,
    pub segment: crate::event::Segment,
    /// The answer, where the child is only born with the third segment (SYN cookies).
    pub answer: Option<(Timestamp, crate::event::Segment)>,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Tracker {
    pub(super) tables: Tables,
    pub(super) deadlines: Deadlines,
    pub(super) changes: Vec<Change>,
    pub(super) pending_syns: FxHashMap<Tuple, PendingSyn>,
    pub(super) pending_syn_order: VecDeque<(Timestamp, Tuple)>,
    /// Ends that no other end matches by address.
    pub(super) lone_ends: LoneEnds,
    /// Children born before their tuple was filled (kernels before 6.18), by kernel address.
    pub(super) pending_children: FxHashMap<u64, Timestamp>,
    /// Connections in an orphan's FIN_WAIT2: few, and the only ones that have to be looked at.
    pub(super) orphans: FxHashSet<Key>,
    pub(super) owners: Owners,
    /// What hit a bound.
    pub counters: TrackerCounters,
    pub(super) limits: Limits,
    /// Up to when what was not seen may be from before the hooks. See [`Tracker::is_start`].
    pub(super) start_until: Timestamp,
    /// When states or timers were last found to be lost; 0 for never.
    pub(super) lost_at: Timestamp,
    /// Whether segments are seen in cgroup_skb.
    pub(super) sees_segments: bool,
    last_id: u64,
}

impl Tracker {
    /// An empty tracker. `sees_segments` tells whether SYN, FIN and RST are seen as packets.
    #[must_use]
    pub fn new(limits: Limits, sees_segments: bool) -> Self {
        let tables = Tables::new(limits.hash_seed);
        let start_until = Timestamp(u64::MAX);
        Tracker { tables, limits, sees_segments, start_until, ..Tracker::default() }
    }

    /// Takes in one event. What follows from it is in [`Tracker::drain_into`].
    pub fn apply(&mut self, event: &Event<'_>) {
        match &event.body {
            Body::State(state) => self.apply_state(event, state),
            Body::Timer(timer) => self.apply_timer(event.at, event.cookie, timer),
            Body::Segment(segment) => self.apply_segment(event, segment),
            Body::Owner(owner) => self.apply_owner(event, owner),
            Body::Reset(reset) => self.apply_reset(event, reset),
            Body::Payload(_) | Body::Exec(_) | Body::Fork(_) => {}
        }
    }

    /// Lets time pass up to `now`: what waited for a sign that did not come is settled.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((id, due)) = self.deadlines.pop_due(now) {
            match due {
                Due::SmallSocketEnd => self.settle_small_socket(id, now),
                Due::Forget => self.forget(id),
            }
        }
        self.expire_pending(now);
        self.lone_ends.expire(now);
    }

    /// Whether anything was found out since the last drain.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Exchanges what was found out since the last call for `empty`, whose memory is used from now on.
    pub fn swap_changes(&mut self, empty: &mut Vec<Change>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut self.changes, empty);
    }

    /// Adds what was found out since the last call to `out`, in order.
    pub fn drain_into(&mut self, out: &mut Vec<Change>) {
        out.append(&mut self.changes);
    }

    /// A tracked connection.
    #[must_use]
    pub fn get(&self, id: Key) -> Option<&Connection> {
        self.tables.get(id)
    }

    /// Every tracked connection, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.tables.iter().map(|(_, connection)| connection)
    }

    /// The same with their keys.
    pub fn iter_keyed(&self) -> impl Iterator<Item = (Key, &Connection)> {
        self.tables.iter()
    }

    /// The keys of all of them, oldest first.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<(ConnId, Key)> = self.tables.iter().map(|(key, c)| (c.id, key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Number of tracked connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether nothing is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.len() == 0
    }

    /// Takes note of the kernel's count of events of this socket that it could not hand over; true when it grew.
    pub fn note_lost(&mut self, id: Key, socket_lost: u32) -> bool {
        self.tables.get_mut(id).is_some_and(|connection| connection.note_kernel_lost(socket_lost))
    }

    /// Counts an exchange.
    pub fn count_exchange(&mut self, id: Key) {
        if let Some(connection) = self.tables.get_mut(id) {
            connection.exchanges = connection.exchanges.saturating_add(1);
        }
    }

    /// The connection that a packet with this cookie or tuple is about, closed ones included while they stay. Where no
    /// connection has the tuple the cookie's is the one: address translation changes what is sent before the egress hook
    /// sees it (NF_INET_POST_ROUTING comes before `ip_finish_output`).
    #[must_use]
    pub fn find(&self, cookie: Option<u64>, tuple: &Tuple) -> Option<Key> {
        self.find_socket(cookie, tuple).or_else(|| self.tables.by_cookie(cookie?))
    }

    /// The connection of a socket with this cookie and tuple, likewise. The life before of a socket that was used again
    /// may still be in TIME_WAIT, with the same cookie and another tuple.
    pub(super) fn find_socket(&self, cookie: Option<u64>, tuple: &Tuple) -> Option<Key> {
        if let Some(id) = cookie.and_then(|c| self.tables.by_cookie(c))
            && self.tables.get(id).is_some_and(|c| agrees(&c.tuple, tuple))
        {
            return Some(id);
        }
        self.tables.by_tuple(tuple)
    }

    /// A new connection in the tables; `None`, counted, where they are full.
    pub(super) fn open(
        &mut self,
        tuple: Tuple,
        endpoint: Option<Endpoint>,
        state: TcpState,
        at: Option<Timestamp>,
    ) -> Option<Key> {
        if self.tables.len() >= self.limits.connections {
            self.counters.connections_refused += 1;
            return None;
        }
        self.last_id += 1;
        let id = ConnId(self.last_id);
        let connection = Connection::new(id, tuple, endpoint, state, at);
        let key = self.tables.insert(Box::new(connection));
        self.changes.push(Change::Opened(key));
        Some(key)
    }

    /// A connection that is met in the middle of its life: older than the tracer, or one whose events were lost.
    pub(super) fn open_older(
        &mut self,
        tuple: Tuple,
        endpoint: Option<Endpoint>,
        state: TcpState,
        at: Timestamp,
    ) -> Option<Key> {
        let id = self.open(tuple, endpoint, state, None)?;
        let older = self.is_start(at);
        if let Some(connection) = self.tables.get_mut(id) {
            connection.older = older;
            if !older {
                connection.evidence.miss();
            }
        }
        Some(id)
    }

    /// Whether what is unknown at this time may be older than the tracer. Before the dump is merged it is in the dump;
    /// for a while after, a processor may have been in the middle of a step as the hooks came: the event was before
    /// them, what the dump sees of it after. Later it was lost.
    pub(super) fn is_start(&self, at: Timestamp) -> bool {
        at < self.start_until
    }

    /// Whether the dump is not merged yet, or could not be whole.
    pub(super) fn is_dumping(&self) -> bool {
        self.start_until == Timestamp(u64::MAX)
    }

    /// A step of this connection must have happened that was not seen: lost, unless it may be from before the hooks.
    pub(super) fn miss_step(&mut self, id: Key, at: Timestamp) {
        let is_start = self.is_start(at);
        let Some(connection) = self.tables.get_mut(id) else { return };
        let is_before_hooks = is_start && connection.older && connection.entered_at().is_none();
        if !is_before_hooks {
            connection.evidence.miss();
        }
    }

    /// Moves a connection to a state and tells it.
    pub(super) fn step(&mut self, id: Key, to: TcpState, at: Timestamp, source: Source) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        let from = connection.state;
        let in_from_us = connection.entered_at().map(|entered| at.since_us(entered));
        connection.enter(to, Some(at));
        if from == TcpState::FinWait2 {
            self.orphans.remove(&id);
        }
        let (conn, endpoint) = (connection.id, connection.endpoint);
        let told = Transition { conn, at, endpoint, from, to, in_from_us, source };
        self.changes.push(Change::Transition(id, told));
    }

    /// The connection's last kernel object is done with.
    pub(super) fn end(&mut self, id: Key, at: Timestamp) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        connection.closed = true;
        self.deadlines.push(at.plus_ns(SETTLE_NS), id, Due::Forget);
    }

    fn forget(&mut self, id: Key) {
        // A timewait socket found late may have brought it back to life.
        if self.tables.get(id).is_some_and(Connection::is_closed) {
            self.discard(id);
        }
    }

    /// Takes a connection out of all tables and hands it over whole.
    pub(super) fn discard(&mut self, id: Key) {
        if let Some(connection) = self.tables.remove(id) {
            self.changes.push(Change::Closed(id, connection));
        }
    }
}

/// Whether two sights of a four-tuple can be of one socket: a part that is not known yet agrees with anything.
pub(super) fn agrees(known: &Tuple, seen: &Tuple) -> bool {
    let ports = |a: u16, b: u16| a == 0 || b == 0 || a == b;
    ports(known.local.port, seen.local.port)
        && ports(known.remote.port, seen.remote.port)
        && (seen.remote.port == 0 || known.remote.port == 0 || known.remote.ip == seen.remote.ip)
}
