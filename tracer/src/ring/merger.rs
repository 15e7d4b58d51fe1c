//! Events of several rings in one order.
//!
//! An event is stamped once it has its place and seen once it is submitted, so one from before the look may still be
//! on its way: what is younger than [`SETTLE_NS`] waits for the next look.

use super::{Scan, Source};
use crate::decode::peek_at_ns;

/// How long an event may take from its stamp to its place in the ring, nanoseconds.
pub const SETTLE_NS: u64 = 200_000;
/// Events of one ring that one look goes through at most: behind each look the events are released, and others who want the
/// processor have it (docs/decisions/0010). Taking them in lasts a tenth of a millisecond or two.
const MOST_EVENTS: usize = 128;
/// So many events ahead one is asked for: taking in those before it lasts longer than to fetch it.
const EXPECTED_EVENTS: usize = 4;

#[derive(Clone, Copy)]
struct Slot {
    at_ns: u64,
    place: u64,
    source: usize,
}

/// Stamps of a source's last events, in the order of their places, that are looked at for how far time has come: one more
/// than could all have been held up between getting a place and being stamped.
const RECENT: usize = 16;

/// Events of one source that are noted and not passed on.
#[derive(Clone, Copy)]
struct Waiting {
    events: usize,
    /// The oldest one's stamp.
    first_ns: u64,
    /// The last stamps of the source, each in the place of the one that came [`RECENT`] before it.
    recent_ns: [u64; RECENT],
    next: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Waiting { events: 0, first_ns: 0, recent_ns: [u64::MAX; RECENT], next: 0 }
    }
}

impl Waiting {
    fn note(&mut self, at_ns: u64) {
        self.events += 1;
        self.recent_ns[self.next] = at_ns;
        self.next = (self.next + 1) % RECENT;
    }

    /// Events behind those that were noted are not older. The last one's own stamp does not say so: where the program was
    /// interrupted between the event's place and its stamp, others that came behind it were stamped before it.
    fn settled_ns(&self) -> u64 {
        let seen = self.recent_ns.iter().copied().filter(|at_ns| *at_ns < u64::MAX);
        seen.min().unwrap_or(0).saturating_sub(SETTLE_NS)
    }

    /// Whether no more of the source need be noted until some of these are passed on: the first of them has settled, so
    /// that time can pass up to it. Without this the source with fewer events a second would run far ahead of the other.
    fn is_enough(&self) -> bool {
        self.events >= MOST_EVENTS && self.settled_ns() >= self.first_ns
    }
}

/// What one look took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Up to when everything is known, CLOCK_MONOTONIC nanoseconds: time may pass so far and no further.
    pub reached_ns: u64,
    /// More events are there than one look goes through.
    pub more: bool,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Merger {
    slots: Vec<Slot>,
    /// Of each source.
    waiting: [Waiting; 2],
    /// Events too short to have a time; counted, never passed on.
    pub malformed: u64,
}

impl Merger {
    /// Passes on, in order, the events of `sources` stamped up to `until_ns` (CLOCK_MONOTONIC); younger ones wait.
    /// Every call must be given the same sources, two at most. Older events are left for the next call where there are
    /// very many, or one is still being written.
    pub fn take_until(
        &mut self,
        sources: &mut [&mut dyn Source],
        until_ns: u64,
        mut each: impl FnMut(&[u8]),
    ) -> Taken {
        let taken = self.scan(sources, until_ns);
        // Stable and fast on runs: each ring is nearly in order already.
        self.slots.sort_by_key(|slot| slot.at_ns);
        let ready = self.slots.partition_point(|slot| slot.at_ns <= taken.reached_ns);
        for (index, slot) in self.slots[..ready].iter().enumerate() {
            if let Some(ahead) = self.slots.get(index + EXPECTED_EVENTS) {
                sources[ahead.source].expect(ahead.place);
            }
            each(sources[slot.source].event(slot.place));
        }
        self.slots.drain(..ready);
        self.release(sources);
        taken
    }

    /// Notes what is new; returns up to when everything is known.
    fn scan(&mut self, sources: &mut [&mut dyn Source], until_ns: u64) -> Taken {
        let mut taken = Taken { reached_ns: until_ns, more: false };
        for (source, events) in sources.iter_mut().enumerate() {
            let most = if self.waiting[source].is_enough() { 0 } else { MOST_EVENTS };
            let (slots, malformed) = (&mut self.slots, &mut self.malformed);
            let waiting = &mut self.waiting[source];
            let scan = events.scan(most, &mut |place, event| match peek_at_ns(event) {
                Some(at_ns) => {
                    waiting.note(at_ns);
                    slots.push(Slot { at_ns, place, source });
                }
                None => *malformed += 1,
            });
            if scan != Scan::Whole {
                taken.reached_ns = taken.reached_ns.min(waiting.settled_ns());
            }
            taken.more |= scan == Scan::Full;
        }
        taken
    }

    fn release(&mut self, sources: &mut [&mut dyn Source]) {
        for (source, events) in sources.iter_mut().enumerate() {
            let mut slots = self.slots.iter().filter(|slot| slot.source == source).peekable();
            let waiting = &mut self.waiting[source];
            // They are in order.
            waiting.first_ns = slots.peek().map_or(0, |slot| slot.at_ns);
            let (events_left, first_place) =
                slots.fold((0, None), |(events, first): (usize, Option<u64>), slot| {
                    (events + 1, Some(first.map_or(slot.place, |place| place.min(slot.place))))
                });
            waiting.events = events_left;
            events.release(first_place);
        }
    }

    /// Number of events that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A ring whose places are the numbers of its events.
    #[derive(Default)]
    struct List {
        events: Vec<Vec<u8>>,
        scanned: usize,
        released: usize,
        /// The place of an event that is not submitted yet.
        busy: Option<usize>,
        /// Places that were asked for ahead.
        expected: RefCell<Vec<u64>>,
    }

    impl List {
        fn of(events: &[(u64, u8)]) -> List {
            let mut list = List::default();
            list.add(events);
            list
        }

        fn add(&mut self, events: &[(u64, u8)]) {
            for (at_ns, tag) in events {
                let mut bytes = at_ns.to_ne_bytes().to_vec();
                bytes.push(*tag);
                self.events.push(bytes);
            }
        }
    }

    impl Source for List {
        fn scan(&mut self, most: usize, each: &mut dyn FnMut(u64, &[u8])) -> Scan {
            let end = self.busy.unwrap_or(self.events.len());
            let to = end.min(self.scanned + most);
            for place in self.scanned..to {
                each(place as u64, &self.events[place]);
            }
            self.scanned = to;
            match self.busy {
                _ if to < end => Scan::Full,
                Some(_) => Scan::Blocked,
                None => Scan::Whole,
            }
        }

        fn event(&self, place: u64) -> &[u8] {
            assert!((self.released..self.scanned).contains(&(place as usize)));
            &self.events[place as usize]
        }

        fn expect(&self, place: u64) {
            self.expected.borrow_mut().push(place);
        }

        fn release(&mut self, place: Option<u64>) {
            let place = place.map_or(self.scanned, |place| place as usize);
            assert!((self.released..=self.scanned).contains(&place), "never back");
            self.released = place;
        }
    }

    fn taken(merger: &mut Merger, lists: &mut [&mut List], until_ns: u64) -> Vec<u8> {
        let mut tags = Vec::new();
        let mut sources: Vec<&mut dyn Source> =
            lists.iter_mut().map(|list| &mut **list as &mut dyn Source).collect();
        while merger.take_until(&mut sources, until_ns, |bytes| tags.push(bytes[8])).more {}
        tags
    }

    #[test]
    fn events_of_two_rings_come_in_the_order_of_their_stamps() {
        let mut merger = Merger::default();
        let mut a = List::of(&[(1, b'a'), (5, b'c')]);
        let mut b = List::of(&[(3, b'b'), (9, b'd')]);
        assert_eq!(taken(&mut merger, &mut [&mut a, &mut b], 100), b"abcd");
        assert_eq!((merger.waiting(), a.released, b.released), (0, 2, 2));
    }

    #[test]
    fn an_event_that_is_too_young_waits_for_the_ones_still_on_their_way() {
        let mut merger = Merger::default();
        let mut list = List::of(&[(10, b'b'), (20, b'c')]);
        assert_eq!(taken(&mut merger, &mut [&mut list], 9), b"");
        assert_eq!(list.released, 0);
        list.add(&[(5, b'a')]);
        assert_eq!(taken(&mut merger, &mut [&mut list], 10), b"ab");
        assert_eq!(list.released, 1, "what waits is not released, nor what came behind it");
        assert_eq!(taken(&mut merger, &mut [&mut list], 20), b"c");
        assert_eq!(list.released, 3);
    }

    #[test]
    fn more_events_than_one_look_goes_through_stay_in_order() {
        let mut merger = Merger::default();
        let many: Vec<(u64, u8)> =
            (0..3 * MOST_EVENTS as u64).map(|n| (SETTLE_NS + 2 * n, (n % 2) as u8)).collect();
        let (mut a, mut b) =
            (List::of(&many), List::of(&[(SETTLE_NS + 4 * MOST_EVENTS as u64 + 1, 9)]));
        let tags = taken(&mut merger, &mut [&mut a, &mut b], u64::MAX);
        let mut expected: Vec<u8> = many.iter().map(|(_, tag)| *tag).collect();
        expected.insert(2 * MOST_EVENTS + 1, 9);
        assert_eq!(tags, expected);
        assert_eq!((a.released, b.released), (3 * MOST_EVENTS, 1));
    }

    #[test]
    fn a_source_with_few_events_a_second_does_not_run_far_ahead_of_the_other() {
        let count = 20 * MOST_EVENTS as u64;
        let often: Vec<(u64, u8)> = (0..count).map(|n| (SETTLE_NS + 10_000 * n, 0)).collect();
        let rarely: Vec<(u64, u8)> = (0..count).map(|n| (SETTLE_NS + 50_000 * n + 1, 1)).collect();
        let (mut a, mut b) = (List::of(&often), List::of(&rarely));
        let (mut merger, mut tags, mut most_waiting) = (Merger::default(), Vec::new(), 0);
        loop {
            let sources: &mut [&mut dyn Source] = &mut [&mut a, &mut b];
            let look = merger.take_until(sources, u64::MAX, |event| {
                tags.push((u64::from_ne_bytes(event[..8].try_into().unwrap()), event[8]));
            });
            most_waiting = most_waiting.max(merger.waiting());
            if !look.more {
                break;
            }
        }
        let mut expected = [often, rarely].concat();
        expected.sort_by_key(|(at_ns, _)| *at_ns);
        assert_eq!(tags, expected);
        assert!(most_waiting <= 2 * MOST_EVENTS, "{most_waiting}");
    }

    #[test]
    fn an_event_that_was_stamped_late_for_its_place_lets_no_time_pass_over_those_behind_it() {
        let late = MOST_EVENTS as u64 - 1;
        let at = |n| SETTLE_NS + 10_000 * n;
        let held_up = |n| if n == late { at(n) + 5_000_000 } else { at(n) };
        let one: Vec<(u64, u8)> = (0..10 * late).map(|n| (held_up(n), 0)).collect();
        let other: Vec<(u64, u8)> = (0..10 * late).map(|n| (at(n) + 1, 1)).collect();
        let (mut a, mut b) = (List::of(&one), List::of(&other));
        let (mut merger, mut stamps) = (Merger::default(), Vec::new());
        let sources: &mut [&mut dyn Source] = &mut [&mut a, &mut b];
        while merger
            .take_until(sources, u64::MAX, |event| {
                stamps.push(u64::from_ne_bytes(event[..8].try_into().unwrap()));
            })
            .more
        {}
        assert_eq!(stamps.len(), one.len() + other.len());
        assert!(stamps.is_sorted());
    }

    #[test]
    fn more_events_than_one_look_goes_through_within_the_time_to_settle_pass_on() {
        let burst = |tag| vec![(2 * SETTLE_NS, tag); 5 * MOST_EVENTS];
        let (mut a, mut b) = (List::of(&burst(1)), List::of(&burst(2)));
        let tags = taken(&mut Merger::default(), &mut [&mut a, &mut b], u64::MAX);
        assert_eq!(tags.len(), 10 * MOST_EVENTS);
    }

    #[test]
    fn what_lies_behind_an_event_that_is_still_being_written_keeps_time_from_passing() {
        let at = |n| SETTLE_NS + n;
        let mut list = List::of(&[(at(10), b'a'), (at(30), b'c'), (at(20), b'b')]);
        list.busy = Some(1);
        let mut merger = Merger::default();
        let mut tags = Vec::new();
        let mut look = |list: &mut List| {
            merger.take_until(&mut [list as &mut dyn Source], at(500), |e| tags.push(e[8]))
        };
        assert_eq!(look(&mut list), Taken { reached_ns: 10, more: false });
        list.busy = None;
        assert_eq!(look(&mut list), Taken { reached_ns: at(500), more: false });
        assert_eq!(tags, b"abc");
    }

    #[test]
    fn events_are_asked_for_ahead_in_the_order_in_which_they_are_taken() {
        let mut list = List::of(&[(1, 0), (2, 1), (4, 3), (3, 2), (5, 4), (7, 6), (6, 5)]);
        let tags = taken(&mut Merger::default(), &mut [&mut list], 100);
        assert_eq!(tags, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(
            *list.expected.borrow(),
            [4, 6, 5],
            "places of what comes fifth, sixth, seventh"
        );
    }

    #[test]
    fn bytes_without_a_stamp_are_counted_and_dropped() {
        let mut merger = Merger::default();
        let mut list = List { events: vec![vec![1, 2, 3]], ..List::default() };
        assert_eq!(taken(&mut merger, &mut [&mut list], 9), b"");
        assert_eq!((merger.malformed, merger.waiting(), list.released), (1, 0, 1));
    }
}
