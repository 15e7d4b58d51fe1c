//! Properties over generated conversations: however they are cut, and whatever is lost of them.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::http::Head;

/// Content of a generated message.
#[derive(Clone, Debug)]
pub(super) enum Body {
    None,
    Length(usize),
    Chunked(Vec<usize>),
}

#[derive(Clone, Debug)]
pub(super) struct Pair {
    method: &'static str,
    request: Body,
    interim: usize,
    status: u16,
    response: Body,
    fields: usize,
    /// The content reads like messages.
    looks_like_http: bool,
}

/// A conversation by turns: so many requests, then their responses.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub turns: Vec<Vec<Pair>>,
    /// The last response ends with the connection.
    until_close: bool,
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::None),
        (0usize..3000).prop_map(Body::Length),
        prop::collection::vec(1usize..600, 0..4).prop_map(Body::Chunked),
    ]
}

fn pair() -> impl Strategy<Value = Pair> {
    let method = prop_oneof![Just("GET"), Just("HEAD"), Just("POST"), Just("PUT")];
    let status = prop_oneof![Just(200u16), Just(204), Just(304), Just(404)];
    (method, body(), 0usize..3, status, body(), 0usize..8, any::<bool>()).prop_map(
        |(method, request, interim, status, response, fields, looks_like_http)| Pair {
            method,
            request,
            interim,
            status,
            response,
            fields,
            looks_like_http,
        },
    )
}

/// Conversations whose client sends so many requests at once, always.
pub(super) fn conversation(at_once: std::ops::Range<usize>) -> impl Strategy<Value = Conversation> {
    let turns = prop::collection::vec(prop::collection::vec(pair(), at_once), 1..6);
    (turns, any::<bool>()).prop_map(|(turns, until_close)| Conversation { turns, until_close })
}

fn any_conversation() -> impl Strategy<Value = Conversation> {
    prop_oneof![conversation(1..2), conversation(2..5), conversation(1..5)]
}

/// What content that reads like messages is made of; no message has this id.
const FALSE_MESSAGES: &str = "HTTP/1.1 200 OK\r\nX-Id: 999999\r\nContent-Length: 10\r\n\r\n0123456789\
GET /999999 HTTP/1.1\r\nHost: x\r\n\r\n";

fn content(bytes: usize, looks_like_http: bool) -> String {
    let text = if looks_like_http { FALSE_MESSAGES } else { "x" };
    text.chars().cycle().take(bytes).collect()
}

fn framed(body: &Body, text: &mut String, with_content: bool, looks_like_http: bool) {
    match body {
        Body::None => text.push_str("Content-Length: 0\r\n\r\n"),
        Body::Length(n) => {
            text.push_str(&format!("Content-Length: {n}\r\n\r\n"));
            if with_content {
                text.push_str(&content(*n, looks_like_http));
            }
        }
        Body::Chunked(sizes) => {
            text.push_str("Transfer-Encoding: chunked\r\n\r\n");
            if with_content {
                for size in sizes {
                    let content = content(*size, looks_like_http);
                    text.push_str(&format!("{size:x};e=1\r\n{content}\r\n"));
                }
                text.push_str("0\r\nTrailer: t\r\n\r\n");
            }
        }
    }
}

const INTERIM: &str = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";

impl Pair {
    fn request(&self, id: usize) -> String {
        let mut text = format!("{} /{id} HTTP/1.1\r\nHost: h\r\n", self.method);
        (0..self.fields).for_each(|i| text.push_str(&format!("F-{i}: {}\r\n", "v".repeat(i * 7))));
        framed(&self.request, &mut text, true, self.looks_like_http);
        text
    }

    fn response(&self, id: usize, until_close: bool) -> String {
        let mut text = INTERIM.repeat(self.interim);
        text.push_str(&format!("HTTP/1.1 {} x\r\nX-Id: {id}\r\n", self.status));
        let has_content = self.method != "HEAD" && !matches!(self.status, 204 | 304);
        if until_close && has_content {
            text.push_str("\r\nzzzzz");
        } else {
            framed(&self.response, &mut text, has_content, self.looks_like_http);
        }
        text
    }
}

impl Conversation {
    /// Requests and responses of each turn as the streams carry them.
    pub fn bytes(&self) -> Vec<(String, String)> {
        let count: usize = self.turns.iter().map(Vec::len).sum();
        let mut ids = 0..count;
        let turn = |turn: &Vec<Pair>| {
            let ids: Vec<usize> = ids.by_ref().take(turn.len()).collect();
            let requests = turn.iter().zip(&ids).map(|(pair, &id)| pair.request(id)).collect();
            let last = |id| self.until_close && id + 1 == count;
            let responses =
                turn.iter().zip(&ids).map(|(pair, &id)| pair.response(id, last(id))).collect();
            (requests, responses)
        };
        self.turns.iter().map(turn).collect()
    }
}

/// Random choices that shrink with the case.
pub(super) struct Choices<'a> {
    pub tape: &'a [u16],
    pub next: usize,
}

impl Choices<'_> {
    pub fn below(&mut self, bound: usize) -> usize {
        let choice = self.tape[self.next % self.tape.len()];
        self.next += 1;
        // The position is mixed in so that a short tape does not repeat itself.
        let mixed =
            u64::from(choice).wrapping_add(self.next as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                >> 33;
        if bound == 0 { 0 } else { mixed as usize % bound }
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A slice of `text` within a packet, as ranges.
#[derive(Clone, Debug)]
struct Cut {
    packet: std::ops::Range<usize>,
    slice: std::ops::Range<usize>,
}

pub(super) fn partition(
    range: std::ops::Range<usize>,
    size: usize,
    choices: &mut Choices<'_>,
) -> Vec<std::ops::Range<usize>> {
    let mut parts = Vec::new();
    let mut from = range.start;
    while from < range.end {
        let to = range.end.min(from + 1 + choices.below(size));
        parts.push(from..to);
        from = to;
    }
    parts
}

/// `text` in packets, each in slices.
fn cuts(length: usize, size: usize, choices: &mut Choices<'_>) -> Vec<Cut> {
    let packets = partition(0..length, size, choices);
    let slices = |packet: std::ops::Range<usize>, choices: &mut Choices<'_>| {
        let size = if choices.one_in(2) { packet.len() } else { 40 };
        let slices = partition(packet.clone(), size, choices);
        slices.into_iter().map(move |slice| Cut { packet: packet.clone(), slice })
    };
    packets.into_iter().flat_map(|packet| slices(packet, choices).collect::<Vec<_>>()).collect()
}

impl Wire {
    fn cut(&mut self, direction: Direction, base: u32, text: &str, cut: &Cut) {
        self.slice(
            direction,
            Slice {
                seq: base.wrapping_add(cut.packet.start as u32),
                packet_bytes: cut.packet.len() as u32,
                offset_bytes: (cut.slice.start - cut.packet.start) as u32,
                captured: &text.as_bytes()[cut.slice.clone()],
            },
        );
    }

    /// All of `text`, cut, shuffled, repeated and overlapping.
    fn disorderly(&mut self, direction: Direction, text: &str, choices: &mut Choices<'_>) {
        let base = *self.seq(direction);
        let size = [3, 50, 700, 5000][choices.below(4)];
        let mut todo = cuts(text.len(), size, choices);
        for _ in 0..choices.below(4) {
            todo.extend(cuts(text.len(), 900, choices));
        }
        let distance = [1, 3, todo.len()][choices.below(3)];
        while !todo.is_empty() {
            let cut = todo.remove(choices.below(distance.min(todo.len())));
            self.cut(direction, base, text, &cut);
        }
        *self.seq(direction) = base.wrapping_add(text.len() as u32);
    }

    /// `text` in order, some packets lost, some captured in part. `tell_loss`: every loss is told.
    fn lossy(
        &mut self,
        direction: Direction,
        text: &str,
        tell_loss: bool,
        choices: &mut Choices<'_>,
    ) {
        let base = *self.seq(direction);
        let size = [100, 700, 5000][choices.below(3)];
        for packet in partition(0..text.len(), size, choices) {
            if choices.one_in(8) {
                if tell_loss || choices.one_in(4) {
                    self.lost();
                }
                continue;
            }
            let to = if choices.one_in(6) { packet.start + packet.len() / 2 } else { packet.end };
            self.cut(
                direction,
                base,
                text,
                &Cut { packet: packet.clone(), slice: packet.start..to },
            );
        }
        *self.seq(direction) = base.wrapping_add(text.len() as u32);
    }
}

/// A message without its times: head, content, and its place on the stream.
pub(super) type Half = (Head, u64, u32, Option<u64>);

/// An exchange without its times.
pub(super) type Timeless = (u64, Option<Half>, Option<Half>, Vec<u16>, bool, Option<u64>);

/// `client`, `server`: the streams' first sequence numbers.
pub(super) fn timeless(exchange: &Exchange, client: u32, server: u32) -> Timeless {
    let half = |half: &Option<Message>, first: u32| {
        let place = |m: &Message| m.seq.wrapping_sub(first);
        half.as_ref().map(|m| (m.head.clone(), m.body_bytes, place(m), m.wire_bytes))
    };
    let interim = exchange.interim.to_vec();
    (
        exchange.number,
        half(&exchange.request, client),
        half(&exchange.response, server),
        interim,
        exchange.complete(),
        exchange.missing_bytes(),
    )
}

/// The exchanges of the conversation with nothing cut or lost.
pub(super) fn in_order(conversation: &Conversation) -> Vec<Timeless> {
    let mut wire = Wire::new();
    for (requests, responses) in conversation.bytes() {
        wire.client(&requests).server(&responses);
    }
    wire.fin(Received).fin(Sent).close();
    wire.told.done.iter().map(|e| timeless(e, CLIENT_SEQ, SERVER_SEQ)).collect()
}

pub(super) fn request_id(exchange: &Exchange) -> Option<usize> {
    exchange.target().map(|target| target[1..].parse().unwrap())
}

pub(super) fn response_id(exchange: &Exchange) -> Option<usize> {
    exchange.response.as_ref()?.head.field("x-id").map(|id| id.parse().unwrap())
}

pub(super) fn tape() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn uncut_conversations_are_told_as_they_were_held(conversation in any_conversation()) {
        let told = in_order(&conversation);
        let pairs: Vec<_> = conversation.turns.iter().flatten().collect();
        prop_assert_eq!(told.len(), pairs.len());
        let (mut sent, mut received) = (0, 0);
        for (id, (pair, (_, request, response, interim, complete, missing))) in pairs.iter().zip(told).enumerate() {
            prop_assert!(complete && missing == Some(0));
            prop_assert_eq!(interim.len(), pair.interim);
            let size = |body: &Body| match body {
                Body::None => 0,
                Body::Length(n) => *n as u64,
                Body::Chunked(sizes) => sizes.iter().sum::<usize>() as u64,
            };
            let (_, bytes, place, wire_bytes) = request.unwrap();
            prop_assert_eq!(bytes, size(&pair.request));
            let length = pair.request(id).len();
            prop_assert_eq!((place as usize, wire_bytes), (sent, Some(length as u64)));
            sent += length;
            let (head, bytes, place, wire_bytes) = response.unwrap();
            let last = conversation.until_close && id + 1 == pairs.len();
            let length = pair.response(id, last).len();
            let interim = INTERIM.len() * pair.interim;
            prop_assert_eq!(place as usize, received + interim);
            prop_assert_eq!(wire_bytes, Some((length - interim) as u64));
            received += length;
            let until_close = head.field("content-length").is_none() && head.field("transfer-encoding").is_none();
            let empty = pair.method == "HEAD" || matches!(pair.status, 204 | 304);
            let expected = if empty { 0 } else if until_close { 5 } else { size(&pair.response) };
            prop_assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn however_the_streams_are_cut_repeated_overlapped_and_reordered_the_exchanges_are_the_same(
        conversation in any_conversation(), tape in tape(), opener_known in any::<bool>(), sent in any::<u32>(), received in any::<u32>(),
    ) {
        let mut choices = Choices { tape: &tape, next: 0 };
        let limits = Limits { max_held_bytes: 4 << 20, ..Limits::default() };
        let mut wire = Wire::with(HttpConnection::with_limits(opener_known.then_some(true), limits));
        (wire.sent, wire.received) = (sent, received);
        wire.http.start(Sent, sent);
        wire.http.start(Received, received);
        let mut before: Option<(u32, String)> = None;
        for (requests, responses) in conversation.bytes() {
            wire.disorderly(Sent, &requests, &mut choices);
            if let Some((base, text)) = &before {
                let late = cuts(text.len(), 300, &mut choices);
                late.iter().for_each(|cut| wire.cut(Received, *base, text, cut));
            }
            before = Some((wire.received, responses.clone()));
            wire.disorderly(Received, &responses, &mut choices);
        }
        wire.fin(Received).fin(Sent).close();
        let told: Vec<_> = wire.told.done.iter().map(|e| timeless(e, sent, received)).collect();
        prop_assert_eq!(told, in_order(&conversation));
        prop_assert_eq!(wire.http.counters(), super::super::Counters::default());
    }

    #[test]
    fn whatever_is_lost_nothing_is_mixed_up_and_what_is_told_complete_is_right(
        conversation in prop_oneof![conversation(1..2), conversation(2..5)], tape in tape(), known_start in any::<bool>(),
    ) {
        let whole = in_order(&conversation);
        let mut choices = Choices { tape: &tape, next: 0 };
        // What is lost before the first packet of a connection caught in the middle leaves no hole: it must be told.
        let mut wire = if known_start { Wire::new() } else { Wire::in_the_middle() };
        for (requests, responses) in conversation.bytes() {
            wire.lossy(Sent, &requests, !known_start, &mut choices);
            if choices.one_in(3) { wire.wait(); }
            wire.lossy(Received, &responses, !known_start, &mut choices);
            if choices.one_in(3) { wire.wait(); }
            prop_assert!(wire.http.buffered_bytes() < 1 << 20);
        }
        if choices.one_in(2) { wire.fin(Received); }
        wire.close();
        check_told(&wire.told.done, &whole)?;
    }
}

fn check_told(told: &[Exchange], whole: &[Timeless]) -> Result<(), TestCaseError> {
    let (mut numbers, mut requests, mut responses) =
        (HashSet::new(), HashSet::new(), HashSet::new());
    for exchange in told {
        let (request, response) = (request_id(exchange), response_id(exchange));
        prop_assert!(numbers.insert(exchange.number), "number {} twice", exchange.number);
        prop_assert!(request.is_none_or(|id| requests.insert(id)), "request {request:?} twice");
        prop_assert!(response.is_none_or(|id| responses.insert(id)), "response {response:?} twice");
        prop_assert!(exchange.request.is_some() || exchange.response.is_some());
        prop_assert!(
            exchange.request.is_none()
                || exchange.response.is_none()
                || response.is_none()
                || request == response,
            "{}",
            brief(exchange)
        );
        if exchange.complete() {
            let (_, request, response, interim, ..) = timeless(exchange, CLIENT_SEQ, SERVER_SEQ);
            let expected = &whole[request_id(exchange).unwrap()];
            prop_assert_eq!((&request, &response), (&expected.1, &expected.2));
            prop_assert!(interim.len() <= expected.3.len());
        }
    }
    let mut in_order: Vec<_> =
        told.iter().filter_map(|e| Some((e.number, request_id(e)?))).collect();
    in_order.sort_unstable();
    prop_assert!(in_order.is_sorted_by_key(|(_, id)| *id), "numbers follow the order of requests");
    Ok(())
}

/// Bytes that look like HTTP here and there.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n"[..],
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 101 x\r\n\r\n",
            b"HTTP/1.1 100 x\r\n\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"Content-Length: 5\r\n",
            b"Content-Length: 18446744073709551615\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"5\r\nabcde\r\n",
            b"0\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"HEAD /x HTTP/1.0\r\n\r\n",
            b"CONNECT h:1 HTTP/1.1\r\n\r\n",
            b" folded\r\n",
            b"\0\0\0\0",
            b":",
            b"\n",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(word, 0..8).prop_map(|words| words.concat())
}

#[derive(Clone, Debug)]
enum Call {
    Data { sent: bool, jump: i32, extra_bytes: u32, offset_bytes: u32, bytes: Vec<u8> },
    Fin { sent: bool, jump: i32 },
    Start { sent: bool, seq: u32 },
    Lost,
    Expire(u64),
    Close,
}

fn call() -> impl Strategy<Value = Call> {
    let jump = prop_oneof![5 => Just(0i32), 2 => -2000i32..2000, 1 => any::<i32>()];
    let extra = prop_oneof![4 => Just(0u32), 1 => 0u32..5000, 1 => any::<u32>()];
    let offset = prop_oneof![6 => Just(0u32), 1 => 0u32..500, 1 => any::<u32>()];
    prop_oneof![
        20 => (any::<bool>(), jump.clone(), extra, offset, noise()).prop_map(|(sent, jump, extra_bytes, offset_bytes, bytes)| Call::Data { sent, jump, extra_bytes, offset_bytes, bytes }),
        1 => (any::<bool>(), jump).prop_map(|(sent, jump)| Call::Fin { sent, jump }),
        1 => (any::<bool>(), any::<u32>()).prop_map(|(sent, seq)| Call::Start { sent, seq }),
        1 => Just(Call::Lost),
        1 => any::<u64>().prop_map(Call::Expire),
        1 => Just(Call::Close),
    ]
}

impl Wire {
    fn call(&mut self, call: &Call) {
        let way = |sent: bool| if sent { Sent } else { Received };
        match call {
            Call::Data { sent, jump, extra_bytes, offset_bytes, bytes } => {
                let seq = self.seq(way(*sent)).wrapping_add_signed(*jump);
                let packet_bytes = (bytes.len() as u32).saturating_add(*extra_bytes);
                self.slice(
                    way(*sent),
                    Slice { seq, packet_bytes, offset_bytes: *offset_bytes, captured: bytes },
                );
                *self.seq(way(*sent)) = seq.wrapping_add(packet_bytes);
            }
            Call::Fin { sent, jump } => {
                let seq = self.seq(way(*sent)).wrapping_add_signed(*jump);
                self.http.fin(way(*sent), self.now, seq, &mut self.told);
            }
            Call::Start { sent, seq } => self.http.start(way(*sent), *seq),
            Call::Lost => drop(self.lost()),
            Call::Expire(at) => self.http.expire(Timestamp(*at), &mut self.told),
            Call::Close => drop(self.close()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_calls_never_panic_and_memory_stays_bounded(
        calls in prop::collection::vec(call(), 1..60), hint in any::<Option<bool>>(),
    ) {
        let limits = Limits { max_head_bytes: 300, max_held_bytes: 2000, max_outstanding: 4, max_outstanding_bytes: 4000, max_seek_bytes: 5000, ..Limits::default() };
        let mut wire = Wire::with(HttpConnection::with_limits(hint, limits));
        // Two heads with the extra room for framing fields; heads in the queue; what is held, both ways.
        let bound = 2 * (300 + 4096 + 2) + 4000 + 2 * 2000;
        for call in &calls {
            wire.call(call);
            prop_assert!(wire.http.buffered_bytes() <= bound, "{} after {call:?}", wire.http.buffered_bytes());
        }
        let mut numbers = HashSet::new();
        wire.close();
        prop_assert!(wire.told.done.iter().all(|e| numbers.insert(e.number)));
        prop_assert_eq!(wire.http.next_deadline(), None);
        prop_assert_eq!(wire.http.buffered_bytes(), 0);
    }
}
