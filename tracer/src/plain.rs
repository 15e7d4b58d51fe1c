//! `--plain`: a line per change, for terminals without a view, for logs and for `grep`.
//!
//! ```text
//! 22:13:20.000 c17    curl[812]          127.0.0.1:41234 -> 127.0.0.1:8080           SYN_SENT -> ESTABLISHED (76 µs)
//! ```

use std::borrow::Cow;

use crate::record::{
    ConnId, Connection, Exchange, Host, Loss, Outcome, Record, Segment, Source, Transition,
};
use crate::tcp::{Direction, Endpoint};
use crate::time::Timestamp;
use crate::tui::model::detail::address;
use crate::tui::model::row::owner;
use crate::tui::model::verdict::{Tone, outcome};
use crate::tui::text::{bytes, clean, duration, plural, time_of_day};

/// Columns of id, owner and the two addresses; longer ones push the rest to the right.
const ID_WIDTH: usize = 6;
const OWNER_WIDTH: usize = 18;
const ENDS_WIDTH: usize = 39;

/// The line for a record, without colours. `connection` is the one the record is about, as far as it is
/// known. `None` for what no person wants to read: segments that went as they should.
#[must_use]
pub fn line(record: &Record, connection: Option<&Connection>) -> Option<String> {
    pieces(record, connection).map(|pieces| written(&pieces, false))
}

/// Like [`line()`], with a terminal's colours.
#[must_use]
pub fn coloured_line(record: &Record, connection: Option<&Connection>) -> Option<String> {
    pieces(record, connection).map(|pieces| written(&pieces, true))
}

/// Whether colours are wanted: stdout is a terminal that knows them, and NO_COLOR (no-color.org) is not set.
#[must_use]
pub fn wants_colours(terminal: bool, environment: impl Fn(&str) -> Option<String>) -> bool {
    let refused = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !refused && environment("TERM").as_deref() != Some("dumb")
}

/// The looks of a piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    Text,
    Dim,
    Good,
    Notice,
    Bad,
}

impl Paint {
    /// The SGR parameters (ECMA-48 8.3.117).
    fn sgr(self) -> Option<&'static str> {
        match self {
            Paint::Text => None,
            Paint::Dim => Some("2"),
            Paint::Good => Some("32"),
            Paint::Notice => Some("33"),
            Paint::Bad => Some("1;31"),
        }
    }
}

impl From<Tone> for Paint {
    fn from(tone: Tone) -> Paint {
        match tone {
            Tone::Calm => Paint::Text,
            Tone::Notice => Paint::Notice,
            Tone::Bad => Paint::Bad,
        }
    }
}

type Piece = (Cow<'static, str>, Paint);

/// The pieces with a space between them. Cleaned here, once, before any colour goes in.
fn written(pieces: &[Piece], colours: bool) -> String {
    let piece = |(text, paint): &Piece| match paint.sgr().filter(|_| colours) {
        Some(sgr) => format!("\x1b[{sgr}m{}\x1b[0m", clean(text)),
        None => clean(text).into_owned(),
    };
    pieces.iter().map(piece).collect::<Vec<_>>().join(" ")
}

fn pieces(record: &Record, connection: Option<&Connection>) -> Option<Vec<Piece>> {
    match record {
        Record::Host(host) => Some(host_pieces(host)),
        Record::Transition(transition) => {
            let mut pieces = head(transition.at, transition.conn, connection);
            pieces.extend(transition_pieces(transition));
            Some(pieces)
        }
        Record::Segment(segment) => {
            let told = segment_piece(segment)?;
            let mut pieces = head(segment.at, segment.conn, connection);
            pieces.push(told);
            Some(pieces)
        }
        Record::Exchange(exchange) => {
            let at = exchange_end(exchange)?;
            let mut pieces = head(at, exchange.conn, connection);
            pieces.extend(exchange_pieces(exchange));
            Some(pieces)
        }
        Record::Connection(connection) => {
            let newest = connection.states.iter().rev().find_map(|entry| entry.at);
            let at = connection.closed_at.or(newest).or(connection.opened_at).unwrap_or_default();
            let mut pieces = head(at, connection.id, Some(connection));
            pieces.extend(end_pieces(connection));
            Some(pieces)
        }
        Record::Loss(loss) => Some(loss_pieces(loss)),
    }
}

fn text(text: impl Into<Cow<'static, str>>) -> Piece {
    (text.into(), Paint::Text)
}

/// Time, id, owner, both ends.
fn head(at: Timestamp, id: ConnId, connection: Option<&Connection>) -> Vec<Piece> {
    let owner = connection.and_then(owner).unwrap_or_else(|| "?".to_owned());
    let ends = connection.map_or_else(|| "?".to_owned(), ends);
    vec![
        time(at),
        (format!("{:<ID_WIDTH$}", id.to_string()).into(), Paint::Dim),
        text(format!("{owner:<OWNER_WIDTH$}")),
        text(format!("{ends:<ENDS_WIDTH$}")),
    ]
}

fn time(at: Timestamp) -> Piece {
    (time_of_day(at, 3).into(), Paint::Dim)
}

/// `local -> remote` where the connection was opened here, `local <- remote` where it was accepted.
fn ends(connection: &Connection) -> String {
    let arrow = match connection.endpoint {
        Some(Endpoint::Client) => "->",
        Some(Endpoint::Server) => "<-",
        None => "--",
    };
    format!("{} {arrow} {}", address(&connection.local), address(&connection.remote))
}

fn host_pieces(host: &Host) -> Vec<Piece> {
    let missing: Vec<String> = (host.hooks.iter())
        .filter(|(_, state)| *state != "attached")
        .map(|(hook, state)| format!("{hook}: {state}"))
        .collect();
    let Host { version, hostname, kernel, filter, .. } = host;
    let mut pieces = vec![
        time(host.started_at),
        text(format!("tracer {version} on {hostname}, Linux {kernel},")),
    ];
    pieces.push(match missing.is_empty() {
        true => text("all hooks attached"),
        false => (format!("without {}", missing.join("; ")).into(), Paint::Notice),
    });
    if let Some(filter) = filter {
        pieces.push((format!("(only {filter})").into(), Paint::Notice));
    }
    pieces
}

fn transition_pieces(transition: &Transition) -> Vec<Piece> {
    let Transition { from, to, .. } = transition;
    let mut pieces = vec![text(format!("{from} -> {to}"))];
    if let Some(us) = transition.in_from_us {
        pieces.push((format!("({})", duration(us)).into(), Paint::Dim));
    }
    if transition.source == Source::Inferred {
        pieces.push(("inferred".into(), Paint::Dim));
    }
    pieces
}

/// Repeated segments and resets; the others are told by the state changes they make.
fn segment_piece(segment: &Segment) -> Option<Piece> {
    let way = match segment.direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let Segment { flags, seq, payload_bytes, .. } = segment;
    if segment.retransmit {
        let flags = if flags.is_empty() { "data" } else { flags };
        let size = bytes(u64::from(*payload_bytes));
        Some((format!("{way} again: {flags} seq {seq}, {size}").into(), Paint::Notice))
    } else if flags.contains('R') {
        Some((format!("{way} reset: {flags} seq {seq}").into(), Paint::Notice))
    } else {
        None
    }
}

/// When the last that is known of an exchange happened.
fn exchange_end(exchange: &Exchange) -> Option<Timestamp> {
    let answered = exchange.response.as_ref().and_then(|response| response.at);
    let received_us = exchange.timing.receive_us.unwrap_or(0);
    let answered = answered.map(|at| at.plus_ns(received_us.saturating_mul(1000)));
    answered.or_else(|| exchange.request.as_ref().and_then(|request| request.at))
}

/// `GET http://host/path 200 text/html 612 B wait 322 µs`.
fn exchange_pieces(exchange: &Exchange) -> Vec<Piece> {
    let method = exchange.method.as_deref().unwrap_or("?");
    let mut pieces = vec![text(format!("{method} {}", url(exchange)))];
    pieces.push(match exchange.status {
        Some(status) => (status.to_string().into(), status_paint(status)),
        None => ("no answer".into(), Paint::Notice),
    });
    let response = exchange.response.as_ref();
    let media_type = response.and_then(|response| response.media_type.as_deref());
    pieces.extend(media_type.map(|media_type| text(media_type.to_owned())));
    pieces.extend(response.and_then(|response| response.body_bytes).map(|n| text(bytes(n))));
    if let Some(wait_us) = exchange.timing.wait_us {
        pieces.push((format!("wait {}", duration(wait_us)).into(), Paint::Dim));
    }
    if !exchange.complete {
        let missing = match exchange.missing_bytes {
            None | Some(0) => "incomplete".to_owned(),
            Some(missing) => format!("incomplete: {} missing", bytes(missing)),
        };
        pieces.push((missing.into(), Paint::Bad));
    }
    pieces
}

/// The URL, or as much of it as was seen. A target may be a URL by itself (RFC 9112 section 3.2.2).
fn url(exchange: &Exchange) -> String {
    let target = exchange.target.as_deref().unwrap_or("?");
    match (exchange.scheme.as_deref(), exchange.authority.as_deref()) {
        (Some(scheme), Some(authority)) if target.starts_with('/') => {
            format!("{scheme}://{authority}{target}")
        }
        _ => target.to_owned(),
    }
}

fn status_paint(status: u16) -> Paint {
    match status {
        200..=299 => Paint::Good,
        400..=499 => Paint::Notice,
        500.. => Paint::Bad,
        _ => Paint::Text,
    }
}

/// `closed by us after 1.2 s (78 B sent, 612 B received, 3 requests)`.
fn end_pieces(connection: &Connection) -> Vec<Piece> {
    let lasted = connection.opened_at.zip(connection.closed_at);
    let lasted = lasted.map(|(from, to)| format!(" after {}", duration(to.since_us(from))));
    let (words, tone) = match (connection.outcome, connection.closed_at) {
        (Outcome::Open, None) => (still(connection), Tone::Calm),
        (how, _) => {
            let (words, tone) = outcome(how, connection.closed_by);
            (words.to_owned(), tone)
        }
    };
    let mut pieces = vec![(format!("{words}{}", lasted.unwrap_or_default()).into(), tone.into())];
    let figures = figures(connection);
    if !figures.is_empty() {
        pieces.push((format!("({figures})").into(), Paint::Dim));
    }
    if connection.lost_events > 0 {
        let missed = format!("missed {}!", plural(connection.lost_events, "event"));
        pieces.push((missed.into(), Paint::Bad));
    }
    pieces
}

/// What a connection that has not ended is doing.
fn still(connection: &Connection) -> String {
    let state = connection.states.last().map_or("open", |entry| entry.state.name());
    format!("still {state}")
}

fn figures(connection: &Connection) -> String {
    let sent = connection.bytes_sent.map(|n| format!("{} sent", bytes(n)));
    let received = connection.bytes_received.map(|n| format!("{} received", bytes(n)));
    let requests = (connection.exchanges > 0).then(|| plural(connection.exchanges, "request"));
    let again = connection.segments_retransmitted.filter(|&n| n > 0);
    let again = again.map(|n| format!("{} sent again", plural(n, "segment")));
    let older = connection.older_than_tracer.then(|| "older than tracer".to_owned());
    let all = [sent, received, requests, again, older];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn loss_pieces(loss: &Loss) -> Vec<Piece> {
    let lost = format!("LOST {} of {}", plural(loss.events, loss.unit().name()), loss.hook);
    vec![time(loss.at), (lost.into(), Paint::Bad)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::record::ClosedBy;
    use crate::tcp::TcpState;
    use crate::tui::fixture::{NOW, ago, connection, exchange, mixed, transition};

    const HEAD: &str =
        "22:13:20.000 c17    curl[812]          127.0.0.1:41234 -> 127.0.0.1:8080      ";

    fn told(record: Record) -> String {
        line(&record, Some(&connection(17))).unwrap()
    }

    #[test]
    fn a_state_change_tells_how_long_the_state_before_lasted() {
        let change = transition(17, TcpState::SynSent, TcpState::Established, NOW);
        let first = Transition { in_from_us: None, ..change.clone() };
        let inferred = Transition { source: Source::Inferred, ..change.clone() };
        let told = |change| told(Record::Transition(change));
        assert_eq!(told(change), format!("{HEAD} SYN_SENT -> ESTABLISHED (76 µs)"));
        assert_eq!(told(first), format!("{HEAD} SYN_SENT -> ESTABLISHED"));
        assert_eq!(told(inferred), format!("{HEAD} SYN_SENT -> ESTABLISHED (76 µs) inferred"));
    }

    #[test]
    fn lines_of_different_connections_are_aligned() {
        let column = |connection: &Connection| {
            let change = transition(connection.id.0, TcpState::SynSent, TcpState::Close, NOW);
            line(&Record::Transition(change), Some(connection)).unwrap().find("SYN_SENT").unwrap()
        };
        let mixed = mixed();
        assert_eq!(column(&mixed[1]), column(&mixed[4]));
    }

    #[test]
    fn an_accepted_connection_has_its_arrow_turned() {
        let server = &mixed()[1];
        let change = transition(2, TcpState::Listen, TcpState::SynRecv, NOW);
        let line = line(&Record::Transition(change), Some(server)).unwrap();
        assert!(line.contains("10.0.0.4:443 <- 10.0.0.77:51002"), "{line}");
    }

    #[test]
    fn a_change_of_an_unknown_connection_is_told_all_the_same() {
        let change = transition(17, TcpState::SynSent, TcpState::Established, NOW);
        let line = line(&Record::Transition(change), None).unwrap();
        assert!(line.contains("c17    ?") && line.ends_with("SYN_SENT -> ESTABLISHED (76 µs)"));
    }

    #[test]
    fn an_exchange_is_told_with_its_url() {
        let told = told(Record::Exchange(Arc::new(exchange(17, 1, 200))));
        let exchange =
            "GET http://127.0.0.1:8080/api/orders?page=2 200 text/html 612 B wait 322 µs";
        assert_eq!(told, format!("{}{exchange}", HEAD.replace("20.000", "19.101") + " "));
    }

    #[test]
    fn an_exchange_without_answer_or_with_a_gap_says_so() {
        let cut = Exchange { complete: false, missing_bytes: Some(4096), ..exchange(17, 1, 200) };
        assert!(told(Record::Exchange(Arc::new(cut))).ends_with("incomplete: 4.0 KiB missing"));
        let open = Exchange { status: None, response: None, complete: false, ..exchange(17, 1, 0) };
        let told = told(Record::Exchange(Arc::new(open)));
        assert!(told.contains("page=2 no answer") && told.ends_with("incomplete"), "{told}");
    }

    #[test]
    fn a_target_that_is_a_url_is_not_told_twice() {
        let target = Some("http://example.com/".into());
        let proxied = Exchange { target, ..exchange(17, 1, 200) };
        assert!(told(Record::Exchange(Arc::new(proxied))).contains("GET http://example.com/ 200"));
    }

    #[test]
    fn an_ended_connection_is_told_with_its_verdict() {
        let ended = Connection {
            closed_at: Some(NOW),
            outcome: Outcome::Graceful,
            closed_by: Some(ClosedBy::Local),
            exchanges: 3,
            lost_events: 2,
            ..connection(17)
        };
        assert_eq!(
            told(Record::Connection(Arc::new(ended))),
            format!(
                "{HEAD} closed by us after 1.2 s (78 B sent, 612 B received, 3 requests) missed 2 events!"
            )
        );
    }

    #[test]
    fn a_connection_that_outlives_the_tracer_is_still_in_its_state() {
        let told = told(Record::Connection(Arc::new(connection(17))));
        assert!(told.contains("still ESTABLISHED (78 B sent"), "{told}");
    }

    #[test]
    fn only_repeated_segments_and_resets_have_a_line() {
        let segment = |flags: &str, retransmit| Segment {
            conn: ConnId(17),
            at: ago(0),
            direction: Direction::Sent,
            flags: flags.into(),
            seq: 1,
            ack: None,
            payload_bytes: 0,
            retransmit,
        };
        assert_eq!(line(&Record::Segment(segment("S", false)), None), None);
        assert!(told(Record::Segment(segment("S", true))).ends_with("sent again: S seq 1, 0 B"));
        assert!(told(Record::Segment(segment("R", false))).ends_with("sent reset: R seq 1"));
    }

    #[test]
    fn losses_and_missing_hooks_are_told() {
        let loss = Loss { at: NOW, hook: "payload".to_owned(), events: 12 };
        assert_eq!(told(Record::Loss(loss)), "22:13:20.000 LOST 12 events of payload");
        let mut host = Host {
            schema: 1,
            version: "0.1.0".to_owned(),
            hostname: "web-1".to_owned(),
            kernel: "6.18.44".to_owned(),
            started_at: NOW,
            hooks: BTreeMap::from([("state".to_owned(), "attached".to_owned())]),
            show_secrets: false,
            filter: None,
        };
        let head = "22:13:20.000 tracer 0.1.0 on web-1, Linux 6.18.44,";
        assert_eq!(
            told(Record::Host(Arc::new(host.clone()))),
            format!("{head} all hooks attached")
        );
        host.hooks.insert("tls".to_owned(), "no uprobes".to_owned());
        assert_eq!(told(Record::Host(Arc::new(host))), format!("{head} without tls: no uprobes"));
    }

    #[test]
    fn names_from_outside_cannot_steer_the_terminal() {
        let evil = Connection { comm: Some("\x1b[2Jx\n".into()), ..connection(17) };
        let change = transition(17, TcpState::SynSent, TcpState::Established, NOW);
        for line in [line, coloured_line] {
            let line = line(&Record::Transition(change.clone()), Some(&evil)).unwrap();
            assert!(!line.contains("\x1b[2J") && !line.contains('\n'), "{line:?}");
        }
    }

    #[test]
    fn colours_only_add_what_a_terminal_takes_away() {
        let record = Record::Exchange(Arc::new(exchange(17, 1, 500)));
        let coloured = coloured_line(&record, Some(&connection(17))).unwrap();
        assert!(coloured.contains("\x1b[1;31m500\x1b[0m"));
        let stripped: String = (coloured.split('\x1b'))
            .map(|part| {
                part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |p| p.1)
            })
            .collect();
        assert_eq!(stripped, told(record));
    }

    #[test]
    fn colours_are_for_terminals_without_no_color() {
        let environment = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        assert!(wants_colours(true, environment(&[("TERM", "xterm")])));
        assert!(!wants_colours(false, environment(&[("TERM", "xterm")])));
        assert!(!wants_colours(true, environment(&[("NO_COLOR", "1")])));
        assert!(!wants_colours(true, environment(&[("TERM", "dumb")])));
    }
}
