//! The story of one connection, line by line, as values: the view only gives them their looks.

use super::ladder::{Ladder, Rung, ladder};
use super::row::{Row, TIME_WAIT_US, owner};
use super::verdict::{Tone, meaning, sentence, verdict};
use super::{Model, table::Table};
use crate::record::{Connection, Exchange, SocketAddress, StateEntry};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;
use crate::tui::text;

/// A line of the detail pane.
#[derive(Clone, Debug, PartialEq)]
pub enum DetailLine {
    /// What became of it.
    Sentence(String, Tone),
    /// An empty line.
    Blank,
    /// Who stands left and right of the ladder.
    LadderHeading(Ladder),
    /// A line of the ladder.
    Rung(Rung),
    /// The heading of the state history.
    LifeHeading,
    /// A state it was in.
    Life(LifeStep),
    /// A name and a value.
    Fact(&'static str, String),
    /// The heading of the exchanges: how many there were, and how many of them are listed.
    ExchangesHeading(u64, usize),
    /// An exchange.
    Exchange(ExchangeLine),
}

/// A state a connection was in.
#[derive(Clone, Debug, PartialEq)]
pub struct LifeStep {
    /// The state.
    pub state: TcpState,
    /// When it was entered, if that was seen.
    pub at: Option<Timestamp>,
    /// How long it lasted or lasts, if its begin was seen.
    pub lasted_us: Option<u64>,
    /// Whether it is in it now.
    pub current: bool,
    /// What the state means.
    pub meaning: &'static str,
    /// What is left of TIME_WAIT, microseconds.
    pub left_us: Option<u64>,
}

impl LifeStep {
    /// The share of TIME_WAIT that is over, 0 to 1.
    #[must_use]
    pub fn share_over(&self) -> Option<f64> {
        self.left_us.map(|left_us| 1.0 - left_us as f64 / TIME_WAIT_US as f64)
    }
}

/// An exchange in few words.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeLine {
    /// Its number on the connection.
    pub number: u64,
    /// Method and target.
    pub request: String,
    /// Status code.
    pub status: Option<u16>,
    /// Media type, size, what is missing.
    pub answer: String,
    /// How long the answer was awaited.
    pub wait_us: Option<u64>,
}

/// All lines about the selected connection; empty where none is selected.
#[must_use]
pub fn lines(model: &Model) -> Vec<DetailLine> {
    let Some(row) = model.selected() else { return Vec::new() };
    let now = model.now();
    let mut lines =
        vec![DetailLine::Sentence(sentence(row, now), verdict(row, now).tone), DetailLine::Blank];
    let mut ladder = ladder(row, &model.table);
    let rungs = std::mem::take(&mut ladder.rungs);
    if !rungs.is_empty() {
        lines.push(DetailLine::LadderHeading(ladder));
        lines.extend(rungs.into_iter().map(DetailLine::Rung));
        lines.push(DetailLine::Blank);
    }
    lines.push(DetailLine::LifeHeading);
    lines.extend(life(row, now).into_iter().map(DetailLine::Life));
    lines.push(DetailLine::Blank);
    lines.extend(facts(&model.table, row));
    if row.exchanges() > 0 {
        lines.push(DetailLine::Blank);
        lines.push(DetailLine::ExchangesHeading(row.exchanges(), row.recent().count()));
        lines.extend(row.recent().rev().map(|e| DetailLine::Exchange(exchange(e))));
    }
    lines
}

/// Owner and both addresses, for the pane's title.
#[must_use]
pub fn title(row: &Row) -> String {
    let connection = row.connection();
    let owner = row.owner().unwrap_or_else(|| "owner unknown".to_owned());
    let arrow = super::row::arrow(connection.endpoint);
    let (local, remote) = (address(&connection.local), connection.remote);
    format!("{} {} {local} {arrow} {remote}", connection.id, text::clean(&owner))
}

/// An address; a port that was never bound is `*`.
#[must_use]
pub fn address(address: &SocketAddress) -> String {
    if address.port == 0 { format!("{}:*", address.ip) } else { address.to_string() }
}

/// The life of a row, with how long each state lasted.
#[must_use]
pub fn life(row: &Row, now: Timestamp) -> Vec<LifeStep> {
    let states: Vec<StateEntry> = row.states().collect();
    let ended_at = row.connection().closed_at;
    let step = |(i, entry): (usize, &StateEntry)| {
        let next = states.get(i + 1);
        let current = next.is_none() && !row.ended();
        let until = next.map_or(if current { Some(now) } else { ended_at }, |next| next.at);
        let over = entry.state == TcpState::Close;
        let lasted_us = entry.at.zip(until).filter(|_| !over).map(|(at, until)| until.since_us(at));
        LifeStep {
            state: entry.state,
            at: entry.at,
            lasted_us,
            current,
            meaning: meaning(entry.state),
            left_us: if current { row.time_wait_left_us(now) } else { None },
        }
    };
    states.iter().enumerate().map(step).collect()
}

fn facts(table: &Table, row: &Row) -> Vec<DetailLine> {
    let connection = row.connection();
    let mut facts = vec![fact("owner", owner_fact(connection))];
    if connection.cgroup.is_some() || connection.container.is_some() {
        facts.push(fact("cgroup", cgroup_fact(connection)));
    }
    facts.push(fact("side", side_fact(table, connection)));
    facts.push(fact("bytes", bytes_fact(connection)));
    facts.push(fact("network", network_fact(connection)));
    facts
}

fn fact(name: &'static str, value: String) -> DetailLine {
    DetailLine::Fact(name, value)
}

fn owner_fact(connection: &Connection) -> String {
    let owner = owner(connection).unwrap_or_else(|| "unknown".to_owned());
    let exe = connection.exe.as_deref().map(|exe| format!("  {exe}")).unwrap_or_default();
    text::clean(&format!("{owner}{exe}")).into_owned()
}

fn cgroup_fact(connection: &Connection) -> String {
    let cgroup = connection.cgroup.as_deref().unwrap_or("unknown");
    let container = connection.container.as_deref();
    let container = container.map(|id| format!(" · container {id}")).unwrap_or_default();
    text::clean(&format!("{cgroup}{container}")).into_owned()
}

fn side_fact(table: &Table, connection: &Connection) -> String {
    let end = match connection.endpoint {
        Some(Endpoint::Client) => "client",
        Some(Endpoint::Server) => "server",
        None => "client or server: unknown",
    };
    let netns = connection.netns.map(|netns| format!(" · netns {netns}")).unwrap_or_default();
    let peer = connection.peer.map_or_else(String::new, |id| {
        let owner = table.row(id).and_then(Row::owner).unwrap_or_default();
        format!(" · the other end is here too: {id} {owner}")
    });
    text::clean(format!("{end}{netns}{peer}").trim_end()).into_owned()
}

fn bytes_fact(connection: &Connection) -> String {
    let amount = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), text::bytes);
    let (sent, received) = (connection.bytes_sent, connection.bytes_received);
    format!("{} sent · {} received", amount(sent), amount(received))
}

fn network_fact(connection: &Connection) -> String {
    let rtt = connection.srtt_us.map_or_else(|| "?".to_owned(), text::duration);
    let again = match connection.segments_retransmitted {
        None => "retransmissions unknown".to_owned(),
        Some(0) => "nothing sent again".to_owned(),
        Some(n) => format!("{} sent again", text::plural(n, "segment")),
    };
    format!("round trip {rtt} · {again}")
}

fn exchange(exchange: &Exchange) -> ExchangeLine {
    let response = exchange.response.as_ref();
    let media_type = response.and_then(|r| r.media_type.as_deref());
    let size = response.and_then(|r| r.body_bytes).map(text::bytes);
    let missing = (!exchange.complete).then(|| match exchange.missing_bytes {
        None | Some(0) => "incomplete".to_owned(),
        Some(missing) => format!("{} missing", text::bytes(missing)),
    });
    let parts = [media_type.map(str::to_owned), size, missing];
    let answer = parts.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    ExchangeLine {
        number: exchange.number,
        request: request(exchange),
        status: exchange.status,
        answer: text::clean(&answer).into_owned(),
        wait_us: exchange.timing.wait_us,
    }
}

/// Method and target, `?` where the request's head was not seen.
#[must_use]
pub fn request(exchange: &Exchange) -> String {
    let method = exchange.method.as_deref().unwrap_or("?");
    let target = exchange.target.as_deref().unwrap_or("?");
    text::clean(&format!("{method} {target}")).into_owned()
}
