//! What became of a connection, in a few plain words and in one sentence.

use std::borrow::Cow;

use super::row::{Row, TIME_WAIT_US};
use crate::record::{ClosedBy, Connection, Outcome};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;
use crate::tui::text;

/// How much a verdict asks to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// As it should be.
    Calm,
    /// Worth a look.
    Notice,
    /// Something went wrong, or something is missing.
    Bad,
}

/// A verdict for a cell of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Plain words; empty where there is nothing to say.
    pub words: Cow<'static, str>,
    /// How loud.
    pub tone: Tone,
}

/// The verdict on a row. What was missed comes first: it puts all the rest in doubt.
#[must_use]
pub fn verdict(row: &Row, now: Timestamp) -> Verdict {
    let (words, tone) = if row.ended() { ended(row) } else { lasting(row, now) };
    match row.lost_events() {
        0 => Verdict { words, tone },
        lost => {
            let missed = format!("missed {}!", text::plural(lost, "event"));
            let words = if words.is_empty() { missed } else { format!("{missed} {words}") };
            Verdict { words: Cow::Owned(words), tone: Tone::Bad }
        }
    }
}

fn ended(row: &Row) -> (Cow<'static, str>, Tone) {
    let (words, tone) = outcome(row.connection().outcome, row.closed_by());
    (Cow::Borrowed(words), tone)
}

/// How a connection ended, in plain words.
#[must_use]
pub fn outcome(outcome: Outcome, who: Option<ClosedBy>) -> (&'static str, Tone) {
    match outcome {
        Outcome::Graceful | Outcome::Open => (closed_by(who), Tone::Calm),
        Outcome::ResetByLocal => ("reset by us", Tone::Notice),
        Outcome::ResetByRemote => ("reset by remote", Tone::Bad),
        Outcome::Refused => ("refused", Tone::Bad),
        Outcome::TimedOut => ("timed out", Tone::Bad),
        Outcome::Unreachable => ("unreachable", Tone::Bad),
        Outcome::Aborted => ("given up", Tone::Notice),
        Outcome::Unknown => ("end not seen", Tone::Notice),
    }
}

fn closed_by(who: Option<ClosedBy>) -> &'static str {
    match who {
        Some(ClosedBy::Local) => "closed by us",
        Some(ClosedBy::Remote) => "closed by remote",
        Some(ClosedBy::Both) => "closed by both",
        None => "closed",
    }
}

fn lasting(row: &Row, now: Timestamp) -> (Cow<'static, str>, Tone) {
    let stuck = row.stuck(now);
    let words = match row.state() {
        TcpState::SynSent if stuck => "no answer",
        TcpState::SynRecv if stuck => "no ACK back",
        TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck if stuck => "FIN not ACKed",
        TcpState::FinWait2 if stuck => "only we closed",
        TcpState::CloseWait if stuck => "not closed here",
        TcpState::CloseWait => "remote closed",
        TcpState::FinWait1 | TcpState::FinWait2 => "we closed",
        TcpState::Closing | TcpState::TimeWait | TcpState::LastAck => closed_by(row.closed_by()),
        TcpState::Established if row.connection().older_than_tracer => "older than tracer",
        _ => "",
    };
    (Cow::Borrowed(words), if stuck { Tone::Bad } else { Tone::Calm })
}

/// The verdict in one or two sentences that name who did what.
#[must_use]
pub fn sentence(row: &Row, now: Timestamp) -> String {
    let story = if row.ended() { ended_story(row) } else { lasting_story(row, now) };
    let older = if row.connection().older_than_tracer {
        " It is older than tracer: what came before is unknown."
    } else {
        ""
    };
    let missed = match row.lost_events() {
        0 => " Nothing was missed.".to_owned(),
        1 => " 1 event about it was lost: a step may be missing.".to_owned(),
        lost => format!(" {lost} events about it were lost: steps may be missing."),
    };
    let bypassed = if row.connection().bypasses_tcp {
        " Its socket was in a BPF sockmap: data that went past TCP is not seen."
    } else {
        ""
    };
    format!("{story}{older}{bypassed}{missed}")
}

/// `curl[812]`, or "this end".
fn us(row: &Row) -> String {
    row.owner().map_or_else(|| "this end".to_owned(), |owner| text::clean(&owner).into_owned())
}

fn ended_story(row: &Row) -> String {
    let (us, remote) = (us(row), row.connection().remote);
    match row.connection().outcome {
        Outcome::Graceful | Outcome::Open => match row.closed_by() {
            Some(ClosedBy::Local) => format!("Closed in order: {us} sent the first FIN."),
            Some(ClosedBy::Remote) => format!("Closed in order: {remote} sent the first FIN."),
            Some(ClosedBy::Both) => "Closed in order: both ends sent their FIN at once.".to_owned(),
            None => "Closed; who closed first was not seen.".to_owned(),
        },
        Outcome::ResetByLocal => format!("Cut off: {us} sent a reset."),
        Outcome::ResetByRemote => format!("Cut off: {remote} sent a reset."),
        Outcome::Refused => format!("Refused: {remote} answered the SYN with a reset."),
        Outcome::TimedOut => format!("Timed out: {remote} did not answer."),
        Outcome::Unreachable => format!("Unreachable: the network knows no way to {remote}."),
        Outcome::Aborted => format!("Given up by {us} before it stood."),
        Outcome::Unknown => "Gone; the events that told how were lost.".to_owned(),
    }
}

fn lasting_story(row: &Row, now: Timestamp) -> String {
    let (us, connection) = (us(row), row.connection());
    let remote = connection.remote;
    let lasted = row.since().map(|since| text::duration(now.since_us(since)));
    let lasted = lasted.map_or_else(|| "so far".to_owned(), |lasted| format!("for {lasted} now"));
    match row.state() {
        TcpState::SynSent => format!("{us} knocks at {remote}, {lasted} without an answer."),
        TcpState::SynRecv => {
            format!("SYN+ACK is sent; the ACK of {remote} is awaited {lasted}.")
        }
        TcpState::Established => standing_story(connection, &lasted),
        TcpState::FinWait1 => {
            format!("{us} has closed; {remote} has not acknowledged it {lasted}.")
        }
        TcpState::FinWait2 => format!("{us} has closed; {remote} keeps its side open {lasted}."),
        TcpState::Closing => "Both ends have closed at once; the last ACK is awaited.".to_owned(),
        TcpState::CloseWait => format!("{remote} has closed; {us} has not {lasted}."),
        TcpState::LastAck => format!("Both ends have closed, {remote} first; its ACK is awaited."),
        TcpState::TimeWait => time_wait_story(row, now),
        TcpState::Listen => "It listens.".to_owned(),
        TcpState::Close => "Nothing is known of its state.".to_owned(),
    }
}

fn standing_story(connection: &Connection, lasted: &str) -> String {
    let opened = match connection.endpoint {
        Some(Endpoint::Client) => "opened here",
        Some(Endpoint::Server) => "accepted here",
        None => "opened by an unknown end",
    };
    format!("Stands {lasted}, {opened}.")
}

fn time_wait_story(row: &Row, now: Timestamp) -> String {
    let who = closed_by(row.closed_by());
    let left_us = row.time_wait_left_us(now).unwrap_or(TIME_WAIT_US);
    format!("Done, {who}; the kernel holds the addresses {} more.", text::duration(left_us))
}

/// What a state means for the end that is in it.
#[must_use]
pub fn meaning(state: TcpState) -> &'static str {
    match state {
        TcpState::SynSent => "SYN sent, an answer is awaited",
        TcpState::SynRecv => "SYN came, SYN+ACK sent: remote can reach us",
        TcpState::Established => "both ends can send and receive",
        TcpState::FinWait1 => "our FIN is sent: we send no more, still read",
        TcpState::FinWait2 => "remote has our FIN, may still send",
        TcpState::Closing => "FINs crossed, ACK of ours is awaited",
        TcpState::TimeWait => "kept so that a late FIN can be answered",
        TcpState::CloseWait => "remote's FIN came: it sends no more, we may",
        TcpState::LastAck => "our FIN is sent too, its ACK is awaited",
        TcpState::Close => "the end",
        TcpState::Listen => "waits for SYNs",
    }
}
