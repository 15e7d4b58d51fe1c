//! The order of the table: which rows are shown, and after which other.
//!
//! It is kept sorted by taking out the rows that changed and merging them in anew, so a frame costs one pass
//! over a list of ids, not a sort of all rows.

use std::cmp::Ordering;

use rustc_hash::{FxHashMap, FxHashSet};

use super::row::Row;
use crate::record::ConnId;
use crate::tcp::TcpState;

/// A column of the table, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The TCP state.
    State,
    /// Time in that state.
    Age,
    /// Process.
    Owner,
    /// This end's address.
    Local,
    /// The other end's address.
    Remote,
    /// Exchanges.
    Requests,
    /// The newest exchange.
    LastRequest,
    /// Its wait.
    Wait,
    /// Smoothed round-trip time.
    Rtt,
    /// What became of it.
    Verdict,
}

impl Column {
    /// Every column.
    pub const ALL: [Column; 10] = [
        Column::State,
        Column::Age,
        Column::Owner,
        Column::Local,
        Column::Remote,
        Column::Requests,
        Column::LastRequest,
        Column::Wait,
        Column::Rtt,
        Column::Verdict,
    ];

    /// The column's heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Column::State => "STATE",
            Column::Age => "AGE",
            Column::Owner => "OWNER",
            Column::Local => "LOCAL",
            Column::Remote => "REMOTE",
            Column::Requests => "REQ",
            Column::LastRequest => "LAST REQUEST",
            Column::Wait => "WAIT",
            Column::Rtt => "RTT",
            Column::Verdict => "VERDICT",
        }
    }

    /// The column `steps` to the right, around the ends.
    fn turn(self, steps: usize) -> Column {
        let at = Column::ALL.iter().position(|&column| column == self).unwrap_or(0);
        Column::ALL[(at + steps) % Column::ALL.len()]
    }
}

/// By what the table is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column.
    pub column: Column,
    /// From high to low.
    pub descending: bool,
}

impl Sort {
    /// What happened last on top.
    pub const NEWEST_FIRST: Sort = Sort { column: Column::Age, descending: false };

    /// By the next column.
    #[must_use]
    pub fn next(self) -> Sort {
        Sort::by(self.column.turn(1))
    }

    /// By the column before.
    #[must_use]
    pub fn previous(self) -> Sort {
        Sort::by(self.column.turn(Column::ALL.len() - 1))
    }

    /// By `column`, the way it is mostly wanted: most requests, slowest and failed ones on top.
    fn by(column: Column) -> Sort {
        use Column::{LastRequest, Requests, Rtt, Wait};
        Sort { column, descending: matches!(column, Requests | LastRequest | Wait | Rtt) }
    }

    /// The other way round.
    #[must_use]
    pub fn reversed(self) -> Sort {
        Sort { descending: !self.descending, ..self }
    }

    /// Which row stands first. Only what updates change counts, never the time of day: an order that
    /// changed by itself could not be kept by merging. Equal rows: the younger connection first.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let by_column = by_column(self.column, a, b);
        let by_column = if self.descending { by_column.reverse() } else { by_column };
        by_column.then_with(|| b.connection().id.cmp(&a.connection().id))
    }
}

fn by_column(column: Column, a: &Row, b: &Row) -> Ordering {
    let (conn_a, conn_b) = (a.connection(), b.connection());
    match column {
        Column::State => life_rank(a.state()).cmp(&life_rank(b.state())),
        Column::Age => b.since().cmp(&a.since()),
        Column::Owner => (&conn_a.comm, conn_a.pid).cmp(&(&conn_b.comm, conn_b.pid)),
        Column::Local => conn_a.local.cmp(&conn_b.local),
        Column::Remote => conn_a.remote.cmp(&conn_b.remote),
        Column::Requests => a.exchanges().cmp(&b.exchanges()),
        Column::LastRequest => last_request(a).cmp(&last_request(b)),
        Column::Wait => wait_us(a).cmp(&wait_us(b)),
        Column::Rtt => conn_a.srtt_us.cmp(&conn_b.srtt_us),
        Column::Verdict => verdict_rank(a).cmp(&verdict_rank(b)),
    }
}

/// Position in a connection's life.
fn life_rank(state: TcpState) -> usize {
    TcpState::ALL.iter().position(|&other| other == state).unwrap_or(TcpState::ALL.len())
}

fn last_request(row: &Row) -> Option<(Option<u16>, Option<&str>)> {
    row.last_exchange().map(|exchange| (exchange.status, exchange.target.as_deref()))
}

fn wait_us(row: &Row) -> Option<u64> {
    row.last_exchange().and_then(|exchange| exchange.timing.wait_us)
}

fn verdict_rank(row: &Row) -> (bool, bool, bool, u8) {
    let outcome = row.connection().outcome as u8;
    (row.lost_events() == 0, !row.failed(), !row.ended(), outcome)
}

/// The shown rows' ids in order.
#[derive(Debug, Default)]
pub(super) struct Order {
    ids: Vec<ConnId>,
    /// Reused from frame to frame.
    spare: Vec<ConnId>,
}

impl Order {
    pub(super) fn ids(&self) -> &[ConnId] {
        &self.ids
    }

    /// Sorts all that is shown: after the sort column, the filter or everything has changed.
    pub(super) fn rebuild(&mut self, rows: &FxHashMap<ConnId, Row>, sort: Sort) {
        let mut shown: Vec<&Row> = rows.values().filter(|row| row.shown).collect();
        shown.sort_unstable_by(|a, b| sort.compare(a, b));
        self.ids.clear();
        self.ids.extend(shown.iter().map(|row| row.connection().id));
    }

    /// Puts `changed` (new, changed or gone) where they belong now; all others must be as they were.
    pub(super) fn merge(
        &mut self,
        rows: &FxHashMap<ConnId, Row>,
        changed: &FxHashSet<ConnId>,
        sort: Sort,
    ) {
        if changed.len() > self.ids.len() / 2 {
            return self.rebuild(rows, sort);
        }
        self.ids.retain(|id| !changed.contains(id));
        let mut moved: Vec<&Row> =
            changed.iter().filter_map(|id| rows.get(id)).filter(|row| row.shown).collect();
        moved.sort_unstable_by(|a, b| sort.compare(a, b));
        self.spare.clear();
        let mut rest = self.ids.as_slice();
        for row in moved {
            let before = rest.partition_point(|id| {
                rows.get(id).is_some_and(|other| sort.compare(other, row) == Ordering::Less)
            });
            let (head, tail) = rest.split_at(before);
            self.spare.extend_from_slice(head);
            self.spare.push(row.connection().id);
            rest = tail;
        }
        self.spare.extend_from_slice(rest);
        std::mem::swap(&mut self.ids, &mut self.spare);
    }

    /// Where the row stands, found by what it sorts as.
    pub(super) fn position(
        &self,
        rows: &FxHashMap<ConnId, Row>,
        row: &Row,
        sort: Sort,
    ) -> Option<usize> {
        let at = self.ids.partition_point(|id| {
            rows.get(id).is_some_and(|other| sort.compare(other, row) == Ordering::Less)
        });
        (self.ids.get(at) == Some(&row.connection().id)).then_some(at)
    }
}
