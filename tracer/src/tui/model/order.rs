//! The order of the table: which rows are shown, and after which other.
//!
//! It is kept sorted by taking out the rows that changed and merging them in anew, so a frame costs one pass
//! over a list of ids, not a sort of all rows.

use std::cmp::Ordering;
use std::net::IpAddr;

use rustc_hash::{FxHashMap, FxHashSet};

use super::row::Row;
use super::table::ahead;
use crate::record::{ConnId, SocketAddress};
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

/// What a row sorts by as numbers that order as [`by_column`] does: a sort of all rows goes through these, one place
/// in memory behind the other, and does not ask the rows again.
type Key = (u64, u64, u32);

/// Texts as numbers: of their first appearance at first, of their order in the end.
#[derive(Default)]
struct Texts<'a> {
    numbers: FxHashMap<&'a str, u64>,
}

impl<'a> Texts<'a> {
    /// 0 for no text.
    fn number(&mut self, text: Option<&'a str>) -> u64 {
        let next = self.numbers.len() as u64 + 1;
        text.map_or(0, |text| *self.numbers.entry(text).or_insert(next))
    }

    /// For each number the one that orders as its text does.
    fn ranks(&self) -> Vec<u64> {
        let mut texts: Vec<(&str, u64)> =
            self.numbers.iter().map(|(text, n)| (*text, *n)).collect();
        texts.sort_unstable();
        let mut ranks = vec![0; texts.len() + 1];
        for ((_, number), rank) in texts.into_iter().zip(1..) {
            ranks[number as usize] = rank;
        }
        ranks
    }
}

/// The shown rows with what they sort by, into `keyed`.
fn key_all(rows: &FxHashMap<ConnId, Row>, column: Column, keyed: &mut Vec<(Key, ConnId)>) {
    let mut texts = Texts::default();
    let shown = ahead(rows.values().filter(|row| row.shown));
    keyed.clear();
    keyed.extend(shown.map(|row| (sort_key(column, row, &mut texts), row.connection().id)));
    let ranks = texts.ranks();
    for (key, _) in keyed {
        match column {
            Column::Owner => key.0 = ranks[key.0 as usize],
            Column::LastRequest => key.1 = ranks[key.1 as usize],
            _ => return,
        }
    }
}

fn sort_key<'a>(column: Column, row: &'a Row, texts: &mut Texts<'a>) -> Key {
    let connection = row.connection();
    let whole = |number: u64| (number, 0, 0);
    let optional = |number: Option<u64>| (u64::from(number.is_some()), number.unwrap_or(0), 0);
    match column {
        Column::State => whole(life_rank(row.state()) as u64),
        // The younger first.
        Column::Age => whole(row.since().map_or(u64::MAX, |since| u64::MAX - 1 - since.0)),
        Column::Owner => {
            let pid = connection.pid.map_or(0, |pid| u64::from(pid) + 1);
            (texts.number(connection.comm.as_deref()), pid, 0)
        }
        Column::Local => address_key(connection.local),
        Column::Remote => address_key(connection.remote),
        Column::Requests => whole(row.exchanges()),
        Column::LastRequest => match last_request(row) {
            None => whole(0),
            Some((status, target)) => {
                (status.map_or(1, |status| u64::from(status) + 2), texts.number(target), 0)
            }
        },
        Column::Wait => optional(wait_us(row)),
        Column::Rtt => optional(connection.srtt_us),
        Column::Verdict => {
            let (nothing_lost, worked, lives, outcome) = verdict_rank(row);
            let bits = [nothing_lost, worked, lives].map(u64::from);
            whole(bits.into_iter().fold(0, |sum, bit| sum << 1 | bit) << 8 | u64::from(outcome))
        }
    }
}

fn address_key(address: SocketAddress) -> Key {
    let port = u32::from(address.port);
    match address.ip {
        IpAddr::V4(ip) => (0, ip.to_bits().into(), port),
        // Behind all of IPv4: the bits move down by one to make room.
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (1 + (bits >> 65) as u64, (bits >> 1) as u64, (bits as u32 & 1) << 16 | port)
        }
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
    /// Reused from frame to frame, and from sort to sort.
    spare: Vec<ConnId>,
    keyed: Vec<(Key, ConnId)>,
}

impl Order {
    pub(super) fn ids(&self) -> &[ConnId] {
        &self.ids
    }

    /// Sorts all that is shown: after the sort column, the filter or everything has changed.
    pub(super) fn rebuild(&mut self, rows: &FxHashMap<ConnId, Row>, sort: Sort) {
        let shown = &mut self.keyed;
        key_all(rows, sort.column, shown);
        // Equal ones: the younger connection first.
        if sort.descending {
            shown.sort_unstable_by(|a, b| b.cmp(a));
        } else {
            shown.sort_unstable_by(|(key, id), (other, other_id)| {
                key.cmp(other).then_with(|| other_id.cmp(id))
            });
        }
        self.ids.clear();
        self.ids.extend(shown.iter().map(|(_, id)| *id));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::record::Connection;
    use crate::tui::fixture::{connection, exchange, states};

    /// Rows that differ in everything that is sorted by, in few values each so that many are equal.
    fn row() -> impl Strategy<Value = Row> {
        let texts = prop::sample::select(vec![
            "",
            "a",
            "nginx",
            "a-name-of-more-than-15",
            "a-name-of-more-than-16",
        ]);
        let hosts = prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "::1", "fe80::2", "fe80::3"]);
        let state = prop::sample::select(TcpState::ALL.to_vec());
        let numbers = (0..3_u64, 0..3_u64, 0..3_u16, 0..500_u64);
        (texts, hosts, state, numbers, any::<[bool; 4]>()).prop_map(
            |(text, host, state, (a, b, port, id), [named, timed, asked, lost])| {
                let ip: IpAddr = host.parse().unwrap();
                let snapshot = Connection {
                    comm: named.then(|| text.into()),
                    pid: timed.then_some(a as u32),
                    local: SocketAddress { ip, port },
                    remote: SocketAddress { ip, port: port * 7 },
                    srtt_us: asked.then_some(b),
                    lost_events: u64::from(lost),
                    exchanges: a,
                    states: states(&[(state, b)]),
                    ..connection(id)
                };
                let mut row = Row::new(Arc::new(snapshot));
                if asked {
                    let mut exchange = exchange(id, a, 200 + port);
                    exchange.target = named.then(|| format!("/a-long-target-{text}").into());
                    exchange.status = exchange.status.filter(|_| timed);
                    row.exchanged(&exchange);
                }
                row.shown = true;
                row
            },
        )
    }

    proptest! {
        #[test]
        fn a_sort_by_keys_is_the_sort_by_rows(
            rows in prop::collection::vec(row(), 0..40),
            column in prop::sample::select(Column::ALL.to_vec()),
            descending: bool,
        ) {
            let sort = Sort { column, descending };
            let rows: FxHashMap<ConnId, Row> =
                rows.into_iter().map(|row| (row.connection().id, row)).collect();
            let mut order = Order::default();
            order.rebuild(&rows, sort);
            let mut expected: Vec<&Row> = rows.values().collect();
            expected.sort_by(|a, b| sort.compare(a, b));
            let expected: Vec<ConnId> = expected.iter().map(|row| row.connection().id).collect();
            prop_assert_eq!(order.ids(), expected);
        }
    }

    #[test]
    fn an_address_sorts_by_all_of_its_bits_and_then_by_its_port() {
        let key = |ip: &str, port| address_key(SocketAddress { ip: ip.parse().unwrap(), port });
        let ascending = [
            key("10.0.0.1", 9),
            key("10.0.0.2", 1),
            key("::2", 5),
            key("::3", 1),
            key("::3", 2),
            key("ffff::", 0),
        ];
        assert!(ascending.is_sorted_by(|a, b| a < b));
    }
}
