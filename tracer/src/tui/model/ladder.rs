//! A connection as a ladder: the client's states left, the server's right, and between them what passed, in time.
//!
//! Built from one end, or from both where both are on this host. Nothing is made up: what was seen at one end alone
//! says so, and a step whose time is unknown is left to the list of states.

use super::detail::request;
use super::passed::Passed;
use super::row::Row;
use super::table::Table;
use crate::record::Exchange;
use crate::tcp::{Direction, Endpoint, TcpState, flags};
use crate::time::Timestamp;
use crate::tui::text;

/// A state change this close to a segment stands on its line, nanoseconds.
const NEAR_NS: u64 = 1_000_000;
/// From here on nothing happening is worth a line, microseconds.
const QUIET_US: u64 = 1_000;

/// An end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who opened it; drawn left.
    Client,
    /// Who accepted it; drawn right.
    Server,
}

impl Side {
    const fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// At which ends a segment was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Sent and received; it took so many microseconds.
    AtBoth(u64),
    /// At one end; the other is not on this host.
    AtOne,
    /// Sent; the other end is here too, and did not tell of it.
    NotArriving,
}

/// What stands between the two sides.
#[derive(Clone, Debug, PartialEq)]
pub enum Between {
    /// A segment.
    Segment {
        /// Who sent it.
        from: Side,
        /// `SYN seq 0`.
        words: String,
        /// Whether it had been sent before.
        repeated: bool,
        /// Where it was seen.
        seen: Seen,
    },
    /// A request or an answer.
    Message {
        /// Who sent it.
        from: Side,
        /// `GET /hello`, `200 text/html 612 B`.
        words: String,
        /// The answer's status.
        status: Option<u16>,
    },
    /// For so many microseconds nothing of this happened.
    Quiet(u64),
    /// So many segments were not kept.
    LeftOut(u64),
    /// Only a state change.
    Nothing,
}

/// A line of the ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// When.
    pub at: Timestamp,
    /// Microseconds since the first line.
    pub since_us: u64,
    /// The state that the client enters.
    pub client: Option<TcpState>,
    /// The state that the server enters.
    pub server: Option<TcpState>,
    /// What passes.
    pub between: Between,
    /// What it proves, in plain words.
    pub proves: String,
}

/// The whole ladder.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Who is left.
    pub client: String,
    /// Who is right.
    pub server: String,
    /// Top to bottom; empty where nothing with a time is known.
    pub rungs: Vec<Rung>,
}

/// The ladder of a row, with its other end's side where that is here.
#[must_use]
pub fn ladder(row: &Row, table: &Table) -> Ladder {
    let ends = Ends::of(row, table);
    let mut rungs = segments(&ends);
    rungs.extend(messages(&ends));
    rungs.sort_by_key(|rung| rung.at);
    for side in [Side::Client, Side::Server] {
        place_states(&mut rungs, side, &ends);
    }
    rungs.sort_by_key(|rung| rung.at);
    let began_at = rungs.first().map_or(Timestamp::default(), |rung| rung.at);
    for rung in &mut rungs {
        rung.since_us = rung.at.since_us(began_at);
        rung.proves = proves(rung, &ends);
    }
    let (client, server) = (ends.address(Side::Client), ends.address(Side::Server));
    Ladder { client, server, rungs: with_gaps(rungs, &ends) }
}

/// Both ends, as far as they are here.
struct Ends<'a> {
    client: Option<&'a Row>,
    server: Option<&'a Row>,
}

impl<'a> Ends<'a> {
    fn of(row: &'a Row, table: &'a Table) -> Ends<'a> {
        let peer = row.connection().peer.and_then(|id| table.row(id));
        match row.connection().endpoint {
            Some(Endpoint::Server) => Ends { client: peer, server: Some(row) },
            _ => Ends { client: Some(row), server: peer },
        }
    }

    fn row(&self, side: Side) -> Option<&'a Row> {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// The program's name, or which end it is, where that is unknown or the same on both sides.
    fn name(&self, side: Side) -> String {
        let comm_of = |side| self.row(side).and_then(|row| row.connection().comm.as_deref());
        let comm = comm_of(side).filter(|comm| Some(*comm) != comm_of(side.other()));
        let unknown = match side {
            Side::Client => "the client",
            Side::Server => "the server",
        };
        comm.map_or_else(|| unknown.to_owned(), |comm| text::clean(comm).into_owned())
    }

    fn address(&self, side: Side) -> String {
        let own = self.row(side).map(|row| row.connection().local);
        let seen = || self.row(side.other()).map(|row| row.connection().remote);
        let address = own.or_else(seen).map(|address| super::detail::address(&address));
        let owner = self.row(side).and_then(Row::owner).unwrap_or_default();
        let all = format!("{} {}", text::clean(&owner), address.unwrap_or_default());
        all.trim().to_owned()
    }
}

fn rung(at: Timestamp, between: Between) -> Rung {
    Rung { at, since_us: 0, client: None, server: None, between, proves: String::new() }
}

/// A line for every segment: one for both its ends.
fn segments(ends: &Ends<'_>) -> Vec<Rung> {
    let mut rungs = Vec::new();
    for from in [Side::Client, Side::Server] {
        let of = |side: Side, direction: Direction| -> Vec<Passed> {
            let kept = ends.row(side).map_or(&[][..], |row| row.passed().segments());
            kept.iter().filter(|segment| segment.direction == direction).copied().collect()
        };
        let sent = of(from, Direction::Sent);
        let mut received = of(from.other(), Direction::Received);
        for segment in &sent {
            let arrived =
                received.iter().position(|other| segment.is_same(other) && other.at >= segment.at);
            let seen = match arrived.map(|index| received.remove(index)) {
                Some(arrived) => Seen::AtBoth(arrived.at.since_us(segment.at)),
                None if ends.row(from.other()).is_some() => Seen::NotArriving,
                None => Seen::AtOne,
            };
            rungs.push(segment_rung(from, segment, seen));
        }
        rungs.extend(received.iter().map(|segment| segment_rung(from, segment, Seen::AtOne)));
    }
    for row in [ends.client, ends.server].into_iter().flatten() {
        let kept = row.passed();
        if let (1.., Some(last)) = (kept.left_out(), kept.segments().last()) {
            rungs.push(rung(last.at, Between::LeftOut(kept.left_out())));
        }
    }
    rungs
}

fn segment_rung(from: Side, segment: &Passed, seen: Seen) -> Rung {
    let repeated = segment.repeated;
    rung(segment.at, Between::Segment { from, words: words(segment), repeated, seen })
}

/// `SYN+ACK seq 0 ack 1`.
fn words(segment: &Passed) -> String {
    let has = |bit: u8| segment.flags & bit != 0;
    // An ACK says nothing beside a FIN: every segment of a connection that stands has one.
    let names = [
        (flags::SYN, "SYN"),
        (flags::FIN, "FIN"),
        (flags::RST, "RST"),
        (if has(flags::SYN) { flags::ACK } else { 0 }, "ACK"),
    ];
    let names: Vec<&str> =
        names.into_iter().filter(|(bit, _)| has(*bit)).map(|(_, name)| name).collect();
    let name = if names.is_empty() { "data".to_owned() } else { names.join("+") };
    let bytes = match segment.payload_bytes {
        0 => String::new(),
        bytes => format!(" {}", text::bytes(bytes.into())),
    };
    let ack = segment.ack.map(|ack| format!(" ack {ack}")).unwrap_or_default();
    let again = if segment.repeated { " again" } else { "" };
    format!("{name}{again} seq {}{ack}{bytes}", segment.seq)
}

/// Requests and answers, as the client's end tells them where it is here.
fn messages(ends: &Ends<'_>) -> Vec<Rung> {
    let told = ends.client.filter(|row| row.exchanges() > 0).or(ends.server);
    let mut rungs = Vec::new();
    for exchange in told.into_iter().flat_map(Row::recent) {
        if let Some(at) = exchange.request.as_ref().and_then(|request| request.at) {
            let words = request(exchange);
            rungs.push(rung(at, Between::Message { from: Side::Client, words, status: None }));
        }
        if let Some(at) = exchange.response.as_ref().and_then(|response| response.at) {
            let (words, status) = (answer(exchange), exchange.status);
            rungs.push(rung(at, Between::Message { from: Side::Server, words, status }));
        }
    }
    rungs
}

fn answer(exchange: &Exchange) -> String {
    let response = exchange.response.as_ref();
    let status = exchange.status.map_or_else(|| "answer".to_owned(), |status| status.to_string());
    let media_type = response.and_then(|response| response.media_type.as_deref());
    let bytes = response.and_then(|response| response.body_bytes).map(text::bytes);
    let parts = [Some(status), media_type.map(str::to_owned), bytes];
    let all = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    text::clean(&all).into_owned()
}

/// Puts the states of a side onto the lines of what brought them, or onto lines of their own.
fn place_states(rungs: &mut Vec<Rung>, side: Side, ends: &Ends<'_>) {
    let mut alone = Vec::new();
    let mut not_before = 0;
    for entry in ends.row(side).into_iter().flat_map(Row::states) {
        let Some(at) = entry.at else { continue };
        let found = line_for(rungs, side, entry.state, at, not_before);
        match found.and_then(|index| Some((index, rungs.get_mut(index)?))) {
            Some((index, line)) => {
                *slot(line, side) = Some(entry.state);
                not_before = index;
            }
            None => {
                let mut line = rung(at, Between::Nothing);
                *slot(&mut line, side) = Some(entry.state);
                alone.push(line);
            }
        }
    }
    rungs.extend(alone);
    rungs.sort_by_key(|rung| rung.at);
}

fn slot(rung: &mut Rung, side: Side) -> &mut Option<TcpState> {
    match side {
        Side::Client => &mut rung.client,
        Side::Server => &mut rung.server,
    }
}

/// The line of the segment that goes with a state change. The kernel changes the state first and then sends; what
/// arrives comes before the change that it brings.
fn line_for(
    rungs: &[Rung],
    side: Side,
    state: TcpState,
    at: Timestamp,
    not_before: usize,
) -> Option<usize> {
    let resets = |rung: &Rung| {
        let is_reset = matches!(&rung.between, Between::Segment { from, words, .. }
            if *from == side && words.starts_with("RST"));
        is_reset && rung.at >= at && rung.at.since_ns(at) <= NEAR_NS
    };
    let sends = match state {
        TcpState::SynSent | TcpState::FinWait1 | TcpState::LastAck => true,
        TcpState::Close => rungs.iter().any(resets),
        _ => false,
    };
    let fits = |rung: &Rung| {
        let free = match side {
            Side::Client => rung.client.is_none(),
            Side::Server => rung.server.is_none(),
        };
        let Between::Segment { from, repeated: false, .. } = &rung.between else { return false };
        free && (*from == side) == sends
    };
    let near = |rung: &Rung| match sends {
        true => rung.at >= at && rung.at.since_ns(at) <= NEAR_NS,
        false => rung.at <= at && at.since_ns(rung.at) <= NEAR_NS,
    };
    let mut lines = rungs.iter().enumerate().skip(not_before);
    let fitting = |(_, rung): &(usize, &Rung)| fits(rung) && near(rung);
    let found = if sends { lines.find(fitting) } else { lines.rfind(fitting) };
    found.map(|(index, _)| index)
}

/// What a line proves to whom.
fn proves(rung: &Rung, ends: &Ends<'_>) -> String {
    let (client, server) = (ends.name(Side::Client), ends.name(Side::Server));
    match &rung.between {
        Between::Segment { repeated: true, .. } => {
            "sent again: the first was not answered".to_owned()
        }
        Between::Segment { from, words, seen, .. } => {
            let sender = ends.name(*from);
            let meaning = match words.split(' ').next().unwrap_or_default() {
                "SYN" => format!("{server} learns: {client} can send"),
                "SYN+ACK" => format!("{client} learns: both can send and receive"),
                "FIN" => format!("{sender} sends no more, still reads"),
                "RST" => format!("{sender} cuts it off at once"),
                _ => String::new(),
            };
            match seen {
                Seen::NotArriving => format!("{meaning} (not seen to arrive)"),
                Seen::AtBoth(_) | Seen::AtOne => meaning,
            }
        }
        Between::Message { from: Side::Client, .. } => "request".to_owned(),
        Between::Message { .. } => "answer".to_owned(),
        Between::Quiet(_) | Between::LeftOut(_) => String::new(),
        Between::Nothing => [(Side::Client, rung.client), (Side::Server, rung.server)]
            .into_iter()
            .find_map(|(side, state)| Some(enters(side, state?, ends)))
            .unwrap_or_default(),
    }
}

/// What a change proves that no line of its own brought.
fn enters(side: Side, state: TcpState, ends: &Ends<'_>) -> String {
    let name = ends.name(side);
    match (side, state) {
        // The ACK is a segment like any other of a connection that stands: it is not told.
        (Side::Server, TcpState::Established) => format!("the ACK came: {name} knows it too"),
        (_, TcpState::FinWait2) => format!("{name}'s FIN is acknowledged"),
        _ => format!("{name}: {}", super::verdict::meaning(state)),
    }
}

/// Lines for the times in which nothing happened, which are often the answer.
fn with_gaps(rungs: Vec<Rung>, ends: &Ends<'_>) -> Vec<Rung> {
    let mut all: Vec<Rung> = Vec::with_capacity(rungs.len() * 2);
    for next in rungs {
        if let Some(last) = all.last() {
            let quiet_us = next.at.since_us(last.at);
            if quiet_us >= QUIET_US {
                let asked = matches!(last.between, Between::Message { from: Side::Client, .. });
                let answered = matches!(next.between, Between::Message { from: Side::Server, .. });
                let mut gap = rung(last.at, Between::Quiet(quiet_us));
                if asked && answered {
                    gap.proves = format!("{} works on the answer", ends.name(Side::Server));
                }
                all.push(gap);
            }
        }
        all.push(next);
    }
    all
}

#[cfg(test)]
mod tests;
