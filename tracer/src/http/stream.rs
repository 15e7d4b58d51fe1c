//! One direction of a TCP connection, put in order by sequence number, holes and all.
//!
//! Positions are 64-bit: sequence numbers wrap, positions do not. In-order bytes pass through without
//! a copy; only what came early is held. A byte is *captured* (its value is here), *seen* (a packet
//! covered it, its value is not here) or part of a *hole* (no packet covered it).

use std::collections::VecDeque;

use super::moment::Moment;
use super::ranges::Ranges;
use crate::time::Timestamp;

/// Bookkeeping charged for a held piece beside its bytes.
const PIECE_BYTES: usize = 64;
/// Position of sequence number 0 of the first round: positions before it can still be told.
const FIRST_ROUND: u64 = 1 << 32;
/// A sequence number so far behind is old: no TCP window is larger (RFC 7323 section 2.3). Further
/// back means far ahead, after many lost events.
const MAX_WINDOW: u32 = 1 << 30;

/// Captured bytes as the engine is given them: one slice of a packet's payload.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    /// Sequence number of the packet's first payload byte.
    pub seq: u32,
    /// Payload bytes of the whole packet.
    pub packet_bytes: u32,
    /// Where in the packet `captured` begins.
    pub offset_bytes: u32,
    /// The captured bytes.
    pub captured: &'a [u8],
}

/// Bytes that came before their turn.
#[derive(Debug)]
struct Held {
    start: u64,
    at: Moment,
    begins_packet: bool,
    bytes: Box<[u8]>,
}

impl Held {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// What comes next in the stream.
#[derive(Debug)]
pub(super) enum Next {
    /// Captured bytes from `from` on; taken out of the stream.
    Bytes { at: Moment, begins_packet: bool, bytes: Box<[u8]>, from: usize },
    /// So many seen bytes; `wait_from`: when the first packet with captured bytes behind them passed.
    Seen { bytes: u64, at: Moment, wait_from: Option<Timestamp> },
    /// A hole of so many bytes, and when the first packet behind it passed.
    Hole { bytes: u64, wait_from: Timestamp },
    /// The sender's FIN.
    End,
    /// Nothing yet.
    Nothing,
}

/// The stream of one direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Position of the next byte to hand on; 0 before the stream has begun.
    next: u64,
    /// Position of the first byte.
    first: u64,
    /// Position behind the last byte that any packet covered.
    seen_end: u64,
    end: Option<(u64, Timestamp)>,
    held: VecDeque<Held>,
    held_bytes: usize,
    seen: Ranges,
}

impl Stream {
    pub fn has_begun(&self) -> bool {
        self.next != 0
    }

    /// Begins the stream at a sequence number; later calls change nothing.
    pub fn begin(&mut self, seq: u32) {
        if !self.has_begun() {
            self.next = FIRST_ROUND + u64::from(seq);
            self.first = self.next;
            self.seen_end = self.next;
        }
    }

    /// Whether nothing waits: the next in-order byte is the next thing to happen.
    pub fn is_clear(&self) -> bool {
        self.held.is_empty() && self.seen.is_empty() && self.end.is_none()
    }

    /// Whether captured bytes wait behind a hole.
    pub fn is_blocked(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether `seq` lies behind what was handed on.
    pub fn is_ahead(&self, seq: u32) -> bool {
        self.position_of(seq) > self.next
    }

    /// Bytes held, bookkeeping included.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Position of the next byte to hand on; sequence numbers are its lower 32 bits. 0 before the stream has begun.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Position of the first byte; 0 before the stream has begun.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Whether `seq` lies before the first byte: the stream began with a packet that overtook it.
    pub fn is_before_first(&self, seq: u32) -> bool {
        self.has_begun() && self.position_of(seq) < self.first
    }

    /// Position behind the last byte that any packet covered, whether it can be handed on or not; 0
    /// before the stream has begun.
    pub fn seen_end(&self) -> u64 {
        self.seen_end
    }

    /// Takes a slice. Where its bytes are next in order, gives those that are new and whether they begin
    /// their packet: they are then handed on already. `content_ahead`: so many bytes from here need no
    /// values, they are only noted as seen.
    pub fn offer<'a>(
        &mut self,
        at: Moment,
        slice: &Slice<'a>,
        content_ahead: u64,
    ) -> Option<(&'a [u8], bool)> {
        self.begin(slice.seq);
        let packet = self.position_of(slice.seq);
        let start = packet + u64::from(slice.offset_bytes);
        let end = start + slice.captured.len() as u64;
        let packet_end = end.max(packet + u64::from(slice.packet_bytes));
        if packet_end <= self.next || self.is_ended() {
            return None;
        }
        self.seen_end = self.seen_end.max(packet_end);
        if start <= self.next && self.next < end {
            let skip = usize::try_from(self.next - start).unwrap_or(usize::MAX);
            let begins_packet = self.next == packet;
            self.next = end;
            self.see(end, packet_end, at);
            return slice.captured.get(skip..).map(|fresh| (fresh, begins_packet));
        }
        let noted = self.see(packet.max(self.next), packet_end, at);
        if end > self.next && (end - self.next > content_ahead || !noted) {
            self.hold(start, at, start == packet, slice.captured);
        }
        None
    }

    /// Notes the FIN's sequence number. One that lies before bytes already handed on ends the stream here.
    pub fn end_at(&mut self, seq: u32, at: Timestamp) {
        self.begin(seq);
        if self.end.is_none() {
            self.end = Some((self.position_of(seq).max(self.next), at));
        }
    }

    /// Looks at what comes next. `Bytes` are taken out, the others stay until [`Stream::pass`]ed.
    pub fn look(&mut self) -> Next {
        self.forget_old();
        let ahead = self.held.front().map(|h| (h.start, h.at.at));
        if let Some((start, _)) = ahead
            && start <= self.next
            && let Some(held) = self.unhold()
        {
            let from = usize::try_from(self.next - start).unwrap_or(usize::MAX);
            self.next = held.end();
            return Next::Bytes {
                at: held.at,
                begins_packet: held.begins_packet && from == 0,
                bytes: held.bytes,
                from,
            };
        }
        if self.is_ended() {
            // What came early from behind the end never has its turn.
            self.held.clear();
            self.held_bytes = 0;
            return Next::End;
        }
        if let Some(seen) = self.seen.first().filter(|s| s.start <= self.next) {
            let end = ahead.map_or(seen.end, |(start, _)| seen.end.min(start));
            let wait_from = ahead.or(self.end).map(|(_, at)| at);
            return Next::Seen { bytes: end - self.next, at: seen.at, wait_from };
        }
        let behind = [ahead, self.seen.first().map(|s| (s.start, s.at.at)), self.end];
        let Some(&(to, _)) = behind.iter().flatten().min_by_key(|(to, _)| *to) else {
            return Next::Nothing;
        };
        let wait_from = behind.iter().flatten().map(|(_, at)| *at).min().unwrap_or_default();
        Next::Hole { bytes: to - self.next, wait_from }
    }

    /// Goes on behind bytes that have no values.
    pub fn pass(&mut self, bytes: u64) {
        self.next += bytes;
    }

    fn is_ended(&self) -> bool {
        self.end.is_some_and(|(end, _)| self.next >= end)
    }

    fn position_of(&self, seq: u32) -> u64 {
        let ahead = seq.wrapping_sub(self.next as u32);
        if ahead < MAX_WINDOW.wrapping_neg() {
            self.next + u64::from(ahead)
        } else {
            self.next.saturating_sub(u64::from(ahead.wrapping_neg()))
        }
    }

    /// Uncaptured bytes that find no room here count as a hole: what is told stays on the safe side.
    fn see(&mut self, start: u64, end: u64, at: Moment) -> bool {
        self.seen.add(start, end, at)
    }

    /// Holds the parts that are not held yet: of two copies the first one counts.
    fn hold(&mut self, start: u64, at: Moment, begins_packet: bool, bytes: &[u8]) {
        let end = start + bytes.len() as u64;
        let mut from = start.max(self.next);
        let mut i = self.held.partition_point(|h| h.end() <= from);
        while from < end {
            let to = self.held.get(i).map_or(end, |h| h.start.min(end));
            if let Some(part) = part(bytes, start, from, to) {
                let begins_packet = begins_packet && from == start;
                self.held_bytes += part.len() + PIECE_BYTES;
                self.held.insert(i, Held { start: from, at, begins_packet, bytes: part.into() });
                i += 1;
            }
            from = self.held.get(i).map_or(end, Held::end).max(to);
            i += 1;
        }
    }

    fn unhold(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.held_bytes -= held.bytes.len() + PIECE_BYTES;
        Some(held)
    }

    fn forget_old(&mut self) {
        while self.held.front().is_some_and(|h| h.end() <= self.next) {
            self.unhold();
        }
        self.seen.trim(self.next);
    }
}

/// `bytes` begin at `start`: those from `from` to `to`, if any.
fn part(bytes: &[u8], start: u64, from: u64, to: u64) -> Option<&[u8]> {
    let index = |position: u64| usize::try_from(position - start).ok();
    if from >= to { None } else { bytes.get(index(from)?..index(to)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at_ns: u64) -> Moment {
        Moment { at: Timestamp(at_ns), opposite_end: 0 }
    }

    fn slice(seq: u32, captured: &[u8]) -> Slice<'_> {
        Slice { seq, packet_bytes: captured.len() as u32, offset_bytes: 0, captured }
    }

    /// What can be handed on now, as text; seen bytes as `.`.
    fn drain(stream: &mut Stream) -> String {
        let mut text = String::new();
        loop {
            match stream.look() {
                Next::Bytes { bytes, from, .. } => {
                    text.push_str(&String::from_utf8_lossy(&bytes[from..]))
                }
                Next::Seen { bytes, .. } => {
                    stream.pass(bytes);
                    text.push_str(&".".repeat(bytes as usize));
                }
                _ => return text,
            }
        }
    }

    fn offer(stream: &mut Stream, slice: &Slice<'_>) -> String {
        let direct = stream.offer(moment(1), slice, 0);
        let mut text = String::from_utf8_lossy(direct.map_or(b"", |(bytes, _)| bytes)).into_owned();
        text.push_str(&drain(stream));
        text
    }

    #[test]
    fn in_order_bytes_pass_at_once() {
        let mut stream = Stream::default();
        stream.begin(10);
        assert_eq!(offer(&mut stream, &slice(10, b"abc")), "abc");
        assert_eq!(offer(&mut stream, &slice(13, b"de")), "de");
        assert_eq!(stream.held_bytes(), 0);
    }

    #[test]
    fn early_bytes_wait_and_repeats_and_overlaps_change_nothing() {
        let mut stream = Stream::default();
        stream.begin(0);
        assert_eq!(offer(&mut stream, &slice(6, b"ghi")), "");
        assert_eq!(offer(&mut stream, &slice(3, b"defgh")), "");
        assert_eq!(offer(&mut stream, &slice(4, b"efghijk")), "");
        assert!(matches!(stream.look(), Next::Hole { bytes: 3, .. }));
        assert_eq!(offer(&mut stream, &slice(0, b"abcd")), "abcdefghijk");
        assert_eq!(offer(&mut stream, &slice(0, b"abcd")), "");
        assert_eq!(offer(&mut stream, &slice(9, b"jklm")), "lm");
        assert_eq!(stream.held_bytes(), 0);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut stream = Stream::default();
        stream.begin(u32::MAX - 1);
        assert_eq!(offer(&mut stream, &slice(1, b"d")), "");
        assert_eq!(offer(&mut stream, &slice(u32::MAX - 1, b"abc")), "abcd");
        assert_eq!(offer(&mut stream, &slice(u32::MAX, b"bcdef")), "ef");
    }

    #[test]
    fn uncaptured_bytes_of_a_packet_are_seen_and_later_slices_fill_them() {
        let mut stream = Stream::default();
        stream.begin(0);
        let head = Slice { seq: 0, packet_bytes: 8, offset_bytes: 0, captured: b"abc" };
        assert_eq!(stream.offer(moment(1), &head, 0).unwrap().0, b"abc");
        assert!(matches!(stream.look(), Next::Seen { bytes: 5, wait_from: None, .. }));
        let tail = Slice { seq: 0, packet_bytes: 8, offset_bytes: 5, captured: b"fgh" };
        assert!(stream.offer(moment(2), &tail, 0).is_none());
        assert!(matches!(
            stream.look(),
            Next::Seen { bytes: 2, wait_from: Some(Timestamp(2)), .. }
        ));
        assert_eq!(drain(&mut stream), "..fgh");
    }

    #[test]
    fn content_whose_values_are_not_needed_is_not_held() {
        let mut stream = Stream::default();
        stream.begin(0);
        assert!(stream.offer(moment(1), &slice(100, &[b'x'; 50]), 150).is_none());
        assert_eq!(stream.held_bytes(), 0);
        assert!(stream.offer(moment(1), &slice(150, &[b'x'; 50]), 150).is_none());
        assert_eq!(stream.held_bytes(), 50 + PIECE_BYTES);
    }

    #[test]
    fn the_end_comes_after_the_last_byte_and_what_lies_behind_it_is_ignored() {
        let mut stream = Stream::default();
        stream.begin(0);
        stream.end_at(3, Timestamp(5));
        assert!(matches!(stream.look(), Next::Hole { bytes: 3, wait_from: Timestamp(5) }));
        assert_eq!(offer(&mut stream, &slice(0, b"abc")), "abc");
        assert!(matches!(stream.look(), Next::End));
        assert_eq!(offer(&mut stream, &slice(3, b"d")), "");
    }

    #[test]
    fn what_came_early_from_behind_the_end_is_not_held_any_longer() {
        let mut stream = Stream::default();
        stream.begin(0);
        assert_eq!(offer(&mut stream, &slice(9, b"behind")), "");
        stream.end_at(3, Timestamp(5));
        assert_eq!(offer(&mut stream, &slice(0, b"abc")), "abc");
        assert!(matches!(stream.look(), Next::End));
        assert_eq!(stream.held_bytes(), 0);
        assert!(!stream.is_blocked());
    }
}
