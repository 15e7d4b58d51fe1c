//! How far two hosts' clocks are apart, from segments that both saw.
//!
//! A segment arrives after it was sent. For one that the first host sent, the second host's time of arrival less the
//! first's time of sending is the difference of the clocks and the time on the wire: an upper bound. For one that the second
//! host sent, the same difference is a lower bound. The truth lies between the tightest of both.

use rustc_hash::FxHashMap;

use crate::record::{ConnId, Segment};
use crate::tcp::Direction;
use crate::time::Timestamp;

use super::Pairs;

/// Segments of the first recording that are remembered at most: enough to tell a difference, whatever follows.
const MAX_SEGMENTS: usize = 1_000_000;

/// Which host sent a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sender {
    First,
    Second,
}

/// A segment of a connection, by the first recording's id. Both hosts count its sequence number from the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sight {
    conn: ConnId,
    sender: Sender,
    seq: u32,
    flags: crate::record::Text,
    payload_bytes: u32,
}

/// What was seen of segments on the first host, and what follows with the second's.
#[derive(Debug, Default)]
pub struct Clocks {
    /// When the first host saw it; `None` where it did so more than once, and it is not certain which it was.
    seen: FxHashMap<Sight, Option<Timestamp>>,
    /// The second host's time less the first's: at least, at most, nanoseconds.
    at_least_ns: Option<i128>,
    at_most_ns: Option<i128>,
    matched: u64,
}

/// The second host's clock less the first's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The middle of what is possible, nanoseconds.
    pub ns: i64,
    /// How far the truth may be from it, nanoseconds; `None` where segments of one direction only were seen by both, which
    /// leaves the time on the wire unknown.
    pub doubt_ns: Option<u64>,
    /// Whether no single difference fits all segments: a clock was set or ran differently meanwhile. The doubt then is half of
    /// what they contradict each other by.
    pub is_contradicted: bool,
    /// Segments that both saw.
    pub segments: u64,
}

impl Clocks {
    /// Takes note of a segment of the first recording.
    pub fn learn(&mut self, segment: &Segment, pairs: &Pairs) {
        if pairs.of_first(segment.conn).is_none() {
            return;
        }
        let sight = sight(segment, segment.conn, Sender::First, Sender::Second);
        if let Some(at) = self.seen.get_mut(&sight) {
            *at = None;
        } else if self.seen.len() < MAX_SEGMENTS {
            self.seen.insert(sight, Some(segment.at).filter(|_| !segment.retransmit));
        }
    }

    /// Compares a segment of the second recording.
    pub fn compare(&mut self, segment: &Segment, pairs: &Pairs) {
        let Some(conn) = pairs.of_second(segment.conn) else { return };
        let sight = sight(segment, conn, Sender::Second, Sender::First);
        // Its second sight is of a repeated segment.
        let Some(Some(first_at)) = self.seen.insert(sight.clone(), None) else { return };
        if segment.retransmit {
            return;
        }
        let ahead_ns = i128::from(segment.at.0) - i128::from(first_at.0);
        self.matched += 1;
        match sight.sender {
            Sender::First => {
                self.at_most_ns = Some(self.at_most_ns.map_or(ahead_ns, |ns| ns.min(ahead_ns)));
            }
            Sender::Second => {
                self.at_least_ns = Some(self.at_least_ns.map_or(ahead_ns, |ns| ns.max(ahead_ns)));
            }
        }
    }

    /// What follows from all of them; `None` where no segment was seen by both.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        let told = |ns: i128, doubt_ns: Option<u64>, is_contradicted| {
            let ns = i64::try_from(ns).ok()?;
            Some(Difference { ns, doubt_ns, is_contradicted, segments: self.matched })
        };
        match (self.at_least_ns, self.at_most_ns) {
            (Some(least), Some(most)) => {
                let doubt_ns = u64::try_from(((most - least).unsigned_abs()).div_ceil(2)).ok()?;
                told(i128::midpoint(least, most), Some(doubt_ns), least > most)
            }
            (Some(only), None) | (None, Some(only)) => told(only, None, false),
            (None, None) => None,
        }
    }
}

fn sight(segment: &Segment, conn: ConnId, own: Sender, other: Sender) -> Sight {
    Sight {
        conn,
        sender: if segment.direction == Direction::Sent { own } else { other },
        seq: segment.seq,
        flags: segment.flags.clone(),
        payload_bytes: segment.payload_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Ends;
    use crate::record::Connection;
    use crate::tui::fixture::connection;

    const MS: u64 = 1_000_000;
    /// What the second host's clock is ahead by.
    const AHEAD: u64 = 250 * MS;

    fn pairs() -> Pairs {
        let ends = |id, sent, received| {
            let mut ends = Ends::default();
            ends.learn(&Connection {
                isn_sent: Some(sent),
                isn_received: Some(received),
                peer: None,
                ..connection(id)
            });
            ends
        };
        Pairs::of(&ends(1, 10, 20), &ends(7, 20, 10))
    }

    fn segment(conn: u64, at: u64, direction: Direction, flags: &str, seq: u32) -> Segment {
        Segment {
            conn: ConnId(conn),
            at: Timestamp(1_000_000 * MS + at),
            direction,
            flags: flags.into(),
            seq,
            ack: None,
            payload_bytes: 0,
            retransmit: false,
        }
    }

    /// A handshake and its end, each segment 1 or 3 ms on its way.
    fn talk() -> (Vec<Segment>, Vec<Segment>) {
        use Direction::{Received, Sent};
        let first = vec![
            segment(1, 0, Sent, "S", 0),
            segment(1, 4 * MS, Received, "SA", 0),
            segment(1, 50 * MS, Sent, "FA", 1),
            segment(1, 54 * MS, Received, "FA", 1),
        ];
        let second = vec![
            segment(7, AHEAD + 3 * MS, Received, "S", 0),
            segment(7, AHEAD + 3 * MS, Sent, "SA", 0),
            segment(7, AHEAD + 51 * MS, Received, "FA", 1),
            segment(7, AHEAD + 51 * MS, Sent, "FA", 1),
        ];
        (first, second)
    }

    fn difference(first: &[Segment], second: &[Segment]) -> Option<Difference> {
        let (pairs, mut clocks) = (pairs(), Clocks::default());
        first.iter().for_each(|segment| clocks.learn(segment, &pairs));
        second.iter().for_each(|segment| clocks.compare(segment, &pairs));
        clocks.difference()
    }

    #[test]
    fn the_difference_lies_between_the_quickest_segments_of_both_ways() {
        let (first, second) = talk();
        let found = difference(&first, &second).unwrap();
        // At most 251 ms by the FIN that took 1 ms, at least 249 ms by the SYN+ACK that took 1 ms.
        assert_eq!((found.ns, found.doubt_ns), (250 * MS as i64, Some(MS)));
        assert_eq!((found.segments, found.is_contradicted), (4, false));
    }

    #[test]
    fn a_clock_that_is_behind_is_a_negative_difference() {
        let (first, second) = talk();
        let found = difference(
            &second.iter().map(|s| Segment { conn: ConnId(1), ..s.clone() }).collect::<Vec<_>>(),
            &first.iter().map(|s| Segment { conn: ConnId(7), ..s.clone() }).collect::<Vec<_>>(),
        );
        assert_eq!(found.unwrap().ns, -250 * MS as i64);
    }

    #[test]
    fn a_segment_that_was_sent_again_tells_nothing() {
        let (mut first, mut second) = talk();
        // The first SYN was lost: the one that arrived is the other, 1 s later.
        first.insert(
            1,
            Segment { retransmit: true, ..segment(1, 1000 * MS, Direction::Sent, "S", 0) },
        );
        second[0].at = Timestamp(second[0].at.0 + 1000 * MS);
        let found = difference(&first, &second).unwrap();
        assert_eq!((found.ns, found.segments), (250 * MS as i64, 3));
    }

    #[test]
    fn one_way_alone_leaves_the_wire_in_doubt_and_none_tells_nothing() {
        let (first, second) = talk();
        let found = difference(&first[..1], &second[..1]).unwrap();
        assert_eq!((found.ns, found.doubt_ns), (253 * MS as i64, None));
        assert_eq!(difference(&first, &[]), None);
    }

    #[test]
    fn a_clock_that_was_set_meanwhile_is_told() {
        let (first, mut second) = talk();
        second[2].at = Timestamp(second[2].at.0 - 100 * MS);
        let found = difference(&first, &second).unwrap();
        assert!(found.is_contradicted);
        assert_eq!(found.doubt_ns, Some(49 * MS));
    }
}
