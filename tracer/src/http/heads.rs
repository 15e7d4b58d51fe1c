//! Heads that came lately: most messages begin with one, byte for byte, and then need not be parsed.

use std::hash::Hasher as _;

use memchr::memmem;
use rustc_hash::FxHasher;

use super::Flow;
use super::head::{self, Head, Parsed};

/// A power of two: the hash chooses one of them.
const SLOTS: usize = 256;
/// A longer head is parsed each time. With [`SLOTS`] it bounds what is kept: half a megabyte of heads, and about as much
/// again for their fields and for what may be shown of these.
const MAX_HEAD_BYTES: usize = 2048;

/// The heads of all connections of one engine. What is not in it is parsed: it changes no result.
#[derive(Debug)]
pub(super) struct Heads {
    slots: Box<[Slot]>,
    blank_line: memmem::Finder<'static>,
}

/// A head is kept when it comes for the second time, for one that never comes again is not worth a copy.
#[derive(Debug, Default)]
struct Slot {
    hash: u64,
    kept: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Kept {
    flow: Flow,
    bytes: Box<[u8]>,
    head: Head,
}

impl Default for Heads {
    fn default() -> Self {
        let slots = std::iter::repeat_with(Slot::default).take(SLOTS).collect();
        Heads { slots, blank_line: memmem::Finder::new(b"\r\n\r\n") }
    }
}

impl Heads {
    /// As [`head::parse`].
    pub fn parse(&mut self, flow: Flow, bytes: &[u8]) -> Parsed {
        let Some(end) = self.blank_line.find(bytes).map(|at| at + 4) else {
            return head::parse(flow, bytes);
        };
        if end > MAX_HEAD_BYTES {
            return head::parse(flow, bytes);
        }
        let hash = hash(&bytes[..end]);
        let slot = &mut self.slots[hash as usize % SLOTS];
        if slot.hash != hash {
            *slot = Slot { hash, kept: None };
            return head::parse(flow, bytes);
        }
        if let Some(kept) = &slot.kept
            && kept.flow == flow
            && *kept.bytes == bytes[..end]
        {
            return Ok(Some((kept.head.clone(), end)));
        }
        let parsed = head::parse(flow, bytes)?;
        // A line that ends in LF alone may end the head before: then it is not what was looked up.
        if let Some((head, used)) = &parsed
            && *used == end
        {
            let head = head.clone().with_shown();
            slot.kept = Some(Box::new(Kept { flow, bytes: bytes[..end].into(), head }));
        }
        Ok(parsed)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(heads: &Heads) -> usize {
        heads.slots.iter().filter(|slot| slot.kept.is_some()).count()
    }

    #[test]
    fn a_head_reads_the_same_each_time_it_comes() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello";
        let parsed = head::parse(Flow::Response, bytes);
        let mut heads = Heads::default();
        for time in 1..=3 {
            assert_eq!(heads.parse(Flow::Response, bytes), parsed);
            assert_eq!(kept(&heads), usize::from(time > 1));
        }
    }

    #[test]
    fn what_is_read_as_a_request_is_no_response() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let mut heads = Heads::default();
        for _ in 0..3 {
            assert!(matches!(heads.parse(Flow::Response, bytes), Ok(Some(_))));
            assert_eq!(heads.parse(Flow::Request, bytes), head::parse(Flow::Request, bytes));
        }
    }

    #[test]
    fn a_head_that_ends_before_the_blank_line_that_was_found_is_not_kept() {
        let bytes = b"GET / HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n";
        let mut heads = Heads::default();
        for _ in 0..3 {
            let (_, used) = heads.parse(Flow::Request, bytes).unwrap().unwrap();
            assert_eq!(used, 24);
        }
        assert_eq!(kept(&heads), 0);
    }

    #[test]
    fn what_is_no_head_or_not_whole_is_not_kept() {
        let mut heads = Heads::default();
        for bytes in [&b"\x01\x02\r\n\r\n"[..], b"GET / HTTP/1.1\r\nHost"] {
            for _ in 0..3 {
                assert_eq!(heads.parse(Flow::Request, bytes), head::parse(Flow::Request, bytes));
            }
        }
        assert_eq!(kept(&heads), 0);
    }
}
