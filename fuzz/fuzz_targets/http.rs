//! Any sequence of calls: no panic, bounded memory, every exchange reported once.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use tracer::http::{Exchanges, HttpConnection, Limits, Slice};
use tracer::tcp::Direction;
use tracer::time::Timestamp;
use tracer_fuzz::Choices;

/// Small, so that the fuzzer reaches them.
fn limits() -> Limits {
    Limits {
        max_head_bytes: 512,
        max_held_bytes: 2048,
        max_outstanding: 4,
        max_outstanding_bytes: 4096,
        max_seek_bytes: 8192,
        ..Limits::default()
    }
}

/// Two unfinished heads with their framing fields, heads in the queue, what is held in both
/// directions.
const MAX_BUFFERED_BYTES: usize = 2 * (512 + 4096 + 2) + 4096 + 2 * 2048;

fuzz_target!(|data: &[u8]| {
    let mut calls = Choices::new(data);
    let Some(first) = calls.next() else { return };
    let hint = [None, Some(true), Some(false)][usize::from(first % 3)];
    let mut http = HttpConnection::with_limits(hint, limits());
    let mut exchanges = Exchanges::default();
    let mut seqs = [u32::MAX - 100, 7];
    if first & 0x80 != 0 {
        http.start(Direction::Sent, seqs[0]);
        http.start(Direction::Received, seqs[1]);
    }
    let mut now = Timestamp(1);
    // A byte says which call, three more with what, then come as many bytes as the last one says.
    while let &[kind, jump, extra, length] = calls.take(4) {
        now = now.plus_ns(u64::from(extra) << 20);
        let side = usize::from(kind & 1);
        let direction = [Direction::Sent, Direction::Received][side];
        let jump = if kind & 2 == 0 { 0 } else { i32::from(jump.cast_signed()) << (kind >> 3) };
        let seq = seqs[side].wrapping_add_signed(jump);
        match kind >> 2 & 7 {
            0 => http.fin(direction, now, seq, &mut exchanges),
            1 => http.lost(now, &mut exchanges),
            2 => http.expire(now, &mut exchanges),
            _ => {
                let captured = calls.take(usize::from(length));
                let unseen = if kind & 0x40 == 0 { 0 } else { u32::from(extra) };
                let packet_bytes = captured.len() as u32 + unseen;
                let offset_bytes = if kind & 0x80 == 0 { 0 } else { u32::from(extra) };
                let slice = Slice { seq, packet_bytes, offset_bytes, captured };
                http.data(direction, now, slice, &mut exchanges);
                seqs[side] = seq.wrapping_add(packet_bytes);
            }
        }
        assert!(http.buffered_bytes() <= MAX_BUFFERED_BYTES);
    }
    http.close(now, &mut exchanges);
    let mut numbers = HashSet::new();
    assert!(exchanges.done.iter().all(|exchange| numbers.insert(exchange.number)));
    let is_empty = |e: &tracer::http::Exchange| e.request.is_none() && e.response.is_none();
    assert!(!exchanges.done.iter().any(is_empty));
});
