//! The last exchanges of all connections: newest or slowest first, and what they come to by route.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::filter::ActiveFilter;
use super::row::Row;
use crate::record::{Connection, Exchange, Timing, peers};
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// Exchanges kept; older ones live on in the recording only.
pub const MAX_REQUESTS: usize = 5_000;
/// Routes told of.
const MAX_ROUTES: usize = 50;
/// Lines of routes above the list, at most.
const ROUTE_LINES: usize = 6;
/// Lines below which there is no room for routes.
const ROOM_FOR_ROUTES: usize = 11;
/// How often the routes are counted anew, nanoseconds.
const ROUTES_EVERY_NS: u64 = 1_000_000_000;

/// In which order they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The last one first.
    #[default]
    Newest,
    /// The one that took longest first.
    Slowest,
}

/// An exchange, and the connection as it was then.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The exchange.
    pub exchange: Arc<Exchange>,
    /// Whose it was; `None` where the connection was not known.
    pub connection: Option<Arc<Connection>>,
    state: TcpState,
}

/// What the exchanges of a route come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET example.org/orders/:id`
    pub name: String,
    /// How many.
    pub count: u64,
    /// How many were answered with 5xx or not to their end.
    pub failed: u64,
    /// How long half of them took at most, microseconds.
    pub p50_us: u64,
    /// How long 95 of a hundred took at most, microseconds.
    pub p95_us: u64,
    /// How long 99 of a hundred took at most, microseconds.
    pub p99_us: u64,
}

/// The list.
#[derive(Debug, Default)]
pub struct Requests {
    entries: VecDeque<Entry>,
    /// Number of the oldest entry: numbers never come again.
    first: u64,
    shown: Vec<u64>,
    routes: Vec<Route>,
    routes_at: Option<Timestamp>,
    /// The order.
    pub by: By,
    /// Number of the selected one.
    pub selected: Option<u64>,
    /// Its place in the list.
    pub index: usize,
    /// Place of the first one in sight.
    pub top: usize,
    changed: bool,
}

impl Requests {
    /// Takes an exchange of the connection in `row`, unless its other end, in `peer`, reports it too and stands for both.
    pub(super) fn push(&mut self, exchange: Arc<Exchange>, row: Option<&Row>, peer: Option<&Row>) {
        let end = |row: &Row| (row.connection().id, row.connection().endpoint);
        if let (Some(row), Some(peer)) = (row, peer)
            && !peers::stands_for_both(end(row), end(peer))
        {
            return;
        }
        if self.entries.len() == MAX_REQUESTS {
            self.entries.pop_front();
            self.first += 1;
        }
        let connection = row.map(|row| row.shared());
        let state = row.map_or(TcpState::Close, Row::state);
        self.entries.push_back(Entry { exchange, connection, state });
        self.changed = true;
    }

    /// Asks for the list to be made anew at the next [`Requests::settle`].
    pub(super) fn set_stale(&mut self) {
        self.changed = true;
        self.routes_at = None;
    }

    /// Makes list, routes and cursor right, for `lines` lines below a heading.
    pub(super) fn settle(&mut self, filter: Option<&ActiveFilter>, now: Timestamp, lines: usize) {
        if std::mem::take(&mut self.changed) {
            self.list(filter);
        }
        if self.routes_at.is_none_or(|at| now.since_ns(at) >= ROUTES_EVERY_NS) {
            self.routes_at = Some(now);
            self.routes = routes(self.shown.iter().filter_map(|number| self.entry(*number)));
        }
        let page = self.page_rows(lines);
        match self.selected.and_then(|number| self.shown.iter().position(|n| *n == number)) {
            Some(index) => {
                self.top = (self.top + index).saturating_sub(self.index);
                self.index = index;
                self.top = self.top.clamp((index + 1).saturating_sub(page.max(1)), index);
            }
            None => {
                self.selected = None;
                (self.index, self.top) = (0, 0);
            }
        }
        self.top = self.top.min(self.shown.len().saturating_sub(page));
    }

    /// Lines that the routes take of `lines`, their heading and an empty line included.
    #[must_use]
    pub fn route_lines(&self, lines: usize) -> usize {
        match self.routes.len().min(ROUTE_LINES) {
            0 => 0,
            _ if lines < ROOM_FOR_ROUTES => 0,
            routes => routes + 2,
        }
    }

    /// Lines that the list has of `lines`.
    #[must_use]
    pub fn page_rows(&self, lines: usize) -> usize {
        lines.saturating_sub(self.route_lines(lines))
    }

    fn list(&mut self, filter: Option<&ActiveFilter>) {
        let newest = self.first + self.entries.len() as u64;
        let numbered = (self.first..newest).rev().zip(self.entries.iter().rev());
        self.shown =
            numbered.filter(|(_, entry)| passes(entry, filter)).map(|(number, _)| number).collect();
        if self.by == By::Slowest {
            let first = self.first;
            let entries = &self.entries;
            let took = |number: &u64| {
                let entry = usize::try_from(number - first).ok().and_then(|i| entries.get(i));
                std::cmp::Reverse(entry.and_then(|entry| total_us(&entry.exchange.timing)))
            };
            self.shown.sort_by_cached_key(took);
        }
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Numbers and entries in sight.
    pub fn in_sight(&self, page: usize) -> impl Iterator<Item = (u64, &Entry)> {
        let numbers = self.shown.iter().skip(self.top).take(page);
        numbers.filter_map(|number| Some((*number, self.entry(*number)?)))
    }

    /// Every exchange that is held, oldest first, whatever the filter.
    pub fn held(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The selected one.
    #[must_use]
    pub fn selected(&self) -> Option<&Entry> {
        self.entry(self.selected?)
    }

    /// Selects the one at a place in the list, or the last.
    pub(super) fn go_to(&mut self, index: usize) {
        self.index = index.min(self.shown.len().saturating_sub(1));
        self.selected = self.shown.get(self.index).copied();
    }

    /// How many pass the filter.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The routes, busiest first.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

fn passes(entry: &Entry, filter: Option<&ActiveFilter>) -> bool {
    match (filter, &entry.connection) {
        (None, _) => true,
        (Some(active), Some(connection)) => {
            active.filter.matches(connection, entry.state, Some(&entry.exchange))
        }
        (Some(_), None) => false,
    }
}

/// How long an exchange took from the request's first byte to the answer's last, microseconds; the connection's
/// opening too where it was the first. `None` where its answer was not seen.
#[must_use]
pub fn total_us(timing: &Timing) -> Option<u64> {
    let wait_us = timing.wait_us?;
    let others = [timing.connect_us, timing.tls_us, timing.send_us, timing.receive_us];
    Some(others.into_iter().flatten().fold(wait_us, u64::saturating_add))
}

fn routes<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Route> {
    let mut groups: FxHashMap<String, (u64, u64, Vec<u64>)> = FxHashMap::default();
    for entry in entries {
        let exchange = &entry.exchange;
        let (count, failed, took) = groups.entry(route(exchange)).or_default();
        *count += 1;
        *failed +=
            u64::from(!exchange.complete || exchange.status.is_some_and(|status| status >= 500));
        took.extend(total_us(&exchange.timing));
    }
    let mut routes: Vec<Route> = groups
        .into_iter()
        .map(|(name, (count, failed, mut took))| {
            took.sort_unstable();
            let at = |percent: usize| {
                took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)))
                    .copied()
                    .unwrap_or(0)
            };
            Route { name, count, failed, p50_us: at(50), p95_us: at(95), p99_us: at(99) }
        })
        .collect();
    routes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    routes.truncate(MAX_ROUTES);
    routes
}

/// Method, authority and path; what names one thing of many stands as `:id`.
fn route(exchange: &Exchange) -> String {
    let method = exchange.method.as_deref().unwrap_or("?");
    let authority = exchange.authority.as_deref().unwrap_or("");
    let target = exchange.target.as_deref().unwrap_or("?");
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let path: Vec<&str> =
        path.split('/').map(|part| if is_id(part) { ":id" } else { part }).collect();
    format!("{method} {authority}{}", path.join("/"))
}

/// A number, a UUID, or a long hexadecimal word.
fn is_id(part: &str) -> bool {
    const HASH_LENGTH: usize = 16;
    let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    number || (hexadecimal && part.len() >= HASH_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::exchange;

    fn entry(target: &str, status: u16, wait_us: u64) -> Entry {
        let timing = Timing { wait_us: Some(wait_us), ..Timing::default() };
        let exchange = Exchange { target: Some(target.into()), timing, ..exchange(1, 1, status) };
        Entry { exchange: Arc::new(exchange), connection: None, state: TcpState::Close }
    }

    #[test]
    fn a_route_leaves_out_what_names_one_thing_of_many() {
        let routes = routes(
            [
                entry("/orders/17?page=2", 200, 10),
                entry("/orders/18", 500, 30),
                entry("/users/550e8400-e29b-41d4-a716-446655440000/face", 200, 5),
            ]
            .iter(),
        );
        let told: Vec<_> =
            routes.iter().map(|r| (r.name.as_str(), r.count, r.failed, r.p99_us)).collect();
        assert_eq!(
            told,
            [
                ("GET 127.0.0.1:8080/orders/:id", 2, 1, 30),
                ("GET 127.0.0.1:8080/users/:id/face", 1, 0, 5)
            ]
        );
    }

    #[test]
    fn the_list_is_bounded_and_the_selection_stays_with_its_exchange() {
        let mut requests = Requests::default();
        let push = |requests: &mut Requests, n: u64| {
            requests.push(Arc::new(exchange(1, n, 200)), None, None);
        };
        (0..10).for_each(|n| push(&mut requests, n));
        requests.settle(None, Timestamp(1), 5);
        requests.go_to(3);
        let chosen = requests.selected().unwrap().exchange.number;
        (10..20).for_each(|n| push(&mut requests, n));
        requests.settle(None, Timestamp(2), 5);
        assert_eq!(requests.selected().unwrap().exchange.number, chosen);
        assert_eq!(requests.index, 13);
        (0..MAX_REQUESTS as u64).for_each(|n| push(&mut requests, n));
        requests.settle(None, Timestamp(3), 5);
        assert_eq!((requests.len(), requests.selected), (MAX_REQUESTS, None));
    }

    #[test]
    fn the_slowest_come_first_when_asked() {
        let mut requests = Requests { by: By::Slowest, ..Requests::default() };
        for wait_us in [5, 50, 20] {
            let entry = entry("/", 200, wait_us);
            requests.push(entry.exchange, None, None);
        }
        requests.settle(None, Timestamp(1), 5);
        let took: Vec<_> =
            requests.in_sight(5).map(|(_, e)| e.exchange.timing.wait_us.unwrap()).collect();
        assert_eq!(took, [50, 20, 5]);
    }
}
