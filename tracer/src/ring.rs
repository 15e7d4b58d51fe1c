//! The rings, read without a system call per event and put into one order.
//!
//! Hooks write into two rings from every CPU. [`Merger`] copies what is there into one batch and sorts it by
//! the kernel's time stamps. A stamp is taken just before its event gets its place, so an event from before
//! the look may still be on its way: what is younger than [`SETTLE_NS`] waits for the next look.

use aya::maps::{MapData, RingBuf};

use crate::decode::peek_at_ns;

/// How long an event may take from its stamp to its place in the ring, nanoseconds.
pub const SETTLE_NS: u64 = 200_000;

/// One ring in memory shared with the kernel.
pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    /// Takes over a ring buffer map.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>) -> Self {
        Ring { ring }
    }
}

/// A source of event bytes: the rings, or a test's list.
pub trait Source {
    /// Hands every event that is there to `each`, oldest first.
    fn drain(&mut self, each: &mut dyn FnMut(&[u8]));
}

impl Source for Ring {
    fn drain(&mut self, each: &mut dyn FnMut(&[u8])) {
        while let Some(item) = self.ring.next() {
            each(&item);
        }
    }
}

#[derive(Clone, Copy)]
struct Slot {
    at_ns: u64,
    start: usize,
    end: usize,
}

/// Events of several rings in one order.
#[derive(Default)]
pub struct Merger {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
    /// Events too short to have a time; counted, never passed on.
    pub malformed: u64,
}

impl Merger {
    /// Takes in everything that `sources` have now.
    pub fn fill<'a>(&mut self, sources: impl IntoIterator<Item = &'a mut dyn Source>) {
        for source in sources {
            let Merger { bytes, slots, malformed } = self;
            source.drain(&mut |event| match peek_at_ns(event) {
                Some(at_ns) => {
                    let start = bytes.len();
                    bytes.extend_from_slice(event);
                    slots.push(Slot { at_ns, start, end: bytes.len() });
                }
                None => *malformed += 1,
            });
        }
        // Stable and fast on runs: each ring is nearly in order already.
        self.slots.sort_by_key(|slot| slot.at_ns);
    }

    /// Passes on, in order, every event stamped up to `until_ns` (CLOCK_MONOTONIC); the rest waits.
    pub fn take_until(&mut self, until_ns: u64, mut each: impl FnMut(&[u8])) {
        let ready = self.slots.partition_point(|slot| slot.at_ns <= until_ns);
        for slot in &self.slots[..ready] {
            each(&self.bytes[slot.start..slot.end]);
        }
        self.keep_from(ready);
    }

    /// Number of events that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.slots.len()
    }

    fn keep_from(&mut self, ready: usize) {
        if ready == self.slots.len() {
            self.bytes.clear();
            self.slots.clear();
            return;
        }
        let mut rest = Vec::new();
        let mut slots = Vec::new();
        for slot in &self.slots[ready..] {
            let start = rest.len();
            rest.extend_from_slice(&self.bytes[slot.start..slot.end]);
            slots.push(Slot { at_ns: slot.at_ns, start, end: rest.len() });
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&rest);
        self.slots.clear();
        self.slots.extend_from_slice(&slots);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct List(Vec<Vec<u8>>);

    impl Source for List {
        fn drain(&mut self, each: &mut dyn FnMut(&[u8])) {
            self.0.drain(..).for_each(|event| each(&event));
        }
    }

    fn event(at_ns: u64, tag: u8) -> Vec<u8> {
        let mut bytes = at_ns.to_ne_bytes().to_vec();
        bytes.push(tag);
        bytes
    }

    fn taken(merger: &mut Merger, until_ns: u64) -> Vec<u8> {
        let mut tags = Vec::new();
        merger.take_until(until_ns, |bytes| tags.push(bytes[8]));
        tags
    }

    #[test]
    fn events_of_two_rings_come_in_the_order_of_their_stamps() {
        let mut merger = Merger::default();
        let mut a = List(vec![event(1, b'a'), event(5, b'c')]);
        let mut b = List(vec![event(3, b'b'), event(9, b'd')]);
        merger.fill([&mut a as &mut dyn Source, &mut b]);
        assert_eq!(taken(&mut merger, 100), b"abcd");
        assert_eq!(merger.waiting(), 0);
    }

    #[test]
    fn an_event_that_is_too_young_waits_for_the_ones_still_on_their_way() {
        let mut merger = Merger::default();
        merger.fill([&mut List(vec![event(10, b'b'), event(20, b'c')]) as &mut dyn Source]);
        assert_eq!(taken(&mut merger, 9), b"");
        merger.fill([&mut List(vec![event(5, b'a')]) as &mut dyn Source]);
        assert_eq!(taken(&mut merger, 10), b"ab");
        assert_eq!(taken(&mut merger, 20), b"c");
    }

    #[test]
    fn bytes_without_a_stamp_are_counted_and_dropped() {
        let mut merger = Merger::default();
        merger.fill([&mut List(vec![vec![1, 2, 3]]) as &mut dyn Source]);
        assert_eq!((merger.malformed, merger.waiting()), (1, 0));
    }
}
