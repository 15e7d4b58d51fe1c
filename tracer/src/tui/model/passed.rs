//! The segments of one connection end as the view keeps them: few bytes each, and not without end.

use crate::record::Segment;
use crate::tcp::{Direction, flags};
use crate::time::Timestamp;

/// Segments kept from a life's begin, which tell how it opened.
const FIRST: usize = 24;
/// Segments kept from its end, which tell how it closed.
const LAST: usize = 24;

/// A SYN, FIN, RST or repeated segment that passed an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// When.
    pub at: Timestamp,
    /// Sent or received by this end.
    pub direction: Direction,
    /// Bits of [`crate::tcp::flags`].
    pub flags: u8,
    /// Whether it had been sent before.
    pub repeated: bool,
    /// Relative sequence number.
    pub seq: u32,
    /// Relative acknowledgement number.
    pub ack: Option<u32>,
    /// Payload bytes.
    pub payload_bytes: u32,
}

impl Passed {
    /// Whether this is the same segment as `other`, which was seen at the other end.
    #[must_use]
    pub fn is_same(&self, other: &Passed) -> bool {
        self.direction != other.direction && (self.flags, self.seq) == (other.flags, other.seq)
    }
}

impl From<&Segment> for Passed {
    fn from(segment: &Segment) -> Passed {
        Passed {
            at: segment.at,
            direction: segment.direction,
            flags: segment.flags.chars().filter_map(bit).fold(0, |bits, bit| bits | bit),
            repeated: segment.retransmit,
            seq: segment.seq,
            ack: segment.ack,
            payload_bytes: segment.payload_bytes,
        }
    }
}

fn bit(letter: char) -> Option<u8> {
    Some(match letter {
        'F' => flags::FIN,
        'S' => flags::SYN,
        'R' => flags::RST,
        'P' => flags::PSH,
        'A' => flags::ACK,
        _ => return None,
    })
}

/// The first and the last of them, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    segments: Vec<Passed>,
    left_out: u64,
}

impl Kept {
    /// Takes one more.
    pub fn push(&mut self, segment: Passed) {
        if self.segments.len() == FIRST + LAST {
            self.segments.remove(FIRST);
            self.left_out += 1;
        }
        self.segments.push(segment);
    }

    /// Those that are kept.
    #[must_use]
    pub fn segments(&self) -> &[Passed] {
        &self.segments
    }

    /// How many are missing in the middle.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Bytes of memory beside the value itself.
    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Passed>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_segments_the_first_and_the_last_are_kept() {
        let mut kept = Kept::default();
        for seq in 0..100 {
            let direction = Direction::Sent;
            kept.push(Passed {
                at: Timestamp(seq.into()),
                direction,
                flags: flags::ACK,
                repeated: true,
                seq,
                ack: None,
                payload_bytes: 1,
            });
        }
        let seqs: Vec<u32> = kept.segments().iter().map(|segment| segment.seq).collect();
        assert_eq!(
            (seqs[0], seqs[FIRST - 1], seqs[FIRST], seqs[FIRST + LAST - 1]),
            (0, 23, 76, 99)
        );
        assert_eq!(kept.left_out(), 52);
    }
}
