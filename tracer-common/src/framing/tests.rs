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
    let mut captured = vec![false; stream.bytes.len()];
    let mut cursor = Cursor::default();
    cursor.begin(0, 0);
    let mut at = 0;
    while at < stream.bytes.len() {
        let length = (1 + random.below(largest)).min(stream.bytes.len() - at);
        let packet = &stream.bytes[at..at + length];
        model::packet(&mut cursor, at as u32, packet, |range| {
            captured[at + range.start..at + range.end].fill(true);
        });
        at += length;
    }
    let pairs = || stream.needed.iter().zip(&captured);
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
    assert!(captured * 8 < content, "{captured} of {content} bytes of content were captured");
}

#[test]
fn any_bytes_in_any_packets_stay_within_their_packets() {
    let mut random = Random(0x5eed);
    let words: [&[u8]; 12] = [
        b"HTTP/1.1 200 OK\r\n",
        b"GET / HTTP/1.1\r\n",
        b"Content-Length: ",
        b"\r\n",
        b"\r\n\r\n",
        b"1a\r\n",
        b"0\r\n\r\n",
        b"ffffffff\r\n",
        b"PROXY TCP4 x\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"x",
        b"7",
    ];
    for _ in 0..3000 {
        let mut cursor = Cursor::default();
        let mut seq = u32::MAX - 1000;
        for _ in 0..20 {
            let mut packet = Vec::new();
            let most = [2, 20, 400][random.below(3)];
            for _ in 0..1 + random.below(most) {
                packet.extend_from_slice(words[random.below(words.len())]);
            }
            let jump = if random.below(8) == 0 { random.below(4000) as i32 - 2000 } else { 0 };
            model::packet(&mut cursor, seq.wrapping_add_signed(jump), &packet, |range| {
                assert!(range.start <= range.end && range.end <= packet.len());
            });
            seq = seq.wrapping_add(packet.len() as u32);
        }
    }
}
