//! All connections the view knows, the filter and the order in which they are shown.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::alarms::{Alarm, alarms};
use super::filter::ActiveFilter;
use super::lanes::Lanes;
use super::order::{Order, Sort};
use super::row::Row;
use crate::record::{ConnId, Connection, Exchange, Segment, Transition};
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// Connections that the view holds at most; more are counted in [`Table::turned_away`].
pub const MAX_ROWS: usize = 200_000;
/// How long an ended connection stays in sight, nanoseconds.
pub const FADE_NS: u64 = 10_000_000_000;

/// The connections.
pub struct Table {
    rows: FxHashMap<ConnId, Row>,
    order: Order,
    /// Rows that are new, gone or different since the order was last right.
    changed: FxHashSet<ConnId>,
    /// Whether all is to be filtered anew, and sorted.
    stale: bool,
    /// Whether all is to be sorted anew.
    unsorted: bool,
    /// Ended connections in the order in which they leave.
    fading: VecDeque<(Timestamp, ConnId)>,
    lanes: Lanes,
    alarms: Vec<Alarm>,
    turned_away: u64,
    unknown: u64,
    max_rows: usize,
}

impl Table {
    pub(super) fn new(max_rows: usize) -> Table {
        Table {
            rows: FxHashMap::default(),
            order: Order::default(),
            changed: FxHashSet::default(),
            stale: false,
            unsorted: false,
            fading: VecDeque::new(),
            lanes: Lanes::default(),
            alarms: Vec::new(),
            turned_away: 0,
            unknown: 0,
            max_rows,
        }
    }

    /// Connections held, ended ones that still fade included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a connection.
    #[must_use]
    pub fn row(&self, id: ConnId) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// The shown rows' ids in order, as of the last `settle`.
    #[must_use]
    pub fn shown(&self) -> &[ConnId] {
        self.order.ids()
    }

    /// The shown rows, as of the last `settle`, in no order.
    pub(super) fn shown_rows(&self) -> impl Iterator<Item = &Row> {
        ahead(self.rows.values().filter(|row| row.shown))
    }

    /// How many connections are in each state.
    #[must_use]
    pub fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// How long the youngest connections in `state` have been there, microseconds, in no order.
    pub fn youngest_us(&self, state: TcpState, now: Timestamp) -> impl Iterator<Item = u64> + '_ {
        let arrivals = self.lanes.arrivals(state);
        let still_there = arrivals.filter(move |(at, id)| {
            self.rows
                .get(id)
                .is_some_and(|row| lane_of(row) == Some(state) && row.since() == Some(*at))
        });
        still_there.map(move |(at, _)| now.since_us(at))
    }

    /// What stands out, the greatest first; looked at once a second.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        &self.alarms
    }

    /// Connections that found no room.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Changes, segments and exchanges of connections that were never told of.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Takes a snapshot of a connection.
    pub(super) fn connection(&mut self, connection: Arc<Connection>, now: Timestamp) {
        let id = connection.id;
        if let Some(row) = self.rows.get_mut(&id) {
            let before = lane_of(row);
            row.replace(connection);
            self.after_change(id, before, now);
        } else if self.make_room() {
            // What stood before the tracer did not enter its state just now.
            let older = connection.older_than_tracer;
            let row = Row::new(connection);
            let before = lane_of(&row).filter(|_| older);
            self.lanes.moved(None, before);
            self.rows.insert(id, row);
            self.after_change(id, before, now);
        } else {
            self.turned_away += 1;
        }
    }

    /// Takes a state change.
    pub(super) fn transition(&mut self, transition: &Transition, now: Timestamp) {
        let Some(row) = self.rows.get_mut(&transition.conn) else {
            self.unknown += 1;
            return;
        };
        let before = lane_of(row);
        row.change(transition);
        self.after_change(transition.conn, before, now);
    }

    /// Takes a segment. One of a connection that is not told of yet, or any more, is nobody's.
    pub(super) fn segment(&mut self, segment: &Segment) {
        match self.rows.get_mut(&segment.conn) {
            Some(row) => row.segment(segment),
            None => self.unknown += 1,
        }
    }

    /// Takes an exchange.
    pub(super) fn exchange(&mut self, exchange: &Exchange) {
        let Some(row) = self.rows.get_mut(&exchange.conn) else {
            self.unknown += 1;
            return;
        };
        row.exchanged(exchange);
        self.changed.insert(exchange.conn);
    }

    /// Keeps lanes, fading and order in step with a row that changed.
    fn after_change(&mut self, id: ConnId, before: Option<TcpState>, now: Timestamp) {
        self.changed.insert(id);
        let Some(row) = self.rows.get_mut(&id) else { return };
        let after = lane_of(row);
        if before != after {
            self.lanes.moved(before, after);
            self.lanes.entered(row.state(), id, row.since().unwrap_or(now));
        }
        if row.ended() && row.gone_at.is_none() {
            let gone_at = now.plus_ns(FADE_NS);
            row.gone_at = Some(gone_at);
            self.fading.push_back((gone_at, id));
        }
    }

    /// Room for one more, at the cost of the ended connection that would leave first.
    fn make_room(&mut self) -> bool {
        if self.rows.len() >= self.max_rows
            && let Some((_, id)) = self.fading.pop_front()
        {
            self.remove(id);
        }
        self.rows.len() < self.max_rows
    }

    fn remove(&mut self, id: ConnId) {
        if let Some(row) = self.rows.remove(&id) {
            self.lanes.moved(lane_of(&row), None);
            self.changed.insert(id);
        }
    }

    /// Takes the whole truth: who is not named has gone, except those that fade already.
    pub(super) fn resync(&mut self, connections: Vec<Arc<Connection>>, now: Timestamp) {
        let named: FxHashSet<ConnId> = connections.iter().map(|c| c.id).collect();
        let gone: Vec<ConnId> = (self.rows.iter())
            .filter(|(id, row)| row.gone_at.is_none() && !named.contains(id))
            .map(|(&id, _)| id)
            .collect();
        gone.into_iter().for_each(|id| self.remove(id));
        for connection in connections {
            self.connection(connection, now);
        }
    }

    /// Lets go what has faded, `kept` (the one a person looks at) and its other end excepted. Whether anything went.
    pub(super) fn expire(&mut self, now: Timestamp, kept: Option<ConnId>) -> bool {
        let peer = kept.and_then(|id| self.rows.get(&id)?.connection().peer);
        let before = self.rows.len();
        while let Some(&(gone_at, id)) = self.fading.front()
            && gone_at <= now
        {
            self.fading.pop_front();
            match self.rows.get_mut(&id) {
                // A later snapshot says that it goes on after all.
                Some(row) if !row.ended() => row.gone_at = None,
                _ if kept == Some(id) || peer == Some(id) => {
                    self.fading.push_back((now.plus_ns(FADE_NS), id))
                }
                _ => self.remove(id),
            }
        }
        before != self.rows.len()
    }

    /// Goes on in time. Whether the lanes differ by it: a new second began, or somebody moves in them.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let begun = self.lanes.advance(now);
        if begun {
            self.count_stuck(now);
        }
        begun || self.lanes.is_moving(now)
    }

    /// Counts anew who is stuck. One pass over all rows: once a second is enough.
    fn count_stuck(&mut self, now: Timestamp) {
        let stuck = self.rows.values().filter(|row| row.stuck(now)).map(Row::state);
        self.lanes.set_stuck(stuck);
        self.alarms = alarms(self.rows.values(), now);
    }

    /// Asks for all to be sorted and filtered anew at the next [`Table::settle`].
    pub(super) fn set_stale(&mut self) {
        self.stale = true;
    }

    /// Asks for all to be sorted anew at the next [`Table::settle`].
    pub(super) fn set_unsorted(&mut self) {
        self.unsorted = true;
    }

    /// Makes [`Table::shown`] right.
    pub(super) fn settle(&mut self, sort: Sort, filter: Option<&ActiveFilter>) {
        if self.stale {
            self.rows.values_mut().for_each(|row| row.shown = passes(row, filter));
        } else {
            for id in &self.changed {
                if let Some(row) = self.rows.get_mut(id) {
                    row.shown = passes(row, filter);
                }
            }
        }
        if self.stale || self.unsorted {
            self.order.rebuild(&self.rows, sort);
        } else if !self.changed.is_empty() {
            self.order.merge(&self.rows, &self.changed, sort);
        }
        self.changed.clear();
        (self.stale, self.unsorted) = (false, false);
    }

    /// Where a shown row stands.
    pub(super) fn position(&self, id: ConnId, sort: Sort) -> Option<usize> {
        let row = self.rows.get(&id).filter(|row| row.shown)?;
        self.order.position(&self.rows, row, sort)
    }
}

/// Goes through many rows. Their connections lie anywhere in memory: each is asked for some rows before its turn.
pub(super) fn ahead<'a>(rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = &'a Row> {
    const AHEAD: usize = 8;
    let rows: Vec<&Row> = rows.collect();
    (0..rows.len()).map(move |index| {
        if let Some(later) = rows.get(index + AHEAD) {
            later.expect();
        }
        rows[index]
    })
}

/// The lane a row counts in: none once it has ended.
fn lane_of(row: &Row) -> Option<TcpState> {
    (!row.ended()).then(|| row.state())
}

fn passes(row: &Row, filter: Option<&ActiveFilter>) -> bool {
    let Some(ActiveFilter { filter, .. }) = filter else { return true };
    let (connection, state) = (row.connection(), row.state());
    match row.last_exchange() {
        None => filter.matches(connection, state, None),
        Some(_) => row.recent().any(|exchange| filter.matches(connection, state, Some(exchange))),
    }
}
