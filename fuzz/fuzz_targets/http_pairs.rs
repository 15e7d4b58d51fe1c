//! Valid HTTP/1.1 in any packets: without losses every exchange is paired, complete and exact; with
//! losses, and from the middle of a connection, no response is paired with another one's request.
//!
//! Each request has its number as its target, and each response the number of its request in a
//! field of its head.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::http::{Exchanges, HttpConnection, Limits, Message, Slice};
use tracer::tcp::Direction;
use tracer::time::Timestamp;
use tracer_fuzz::Choices;

const MAX_EXCHANGES: usize = 40;
/// Sizes of content.
const BODY_BYTES: [usize; 8] = [0, 1, 17, 256, 1000, 1460, 4096, 9000];
/// Lengths of packets.
const PACKET_BYTES: [usize; 8] = [1, 2, 7, 64, 536, 1460, 16_384, 65_483];
/// Between two rounds of the connection.
const ROUND_NS: u64 = 1_000_000;

/// A message of a connection.
struct Sent {
    bytes: Vec<u8>,
    body_bytes: u64,
}

/// How much content, and how it is framed.
#[derive(Clone, Copy)]
enum Framing {
    None,
    Length(usize),
    Chunked(usize, usize),
}

impl Framing {
    fn choose(choices: &mut Choices<'_>) -> Self {
        let bytes = choices.one_of(&BODY_BYTES);
        match choices.below(2) {
            0 => Framing::Length(bytes),
            _ => Framing::Chunked(bytes, 1 + choices.below(256) * 37),
        }
    }
}

/// `head` without its empty line, the framing field, the empty line and the content.
fn message(head: String, framing: Framing) -> Sent {
    let mut bytes = head.into_bytes();
    let body_bytes = match framing {
        Framing::None => {
            bytes.extend_from_slice(b"\r\n");
            0
        }
        Framing::Length(length) => {
            bytes.extend_from_slice(format!("content-length: {length}\r\n\r\n").as_bytes());
            bytes.resize(bytes.len() + length, b'x');
            length
        }
        Framing::Chunked(length, chunk) => {
            bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            let mut left = length;
            while left > 0 {
                let size = left.min(chunk);
                bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                bytes.resize(bytes.len() + size, b'x');
                bytes.extend_from_slice(b"\r\n");
                left -= size;
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            length
        }
    };
    Sent { bytes, body_bytes: body_bytes as u64 }
}

/// A request and its response.
fn exchange(number: usize, choices: &mut Choices<'_>) -> (Sent, Sent) {
    let method = choices.one_of(&["GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE"]);
    let has_content = matches!(method, "POST" | "PUT");
    let framing = if has_content { Framing::choose(choices) } else { Framing::None };
    let request = message(format!("{method} /{number} HTTP/1.1\r\nhost: a\r\n"), framing);
    let status = choices.one_of(&[200, 404, 201, 304, 204, 500]);
    let has_no_content = method == "HEAD" || matches!(status, 204 | 304);
    let framing = if has_no_content { Framing::None } else { Framing::choose(choices) };
    let response = message(format!("HTTP/1.1 {status} Word\r\nnumber: {number}\r\n"), framing);
    (request, response)
}

/// The wire in one direction.
struct Way {
    direction: Direction,
    seq: u32,
}

/// A connection and what its packets go through.
struct Wire<'a, 'b> {
    choices: &'a mut Choices<'b>,
    http: HttpConnection,
    exchanges: Exchanges,
    now: Timestamp,
    is_lossy: bool,
}

impl Wire<'_, '_> {
    /// Sends bytes in packets of a chosen length, in a chosen order, some of them twice.
    fn send(&mut self, way: &mut Way, bytes: &[u8]) {
        let length = self.choices.one_of(&PACKET_BYTES);
        let seqs = (0_u32..).map(|i| way.seq.wrapping_add(i * length as u32));
        let mut packets: Vec<(u32, &[u8])> = seqs.zip(bytes.chunks(length)).collect();
        way.seq = way.seq.wrapping_add(bytes.len() as u32);
        // A few disturbances; all of them at one time, so that nothing is waited for in vain.
        for _ in 0..self.choices.below(4) {
            let at = self.choices.below(packets.len().min(256));
            match self.choices.below(4) {
                0 => packets.swap(at, 0),
                1 => packets.push(packets[at]),
                2 => packets[at..].reverse(),
                _ if self.is_lossy && packets.len() > 1 => drop(packets.remove(at)),
                _ => {}
            }
        }
        for (seq, captured) in packets {
            let packet_bytes = captured.len() as u32;
            let slice = Slice { seq, packet_bytes, offset_bytes: 0, captured };
            self.http.data(way.direction, self.now, slice, &mut self.exchanges);
        }
        if self.is_lossy && self.choices.below(4) == 1 {
            self.http.lost(self.now, &mut self.exchanges);
        }
        self.now = self.now.plus_ns(ROUND_NS);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let choices = &mut choices;
    let client_is_local = choices.below(2) == 0;
    let is_lossy = choices.below(2) == 1;
    let from_the_middle = is_lossy && choices.below(2) == 1;
    let directions = [Direction::Sent, Direction::Received];
    let [to_server, to_client] =
        if client_is_local { directions } else { [directions[1], directions[0]] };
    let mut to_server = Way { direction: to_server, seq: 0xffff_fff0 };
    let mut to_client = Way { direction: to_client, seq: 4711 };
    // What waits for its turn must not be given up for its size.
    let limits = Limits { max_held_bytes: 64 << 20, ..Limits::default() };
    let http = HttpConnection::with_limits((!from_the_middle).then_some(client_is_local), limits);
    let mut wire =
        Wire { choices, http, exchanges: Exchanges::default(), now: Timestamp(1), is_lossy };
    if !from_the_middle {
        wire.http.start(to_server.direction, to_server.seq);
        wire.http.start(to_client.direction, to_client.seq);
    }
    let mut expected = Vec::new();
    while !wire.choices.is_empty() && expected.len() < MAX_EXCHANGES {
        // Most clients send one request at a time, some more.
        let pipelined = 1 + wire.choices.below(256) / 100;
        let round: Vec<_> =
            (0..pipelined).map(|i| exchange(expected.len() + i, wire.choices)).collect();
        let of = |pick: fn(&(Sent, Sent)) -> &Sent| -> Vec<u8> {
            round.iter().flat_map(|both| pick(both).bytes.iter().copied()).collect()
        };
        let requests = of(|both| &both.0);
        let responses = of(|both| &both.1);
        let middle = if from_the_middle && expected.is_empty() {
            wire.choices.below(256) % responses.len()
        } else {
            0
        };
        if middle == 0 {
            wire.send(&mut to_server, &requests);
        }
        wire.send(&mut to_client, &responses[middle..]);
        expected.extend(round.iter().map(|(q, s)| (q.body_bytes, s.body_bytes)));
    }
    wire.http.close(wire.now, &mut wire.exchanges);
    let mut found = wire.exchanges.done;
    found.sort_by_key(|exchange| exchange.number);
    for exchange in &found {
        if let (Some(request), Some(response)) = (&exchange.request, &exchange.response) {
            let numbers = number_of(request).zip(number_of(response));
            assert!(numbers.is_none_or(|(one, other)| one == other), "a wrong pair: {numbers:?}");
        }
    }
    if is_lossy {
        return;
    }
    assert_eq!(found.len(), expected.len());
    for (number, (exchange, (request_bytes, response_bytes))) in
        found.iter().zip(expected).enumerate()
    {
        let request = exchange.request.as_ref().expect("a request");
        let response = exchange.response.as_ref().expect("a response");
        assert_eq!(number_of(request), Some(number.to_string().as_str()));
        assert!(exchange.complete(), "{exchange:?}");
        assert_eq!((request.body_bytes, response.body_bytes), (request_bytes, response_bytes));
    }
});

/// The number that a message carries; `None` where that part of its head was lost.
fn number_of(message: &Message) -> Option<&str> {
    message.head.target().strip_prefix('/').or_else(|| message.head.field("number"))
}
