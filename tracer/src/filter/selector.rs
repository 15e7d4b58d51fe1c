//! A filter applied to a stream of records.

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::keys::Key;
use super::subject::truth;
use super::{Filter, States, Subject, TruthSet, Truths};
use crate::by_conn::{self, ByConn};
use crate::record::{ConnId, Connection, Exchange, Record};
use crate::tcp::TcpState;

/// Stretches of ids that are remembered at most: sixteen million connections in a recording, which take 5 bytes each.
const MAX_STRETCHES: usize = (16 << 20) / by_conn::STRETCH;
/// Most different things the terms may say about connections.
const MAX_KINDS: usize = 1 << 16;
/// Most different answers to the exchange terms that are remembered of one connection.
const MAX_TRUTHS: usize = 32;

/// Lets the records through that a filter is for.
///
/// Connection terms look at the record's connection, exchange terms at the record's exchange; on lines that are
/// no exchange they ask whether one of the connection's exchanges, so far, fits together with all the rest.
/// `host` and `loss` records always pass.
///
/// Live, the caller gives the connection as it is at the moment. For a recording, where a connection is
/// told last, give all records to [`Selector::learn`] first and then again to [`Selector::passes`].
#[derive(Debug)]
pub struct Selector {
    filter: Filter,
    has_exchange_terms: bool,
    /// What the terms say about each connection, as numbers of `kinds`.
    pub(super) lives: ByConn,
    kinds: IndexSet<Life, FxBuildHasher>,
    learnt: bool,
    forgotten: u64,
    undecided: u64,
}

/// What the terms say about one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Life {
    /// Of connection terms, from its `connection` record; only when learning.
    connection: Option<Truths>,
    /// Of exchange terms, in order.
    exchanges: TruthSet,
}

impl Selector {
    /// A selector for `filter`.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Selector::with_bound(filter, MAX_STRETCHES)
    }

    /// A selector that remembers connections of at most so many [stretches](by_conn::STRETCH) of ids.
    #[must_use]
    pub fn with_bound(filter: Filter, max_stretches: usize) -> Self {
        Selector {
            has_exchange_terms: filter.is_about_exchanges(),
            filter,
            lives: ByConn::with_bound(max_stretches),
            kinds: IndexSet::default(),
            learnt: false,
            forgotten: 0,
            undecided: 0,
        }
    }

    /// The filter.
    #[must_use]
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Things that were forgotten because a bound was hit: lines may be left out because of it.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Records left out because nothing was known of their connection: in a recording that was cut short
    /// there is no `connection` record of those that were still open.
    #[must_use]
    pub const fn undecided(&self) -> u64 {
        self.undecided
    }

    /// Takes note of what `record` says about its connection, ahead of [`Selector::passes`].
    pub fn learn(&mut self, record: &Record) {
        self.learnt = true;
        match record {
            Record::Exchange(exchange) => self.remember_exchange(exchange),
            Record::Connection(connection) if !self.filter.is_all() => {
                let truths = self.connection_truths(connection, States::Life);
                self.remember(connection.id, |life| life.connection = Some(truths));
            }
            _ => {}
        }
    }

    /// Whether the record is wanted; `connection` is its connection as far as it is known now.
    pub fn passes(&mut self, record: &Record, connection: Option<&Connection>) -> bool {
        if self.filter.is_all() {
            return true;
        }
        match record {
            Record::Host(_) | Record::Loss(_) => true,
            Record::Transition(t) => {
                self.line(t.conn, connection, States::Step { from: t.from, to: t.to })
            }
            Record::Segment(segment) => self.line(segment.conn, connection, States::Life),
            Record::Exchange(exchange) => self.exchange(exchange, connection),
            Record::Connection(connection) => {
                let passes = self.line(connection.id, Some(connection), States::Life);
                if !self.learnt {
                    self.lives.remove(connection.id);
                }
                passes
            }
        }
    }

    /// Whether a connection that goes on is wanted, as it is now.
    pub fn passes_open(&mut self, connection: &Connection) -> bool {
        self.filter.is_all() || self.line(connection.id, Some(connection), States::Life)
    }

    /// Whether a connection is wanted as a row of the live view: `state:` looks at its current state.
    pub fn shows(&mut self, connection: &Connection) -> bool {
        self.filter.is_all() || self.line(connection.id, Some(connection), States::Current)
    }

    /// A line that is no exchange: with any one of its connection's exchanges, or without one.
    fn line(&mut self, conn: ConnId, connection: Option<&Connection>, states: States) -> bool {
        let base = self.base_truths(conn, connection, states);
        let exchanges = self.life(conn).map_or(&[][..], |life| &life.exchanges[..]);
        if exchanges.is_empty() {
            let none = Subject { connection: None, exchange: None, states };
            let verdict =
                self.filter.decide(base.with(self.filter.truths(&none, Key::is_of_exchange)));
            return self.count(verdict, conn, connection);
        }
        let verdicts = exchanges.iter().map(|exchange| self.filter.decide(base.with(*exchange)));
        // True before unknown before false.
        let verdict = verdicts.max_by_key(|verdict| verdict.map_or(1, |holds| 2 * u8::from(holds)));
        self.count(verdict.flatten(), conn, connection)
    }

    fn exchange(&mut self, exchange: &Exchange, connection: Option<&Connection>) -> bool {
        if !self.learnt {
            self.remember_exchange(exchange);
        }
        let base = self.base_truths(exchange.conn, connection, States::Life);
        let verdict = self.filter.decide(base.with(self.exchange_truths(exchange)));
        self.count(verdict, exchange.conn, connection)
    }

    fn count(
        &mut self,
        verdict: Option<bool>,
        conn: ConnId,
        connection: Option<&Connection>,
    ) -> bool {
        let is_known = || self.life(conn).is_some_and(|life| life.connection.is_some());
        if verdict.is_none() && connection.is_none() && !is_known() {
            self.undecided += 1;
        }
        verdict == Some(true)
    }

    /// What all terms but those about exchanges say.
    fn base_truths(&self, conn: ConnId, connection: Option<&Connection>, states: States) -> Truths {
        match (connection, states) {
            (Some(connection), _) => self.connection_truths(connection, states),
            (None, States::Step { from, to }) => self.step_truths(conn, from, to),
            (None, _) => self.learnt_truths(conn),
        }
    }

    fn connection_truths(&self, connection: &Connection, states: States) -> Truths {
        let subject = Subject { connection: Some(connection), exchange: None, states };
        self.filter.truths(&subject, |key| !key.is_of_exchange())
    }

    fn learnt_truths(&self, conn: ConnId) -> Truths {
        self.life(conn).and_then(|life| life.connection).unwrap_or_default()
    }

    /// What was learnt, with the state terms answered by a transition.
    fn step_truths(&self, conn: ConnId, from: TcpState, to: TcpState) -> Truths {
        let learnt = self.learnt_truths(conn);
        let step = Subject { connection: None, exchange: None, states: States::Step { from, to } };
        let mut truths = Truths::default();
        for (i, term) in self.filter.terms.iter().enumerate() {
            let truth = if term.key == Key::State { truth(term, &step) } else { learnt.get(i) };
            truths.set(i, truth);
        }
        truths
    }

    fn exchange_truths(&self, exchange: &Exchange) -> Truths {
        let subject = Subject { connection: None, exchange: Some(exchange), states: States::Life };
        self.filter.truths(&subject, Key::is_of_exchange)
    }

    fn remember_exchange(&mut self, exchange: &Exchange) {
        if !self.has_exchange_terms {
            return;
        }
        let truths = self.exchange_truths(exchange);
        let seen = self.life(exchange.conn).map_or(&[][..], |life| &life.exchanges[..]);
        match seen.binary_search(&truths) {
            Ok(_) => {}
            Err(_) if seen.len() >= MAX_TRUTHS => self.forgotten += 1,
            Err(place) => {
                self.remember(exchange.conn, |life| life.exchanges.insert(place, truths));
            }
        }
    }

    fn life(&self, conn: ConnId) -> Option<&Life> {
        self.kinds.get_index(self.lives.get(conn)? as usize)
    }

    /// Changes the memory of a connection. The oldest are forgotten for it when there is no room.
    fn remember(&mut self, conn: ConnId, change: impl FnOnce(&mut Life)) {
        let mut life = self.life(conn).cloned().unwrap_or_default();
        change(&mut life);
        let kind = match self.kinds.get_index_of(&life) {
            Some(kind) => kind,
            None if self.kinds.len() < MAX_KINDS => self.kinds.insert_full(life).0,
            None => {
                self.forgotten += 1;
                return;
            }
        };
        if !self.lives.has_room_for(conn) {
            self.forgotten += self.lives.forget_oldest() as u64;
        }
        if !self.lives.insert(conn, kind as u32) {
            self.forgotten += 1;
        }
    }
}
