//! What the eBPF programs do with a packet, step by step, without a kernel: for tests, fuzzing and
//! benchmarks.

extern crate std;

use core::ops::Range;
use std::vec::Vec;

use super::{
    Cursor, FirstBytes, Follower, LENGTH_BYTES, MAX_STEPS, REST_BYTES, WINDOW_SLACK_BYTES, Window,
    asked, must_capture, take,
};
use crate::{HEAD_BYTES, SMALL_PACKET_BYTES};

/// Takes a packet whose first byte has sequence number `seq`; `captured` gets the ranges of it that a program captures.
///
/// # Panics
/// Where a step uses more bytes than there are: a fault of the cursor.
pub fn packet(
    cursor: &mut Cursor,
    seq: u32,
    packet: &[u8],
    mut captured: impl FnMut(Range<usize>),
) {
    let length = packet.len() as u32;
    if length == 0 {
        return;
    }
    let is_small = length <= SMALL_PACKET_BYTES;
    cursor.start = first_bytes(packet).start() as u8;
    cursor.meet(seq, length);
    if is_small {
        captured(0..packet.len());
    } else if cursor.take == take::HEAD {
        captured(0..HEAD_BYTES);
    } else if cursor.take == take::WHOLE {
        captured(0..packet.len());
    }
    let is_whole = is_small || cursor.take == take::READ && cursor.is_in_doubt();
    if is_whole && !is_small {
        captured(0..packet.len());
    }
    for step in 0..MAX_STEPS {
        if cursor.take != take::READ {
            return;
        }
        let from = cursor.from as usize;
        if must_capture(step, if is_whole { length } else { length - cursor.from }) {
            cursor.run_out();
            captured(from..packet.len());
            return;
        }
        let bytes = &packet[from..];
        if cursor.follower() == Follower::Length as u32 {
            let at = cursor.go_on_behind_length(from as u32);
            let (words, there) = length_words(bytes);
            cursor.read_length(words, there);
            cursor.go_on(at, length);
            continue;
        }
        let used = read(cursor, bytes) as usize;
        assert!(used <= bytes.len(), "{used} of {} bytes used: {cursor:?}", bytes.len());
        if !is_whole {
            captured(from..from + used);
        }
        cursor.step(from as u32, used as u32, length);
    }
}

fn read(cursor: &mut Cursor, bytes: &[u8]) -> u32 {
    let follower = cursor.follower();
    if follower == Follower::Start as u32 {
        cursor.read_start(first_bytes(bytes), asked::OTHER)
    } else if follower == Follower::Head as u32 {
        in_window::<512>(bytes, |window| cursor.read_lines(window))
    } else if follower == Follower::Line as u32 {
        in_window::<64>(bytes, |window| cursor.read_chunk_lines(window))
    } else if follower == Follower::Lines as u32 {
        in_window::<1024>(bytes, |window| cursor.read_chunk_lines(window))
    } else {
        in_window::<{ REST_BYTES as usize }>(bytes, |window| cursor.read_rest(window))
    }
}

fn in_window<const N: usize>(bytes: &[u8], read: impl FnOnce(&Window<N>) -> u32) -> u32 {
    // What lies behind a packet's bytes may be anything, such as the lines of another head.
    let mut memory: Vec<u8> = b"\r\n\r\nContent-Length: 7\r\n".repeat((N + WINDOW_SLACK_BYTES) / 8);
    let known = bytes.len().min(N);
    memory[..known].copy_from_slice(&bytes[..known]);
    // SAFETY: the memory has more than N bytes and the slack, and outlives the window.
    read(&unsafe { Window::new(memory.as_ptr(), known as u32) })
}

fn first_bytes(bytes: &[u8]) -> FirstBytes {
    let ([a, b, ..], _) = words(bytes, 16);
    FirstBytes { words: [a, b], length: bytes.len() as u32 }
}

fn length_words(bytes: &[u8]) -> ([u64; super::LENGTH_WORDS], u32) {
    words(bytes, LENGTH_BYTES as usize)
}

/// Up to `most` of the bytes in words, zero behind them, and how many bytes those are.
fn words(bytes: &[u8], most: usize) -> ([u64; super::LENGTH_WORDS], u32) {
    let known = &bytes[..bytes.len().min(most)];
    let mut words = [0; super::LENGTH_WORDS];
    for (i, byte) in known.iter().enumerate() {
        words[i / 8] |= u64::from(*byte) << (8 * (i % 8));
    }
    (words, known.len() as u32)
}
