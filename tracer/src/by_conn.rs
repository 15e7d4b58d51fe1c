//! A number for each of millions of connections.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::record::ConnId;

/// Ids whose numbers lie together. Ids are given in the order in which connections are met, so that most stretches are full: 5
/// bytes a connection. One with a single id in it takes 300 bytes.
pub const STRETCH: usize = 64;

/// Numbers by connection, in a bounded number of stretches of ids.
#[derive(Debug)]
pub struct ByConn {
    stretches: BTreeMap<u64, Box<Stretch>>,
    max_stretches: usize,
}

/// A number of one more where there is one.
type Stretch = [Option<NonZeroU32>; STRETCH];

impl ByConn {
    /// Room for `max_stretches` stretches of [`STRETCH`] ids.
    #[must_use]
    pub const fn with_bound(max_stretches: usize) -> ByConn {
        ByConn { stretches: BTreeMap::new(), max_stretches }
    }

    /// A connection's number.
    #[must_use]
    pub fn get(&self, id: ConnId) -> Option<u32> {
        let (stretch, place) = position(id);
        self.stretches.get(&stretch)?[place].map(|number| number.get() - 1)
    }

    /// Whether a connection can be given a number.
    #[must_use]
    pub fn has_room_for(&self, id: ConnId) -> bool {
        self.stretches.len() < self.max_stretches || self.stretches.contains_key(&position(id).0)
    }

    /// Gives a connection its number, below `u32::MAX`; false where there is no room.
    pub fn insert(&mut self, id: ConnId, number: u32) -> bool {
        let Some(number) = number.checked_add(1).and_then(NonZeroU32::new) else { return false };
        if !self.has_room_for(id) {
            return false;
        }
        let (stretch, place) = position(id);
        let numbers = self.stretches.entry(stretch).or_insert_with(|| Box::new([None; STRETCH]));
        numbers[place] = Some(number);
        true
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: ConnId) {
        let (stretch, place) = position(id);
        let Some(numbers) = self.stretches.get_mut(&stretch) else { return };
        numbers[place] = None;
        if numbers.iter().all(Option::is_none) {
            self.stretches.remove(&stretch);
        }
    }

    /// Forgets the stretch of the lowest ids; how many connections that were.
    pub fn forget_oldest(&mut self) -> usize {
        let oldest = self.stretches.pop_first();
        oldest.map_or(0, |(_, numbers)| numbers.iter().flatten().count())
    }

    /// How many connections have a number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stretches.values().map(|numbers| numbers.iter().flatten().count()).sum()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }
}

/// Number of the stretch, and the place in it.
const fn position(id: ConnId) -> (u64, usize) {
    (id.0 / STRETCH as u64, (id.0 % STRETCH as u64) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_says_what_a_plain_table_says(steps in prop::collection::vec((0..300_u64, 0..5_u32), 0..200)) {
            let mut numbers = ByConn::with_bound(usize::MAX);
            let mut plain = HashMap::new();
            for (id, number) in steps {
                let id = ConnId(id * 7);
                if number == 0 {
                    numbers.remove(id);
                    plain.remove(&id);
                } else {
                    prop_assert!(numbers.insert(id, number));
                    plain.insert(id, number);
                }
            }
            prop_assert_eq!(numbers.len(), plain.len());
            prop_assert_eq!(numbers.is_empty(), plain.is_empty());
            for id in (0..2100).map(ConnId) {
                prop_assert_eq!(numbers.get(id), plain.get(&id).copied());
            }
        }
    }

    #[test]
    fn where_there_is_no_room_the_oldest_can_be_forgotten() {
        let mut numbers = ByConn::with_bound(2);
        let [first, neighbour, second, third] = [1, 2, 100, 1000].map(ConnId);
        assert!(numbers.insert(first, 0) && numbers.insert(neighbour, 1));
        assert!(numbers.insert(second, 2));
        assert!(!numbers.insert(third, 3));
        assert_eq!(numbers.forget_oldest(), 2);
        assert!(numbers.insert(third, 3));
        assert_eq!(
            [first, neighbour, second, third].map(|id| numbers.get(id)),
            [None, None, Some(2), Some(3)]
        );
    }

    #[test]
    fn any_id_may_come_and_the_last_number_is_refused() {
        let mut numbers = ByConn::with_bound(1);
        assert!(!numbers.insert(ConnId(u64::MAX), u32::MAX));
        assert!(numbers.insert(ConnId(u64::MAX), u32::MAX - 1));
        assert_eq!(numbers.get(ConnId(u64::MAX)), Some(u32::MAX - 1));
    }
}
