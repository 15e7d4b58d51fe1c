//! Puts what comes out of order into the order of time, within a bound.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::time::Timestamp;

/// What waits for its turn.
#[derive(Debug)]
struct Waiting<T> {
    at: Timestamp,
    /// Of two of the same time the one that came first goes first.
    number: u64,
    bytes: usize,
    what: T,
}

impl<T> Waiting<T> {
    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// A line of things in the order of their times.
#[derive(Debug)]
pub(super) struct Order<T> {
    waiting: BinaryHeap<Reverse<Waiting<T>>>,
    waiting_bytes: usize,
    max_bytes: usize,
    numbers: u64,
    newest: Timestamp,
}

impl<T> Order<T> {
    /// Holds back `max_bytes`, bookkeeping included.
    pub fn new(max_bytes: usize) -> Self {
        Order {
            waiting: BinaryHeap::new(),
            waiting_bytes: 0,
            max_bytes,
            numbers: 0,
            newest: Timestamp(0),
        }
    }

    /// The latest time of all that came so far.
    pub const fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Adds something that takes `heap_bytes` beside itself.
    pub fn push(&mut self, at: Timestamp, what: T, heap_bytes: usize) {
        let bytes = size_of::<Waiting<T>>() + heap_bytes;
        self.waiting_bytes += bytes;
        self.numbers += 1;
        self.newest = self.newest.max(at);
        self.waiting.push(Reverse(Waiting { at, number: self.numbers, bytes, what }));
    }

    /// The earliest, where more is held back than may be.
    pub fn pop_beyond_bound(&mut self) -> Option<(Timestamp, T)> {
        if self.waiting_bytes > self.max_bytes { self.pop() } else { None }
    }

    /// The earliest.
    pub fn pop(&mut self) -> Option<(Timestamp, T)> {
        let Reverse(first) = self.waiting.pop()?;
        self.waiting_bytes -= first.bytes;
        Some((first.at, first.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_out_by_their_times_and_of_one_time_as_they_came() {
        let mut order = Order::new(1 << 20);
        for (at, what) in [(3, "c"), (1, "a"), (3, "d"), (2, "b")] {
            order.push(Timestamp(at), what, 0);
        }
        assert!(order.pop_beyond_bound().is_none());
        let all: Vec<&str> = std::iter::from_fn(|| order.pop()).map(|(_, what)| what).collect();
        assert_eq!(all, ["a", "b", "c", "d"]);
        assert_eq!(order.waiting_bytes, 0);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut order = Order::new(1000);
        let mut out = 0;
        for at in 0..1000 {
            order.push(Timestamp(at), (), 50);
            while order.pop_beyond_bound().is_some() {
                out += 1;
            }
            assert!(order.waiting_bytes <= 1000);
        }
        assert!(out > 900);
    }
}
