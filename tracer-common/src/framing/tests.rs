//! Whole streams, in packets of any size: what a reader needs is captured, and little else.

extern crate std;

use std::{format, string::String, vec, vec::Vec};

use super::*;

/// A pseudorandom sequence (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }
}

/// One direction as the programs follow it.
struct Direction {
    cursor: Cursor,
    captured: Vec<bool>,
}

impl Direction {
    fn new(stream: &[u8]) -> Self {
        let mut cursor = Cursor::default();
        cursor.begin(0, 0);
        Direction { cursor, captured: vec![false; stream.len()] }
    }

    /// A step: gives how many bytes it used.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let used = match Follower::ALL[self.cursor.follower() as usize].0 {
            Follower::Start => self.cursor.read_start(first_bytes(bytes), asked::OTHER),
            Follower::Head => self.cursor.read_lines(&window::<1024>(bytes)),
            Follower::Line => self.cursor.read_chunk_lines(&window::<64>(bytes)),
            Follower::Lines => self.cursor.read_chunk_lines(&window::<1024>(bytes)),
            Follower::Rest => self.cursor.read_rest(&window::<4096>(bytes)),
            Follower::Length => unreachable!("it uses nothing"),
        };
        used as usize
    }

    fn read_length(&mut self, bytes: &[u8], from: u32, packet_bytes: u32) {
        let mut text = bytes[..bytes.len().min(LENGTH_BYTES as usize)].to_vec();
        let there = text.len() as u32;
        text.resize(LENGTH_BYTES as usize, 0);
        let word = |i: usize| u64::from_le_bytes(text[8 * i..8 * i + 8].try_into().unwrap());
        let at = self.cursor.go_on_behind_length(from);
        self.cursor.read_length(core::array::from_fn(word), there);
        self.cursor.go_on(at, packet_bytes);
    }

    fn packet(&mut self, stream: &[u8], at: usize, length: usize) {
        let packet = &stream[at..at + length];
        self.cursor.start = first_bytes(packet).start() as u8;
        self.cursor.meet(at as u32, length as u32);
        if self.cursor.take == take::HEAD {
            self.captured[at..at + length.min(256)].fill(true);
        }
        for step in 0..MAX_STEPS {
            if self.cursor.take != take::READ {
                return;
            }
            let from = self.cursor.from as usize;
            if must_capture(step, (length - from) as u32) && !self.cursor.is_lost() {
                self.cursor.lose();
            }
            if self.cursor.follower() == Follower::Length as u32 {
                self.read_length(&packet[from..], from as u32, length as u32);
                continue;
            }
            let used = self.step(&packet[from..]);
            assert!(used <= length - from, "{:?}", self.cursor);
            self.captured[at + from..at + from + used].fill(true);
            self.cursor.step(from as u32, used as u32, length as u32);
        }
        self.cursor.lose();
    }
}

fn first_bytes(bytes: &[u8]) -> FirstBytes {
    let mut first = [0; 16];
    let known = bytes.len().min(16);
    first[..known].copy_from_slice(&bytes[..known]);
    let words = [0, 8].map(|at| u64::from_le_bytes(first[at..at + 8].try_into().unwrap()));
    FirstBytes { words, length: bytes.len() as u32 }
}

/// A window over the first bytes, in memory that is never given back.
fn window<const N: usize>(bytes: &[u8]) -> Window<N> {
    // What lies behind a packet's bytes may be anything, such as the lines of another head.
    let mut memory: Vec<u8> = b"\r\n\r\nContent-Length: 7\r\n".repeat(N / 10);
    let known = bytes.len().min(N);
    memory[..known].copy_from_slice(&bytes[..known]);
    // SAFETY: the memory has more than N bytes and the slack.
    unsafe { Window::new(memory.leak().as_ptr(), known as u32) }
}

/// A message, and which of its bytes a reader has to have.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    needed: Vec<bool>,
}

impl Stream {
    fn push(&mut self, bytes: &[u8], needed: bool) {
        self.bytes.extend_from_slice(bytes);
        self.needed.resize(self.bytes.len(), needed);
    }

    fn content(&mut self, length: usize, random: &mut Random) {
        let filler: Vec<u8> =
            (0..length).map(|_| b"x\r\n1aHTTP/1.1 200 "[random.below(18)]).collect();
        self.push(&filler, false);
    }

    fn response(&mut self, random: &mut Random) {
        let fields: String = (0..random.below(12))
            .map(|i| format!("F{i}: {}\r\n", "v".repeat(random.below(90))))
            .collect();
        match random.below(5) {
            0 => {
                let length = random.below(200_000);
                self.push(
                    format!("HTTP/1.1 200 OK\r\n{fields}Content-LENGTH: {length}\r\n\r\n")
                        .as_bytes(),
                    true,
                );
                self.content(length, random);
            }
            1 => self.push(
                format!("HTTP/1.1 304 x\r\n{fields}Content-Length: 99\r\n\r\n").as_bytes(),
                true,
            ),
            2 => self.push(format!("HTTP/1.1 103 x\r\n{fields}\r\n").as_bytes(), true),
            _ => {
                self.push(
                    format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{fields}\r\n")
                        .as_bytes(),
                    true,
                );
                let largest = [30, 3000, 70_000][random.below(3)];
                for _ in 0..random.below(20) {
                    let size = 1 + random.below(largest);
                    let extension = if random.below(8) == 0 { ";name=value" } else { "" };
                    self.push(format!("{size:x}{extension}\r\n").as_bytes(), true);
                    self.content(size, random);
                    self.push(b"\r\n", true);
                }
                let trailer = if random.below(3) == 0 { "Trailer: t\r\n" } else { "" };
                self.push(format!("0\r\n{trailer}\r\n").as_bytes(), true);
            }
        }
    }
}

/// Streams cut into packets of up to `largest` bytes: how many needed bytes were not captured, and the share of
/// content that was.
fn run(seed: u64, largest: usize) -> (usize, usize, usize) {
    let mut random = Random(seed);
    let mut stream = Stream::default();
    (0..8).for_each(|_| stream.response(&mut random));
    let mut follower = Direction::new(&stream.bytes);
    let mut at = 0;
    while at < stream.bytes.len() {
        let length = (1 + random.below(largest)).min(stream.bytes.len() - at);
        follower.packet(&stream.bytes, at, length);
        at += length;
    }
    let pairs = || stream.needed.iter().zip(&follower.captured);
    (
        pairs().filter(|(needed, captured)| **needed && !**captured).count(),
        pairs().filter(|(needed, captured)| !**needed && **captured).count(),
        stream.needed.iter().filter(|needed| !**needed).count(),
    )
}

#[test]
fn every_byte_that_is_needed_is_captured_in_any_packet_layout() {
    for seed in 1..150 {
        for largest in [1, 3, 20, 700, 1460, 9000] {
            if largest < 20 && seed > 20 {
                continue;
            }
            let (missed, ..) = run(seed * 7919, largest);
            assert_eq!(missed, 0, "seed {seed}, packets up to {largest}");
        }
    }
}

#[test]
fn content_of_large_messages_is_not_captured() {
    let (mut captured, mut content) = (0, 0);
    for seed in 1..200 {
        let (_, some, of) = run(seed * 104_729, 65_000);
        captured += some;
        content += of;
    }
    assert!(captured * 10 < content, "{captured} of {content} bytes of content were captured");
}
