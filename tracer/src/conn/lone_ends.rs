//! Ends that no other end matches by address: the other one is on another host, or address
//! translation stands between the two. It rewrites addresses and ports but keeps the initial
//! sequence numbers (a SYN proxy alone changes them too).
//!
//! Two times 32 bits within seconds are hardly ever of two connections; where they are, no one is
//! chosen.

use std::collections::{HashMap, VecDeque};

use super::tables::Key;
use crate::event::Isns;
use crate::time::Timestamp;

/// How long an end can be found by its sequence numbers, nanoseconds: two SYN+ACKs may be lost
/// before the third arrives (RFC 6298 section 2: after 1 and 3 seconds).
pub(super) const LONE_NS: u64 = 4_000_000_000;

/// Whose sequence numbers these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    One(Key),
    /// More than one end has them.
    Many,
}

/// See the module's documentation. The network chooses the numbers, so the map is seeded.
#[derive(Debug, Default)]
pub(super) struct LoneEnds {
    by_isns: HashMap<Isns, Found>,
    order: VecDeque<(Timestamp, Isns)>,
}

impl LoneEnds {
    /// Takes note of an end; false where `max` are known already.
    pub fn insert(&mut self, isns: Isns, key: Key, at: Timestamp, max: usize) -> bool {
        if let Some(found) = self.by_isns.get_mut(&isns) {
            if *found != Found::One(key) {
                *found = Found::Many;
            }
            return true;
        }
        if self.order.len() >= max {
            return false;
        }
        self.by_isns.insert(isns, Found::One(key));
        self.order.push_back((at, isns));
        true
    }

    /// The one end with these sequence numbers.
    pub fn get(&self, isns: Isns) -> Option<Key> {
        match self.by_isns.get(&isns)? {
            Found::One(key) => Some(*key),
            Found::Many => None,
        }
    }

    pub fn expire(&mut self, now: Timestamp) {
        while let Some((at, isns)) = self.order.front()
            && now.since_ns(*at) > LONE_NS
        {
            self.by_isns.remove(isns);
            self.order.pop_front();
        }
    }
}
