//! Connections taken together: by process, remote host, port of the service, or container.

use std::cmp::Reverse;

use rustc_hash::{FxHashMap, FxHashSet};

use super::row::Row;
use super::table::Table;
use crate::filter;
use crate::record::Connection;
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

/// Groups told of; what is beyond is counted in [`Groups::left_out`].
pub const MAX_GROUPS: usize = 1_000;
/// How often they are counted anew, nanoseconds: it is one pass over all connections.
const COUNT_EVERY_NS: u64 = 1_000_000_000;

/// What the connections of a group have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupBy {
    /// The name of the process that owns this end.
    #[default]
    Process,
    /// The other end's address.
    Remote,
    /// The port that was connected to.
    Port,
    /// The container of this end.
    Container,
}

impl GroupBy {
    /// What a group is, for a heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            GroupBy::Process => "PROCESS",
            GroupBy::Remote => "REMOTE HOST",
            GroupBy::Port => "PORT OF THE SERVICE",
            GroupBy::Container => "CONTAINER",
        }
    }

    /// The next one, around the end.
    #[must_use]
    pub const fn next(self) -> GroupBy {
        match self {
            GroupBy::Process => GroupBy::Remote,
            GroupBy::Remote => GroupBy::Port,
            GroupBy::Port => GroupBy::Container,
            GroupBy::Container => GroupBy::Process,
        }
    }
}

/// In which order they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupOrder {
    /// Most connections first.
    #[default]
    Largest,
    /// Most that are stuck or failed first.
    Worst,
    /// Most requests first.
    Busiest,
    /// Longest waits first.
    Slowest,
}

impl GroupOrder {
    /// The next one, around the end.
    #[must_use]
    pub const fn next(self) -> GroupOrder {
        match self {
            GroupOrder::Largest => GroupOrder::Worst,
            GroupOrder::Worst => GroupOrder::Busiest,
            GroupOrder::Busiest => GroupOrder::Slowest,
            GroupOrder::Slowest => GroupOrder::Largest,
        }
    }

    fn sort_key(self, group: &Group) -> u64 {
        match self {
            GroupOrder::Largest => u64::from(group.connections),
            GroupOrder::Worst => u64::from(group.stuck + group.failed),
            GroupOrder::Busiest => group.requests,
            GroupOrder::Slowest => group.wait_p95_us.map_or(0, |us| us + 1),
        }
    }
}

/// A group's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What its connections have in common, not yet cleaned for a terminal; `None` where that is unknown.
    pub name: Option<String>,
    /// The filter that selects it.
    pub filter: String,
    /// Connections that live.
    pub connections: u32,
    /// Of those, in SYN_SENT and SYN_RECV.
    pub opening: u32,
    /// In ESTABLISHED.
    pub open: u32,
    /// In CLOSE_WAIT: the other end has closed, this one has not.
    pub close_wait: u32,
    /// In TIME_WAIT.
    pub time_wait: u32,
    /// In a state for longer than a healthy one is.
    pub stuck: u32,
    /// Connections in sight that ended otherwise than by FINs.
    pub failed: u32,
    /// Exchanges on the connections in sight.
    pub requests: u64,
    /// Of the last exchanges of each connection, how many were answered with 5xx or not to their end.
    pub bad_requests: u32,
    /// How long 95 of a hundred of those waited for their answer at most, microseconds.
    pub wait_p95_us: Option<u64>,
}

/// The groups of the connections that pass the filter.
#[derive(Debug, Default)]
pub struct Groups {
    /// What they have in common.
    pub by: GroupBy,
    /// The order.
    pub order: GroupOrder,
    /// The selected one, by its filter.
    pub selected: Option<String>,
    /// Its place.
    pub index: usize,
    /// Place of the first one in sight.
    pub top: usize,
    list: Vec<Group>,
    left_out: usize,
    counted_at: Option<Timestamp>,
}

impl Groups {
    /// Asks for them to be counted anew at the next [`Groups::settle`].
    pub(super) fn set_stale(&mut self) {
        self.counted_at = None;
    }

    /// Counts them where that is due, and makes the cursor right for `lines` lines below the heading.
    pub(super) fn settle(&mut self, table: &Table, now: Timestamp, lines: usize) {
        if self.counted_at.is_none_or(|at| now.since_ns(at) >= COUNT_EVERY_NS) {
            self.counted_at = Some(now);
            self.count(table, now);
        }
        let known = self
            .selected
            .as_ref()
            .and_then(|selected| self.list.iter().position(|group| group.filter == *selected));
        match known {
            Some(index) => {
                self.top = (self.top + index).saturating_sub(self.index);
                self.index = index;
                self.top = self.top.clamp((index + 1).saturating_sub(lines.max(1)), index);
            }
            None => {
                self.selected = None;
                (self.index, self.top) = (0, 0);
            }
        }
        self.top = self.top.min(self.list.len().saturating_sub(lines));
    }

    fn count(&mut self, table: &Table, now: Timestamp) {
        let rows = || table.shown_rows();
        let services =
            if self.by == GroupBy::Port { services(rows()) } else { FxHashSet::default() };
        let mut counts: FxHashMap<Key<'_>, Count> = FxHashMap::default();
        for row in rows() {
            counts.entry(key(row.connection(), self.by, &services)).or_default().add(row, now);
        }
        self.left_out = counts.len().saturating_sub(MAX_GROUPS);
        self.list = counts.into_iter().map(|(key, count)| count.group(&key, self.by)).collect();
        let order = self.order;
        self.list.sort_by(|a, b| {
            let by_order = Reverse(order.sort_key(a)).cmp(&Reverse(order.sort_key(b)));
            by_order.then_with(|| a.name.cmp(&b.name))
        });
        self.list.truncate(MAX_GROUPS);
    }

    /// Those in sight.
    pub fn in_sight(&self, lines: usize) -> impl Iterator<Item = &Group> {
        self.list.iter().skip(self.top).take(lines)
    }

    /// The selected one.
    #[must_use]
    pub fn selected(&self) -> Option<&Group> {
        self.selected.as_ref().and_then(|_| self.list.get(self.index))
    }

    /// Selects the one at a place, or the last.
    pub(super) fn go_to(&mut self, index: usize) {
        self.index = index.min(self.list.len().saturating_sub(1));
        self.selected = self.list.get(self.index).map(|group| group.filter.clone());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Groups beyond [`MAX_GROUPS`].
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// What a connection is grouped by; no allocation for each row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a str),
    Address(std::net::IpAddr),
    Port(u16),
    Unknown,
}

fn key<'a>(connection: &'a Connection, by: GroupBy, services: &FxHashSet<(u32, u16)>) -> Key<'a> {
    let text = |text: Option<&'a str>| text.map_or(Key::Unknown, Key::Text);
    match by {
        GroupBy::Process => text(connection.comm.as_deref()),
        GroupBy::Container => text(connection.container.as_deref()),
        GroupBy::Remote => Key::Address(connection.remote.ip),
        GroupBy::Port => service_port(connection, services).map_or(Key::Unknown, Key::Port),
    }
}

/// The port that was connected to. Which end is the client of a connection older than the tracer is not told by the
/// kernel: it is taken from others of the same namespace that use that port for a service, or stays unknown.
fn service_port(connection: &Connection, services: &FxHashSet<(u32, u16)>) -> Option<u16> {
    let (local, remote) = (connection.local.port, connection.remote.port);
    let is_service = |port| services.contains(&(connection.netns.unwrap_or(0), port));
    match connection.endpoint {
        Some(Endpoint::Server) => Some(local),
        Some(Endpoint::Client) => Some(remote),
        None => match (is_service(local), is_service(remote)) {
            (true, false) => Some(local),
            (false, true) => Some(remote),
            _ => None,
        },
    }
}

/// Ports that were seen to be connected to, each in its namespace.
fn services<'a>(rows: impl Iterator<Item = &'a Row>) -> FxHashSet<(u32, u16)> {
    let known = rows.filter_map(|row| {
        let connection = row.connection();
        let port = match connection.endpoint? {
            Endpoint::Server => connection.local.port,
            Endpoint::Client => connection.remote.port,
        };
        Some((connection.netns.unwrap_or(0), port))
    });
    known.collect()
}

#[derive(Default)]
struct Count {
    group: Group,
    waits_us: Vec<u64>,
}

impl Count {
    fn add(&mut self, row: &Row, now: Timestamp) {
        let group = &mut self.group;
        group.requests += row.exchanges();
        group.failed += u32::from(row.ended() && row.failed());
        for exchange in row.recent() {
            let is_bad = !exchange.complete || exchange.status.is_some_and(|status| status >= 500);
            group.bad_requests += u32::from(is_bad);
            self.waits_us.extend(exchange.timing.wait_us);
        }
        if row.ended() {
            return;
        }
        group.connections += 1;
        group.stuck += u32::from(row.stuck(now));
        match row.state() {
            TcpState::SynSent | TcpState::SynRecv => group.opening += 1,
            TcpState::Established => group.open += 1,
            TcpState::CloseWait => group.close_wait += 1,
            TcpState::TimeWait => group.time_wait += 1,
            _ => {}
        }
    }

    fn group(mut self, key: &Key<'_>, by: GroupBy) -> Group {
        self.waits_us.sort_unstable();
        let at = (self.waits_us.len() * 95 / 100).min(self.waits_us.len().saturating_sub(1));
        Group {
            name: name(key),
            filter: filter_of(key, by),
            wait_p95_us: self.waits_us.get(at).copied(),
            ..self.group
        }
    }
}

fn name(key: &Key<'_>) -> Option<String> {
    match key {
        Key::Text(text) => Some((*text).to_owned()),
        Key::Address(address) => Some(address.to_string()),
        Key::Port(port) => Some(port.to_string()),
        Key::Unknown => None,
    }
}

fn filter_of(key: &Key<'_>, by: GroupBy) -> String {
    let name = match by {
        GroupBy::Process => "comm",
        GroupBy::Container => "container",
        GroupBy::Remote => "rhost",
        GroupBy::Port => "port",
    };
    match key {
        Key::Text(text) => format!("{name}:{}", filter::literal(text)),
        Key::Address(address) => format!("{name}:{address}"),
        Key::Port(port) => format!("{name}:{port}"),
        Key::Unknown if by == GroupBy::Port => "not role:*".to_owned(),
        Key::Unknown => format!("not {name}:*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{NOW, mixed_updates};
    use crate::tui::model::Model;
    use crate::tui::model::{Action, Page};

    fn grouped(by: GroupBy) -> Groups {
        let mut model = Model::new(|_| Err("none".to_owned()));
        model.tick(NOW);
        model.offer(mixed_updates());
        model.settle(20);
        let mut groups = Groups { by, ..Groups::default() };
        groups.settle(&model.table, NOW, 20);
        groups
    }

    #[test]
    fn every_connection_in_sight_is_in_one_group() {
        let mut model = Model::new(|_| Err("none".to_owned()));
        model.tick(NOW);
        model.offer(mixed_updates());
        model.settle(20);
        let rows = model.table.shown().iter().filter_map(|id| model.table.row(*id));
        let living = rows.filter(|row| !row.ended()).count();
        for by in [GroupBy::Process, GroupBy::Remote, GroupBy::Port, GroupBy::Container] {
            let groups = grouped(by);
            let all: u32 = groups.in_sight(100).map(|group| group.connections).sum();
            assert_eq!(all as usize, living, "{by:?}");
        }
    }

    #[test]
    fn the_largest_group_comes_first_and_what_is_unknown_is_a_group_of_its_own() {
        let groups = grouped(GroupBy::Process);
        let sizes: Vec<u32> = groups.in_sight(100).map(|group| group.connections).collect();
        assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
        let groups = grouped(GroupBy::Container);
        let unknown = groups.in_sight(100).find(|group| group.name.is_none());
        assert_eq!(unknown.map(|group| group.filter.as_str()), Some("not container:*"));
    }

    #[test]
    fn enter_on_a_group_shows_its_connections() {
        let mut model = crate::tui::model::Model::new(|text| {
            if text.contains(':') { Ok(Box::new(Everything)) } else { Err("no key".to_owned()) }
        });
        model.tick(NOW);
        model.offer(mixed_updates());
        model.settle(20);
        model.act(Action::NextGrouping);
        assert_eq!(model.page, Page::Groups);
        model.settle(20);
        model.act(Action::Down);
        model.settle(20);
        let filter = model.groups.selected().unwrap().filter.clone();
        model.act(Action::Enter);
        assert_eq!(model.page, Page::Connections);
        assert_eq!(model.filter_text(), Some(filter.as_str()));
    }

    struct Everything;

    impl crate::tui::model::filter::RowFilter for Everything {
        fn matches(
            &self,
            _: &Connection,
            _: TcpState,
            _: Option<&crate::record::Exchange>,
        ) -> bool {
            true
        }
    }
}
