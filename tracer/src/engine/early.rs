//! Payload that came with a SYN (TCP Fast Open, RFC 7413): its packet passes before the server's end is born.

use std::num::NonZeroUsize;

use lru::LruCache;

use crate::event::{Payload, Tuple};
use crate::tcp::Direction;
use crate::time::Timestamp;

/// Ends whose payload waits at most: what waited for longest is let go then. Few SYNs bring data.
const ENDS: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");
/// Slices of one SYN at most: it is no longer than a packet.
const SLICES: usize = 4;
/// From the packet to the socket it is for there are microseconds; later the same ports are another's, nanoseconds.
const WAIT_NS: u64 = 50_000_000;

/// A slice that waits for its end.
#[derive(Debug)]
pub(super) struct Early {
    pub at: Timestamp,
    seq: u32,
    packet_bytes: u32,
    offset_bytes: u32,
    captured: Box<[u8]>,
}

impl Early {
    /// The slice as it was told, of the end with this tuple.
    pub fn payload(&self, tuple: Tuple) -> Payload<'_> {
        Payload {
            tuple,
            direction: Direction::Received,
            seq: self.seq,
            packet_bytes: self.packet_bytes,
            offset_bytes: self.offset_bytes,
            captured: &self.captured,
            by_tuple: true,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct EarlyPayloads(LruCache<Tuple, Vec<Early>>);

impl Default for EarlyPayloads {
    fn default() -> Self {
        EarlyPayloads(LruCache::new(ENDS))
    }
}

impl EarlyPayloads {
    /// Keeps what may be for an end that is about to be born; false where it cannot be.
    pub fn hold(&mut self, at: Timestamp, payload: &Payload<'_>) -> bool {
        if !payload.by_tuple || payload.direction != Direction::Received {
            return false;
        }
        let held = self.0.get_or_insert_mut(payload.tuple.on_any_interface(), Vec::new);
        // A slice from its packet's begin begins anew: the SYN was sent again.
        if payload.offset_bytes == 0 {
            held.clear();
        }
        if held.len() == SLICES {
            return false;
        }
        held.push(Early {
            at,
            seq: payload.seq,
            packet_bytes: payload.packet_bytes,
            offset_bytes: payload.offset_bytes,
            captured: payload.captured.into(),
        });
        true
    }

    /// What waited for the end with this tuple, born at `at`.
    pub fn take(&mut self, tuple: &Tuple, at: Timestamp) -> Vec<Early> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut held = self.0.pop(&tuple.on_any_interface()).unwrap_or_default();
        held.retain(|early| at.since_ns(early.at) <= WAIT_NS);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SocketAddress;

    fn tuple(port: u16) -> Tuple {
        let address = |port| SocketAddress { ip: [10, 0, 0, 1].into(), port };
        Tuple::new(1, address(80), address(port))
    }

    fn hold(early: &mut EarlyPayloads, port: u16, at_ns: u64, offset_bytes: u32) -> bool {
        let captured = b"GET / HTTP/1.1\r\n".as_slice();
        let payload = Payload {
            tuple: tuple(port),
            direction: Direction::Received,
            seq: 2,
            packet_bytes: 16,
            offset_bytes,
            captured,
            by_tuple: true,
        };
        early.hold(Timestamp(at_ns), &payload)
    }

    #[test]
    fn what_waits_is_handed_to_its_end_once() {
        let mut early = EarlyPayloads::default();
        assert!(hold(&mut early, 5, 1, 0));
        assert!(early.take(&tuple(6), Timestamp(2)).is_empty());
        assert_eq!(early.take(&tuple(5), Timestamp(2)).len(), 1);
        assert!(early.take(&tuple(5), Timestamp(2)).is_empty());
    }

    #[test]
    fn a_syn_that_is_sent_again_brings_its_data_again_and_not_twice() {
        let mut early = EarlyPayloads::default();
        assert!(hold(&mut early, 5, 1, 0) && hold(&mut early, 5, 2, 0));
        assert_eq!(early.take(&tuple(5), Timestamp(3)).len(), 1);
    }

    #[test]
    fn what_nobody_asked_for_is_not_an_ends_that_comes_later() {
        let mut early = EarlyPayloads::default();
        assert!(hold(&mut early, 5, 1, 0));
        assert!(early.take(&tuple(5), Timestamp(2 + WAIT_NS)).is_empty());
    }

    #[test]
    fn no_more_waits_than_its_bounds() {
        let mut early = EarlyPayloads::default();
        for port in 0..2_000 {
            assert!(hold(&mut early, port, 1, 0));
        }
        assert!(early.take(&tuple(0), Timestamp(1)).is_empty());
        assert_eq!(early.0.len(), ENDS.get());
        assert!((1..4).all(|slice| hold(&mut early, 1_999, 1, slice)));
        assert!(!hold(&mut early, 1_999, 1, 4));
    }
}
