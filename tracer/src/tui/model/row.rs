//! One connection as the view knows it: the last snapshot, and what has happened since.

use std::collections::VecDeque;
use std::sync::Arc;

use super::passed::{Kept, Passed};
use super::table::FADE_NS;
use crate::prefetch::prefetch;
use crate::record::{
    ClosedBy, Connection, Exchange, Headers, Outcome, Segment, StateEntry, Transition,
};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

/// Exchanges kept per connection; older ones live on in the recording only.
pub const RECENT_EXCHANGES: usize = 5;
/// Bytes kept of a request target.
const TARGET_BYTES: usize = 512;
/// How long Linux keeps TIME_WAIT (TCP_TIMEWAIT_LEN, include/net/tcp.h), microseconds.
pub const TIME_WAIT_US: u64 = 60_000_000;

/// A connection in the table.
#[derive(Clone, Debug)]
pub struct Row {
    connection: Arc<Connection>,
    /// State changes that are newer than the snapshot.
    later: Vec<StateEntry>,
    /// The last of all states, here too: passes over all rows ask for it, and the snapshot's are two steps through
    /// memory away.
    now_in: StateEntry,
    passed: Kept,
    recent: VecDeque<Box<Exchange>>,
    exchanges: u64,
    /// When it leaves the table; set once it has ended.
    pub(super) gone_at: Option<Timestamp>,
    /// Whether the filter in force lets it be shown.
    pub(super) shown: bool,
}

impl Row {
    /// A row for a connection that was not known.
    #[must_use]
    pub fn new(connection: Arc<Connection>) -> Row {
        let exchanges = connection.exchanges;
        Row {
            now_in: last_state(&connection, &[]),
            connection,
            later: Vec::new(),
            passed: Kept::default(),
            recent: VecDeque::new(),
            exchanges,
            gone_at: None,
            shown: false,
        }
    }

    /// The last snapshot. Its state history may be behind: ask [`Row::states`].
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The snapshot, to be kept by others too.
    #[must_use]
    pub fn shared(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    /// The connection will be looked at soon.
    pub(super) fn expect(&self) {
        prefetch(Arc::as_ptr(&self.connection).cast(), size_of::<Connection>());
    }

    /// Takes a newer snapshot; changes that the snapshot already tells are forgotten. After the final
    /// record nothing is news.
    pub(super) fn replace(&mut self, connection: Arc<Connection>) {
        if self.connection.closed_at.is_some() && connection.closed_at.is_none() {
            return;
        }
        self.exchanges = self.exchanges.max(connection.exchanges);
        let newest = connection.states.iter().rev().find_map(|entry| entry.at);
        self.later.retain(|entry| entry.at > newest);
        self.later.shrink_to_fit();
        self.now_in = last_state(&connection, &self.later);
        self.connection = connection;
    }

    /// Takes a state change, once.
    pub(super) fn change(&mut self, transition: &Transition) {
        let newest = self.states().rev().find_map(|entry| entry.at);
        if newest.is_none_or(|newest| newest <= transition.at) && self.state() != transition.to {
            self.now_in = StateEntry { state: transition.to, at: Some(transition.at) };
            self.later.push(self.now_in);
        }
    }

    /// Takes a segment.
    pub(super) fn segment(&mut self, segment: &Segment) {
        self.passed.push(Passed::from(segment));
    }

    /// SYN, FIN, RST and repeated segments that passed it.
    #[must_use]
    pub fn passed(&self) -> &Kept {
        &self.passed
    }

    /// Takes an exchange; of its headers only what filters ask for is kept.
    pub(super) fn exchanged(&mut self, exchange: &Exchange) {
        self.exchanges = self.exchanges.max(exchange.number);
        if self.recent.len() == RECENT_EXCHANGES {
            self.recent.pop_front();
        }
        self.recent.push_back(Box::new(slim(exchange)));
    }

    /// Its life so far, oldest first.
    pub fn states(&self) -> impl DoubleEndedIterator<Item = StateEntry> + '_ {
        self.connection.states.iter().chain(&self.later).copied()
    }

    /// The state it is in; `CLOSE` where nothing was told.
    #[must_use]
    pub fn state(&self) -> TcpState {
        self.now_in.state
    }

    /// When it entered its state; `None` where that was before the tracer.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.now_in.at
    }

    /// Whether its last kernel object is done with.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.connection.closed_at.is_some()
            || self.later.last().is_some_and(|entry| entry.state == TcpState::Close)
    }

    /// Whether it has ended and is in the last third of the time that it stays in sight.
    #[must_use]
    pub fn is_nearly_gone(&self, now: Timestamp) -> bool {
        self.gone_at.is_some_and(|gone_at| now.plus_ns(FADE_NS / 3) >= gone_at)
    }

    /// Exchanges seen on it.
    #[must_use]
    pub fn exchanges(&self) -> u64 {
        self.exchanges
    }

    /// Its last exchanges, oldest first, at most [`RECENT_EXCHANGES`].
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = &Exchange> {
        self.recent.iter().map(|exchange| &**exchange)
    }

    /// The newest exchange.
    #[must_use]
    pub fn last_exchange(&self) -> Option<&Exchange> {
        self.recent.back().map(|exchange| &**exchange)
    }

    /// Who closed first: the record's word, else what its states say.
    #[must_use]
    pub fn closed_by(&self) -> Option<ClosedBy> {
        self.connection.closed_by.or_else(|| {
            let mut states = self.states().map(|entry| entry.state);
            let first = states.find(|state| {
                matches!(state, TcpState::FinWait1 | TcpState::CloseWait | TcpState::Closing)
            })?;
            match first {
                TcpState::CloseWait => Some(ClosedBy::Remote),
                _ if states.any(|state| state == TcpState::Closing) => Some(ClosedBy::Both),
                _ => Some(ClosedBy::Local),
            }
        })
    }

    /// `comm[pid]` as far as it is known, not yet cleaned for a terminal.
    #[must_use]
    pub fn owner(&self) -> Option<String> {
        owner(&self.connection)
    }

    /// How sure the story of this row is.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.connection.lost_events
    }

    /// Whether it ended in another way than by FINs.
    #[must_use]
    pub fn failed(&self) -> bool {
        !matches!(self.connection.outcome, Outcome::Open | Outcome::Graceful)
    }

    /// What is left of TIME_WAIT, microseconds; `None` in other states or where its begin was not seen.
    #[must_use]
    pub fn time_wait_left_us(&self, now: Timestamp) -> Option<u64> {
        let since = self.since().filter(|_| self.state() == TcpState::TimeWait && !self.ended())?;
        Some(TIME_WAIT_US.saturating_sub(now.since_us(since)))
    }

    /// Whether it has been in its state for longer than a healthy connection is.
    #[must_use]
    pub fn stuck(&self, now: Timestamp) -> bool {
        let Some(limit_us) = patience_us(self.state()) else { return false };
        !self.ended() && self.since().is_some_and(|since| now.since_us(since) >= limit_us)
    }

    /// Bytes this row takes, about, exchanges and what its process's rows share left out.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        let connection = &*self.connection;
        size_of::<Row>()
            + size_of::<Connection>()
            + self.passed.heap_bytes()
            + (connection.states.len() + self.later.capacity()) * size_of::<StateEntry>()
    }
}

/// The time that a lane has room for, microseconds: what a healthy connection stays in it at most, or where there is no
/// such limit, what a person would call long.
#[must_use]
pub fn lane_span_us(state: TcpState) -> u64 {
    const TEN_MINUTES_US: u64 = 600_000_000;
    match state {
        TcpState::TimeWait => TIME_WAIT_US,
        _ => patience_us(state).unwrap_or(TEN_MINUTES_US),
    }
}

/// The longest that a healthy connection stays in a state, where there is such a limit.
///
/// SYN and SYN+ACK are sent again after 1 s and 2 s more (RFC 6298): three seconds without an answer is
/// two tries lost. FIN_WAIT2 of an orphan and TIME_WAIT end by their own timers after 60 s.
fn patience_us(state: TcpState) -> Option<u64> {
    const SECOND_US: u64 = 1_000_000;
    match state {
        TcpState::SynSent | TcpState::SynRecv => Some(3 * SECOND_US),
        TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => Some(10 * SECOND_US),
        TcpState::CloseWait => Some(5 * SECOND_US),
        TcpState::FinWait2 => Some(90 * SECOND_US),
        TcpState::Established | TcpState::TimeWait | TcpState::Close | TcpState::Listen => None,
    }
}

fn last_state(snapshot: &Connection, later: &[StateEntry]) -> StateEntry {
    let last = later.last().or_else(|| snapshot.states.last());
    last.copied().unwrap_or(StateEntry { state: TcpState::Close, at: None })
}

/// `comm[pid]` of a connection, as far as it is known; not yet cleaned for a terminal.
#[must_use]
pub fn owner(connection: &Connection) -> Option<String> {
    match (&connection.comm, connection.pid) {
        (Some(comm), Some(pid)) => Some(format!("{comm}[{pid}]")),
        (Some(comm), None) => Some(comm.to_string()),
        (None, Some(pid)) => Some(format!("[{pid}]")),
        (None, None) => None,
    }
}

/// `→` for the end that opened the connection, `←` for the one that accepted it, `?` where unknown.
#[must_use]
pub fn arrow(endpoint: Option<Endpoint>) -> char {
    match endpoint {
        Some(Endpoint::Client) => '→',
        Some(Endpoint::Server) => '←',
        None => '?',
    }
}

/// The exchange without what the table never shows: memory per row is bounded whatever the headers are.
fn slim(exchange: &Exchange) -> Exchange {
    let mut slim = exchange.clone();
    if let Some(request) = &mut slim.request {
        request.headers =
            request.headers.iter().find(|(name, _)| *name == "host").into_iter().collect();
    }
    if let Some(response) = &mut slim.response {
        response.headers = Headers::default();
    }
    if let Some(target) = &mut slim.target {
        let end = (0..=TARGET_BYTES).rev().find(|&end| target.is_char_boundary(end));
        target.truncate(end.unwrap_or(0));
    }
    slim
}
