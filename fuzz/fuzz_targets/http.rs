//! Any sequence of calls: no panic, bounded memory, every exchange told once.
//!
//! `cargo +nightly fuzz run http`

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use tracer::http::{Exchanges, HttpConnection, Limits, Slice};
use tracer::tcp::Direction;
use tracer::time::Timestamp;

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

/// Two unfinished heads with their framing fields, heads in the queue, what is held in both directions.
const MAX_BUFFERED_BYTES: usize = 2 * (512 + 4096 + 2) + 4096 + 2 * 2048;

/// One call: a byte says which, three more with what, then as many bytes as one of them says.
struct Calls<'a>(&'a [u8]);

impl<'a> Calls<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }
}

fuzz_target!(|data: &[u8]| {
    let mut calls = Calls(data);
    let Some(first) = calls.byte() else { return };
    let hint = [None, Some(true), Some(false)][usize::from(first % 3)];
    let mut http = HttpConnection::with_limits(hint, limits());
    let mut told = Exchanges::default();
    let mut seqs = [u32::MAX - 100, 7];
    if first & 0x80 != 0 {
        http.start(Direction::Sent, seqs[0]);
        http.start(Direction::Received, seqs[1]);
    }
    let mut now = Timestamp(1);
    while let (Some(kind), Some(jump), Some(extra), Some(length)) = (calls.byte(), calls.byte(), calls.byte(), calls.byte()) {
        now = now.plus_ns(u64::from(extra) << 20);
        let side = usize::from(kind & 1);
        let direction = [Direction::Sent, Direction::Received][side];
        let seq = seqs[side].wrapping_add_signed(i32::from(jump.cast_signed()) * if kind & 2 == 0 { 0 } else { 1 << (kind >> 3) });
        match kind >> 2 & 7 {
            0 => http.fin(direction, now, seq, &mut told),
            1 => http.lost(now, &mut told),
            2 => http.expire(now, &mut told),
            _ => {
                let captured = calls.take(usize::from(length));
                let packet_bytes = captured.len() as u32 + if kind & 0x40 == 0 { 0 } else { u32::from(extra) };
                let offset_bytes = if kind & 0x80 == 0 { 0 } else { u32::from(extra) };
                http.data(direction, now, Slice { seq, packet_bytes, offset_bytes, captured }, &mut told);
                seqs[side] = seq.wrapping_add(packet_bytes);
            }
        }
        assert!(http.buffered_bytes() <= MAX_BUFFERED_BYTES);
    }
    http.close(now, &mut told);
    let mut numbers = HashSet::new();
    assert!(told.done.iter().all(|exchange| numbers.insert(exchange.number)));
    assert!(told.done.iter().all(|exchange| exchange.request.is_some() || exchange.response.is_some()));
});
