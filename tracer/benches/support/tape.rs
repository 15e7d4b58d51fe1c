//! Events as they lie in the rings: written once, replayed as often as a bench likes.

use tracer::prefetch::prefetch;
use tracer::ring::{Scan, Source};
use tracer_common::{Header, Hook, Kind, Payload, SLICE_BYTES};
use zerocopy::{Immutable, IntoBytes};

/// Events begin at multiples of this in the kernel's rings.
const ALIGNMENT_BYTES: usize = 8;

#[derive(Clone, Copy)]
struct Slot {
    at_ns: u64,
    start: usize,
    end: usize,
    is_payload: bool,
}

/// Events of both rings.
#[derive(Default)]
pub struct Tape {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

/// The first part of an event.
#[must_use]
pub fn header(at_ns: u64, cookie: u64, kind: Kind, hook: Hook) -> Header {
    Header { at_ns, cookie, socket_lost: 0, kind: kind as u8, hook: hook as u8, cpu: 0 }
}

impl Tape {
    /// Adds an event of fixed size.
    pub fn push<T: IntoBytes + Immutable>(&mut self, at_ns: u64, event: &T) {
        self.add(at_ns, false, &[event.as_bytes()], 0);
    }

    /// Adds a slice of payload in the room that the kernel side reserves for it: what is behind the captured bytes
    /// lies in the ring too.
    pub fn push_payload(&mut self, at_ns: u64, event: &Payload, captured: &[u8]) {
        let room = [256, 1024, SLICE_BYTES].into_iter().find(|room| *room >= captured.len());
        let unused = room.unwrap_or(SLICE_BYTES).saturating_sub(captured.len());
        self.add(at_ns, true, &[event.as_bytes(), captured], unused);
    }

    fn add(&mut self, at_ns: u64, is_payload: bool, parts: &[&[u8]], unused_bytes: usize) {
        let start = self.bytes.len().next_multiple_of(ALIGNMENT_BYTES);
        self.bytes.resize(start, 0);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(self.bytes.len() + unused_bytes, 0);
        self.slots.push(Slot { at_ns, start, end: self.bytes.len(), is_payload });
    }

    /// Puts the events in the order of their time stamps, in memory too: a ring is written as time goes on.
    pub fn sort(&mut self) {
        self.slots.sort_by_key(|slot| slot.at_ns);
        let unordered = std::mem::take(&mut self.bytes);
        self.bytes.reserve_exact(unordered.len() + self.slots.len() * ALIGNMENT_BYTES);
        for slot in &mut self.slots {
            let start = self.bytes.len().next_multiple_of(ALIGNMENT_BYTES);
            self.bytes.resize(start, 0);
            self.bytes.extend_from_slice(&unordered[slot.start..slot.end]);
            *slot = Slot { start, end: self.bytes.len(), ..*slot };
        }
    }

    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of all events, as they lie in the rings.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.end - slot.start).sum()
    }

    /// When the last event happened, CLOCK_MONOTONIC nanoseconds.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.slots.last().map_or(0, |slot| slot.at_ns)
    }

    /// Every event with its time, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.slots.iter().map(|slot| (slot.at_ns, &self.bytes[slot.start..slot.end]))
    }

    /// The ring of states, timers and segments, and the ring of payloads.
    #[must_use]
    pub fn rings(&self) -> [Replay<'_>; 2] {
        [false, true].map(|payloads| {
            let slots = self.slots.iter().copied().filter(|slot| slot.is_payload == payloads);
            Replay { bytes: &self.bytes, slots: slots.collect(), next: 0, until_ns: 0 }
        })
    }
}

/// One ring of a tape. It holds what happened up to `until_ns`.
pub struct Replay<'a> {
    bytes: &'a [u8],
    slots: Vec<Slot>,
    next: usize,
    /// CLOCK_MONOTONIC nanoseconds.
    pub until_ns: u64,
}

impl Source for Replay<'_> {
    fn scan(&mut self, most: usize, each: &mut dyn FnMut(u64, &[u8])) -> Scan {
        let last = self.next.saturating_add(most);
        while let Some(slot) = self.slots.get(self.next).filter(|slot| slot.at_ns <= self.until_ns)
        {
            if self.next == last {
                return Scan::Full;
            }
            each(self.next as u64, &self.bytes[slot.start..slot.end]);
            self.next += 1;
        }
        Scan::Whole
    }

    fn event(&self, place: u64) -> &[u8] {
        let slot = self.slots[place as usize];
        &self.bytes[slot.start..slot.end]
    }

    fn expect(&self, place: u64) {
        let slot = self.slots[place as usize];
        prefetch(&raw const self.bytes[slot.start], (slot.end - slot.start).min(256));
    }

    fn release(&mut self, _place: Option<u64>) {}
}
