//! A request with its answer as slices.

use std::io;

use super::packets::Packets;
use super::proto::TrackEvent;
use super::track::Tracks;
use super::{annotation, flow};
use crate::export::Known;
use crate::record::Exchange;
use crate::sanitize::printable;
use crate::time::Timestamp;

/// A part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    name: &'static str,
    begin: Timestamp,
    end: Timestamp,
    /// Whether it is the answer, where the arrow from the request ends.
    is_answer: bool,
}

/// When an exchange was, and what it consists of.
#[derive(Debug, PartialEq, Eq)]
struct Course {
    begin: Timestamp,
    end: Timestamp,
    /// In the order of their begins; each ends before the next begins.
    parts: Vec<Part>,
    /// Those that overlap: an answer that came before the request was whole.
    beside: Vec<Part>,
}

/// Writes an exchange; `false` where neither half has a time.
pub fn write(
    exchange: &Exchange,
    known: &Known,
    tracks: &mut Tracks,
    packets: &mut Packets<'_>,
) -> io::Result<bool> {
    let Some(course) = Course::of(exchange) else { return Ok(false) };
    let end = known.end(exchange.conn);
    let arrow = flow::of_exchange(known, exchange.conn, exchange.number);
    let track = tracks.exchange(packets, exchange.conn, end.as_ref())?;
    packets.begin(track, course.begin, whole(exchange, arrow)?)?;
    for part in &course.parts {
        packets.begin(track, part.begin, part.event(arrow))?;
        packets.end(track, part.end)?;
    }
    packets.end(track, course.end)?;
    for part in &course.beside {
        let track = tracks.exchange(packets, exchange.conn, end.as_ref())?;
        packets.begin(track, part.begin, part.event(arrow))?;
        packets.end(track, part.end)?;
    }
    Ok(true)
}

fn whole(exchange: &Exchange, arrow: Option<u64>) -> io::Result<TrackEvent> {
    let has_request_time = exchange.request.as_ref().is_some_and(|request| request.at.is_some());
    let mut debug_annotations = annotation::of(exchange)?;
    if exchange.request.is_none() {
        debug_annotations.push(annotation::text("request", "not seen"));
    }
    if exchange.response.is_none() {
        debug_annotations.push(annotation::text("response", "not seen"));
    }
    if exchange.timing.receive_us.is_none() {
        debug_annotations.push(annotation::text("end", "not seen: the slice ends with what was"));
    }
    Ok(TrackEvent {
        name: Some(name(exchange)),
        categories: vec!["exchange".to_owned()],
        flow_ids: arrow.filter(|_| has_request_time).into_iter().collect(),
        debug_annotations,
        ..TrackEvent::default()
    })
}

/// `GET /a?b=1 200`, and in words what of it was not seen.
fn name(exchange: &Exchange) -> String {
    let request = match (&exchange.method, &exchange.target) {
        (Some(method), Some(target)) => printable(&format!("{method} {target}")).into_owned(),
        (Some(method), None) => printable(method).into_owned(),
        _ => "request not seen".to_owned(),
    };
    match exchange.status {
        Some(status) => format!("{request} {status}"),
        None => format!("{request}, no answer seen"),
    }
}

impl Part {
    fn event(&self, arrow: Option<u64>) -> TrackEvent {
        TrackEvent {
            name: Some(self.name.to_owned()),
            categories: vec!["exchange part".to_owned()],
            flow_ids: arrow.filter(|_| self.is_answer).into_iter().collect(),
            ..TrackEvent::default()
        }
    }
}

impl Course {
    /// `None` where neither half has a time.
    fn of(exchange: &Exchange) -> Option<Course> {
        let found = parts(exchange);
        let request_at = exchange.request.as_ref().and_then(|request| request.at);
        let begin = found.iter().map(|part| part.begin).chain(request_at).min()?;
        let end = found.iter().map(|part| part.end).chain(request_at).max()?;
        let mut course = Course { begin, end, parts: Vec::new(), beside: Vec::new() };
        for part in found {
            let free_from = course.parts.last().map_or(begin, |last| last.end);
            let fits = free_from <= part.begin;
            if fits { course.parts.push(part) } else { course.beside.push(part) }
        }
        Some(course)
    }
}

/// What has a time, in the order of begins. Each part lasts exactly as long as the record says; an answer whose end was not
/// seen lasts no time.
fn parts(exchange: &Exchange) -> Vec<Part> {
    let timing = &exchange.timing;
    let request_at = exchange.request.as_ref().and_then(|request| request.at);
    let answer_at = exchange.response.as_ref().and_then(|response| response.at);
    let ns = |us: u64| us.saturating_mul(1000);
    let part = |name, begin, end| Part { name, begin, end, is_answer: false };
    let request = request_at
        .zip(timing.send_us)
        .map(|(begin, us)| part("request", begin, begin.plus_ns(ns(us))));
    // Up to the answer's first byte, whose time is known to the nanosecond.
    let wait = answer_at
        .zip(timing.wait_us)
        .map(|(end, us)| part("wait", Timestamp(end.0.saturating_sub(ns(us))), end));
    let answer = answer_at.map(|begin| {
        let end = begin.plus_ns(ns(timing.receive_us.unwrap_or(0)));
        Part { is_answer: true, ..part("answer", begin, end) }
    });
    let mut parts: Vec<Part> = [request, wait, answer].into_iter().flatten().collect();
    parts.sort_by_key(|part| part.begin);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Request, Response, Timing};

    fn exchange(request_at: Option<u64>, answer_at: Option<u64>, timing: Timing) -> Exchange {
        Exchange {
            conn: crate::record::ConnId(1),
            number: 1,
            protocol: None,
            method: Some("GET".into()),
            scheme: None,
            authority: None,
            target: Some("/a\u{1b}".into()),
            status: None,
            reason: None,
            request: Some(Request { at: request_at.map(Timestamp), ..Request::default() }),
            response: Some(Response { at: answer_at.map(Timestamp), ..Response::default() }),
            timing,
            reused_connection: None,
            complete: false,
            missing_bytes: Some(0),
        }
    }

    fn timing(send_us: Option<u64>, wait_us: Option<u64>, receive_us: Option<u64>) -> Timing {
        Timing { send_us, wait_us, receive_us, ..Timing::default() }
    }

    fn times(parts: &[Part]) -> Vec<(&str, u64, u64)> {
        parts.iter().map(|part| (part.name, part.begin.0, part.end.0)).collect()
    }

    #[test]
    fn the_parts_of_an_exchange_last_as_long_as_the_record_says() {
        let told = exchange(Some(10_100), Some(20_900), timing(Some(2), Some(8), Some(30)));
        let course = Course::of(&told).unwrap();
        assert_eq!((course.begin.0, course.end.0), (10_100, 50_900));
        assert_eq!(
            times(&course.parts),
            [("request", 10_100, 12_100), ("wait", 12_900, 20_900), ("answer", 20_900, 50_900)]
        );
        assert!(course.beside.is_empty());
    }

    #[test]
    fn an_answer_before_the_request_was_whole_stands_beside_it() {
        let told = exchange(Some(10_000), Some(15_000), timing(Some(20), None, Some(2)));
        let course = Course::of(&told).unwrap();
        assert_eq!((course.begin.0, course.end.0), (10_000, 30_000));
        assert_eq!(times(&course.parts), [("request", 10_000, 30_000)]);
        assert_eq!(times(&course.beside), [("answer", 15_000, 17_000)]);
    }

    #[test]
    fn what_was_not_seen_has_no_part_and_no_time_of_its_own() {
        let unanswered = Course::of(&exchange(Some(10_000), None, timing(None, None, None)));
        let expected = Course {
            begin: Timestamp(10_000),
            end: Timestamp(10_000),
            parts: Vec::new(),
            beside: Vec::new(),
        };
        assert_eq!(unanswered, Some(expected));
        let cut = Course::of(&exchange(None, Some(9_000), timing(None, None, None))).unwrap();
        assert_eq!(times(&cut.parts), [("answer", 9_000, 9_000)]);
        assert_eq!(Course::of(&exchange(None, None, timing(Some(1), None, None))), None);
    }

    #[test]
    fn a_name_says_what_was_not_seen_and_cannot_act_on_a_terminal() {
        let told = exchange(Some(1), None, Timing::default());
        assert_eq!(name(&told), "GET /a\\x1b, no answer seen");
        let unseen = Exchange { method: None, target: None, status: Some(502), ..told };
        assert_eq!(name(&unseen), "request not seen 502");
    }
}
