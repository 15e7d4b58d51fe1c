//! Which connection of one recording is which of the other.

use rustc_hash::FxHashMap;

use crate::record::{ConnId, Connection};

/// Most connections of a recording that are remembered; each takes about 40 bytes.
const MAX_CONNECTIONS: usize = 2_000_000;

/// The initial sequence numbers of a connection: 64 bits that hardly two connections share, and that no address
/// translation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Isns {
    sent: u32,
    received: u32,
}

/// The ends of one recording.
#[derive(Debug, Default)]
pub struct Ends {
    by_isns: FxHashMap<Isns, Found>,
    last: u64,
    count: u64,
    left_out: u64,
}

#[derive(Clone, Copy, Debug)]
enum Found {
    One(ConnId),
    /// Two connections have the same numbers: neither is taken for the other's end.
    Many,
}

impl Ends {
    /// Takes note of a connection. One that a recording tells several times, as open and at its end, is one.
    pub fn learn(&mut self, connection: &Connection) {
        self.last = self.last.max(connection.id.0);
        self.count += 1;
        let (Some(sent), Some(received)) = (connection.isn_sent, connection.isn_received) else {
            return;
        };
        if self.by_isns.len() == MAX_CONNECTIONS {
            self.left_out += 1;
            return;
        }
        let id = connection.id;
        self.by_isns
            .entry(Isns { sent, received })
            .and_modify(|found| {
                if !matches!(found, Found::One(known) if *known == id) {
                    *found = Found::Many;
                }
            })
            .or_insert(Found::One(id));
    }

    /// The highest id in use.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// `connection` records that were seen.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Connections beyond the bound: they are not tied together.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Ends of two recordings that are of one connection.
#[derive(Debug, Default)]
pub struct Pairs {
    of_first: FxHashMap<ConnId, ConnId>,
    of_second: FxHashMap<ConnId, ConnId>,
}

impl Pairs {
    /// Ties the ends of two recordings together.
    #[must_use]
    pub fn of(first: &Ends, second: &Ends) -> Pairs {
        let mut pairs = Pairs::default();
        for (isns, found) in &first.by_isns {
            let mirrored = Isns { sent: isns.received, received: isns.sent };
            // Both ends of it are in one recording already.
            if first.by_isns.contains_key(&mirrored) || second.by_isns.contains_key(isns) {
                continue;
            }
            let theirs = second.by_isns.get(&mirrored);
            if let (Found::One(ours), Some(Found::One(theirs))) = (found, theirs) {
                pairs.of_first.insert(*ours, *theirs);
                pairs.of_second.insert(*theirs, *ours);
            }
        }
        pairs
    }

    /// The second recording's end of a connection of the first.
    #[must_use]
    pub fn of_first(&self, id: ConnId) -> Option<ConnId> {
        self.of_first.get(&id).copied()
    }

    /// The first recording's end of a connection of the second.
    #[must_use]
    pub fn of_second(&self, id: ConnId) -> Option<ConnId> {
        self.of_second.get(&id).copied()
    }

    /// How many connections have both ends.
    #[must_use]
    pub fn len(&self) -> usize {
        self.of_first.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of_first.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::connection;

    fn ends(list: &[(u64, Option<u32>, Option<u32>)]) -> Ends {
        let mut ends = Ends::default();
        for (id, isn_sent, isn_received) in list {
            let peer = None;
            ends.learn(&Connection {
                isn_sent: *isn_sent,
                isn_received: *isn_received,
                peer,
                ..connection(*id)
            });
        }
        ends
    }

    #[test]
    fn ends_with_mirrored_sequence_numbers_are_of_one_connection() {
        let first = ends(&[(1, Some(10), Some(20)), (2, Some(30), Some(40)), (3, Some(5), None)]);
        let second = ends(&[(7, Some(20), Some(10)), (8, Some(30), Some(40)), (9, None, Some(5))]);
        let pairs = Pairs::of(&first, &second);
        assert_eq!(pairs.len(), 1);
        assert_eq!(pairs.of_first(ConnId(1)), Some(ConnId(7)));
        assert_eq!(pairs.of_second(ConnId(7)), Some(ConnId(1)));
        assert_eq!((pairs.of_first(ConnId(2)), pairs.of_second(ConnId(9))), (None, None));
    }

    #[test]
    fn what_could_be_two_connections_is_none() {
        let first = ends(&[(1, Some(10), Some(20)), (2, Some(10), Some(20))]);
        let second = ends(&[(7, Some(20), Some(10))]);
        assert!(Pairs::of(&first, &second).is_empty());
        let told_twice = ends(&[(1, Some(10), Some(20)), (1, Some(10), Some(20))]);
        assert_eq!(Pairs::of(&told_twice, &second).len(), 1);
    }

    #[test]
    fn an_end_whose_other_end_is_in_the_same_recording_is_left_alone() {
        let both = ends(&[(1, Some(10), Some(20)), (2, Some(20), Some(10))]);
        let one = ends(&[(7, Some(20), Some(10))]);
        assert!(Pairs::of(&both, &one).is_empty());
        assert!(Pairs::of(&one, &both).is_empty());
        assert_eq!((both.count(), both.last()), (2, 2));
    }
}
