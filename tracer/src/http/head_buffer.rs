//! A head that comes in parts: kept until it is whole, within bounds.

use memchr::{memchr, memrchr};

use super::lines::BlankLine;
use crate::time::Timestamp;

/// Longest field line that is still looked at behind the bound.
const LINE_BYTES: usize = 512;
/// Bytes of such lines that are kept.
const EXTRA_BYTES: usize = 4096;

/// Collects the bytes of one head. Nothing is allocated while there is none: heads mostly come whole.
#[derive(Debug, Default)]
pub(super) struct HeadBuffer(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    blank: BlankLine,
    first_at: Timestamp,
    cut_bytes: u64,
    /// The line being read once `bytes` has reached its bound.
    line: Option<Line>,
    /// Bytes of lines kept beyond the bound.
    extra_bytes: usize,
    framing_cut: bool,
}

#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// Its whole length.
    length: u64,
}

/// What the pushed bytes did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// All taken, the head goes on.
    More,
    /// The head ended with this many of them.
    Whole(usize),
    /// The start line alone is longer than a head may be.
    TooLong,
}

impl HeadBuffer {
    /// The bytes kept so far. Of a head beyond the bound: the lines before it, and framing fields behind it.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| &kept.bytes)
    }

    /// Whether no head is being collected.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// When the head's first byte passed.
    pub fn first_at(&self) -> Timestamp {
        self.0.as_ref().map_or_else(Timestamp::default, |kept| kept.first_at)
    }

    /// Bytes of the head that are not in [`HeadBuffer::bytes`].
    pub fn cut_bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |kept| kept.cut_bytes)
    }

    /// Whether a field that says where the message ends had to be dropped.
    pub fn framing_cut(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.framing_cut)
    }

    /// Forgets the head and gives its memory back.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Takes bytes up to the end of the head; `max_bytes` are kept.
    pub fn push(&mut self, at: Timestamp, bytes: &[u8], max_bytes: usize) -> Pushed {
        self.0.get_or_insert_default().push(at, bytes, max_bytes)
    }
}

impl Kept {
    fn push(&mut self, at: Timestamp, bytes: &[u8], max_bytes: usize) -> Pushed {
        if self.bytes.is_empty() {
            self.first_at = at;
        }
        let end = self.blank.find(bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = max_bytes.saturating_sub(self.bytes.len());
        if self.line.is_none() && part.len() <= room {
            self.bytes.extend_from_slice(part);
        } else if !self.push_beyond(part, room, end.is_some()) {
            return Pushed::TooLong;
        }
        end.map_or(Pushed::More, Pushed::Whole)
    }

    /// Keeps what fits and of the rest only the lines that say where the message ends.
    fn push_beyond(&mut self, part: &[u8], room: usize, ended: bool) -> bool {
        let mut rest = part;
        if self.line.is_none() {
            let (fits, beyond) = part.split_at(room.min(part.len()));
            self.bytes.extend_from_slice(fits);
            let Some(last_line) = memrchr(b'\n', &self.bytes).map(|i| i + 1) else { return false };
            let mut line = Line::default();
            line.push(&self.bytes[last_line..]);
            self.bytes.truncate(last_line);
            self.line = Some(line);
            rest = beyond;
        }
        while let Some(i) = memchr(b'\n', rest) {
            self.end_line(&rest[..=i]);
            rest = &rest[i + 1..];
        }
        if let Some(line) = &mut self.line {
            line.push(rest);
        }
        if ended {
            self.bytes.extend_from_slice(b"\r\n");
        }
        true
    }

    fn end_line(&mut self, last: &[u8]) {
        let Some(mut line) = self.line.replace(Line::default()) else { return };
        line.push(last);
        let framing = is_framing(&line.bytes);
        let fits =
            line.length <= LINE_BYTES as u64 && self.extra_bytes + line.bytes.len() <= EXTRA_BYTES;
        if framing && fits {
            self.extra_bytes += line.bytes.len();
            self.bytes.extend_from_slice(&line.bytes);
        } else if line.length > 2 {
            self.framing_cut |= framing;
            self.cut_bytes += line.length;
        }
        if let Some(next) = &mut self.line {
            next.bytes = line.bytes;
            next.bytes.clear();
        }
    }
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        self.length += part.len() as u64;
    }
}

fn is_framing(line: &[u8]) -> bool {
    let name = &line[..memchr(b':', line).unwrap_or(0)];
    [&b"content-length"[..], b"transfer-encoding"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 100;

    fn push_cut(text: &[u8], size: usize) -> HeadBuffer {
        let mut buffer = HeadBuffer::default();
        let mut used = 0;
        for part in text.chunks(size) {
            match buffer.push(Timestamp(1), part, MAX_BYTES) {
                Pushed::More => used += part.len(),
                Pushed::Whole(n) => {
                    assert_eq!(used + n, text.len());
                    return buffer;
                }
                Pushed::TooLong => panic!("too long"),
            }
        }
        panic!("no end");
    }

    #[test]
    fn a_head_within_the_bound_is_kept_whole() {
        let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for size in 1..text.len() {
            assert_eq!(push_cut(text, size).bytes(), text);
        }
    }

    #[test]
    fn beyond_the_bound_only_framing_fields_are_kept_and_the_rest_is_counted() {
        let cookie = format!("Cookie: {}\r\n", "c".repeat(1000));
        let other = format!("X: {}\r\n", "x".repeat(20));
        let text =
            format!("POST / HTTP/1.1\r\n{cookie}{}Content-Length: 5\r\n\r\n", other.repeat(20));
        for size in [1, 7, 64, 99, 100, 101, 4096] {
            let buffer = push_cut(text.as_bytes(), size);
            assert_eq!(
                buffer.bytes(),
                b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
                "in parts of {size}"
            );
            assert_eq!(buffer.cut_bytes(), (cookie.len() + 20 * other.len()) as u64);
            assert!(!buffer.framing_cut());
        }
    }

    #[test]
    fn framing_fields_that_find_no_room_are_told() {
        let text = format!("POST / HTTP/1.1\r\n{}\r\n", "Content-Length: 5\r\n".repeat(1000));
        let buffer = push_cut(text.as_bytes(), 50);
        assert!(buffer.framing_cut());
        assert!(buffer.bytes().len() <= MAX_BYTES + EXTRA_BYTES + 2);
    }

    #[test]
    fn a_start_line_beyond_the_bound_is_refused() {
        let mut buffer = HeadBuffer::default();
        let mut last = Pushed::More;
        for _ in 0..MAX_BYTES {
            last = buffer.push(Timestamp(1), b"GET /xxxxx", MAX_BYTES);
            if last == Pushed::TooLong {
                break;
            }
        }
        assert_eq!(last, Pushed::TooLong);
    }
}
