//! The pure core in one piece: events and time in, [`Output`]s out.
//!
//! It owns the tracker and the HTTP state of every connection that carries any, and turns what they find
//! into records. It reads no clock and does no input or output; the edge is `pipeline`.

mod counters;
mod early;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

pub use self::counters::{EngineCounters, LOSSES};
use self::early::EarlyPayloads;
use crate::conn::{self, Census, Change, Key, Limits, SnapshotSocket, Tracker};
use crate::event::{Body, Event, Payload};
use crate::http::{self, HttpConnection, RecordContext};
use crate::record::{self, Record};
use crate::tcp::{Direction, Endpoint, TcpState, flags};
use crate::time::Timestamp;

/// What the engine has to say, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// A line of output. A `connection` line comes once, when the end is over or the run is.
    Record(Record),
    /// A connection as it is now: it opened, gained an owner or its other end. For live views.
    Changed(Arc<record::Connection>),
    /// A connection that has been there for a second, as it is now; again when it gains an owner or its other end. For
    /// recordings: who plays one wants to know of it long
    /// before its record comes, at its end.
    Lasting(Arc<record::Connection>),
}

/// How old a connection is when it is told as [`Output::Lasting`], nanoseconds.
pub const LASTING_NS: u64 = 1_000_000_000;

/// A connection's owner, known by number: the edge looks up the rest at once, while the process still runs, and
/// hands it back with [`Engine::set_facts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The connection.
    pub conn: Key,
    /// Process id.
    pub pid: u32,
    /// cgroup v2 id, 0 where unknown.
    pub cgroup_id: u64,
}

/// See the module's documentation.
pub struct Engine {
    tracker: Tracker,
    outputs: Vec<Output>,
    owned: Vec<Owned>,
    /// Kept for its memory.
    changes: Vec<Change>,
    http: FxHashMap<Key, Box<HttpConnection>>,
    /// Connections whose HTTP waits for something until a deadline.
    waiting: FxHashSet<Key>,
    exchanges: http::Exchanges,
    show_secrets: bool,
    tell_changed: TellChanged,
    /// Connections that have changed since the last drain, where that is told together.
    changed: FxHashSet<Key>,
    tell_lasting: bool,
    /// Those that opened up to then have been told as lasting.
    lasting_since: Timestamp,
    /// Connections that are not old enough yet to be told as lasting, and since when they are there.
    young: VecDeque<(Timestamp, Key)>,
    /// Of the HTTP engine, over all connections.
    http_counters: http::Counters,
    /// Clients for which proxies speak, of connections that are still there.
    proxied_for: FxHashMap<Key, record::SocketAddress>,
    /// Payload that is there before its connection.
    early: EarlyPayloads,
    /// Payload of connections that are not tracked.
    unattributed_payloads: u64,
}

/// Whether and when [`Output::Changed`] is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TellChanged {
    /// Never.
    #[default]
    Never,
    /// When a connection finds its other end on this host.
    Paired,
    /// At each change: who judges each record by its connection needs that as it is then.
    AtOnce,
    /// When a connection opens, and then once for all that has changed up to a drain: who draws sees no more than that.
    Together,
}

/// How an engine is to behave.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineOptions {
    /// Bounds of the tracker.
    pub limits: Limits,
    /// SYN, FIN and RST are seen as packets.
    pub sees_segments: bool,
    /// Say [`Output::Changed`].
    pub tell_changed: TellChanged,
    /// Say [`Output::Lasting`].
    pub tell_lasting: bool,
    /// Leave secrets as they are.
    pub show_secrets: bool,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(options: EngineOptions) -> Self {
        Engine {
            tracker: Tracker::new(options.limits, options.sees_segments),
            outputs: Vec::new(),
            owned: Vec::new(),
            changes: Vec::new(),
            http: FxHashMap::default(),
            waiting: FxHashSet::default(),
            exchanges: http::Exchanges::default(),
            show_secrets: options.show_secrets,
            tell_changed: options.tell_changed,
            changed: FxHashSet::default(),
            tell_lasting: options.tell_lasting,
            lasting_since: Timestamp(0),
            young: VecDeque::new(),
            http_counters: http::Counters::default(),
            proxied_for: FxHashMap::default(),
            early: EarlyPayloads::default(),
            unattributed_payloads: 0,
        }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &Event<'_>) {
        match &event.body {
            Body::Payload(payload) => self.payload(event, payload),
            Body::Exec(_) | Body::Fork(_) => {}
            Body::Segment(segment) => {
                self.tracker.apply(event);
                self.collect();
                if segment.flags & flags::SYN != 0 {
                    self.syn(event, segment);
                }
                if segment.flags & flags::FIN != 0 && !segment.retransmit {
                    self.fin(event, segment);
                }
            }
            Body::State(_) | Body::Timer(_) | Body::Owner(_) | Body::Reset(_) => {
                self.tracker.apply(event);
                self.collect();
            }
        }
    }

    /// Lets time pass.
    pub fn expire(&mut self, now: Timestamp) {
        self.tracker.expire(now);
        self.collect();
        self.expire_http(now);
        self.tell_lasting(now);
    }

    fn tell_lasting(&mut self, now: Timestamp) {
        self.lasting_since = Timestamp(now.0.saturating_sub(LASTING_NS));
        while let Some(&(since, id)) = self.young.front()
            && since.plus_ns(LASTING_NS) <= now
        {
            self.young.pop_front();
            if let Some(connection) = self.tracker.get(id).filter(|c| !c.is_closed()) {
                self.outputs.push(Output::Lasting(self.record_of(id, connection)));
            }
        }
    }

    /// A connection has gained an owner or its other end: where it was told as lasting before, that was without it.
    fn tell_lasting_again(&mut self, id: Key) {
        let Some(connection) = self.tracker.get(id).filter(|_| self.tell_lasting) else { return };
        // One whose opening is not known was told at once.
        let since = connection.opened_at().unwrap_or_default();
        if since <= self.lasting_since && !connection.is_closed() {
            self.outputs.push(Output::Lasting(self.record_of(id, connection)));
        }
    }

    fn payload(&mut self, event: &Event<'_>, payload: &Payload<'_>) {
        let Some(id) = self.tracker.find(event.cookie, &payload.tuple) else {
            self.unattributed_payloads += u64::from(!self.early.hold(event.at, payload));
            return;
        };
        let lost_more = self.tracker.note_lost(id, event.socket_lost);
        self.data(id, event.at, payload, lost_more);
    }

    fn data(&mut self, id: Key, at: Timestamp, payload: &Payload<'_>, lost_more: bool) {
        let Some(connection) = self.tracker.get(id) else { return };
        if connection.is_closed() {
            return;
        }
        let http = self.http.entry(id).or_insert_with(|| Box::new(begin_http(connection)));
        if lost_more {
            http.lost(at, &mut self.exchanges);
        }
        let slice = http::Slice {
            seq: first_byte_seq(connection, payload),
            packet_bytes: payload.packet_bytes,
            offset_bytes: payload.offset_bytes,
            captured: payload.captured,
        };
        http.data(payload.direction, at, slice, &mut self.exchanges);
        if let Some(client) = http.take_proxied_for() {
            self.proxied_for.insert(id, *client);
            self.tell_changed(id);
        }
        self.after_http(id);
    }

    /// What came with the SYN is the new end's.
    fn take_early(&mut self, id: Key) {
        let Some(connection) = self.tracker.get(id) else { return };
        let (tuple, Some(at)) = (connection.tuple, connection.opened_at()) else { return };
        for early in self.early.take(&tuple, at) {
            self.data(id, early.at, &early.payload(tuple), false);
        }
    }

    /// Where the request came with the SYN, HTTP is there before the answer's SYN is.
    fn syn(&mut self, event: &Event<'_>, segment: &crate::event::Segment) {
        if self.http.is_empty() {
            return;
        }
        let found = self.tracker.find(event.cookie, &segment.tuple);
        if let Some(http) = found.and_then(|id| self.http.get_mut(&id)) {
            http.start(segment.direction, segment.seq.wrapping_add(1));
        }
    }

    fn fin(&mut self, event: &Event<'_>, segment: &crate::event::Segment) {
        let found = self.tracker.find(event.cookie, &segment.tuple);
        let Some(id) = found.filter(|id| self.http.contains_key(id)) else { return };
        if let Some(http) = self.http.get_mut(&id) {
            let fin_seq = segment.seq.wrapping_add(segment.payload_bytes);
            http.fin(segment.direction, event.at, fin_seq, &mut self.exchanges);
        }
        self.after_http(id);
    }

    /// Tells the exchanges that are done, and notes what HTTP waits for.
    fn after_http(&mut self, id: Key) {
        self.tell_exchanges(id);
        let Some(http) = self.http.get_mut(&id) else { return };
        if http.has_counted() {
            self.http_counters += http.take_counters();
        }
        let waits = http.next_deadline().is_some();
        if waits {
            self.waiting.insert(id);
        } else if !self.waiting.is_empty() {
            self.waiting.remove(&id);
        }
    }

    fn expire_http(&mut self, now: Timestamp) {
        if self.waiting.is_empty() {
            return;
        }
        let due: Vec<Key> = self
            .waiting
            .iter()
            .copied()
            .filter(|id| {
                let http = self.http.get(id);
                http.is_none_or(|http| http.next_deadline().is_none_or(|at| at <= now))
            })
            .collect();
        for id in due {
            if let Some(http) = self.http.get_mut(&id) {
                http.expire(now, &mut self.exchanges);
            }
            self.after_http(id);
        }
    }

    /// The connection carries no more data: what is pending in its HTTP is told as it is.
    fn end_http(&mut self, id: Key, at: Timestamp) {
        let Some(mut http) = self.http.remove(&id) else { return };
        http.close(at, &mut self.exchanges);
        self.http_counters += http.take_counters();
        self.waiting.remove(&id);
        self.tell_exchanges(id);
    }

    fn tell_exchanges(&mut self, id: Key) {
        if self.exchanges.done.is_empty() {
            return;
        }
        // Its HTTP is over before it is forgotten.
        let Some(connection) = self.tracker.get(id) else { return self.exchanges.done.clear() };
        // Who keeps an exchange keeps its connection as it is known by then.
        if self.changed.remove(&id) {
            self.outputs.push(Output::Changed(self.record_of(id, connection)));
        }
        let context = RecordContext {
            conn: connection.id,
            scheme: "http",
            connect_us: connection.connect_us(),
            tls_us: None,
            server: server_of(connection),
            client_isn: isn_of(connection, Endpoint::Client),
            server_isn: isn_of(connection, Endpoint::Server),
            show_secrets: self.show_secrets,
        };
        for exchange in self.exchanges.done.drain(..) {
            self.tracker.count_exchange(id);
            let record = Arc::new(exchange.into_record(&context));
            self.outputs.push(Output::Record(Record::Exchange(record)));
        }
    }

    /// Merges the dump of the sockets that were there before. See [`Tracker::merge_snapshot`].
    pub fn merge_snapshot(&mut self, sockets: Vec<SnapshotSocket>, start_until: Timestamp) {
        self.tracker.merge_snapshot(sockets, start_until);
        self.collect();
        // What belonged to no connection up to now belonged to one that is older than the tracer: no loss.
        self.tracker.counters.unattributed = 0;
        self.unattributed_payloads = 0;
    }

    /// States or timers were lost, shortly before `at`.
    pub fn note_loss(&mut self, at: Timestamp) {
        self.tracker.note_loss(at);
    }

    /// Something was lost: what is unknown from now on need not be older than the tracer.
    pub fn end_start(&mut self) {
        self.tracker.end_start();
    }

    /// Sets right, after a loss, what the kernel's socket table says otherwise.
    pub fn reconcile(&mut self, census: &Census, at: Timestamp) {
        self.tracker.reconcile(census, at);
        self.collect();
    }

    /// The same for some connections only.
    pub fn reconcile_these(&mut self, connections: Vec<Key>, census: &Census, at: Timestamp) {
        self.tracker.reconcile_these(connections, census, at);
        self.collect();
    }

    /// Connections that are in TIME_WAIT for longer than that lasts, and their namespaces.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> (Vec<Key>, Vec<u32>) {
        let connections = self.tracker.overdue(now);
        let namespaces = self.tracker.namespaces_of(&connections);
        (connections, namespaces)
    }

    /// Takes in a later look at small sockets.
    pub fn look(&mut self, sockets: &[SnapshotSocket], at: Timestamp) {
        self.tracker.look(sockets, at);
        self.collect();
    }

    /// Namespaces in which an orphan sits in FIN_WAIT2 since before `since`, whose next step no hook may tell, and the process
    /// that it was of.
    #[must_use]
    pub fn orphans(&self, since: Timestamp) -> Vec<(u32, Option<NonZeroU32>)> {
        self.tracker.orphaned_namespaces(since)
    }

    /// Adds what the edge knows of an owner.
    pub fn set_facts(&mut self, conn: Key, facts: Arc<conn::ProcessFacts>) {
        self.tracker.set_facts(conn, facts);
        self.tell_changed(conn);
        self.tell_lasting_again(conn);
    }

    /// The owners found since the last call.
    pub fn take_owned(&mut self) -> Vec<Owned> {
        // An empty vector has no memory: nothing is allocated where nothing was found.
        std::mem::take(&mut self.owned)
    }

    /// Adds what was found out since the last call to `out`, in order.
    pub fn drain_into(&mut self, out: &mut Vec<Output>) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.drain().for_each(|id| self.push_changed(id));
        self.changed = changed;
        append(out, &mut self.outputs);
    }

    /// What could not be assigned, kept or understood so far.
    #[must_use]
    pub const fn counters(&self) -> EngineCounters {
        EngineCounters {
            tracker: self.tracker.counters,
            http: self.http_counters,
            unattributed_payloads: self.unattributed_payloads,
        }
    }

    /// Connection ends tracked now.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.tracker.len()
    }

    /// How many connection ends are in each state that any is in.
    #[must_use]
    pub fn population(&self) -> Vec<(TcpState, u64)> {
        // Their numbers begin at 1.
        let mut states = [0; TcpState::ALL.len() + 1];
        let open = self.tracker.iter().filter(|connection| !connection.is_closed());
        open.for_each(|connection| states[connection.state as usize] += 1);
        TcpState::ALL.into_iter().map(|state| (state, states[state as usize])).collect()
    }

    /// From now on [`Output::Changed`] is said so.
    pub const fn set_tell_changed(&mut self, tell_changed: TellChanged) {
        self.tell_changed = tell_changed;
    }

    /// The run is over: whatever is still open is told as it is.
    pub fn finish(&mut self, sockets: &[SnapshotSocket], now: Timestamp) {
        self.tracker.refresh_counters(sockets);
        self.collect();
        for id in self.tracker.keys() {
            self.end_http(id, now);
            if let Some(connection) = self.tracker.get(id) {
                let record = self.record_of(id, connection);
                self.outputs.push(Output::Record(Record::Connection(record)));
            }
        }
    }

    /// Every connection as it is now.
    #[must_use]
    pub fn connections(&self) -> Vec<Arc<record::Connection>> {
        self.tracker.iter_keyed().map(|(id, c)| self.record_of(id, c)).collect()
    }

    fn collect(&mut self) {
        if !self.tracker.has_changes() {
            return;
        }
        let mut changes = std::mem::take(&mut self.changes);
        self.tracker.swap_changes(&mut changes);
        for change in changes.drain(..) {
            self.tell(change);
        }
        self.changes = changes;
    }

    fn tell(&mut self, change: Change) {
        if let Change::Opened(id) = change {
            self.take_early(id);
        }
        if self.tell_lasting
            && let Change::Opened(id) = change
        {
            // One that is older than the tracer is told at once.
            let since = self.tracker.get(id).and_then(conn::Connection::entered_at);
            self.young.push_back((since.unwrap_or_default(), id));
        }
        if let Change::Paired(id) = change {
            self.tell_lasting_again(id);
        }
        match change {
            Change::Opened(id) if self.tell_changed == TellChanged::Together => {
                self.push_changed(id);
            }
            Change::Paired(id) if self.tell_changed == TellChanged::Paired => self.push_changed(id),
            Change::Opened(id) | Change::Paired(id) => self.tell_changed(id),
            Change::Transition(id, transition) => {
                let (at, to) = (transition.at, transition.to);
                if matches!(to, TcpState::TimeWait | TcpState::Close) {
                    self.end_http(id, at);
                }
                self.outputs.push(Output::Record(Record::Transition(transition)));
                // Its counters are new: told when it stands, and when its full socket is gone.
                if matches!(to, TcpState::Established | TcpState::TimeWait) {
                    self.tell_changed(id);
                }
            }
            Change::Segment(segment) => self.outputs.push(Output::Record(Record::Segment(segment))),
            Change::Owned { conn, pid, cgroup_id } => {
                self.owned.push(Owned { conn, pid, cgroup_id });
            }
            Change::Closed(id, connection) => {
                self.changed.remove(&id);
                let record = self.record_of(id, &connection);
                self.proxied_for.remove(&id);
                self.outputs.push(Output::Record(Record::Connection(record)));
            }
        }
    }

    /// The record of a connection as it is now.
    fn record_of(&self, id: Key, connection: &conn::Connection) -> Arc<record::Connection> {
        let mut record = connection_record(connection);
        record.proxied_for = self.proxied_for.get(&id).copied();
        Arc::new(record)
    }

    fn tell_changed(&mut self, id: Key) {
        match self.tell_changed {
            TellChanged::Never | TellChanged::Paired => {}
            TellChanged::AtOnce => self.push_changed(id),
            TellChanged::Together => _ = self.changed.insert(id),
        }
    }

    fn push_changed(&mut self, id: Key) {
        if let Some(connection) = self.tracker.get(id) {
            self.outputs.push(Output::Changed(self.record_of(id, connection)));
        }
    }
}

/// Moves all of `more` behind what is in `out`; whole, not one by one, where nothing is.
fn append<T>(out: &mut Vec<T>, more: &mut Vec<T>) {
    if out.is_empty() { std::mem::swap(out, more) } else { out.append(more) }
}

/// Sequence number of a packet's first payload byte. The kernel side tells the packet's own, and a SYN takes a number before
/// the data it brings (TCP Fast Open, RFC 7413). A byte alone there is no data: stacks probe with it whether the other end is
/// still there (RFC 9293 section 3.8.4). Not corrected in the kernel: one more thing to keep through the loop over a packet's slices,
/// and the verifier of 6.1 takes minutes.
fn first_byte_seq(connection: &conn::Connection, payload: &Payload<'_>) -> u32 {
    let is_syn = payload.packet_bytes > 1 && connection.isn(payload.direction) == Some(payload.seq);
    payload.seq.wrapping_add(u32::from(is_syn))
}

/// HTTP of a connection whose first payload has come.
fn begin_http(connection: &conn::Connection) -> HttpConnection {
    let client_is_local = connection.endpoint.map(|endpoint| endpoint == Endpoint::Client);
    let mut http = HttpConnection::new(client_is_local);
    for direction in [Direction::Sent, Direction::Received] {
        if let Some(isn) = connection.isn(direction) {
            http.start(direction, isn.wrapping_add(1));
        }
    }
    http
}

fn server_of(connection: &conn::Connection) -> Option<record::SocketAddress> {
    match connection.endpoint? {
        Endpoint::Client => Some(connection.tuple.remote),
        Endpoint::Server => Some(connection.tuple.local),
    }
}

/// Initial sequence number of what one of the two ends sends.
fn isn_of(connection: &conn::Connection, sender: Endpoint) -> Option<u32> {
    let is_this_end = connection.endpoint? == sender;
    connection.isn(if is_this_end { Direction::Sent } else { Direction::Received })
}

/// What the tracker knows of a connection, as a record.
fn connection_record(c: &conn::Connection) -> record::Connection {
    let owner = c.owner.as_ref();
    let facts = owner.and_then(|o| o.facts.as_deref());
    let counters = c.counters();
    record::Connection {
        id: c.id,
        endpoint: c.endpoint,
        family: c.tuple.family(),
        local: c.tuple.local,
        remote: c.tuple.remote,
        peer: c.peer(),
        pid: owner.map(|o| o.pid.get()),
        comm: owner.map(|o| o.comm.name()),
        exe: facts.and_then(|f| f.exe.clone()),
        cgroup: facts.and_then(|f| f.cgroup.clone()),
        container: facts.and_then(|f| f.container.clone()),
        netns: (c.tuple.netns != 0).then_some(c.tuple.netns),
        opened_at: c.opened_at(),
        closed_at: c.closed_at(),
        older_than_tracer: c.older,
        states: c.life.iter().collect(),
        outcome: c.outcome(),
        closed_by: c.closed_by(),
        bytes_sent: counters.map(|n| n.bytes_sent),
        bytes_received: counters.map(|n| n.bytes_received),
        segments_retransmitted: c.segments_retransmitted(),
        srtt_us: counters.and_then(|n| n.srtt_us).map(|us| us.get().into()),
        exchanges: c.exchanges.into(),
        lost_events: c.lost_events(),
        isn_sent: c.isn(Direction::Sent),
        isn_received: c.isn(Direction::Received),
        bypasses_tcp: c.in_sockmap,
        proxied_for: None,
    }
}
