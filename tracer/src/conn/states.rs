//! State changes of full sockets (`inet_sock_set_state`).

use super::connection::Owner;
use super::tables::Key;
use super::tracker::{Change, Tracker};
use crate::event::{Event, Interface, Isns, State, Tuple};
use crate::record::{Source, Transition};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

impl Tracker {
    pub(super) fn apply_state(&mut self, event: &Event<'_>, state: &State) {
        use TcpState::{Close, Established, Listen, SynRecv, SynSent};
        if state.unwatched {
            return self.dismiss(event, state);
        }
        match (state.from, state.to) {
            (Listen, Close) => self.listener_closed(state),
            (Close, Listen) | (Listen, Listen) => {}
            (Close, SynSent) if state.repair => {} // connect(2) restores a connection: no SYN is sent
            (SynSent, Close) if state.repair => {} // that failed
            (SynSent, Established) if state.repair => self.restored(event, state),
            (Close, Established) => self.restored(event, state),
            (Close, SynSent) => self.connecting(event, state),
            (Listen, SynRecv) => self.child_born(event.at, state),
            _ => self.changed(event, state),
        }
    }

    /// Its ports turned out not to be watched: it is told once more, as it is, for no filter lets it through, and
    /// forgotten.
    fn dismiss(&mut self, event: &Event<'_>, state: &State) {
        self.pending_children.remove(&state.skaddr);
        let Some(id) = self.known(event, state) else { return };
        self.tables.set_tuple(id, state.tuple);
        self.discard(id);
    }

    /// A socket starts to connect: always a new connection, even where the socket had one before
    /// (`connect(AF_UNSPEC)`, then connect again: same address, cookie and descriptor).
    fn connecting(&mut self, event: &Event<'_>, state: &State) {
        if let Some(id) = event.cookie.and_then(|cookie| self.tables.by_cookie(cookie))
            && let Some(before) = self.tables.get(id).filter(|c| !c.is_closed())
        {
            if before.entered_at() == Some(event.at) {
                return; // the same event again
            }
            if !before.is_timewait() {
                // One socket has one life at a time: the end of that one was lost.
                self.miss_step(id, event.at);
                self.end_unseen(id, event.at);
            }
        }
        let Some(id) =
            self.open(state.tuple, Some(Endpoint::Client), TcpState::SynSent, Some(event.at))
        else {
            return;
        };
        if let Some(cookie) = event.cookie {
            self.tables.set_cookie(id, cookie);
        }
        self.tell_step(id, TcpState::Close, TcpState::SynSent, event.at);
        // connect(2) runs in its caller's context.
        if let Some(owner) = Owner::from_task(&state.task) {
            self.own(id, owner, state.task.cgroup_id);
        }
    }

    /// A process made a socket that stands, without a handshake (TCP_REPAIR: CRIU restores a
    /// container).
    fn restored(&mut self, event: &Event<'_>, state: &State) {
        if let Some(id) = event.cookie.and_then(|cookie| self.tables.by_cookie(cookie))
            && self.tables.get(id).is_some_and(|c| !c.is_closed() && !c.is_timewait())
        {
            // One socket has one life at a time: the end of that one was lost.
            self.miss_step(id, event.at);
            self.end_unseen(id, event.at);
        }
        let Some(id) = self.open(state.tuple, None, TcpState::Established, Some(event.at)) else {
            return;
        };
        if let Some(cookie) = event.cookie {
            self.tables.set_cookie(id, cookie);
        }
        if let Some(connection) = self.tables.get_mut(id) {
            connection.restored = true;
        }
        self.learn(id, event, state);
        self.tell_step(id, TcpState::Close, TcpState::Established, event.at);
        if let Some(owner) = Owner::from_task(&state.task) {
            self.own(id, owner, state.task.cgroup_id);
        }
        self.pair_up(id, event.at);
    }

    /// `LISTEN -> SYN_RECV`: the child socket of a request is born. Its cookie may still be the listener's
    /// (before 6.18), and its tuple still empty: then its next event ties it.
    fn child_born(&mut self, at: Timestamp, state: &State) {
        if !state.tuple.is_whole() {
            self.remember_child(state.skaddr, at);
            return;
        }
        match self.half_open(&state.tuple) {
            Some(id) => {
                if let Some(connection) = self.tables.get_mut(id) {
                    connection.child_seen = true;
                }
            }
            None if self.has_living_child(&state.tuple) => {} // the same event again
            // No request socket: SYN cookies, TCP Fast Open, or its event was lost.
            None => {
                if let Some(id) = self.open_child(state.tuple, at)
                    && let Some(connection) = self.tables.get_mut(id)
                {
                    connection.child_seen = true;
                }
            }
        }
    }

    /// Whether the full socket of a server end with this tuple is there already.
    fn has_living_child(&self, tuple: &Tuple) -> bool {
        let connection = self.tables.by_tuple(tuple).and_then(|id| self.tables.get(id));
        connection.is_some_and(|c| c.child_seen && !c.is_closed() && !c.is_timewait())
    }

    /// The server end with this tuple that is still half-open.
    pub(super) fn half_open(&self, tuple: &Tuple) -> Option<Key> {
        let id = self.tables.by_tuple(tuple)?;
        let connection = self.tables.get(id)?;
        let half_open = connection.state == TcpState::SynRecv
            && connection.endpoint == Some(Endpoint::Server)
            && !connection.is_closed();
        half_open.then_some(id)
    }

    /// A new server end in SYN_RECV; `at` is when its SYN arrived, `isns` what its request socket
    /// knows.
    pub(super) fn open_server(
        &mut self,
        tuple: Tuple,
        at: Timestamp,
        isns: Option<Isns>,
    ) -> Option<Key> {
        let id = self.open(tuple, Some(Endpoint::Server), TcpState::SynRecv, Some(at))?;
        self.tell_step(id, TcpState::Listen, TcpState::SynRecv, at);
        if let (Some(connection), Some(isns)) = (self.tables.get_mut(id), isns) {
            connection.learn_isns(isns);
        }
        if let Some(syn) = self.pending_syn(&tuple, isns) {
            self.claim_pending_syn(id, &syn);
        }
        self.pair_up(id, at);
        Some(id)
    }

    /// A child whose request socket is not known: older than the tracer at its start, unless its SYN was seen. Where no
    /// SYN can be, the child is the first that is seen of any connection, of a new one too.
    fn open_child(&mut self, tuple: Tuple, at: Timestamp) -> Option<Key> {
        let syn = self.pending_syn(&tuple, None);
        let has_syn = !self.sees_segments || syn.is_some();
        if self.is_dumping() || self.is_start(at) && !has_syn {
            return self.open_older(tuple, Some(Endpoint::Server), TcpState::SynRecv, at);
        }
        // With a SYN cookie the child is born with the third segment: its SYN came before.
        self.open_server(tuple, syn.map_or(at, |syn| syn.at), None)
    }

    fn tell_step(&mut self, id: Key, from: TcpState, to: TcpState, at: Timestamp) {
        let Some(connection) = self.tables.get(id) else { return };
        let told = Transition {
            conn: connection.id,
            at,
            endpoint: connection.endpoint,
            from,
            to,
            in_from_us: None,
            source: Source::Observed,
        };
        self.changes.push(Change::Transition(id, told));
    }

    /// Any other change.
    fn changed(&mut self, event: &Event<'_>, state: &State) {
        let Some(id) = self.find_or_adopt(event, state) else { return };
        self.learn(id, event, state);
        let Some(connection) = self.tables.get(id) else { return };
        if connection.is_closed() || (connection.is_timewait() && state.to == TcpState::Close) {
            // Told before; or not the end: the socket was swapped for its timewait socket just before.
            return;
        }
        if connection.state != state.from {
            if connection.state == state.to || connection.life.has_step(state.from, state.to) {
                return;
            }
            self.bridge(id, state.from, event.at);
        }
        if state.isns.is_some() {
            self.infer_syn_cookie(id);
        }
        self.step(id, state.to, event.at, Source::Observed);
        if state.to == TcpState::Close {
            self.end(id, event.at);
            self.peer_closed(id, event.at);
        } else {
            self.own_by_closing(id, state);
            self.pair_up(id, event.at);
        }
    }

    /// The connection of this socket; a new one where it is not known (older than the tracer, or its opening was lost).
    fn find_or_adopt(&mut self, event: &Event<'_>, state: &State) -> Option<Key> {
        let born = self.pending_children.remove(&state.skaddr);
        if let Some(id) = self.known(event, state) {
            if !self.is_anothers(id, event.cookie) {
                if let Some(cookie) = event.cookie {
                    self.tables.set_cookie(id, cookie);
                }
                return Some(id);
            }
            if self.tables.get(id).is_some_and(|c| !c.is_closed() && !c.is_timewait()) {
                // Two full sockets cannot have one tuple: the end of the older one was lost.
                self.miss_step(id, event.at);
                self.end_unseen(id, event.at);
            }
        }
        if state.from == TcpState::SynRecv
            && let Some(at) = born
        {
            let id = self.open_child(state.tuple, at)?;
            if let Some(cookie) = event.cookie {
                self.tables.set_cookie(id, cookie);
            }
            return Some(id);
        }
        self.adopt(event, state)
    }

    /// The connection of the socket that changes its state. The port of one that is still connecting may be known from
    /// a packet alone, and that was translated.
    fn known(&self, event: &Event<'_>, state: &State) -> Option<Key> {
        let connecting = |cookie| {
            let id = self.tables.by_cookie(cookie)?;
            (self.tables.get(id)?.state == TcpState::SynSent).then_some(id)
        };
        let cookie = event.cookie.filter(|_| state.from == TcpState::SynSent);
        cookie.and_then(connecting).or_else(|| self.find_socket(event.cookie, &state.tuple))
    }

    /// Whether the connection found by its tuple is another socket's: each has its own cookie.
    fn is_anothers(&self, id: Key, cookie: Option<u64>) -> bool {
        let Some(connection) = self.tables.get(id) else { return true };
        match (connection.cookie(), cookie) {
            (Some(known), Some(seen)) => known != seen,
            _ => connection.is_closed() || connection.is_timewait(),
        }
    }

    fn adopt(&mut self, event: &Event<'_>, state: &State) -> Option<Key> {
        let endpoint = match state.from {
            TcpState::SynSent => Some(Endpoint::Client),
            _ => None,
        };
        let id = self.open_older(state.tuple, endpoint, state.from, event.at)?;
        if let Some(cookie) = event.cookie {
            self.tables.set_cookie(id, cookie);
        }
        Some(id)
    }

    /// What every state event says beside the change.
    fn learn(&mut self, id: Key, event: &Event<'_>, state: &State) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        connection.set_counters(state.counters);
        connection.note_kernel_lost(event.socket_lost);
        connection.evidence.errno = i16::try_from(state.errno).unwrap_or(i16::MAX);
        connection.evidence.fin_received |= state.fin_received;
        connection.evidence.taken_out |= state.repair && state.to == TcpState::Close;
        connection.in_sockmap |= state.in_sockmap;
        if let Some(isns) = state.isns.filter(|_| connection.endpoint == Some(Endpoint::Server)) {
            connection.learn_isns(isns);
        }
        if connection.state == TcpState::SynRecv {
            connection.child_seen = true;
        }
        let may_be_wrong = state.from == TcpState::SynSent || !connection.tuple.is_whole();
        if may_be_wrong && state.tuple.is_whole() && connection.tuple != state.tuple {
            self.tables.set_tuple(id, state.tuple);
        }
    }

    /// Changes between the known state and `from` were not seen: said in the life (`at` null) and counted.
    fn bridge(&mut self, id: Key, from: TcpState, at: Timestamp) {
        self.miss_step(id, at);
        if let Some(connection) = self.tables.get_mut(id) {
            connection.enter(from, None);
        }
    }

    /// A listener is gone: its half-open connections die with it, told by their own timers.
    fn listener_closed(&mut self, state: &State) {
        let at_listener = |local: crate::record::SocketAddress| {
            local.port == state.tuple.local.port
                && (state.tuple.local.ip.is_unspecified() || local.ip == state.tuple.local.ip)
        };
        let at_interface =
            |interface| [Interface::NONE, interface].contains(&state.tuple.interface);
        let half_open: Vec<Key> = self
            .tables
            .iter()
            .filter(|(_, c)| {
                c.state == TcpState::SynRecv
                    && !c.child_seen
                    && c.tuple.netns == state.tuple.netns
                    && at_interface(c.tuple.interface)
                    && at_listener(c.tuple.local)
            })
            .map(|(id, _)| id)
            .collect();
        for id in half_open {
            if let Some(connection) = self.tables.get_mut(id) {
                connection.evidence.listener_closed = true;
            }
        }
    }

    fn remember_child(&mut self, skaddr: u64, at: Timestamp) {
        if self.pending_children.len() >= self.limits.pending {
            self.counters.pending_dropped += self.pending_children.len() as u64;
            self.pending_children.clear();
        }
        self.pending_children.insert(skaddr, at);
    }
}
