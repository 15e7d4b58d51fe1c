//! Sockets that are older than the tracer, from a sock_diag dump taken once the hooks are attached.
//!
//! Hooks first, dump second: nothing falls between. The events up to the dump's end are applied before it is merged: what
//! they told is newer than the dump or in it, so a socket that is known already, or known to have ended, only gets
//! what it lacks.

use std::num::NonZeroU32;

use super::connection::{Owner, SmallKind};
use super::tables::Key;
use super::tracker::Tracker;
use crate::event::{Counters, Tuple};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

/// What kind of kernel object the dump found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// A full socket in this state.
    Full(TcpState),
    /// A request socket.
    Request,
    /// A timewait socket, FIN_WAIT2 or TIME_WAIT.
    TimeWait(TcpState),
}

/// One socket of the dump.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotSocket {
    /// Its cookie.
    pub cookie: u64,
    /// Its four-tuple.
    pub tuple: Tuple,
    /// What it is.
    pub state: SnapshotState,
    /// Its counters.
    pub counters: Option<Counters>,
    /// Its owner, from /proc.
    pub owner: Option<Owner>,
}

impl Tracker {
    /// Merges the dump taken at start, once the events up to its end are applied. Nothing may be forgotten before
    /// ([`Tracker::expire`]): a socket that ended while the dump was taken must be known as such. What is not known and
    /// is not in the dump counts as older than the tracer until `start_until`, as lost from then on.
    pub fn merge_snapshot(&mut self, sockets: Vec<SnapshotSocket>, start_until: Timestamp) {
        for socket in sockets {
            match self.find_exactly(&socket) {
                Some(id) => self.complete(id, socket),
                None => self.adopt_socket(socket, start_until),
            }
        }
        self.start_until = start_until;
    }

    /// Something was lost: what is unknown from now on need not be older than the tracer.
    pub fn end_start(&mut self) {
        self.start_until = Timestamp(0);
    }

    /// States or timers were lost, shortly before `at`.
    pub fn note_loss(&mut self, at: Timestamp) {
        self.lost_at = at;
    }

    /// A later look at the small sockets in an orphan's FIN_WAIT2: one that is in TIME_WAIT by now went there silently.
    pub fn look(&mut self, sockets: &[SnapshotSocket], at: Timestamp) {
        for socket in sockets {
            if socket.state == SnapshotState::TimeWait(TcpState::TimeWait)
                && let Some(id) = self.find_exactly(socket)
            {
                self.infer_time_wait(id, at);
            }
        }
    }

    /// Fills in the counters of connections that are still open when the run ends. One that has changed its state since
    /// the look told newer ones with that.
    pub fn refresh_counters(&mut self, sockets: &[SnapshotSocket]) {
        for socket in sockets {
            if let (Some(counters), Some(id)) = (socket.counters, self.find_exactly(socket))
                && let Some(connection) = self.tables.get_mut(id)
                && !connection.is_closed()
                && socket.state == SnapshotState::Full(connection.state)
            {
                connection.set_counters(counters);
            }
        }
    }

    /// Namespaces with an orphan in FIN_WAIT2 since before `since` (under load there is always a young one), each once, with
    /// the process that one such was of.
    #[must_use]
    pub fn orphaned_namespaces(&self, since: Timestamp) -> Vec<(u32, Option<NonZeroU32>)> {
        let mut namespaces: Vec<_> = self
            .orphans
            .iter()
            .filter_map(|id| self.tables.get(*id))
            .filter(|c| c.entered_at().is_none_or(|entered_at| entered_at < since))
            .map(|c| (c.tuple.netns, c.owner.as_ref().map(|owner| owner.pid)))
            .collect();
        // Behind one of the same namespace without a process comes none with one.
        namespaces.sort_unstable_by_key(|(netns, pid)| (*netns, std::cmp::Reverse(*pid)));
        namespaces.dedup_by_key(|(netns, _)| *netns);
        namespaces
    }

    fn find_exactly(&self, socket: &SnapshotSocket) -> Option<Key> {
        let id = self.find_socket(Some(socket.cookie), &socket.tuple)?;
        let cookie = self.tables.get(id)?.cookie();
        cookie.is_none_or(|cookie| cookie == socket.cookie).then_some(id)
    }

    fn complete(&mut self, id: Key, socket: SnapshotSocket) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        if let (None, Some(counters)) = (connection.counters(), socket.counters) {
            connection.set_counters(counters);
        }
        if connection.owner.is_none() && socket.owner.is_some() {
            self.own_dumped(id, socket.owner);
        }
    }

    fn own_dumped(&mut self, id: Key, owner: Option<Owner>) {
        if let Some(owner) = owner {
            self.own(id, owner, 0);
        }
    }

    fn adopt_socket(&mut self, socket: SnapshotSocket, at: Timestamp) {
        let (state, endpoint) = match socket.state {
            SnapshotState::Full(TcpState::Listen | TcpState::Close) => return,
            SnapshotState::Full(TcpState::SynSent) => (TcpState::SynSent, Some(Endpoint::Client)),
            SnapshotState::Full(state) | SnapshotState::TimeWait(state) => (state, None),
            SnapshotState::Request => (TcpState::SynRecv, Some(Endpoint::Server)),
        };
        let Some(id) = self.open(socket.tuple, endpoint, state, None) else { return };
        self.tables.set_cookie(id, socket.cookie);
        if let Some(connection) = self.tables.get_mut(id) {
            connection.older = true;
            if let Some(counters) = socket.counters {
                connection.set_counters(counters);
            }
        }
        match socket.state {
            SnapshotState::TimeWait(_) => self.tables.set_small(id, SmallKind::TimeWait, 0),
            SnapshotState::Request => self.tables.set_small(id, SmallKind::Request, 0),
            SnapshotState::Full(_) => {}
        }
        if socket.state == SnapshotState::TimeWait(TcpState::FinWait2) {
            self.orphans.insert(id);
        }
        self.pair_up(id, at);
        self.own_dumped(id, socket.owner);
    }
}
