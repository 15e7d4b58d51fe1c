//! What has been told of connection ends so far: their states, how far their streams have come, and what the other end
//! on this host may tell once more.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::record::ConnId;
use crate::tcp::{Direction, TcpState};

/// Most connection ends that are remembered at a time; each takes some 100 bytes.
const MAX_ENDS: usize = 1_000_000;
/// Most packets of an end that wait for the other end's word on them.
const MAX_UNMATCHED: usize = 64;

/// What makes two records two words on one packet. They name its sender beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub seq: u32,
    pub flags: u8,
    pub is_message: bool,
}

/// What is known of one end at a time.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub state: Option<TcpState>,
    sent_to: Option<u32>,
    received_to: Option<u32>,
    /// Packets that this end sent and one of two ends has told, and whether that was this one.
    unmatched: VecDeque<(Identity, bool)>,
}

impl Progress {
    /// Sequence number behind the last byte that passed this way.
    pub fn end_of(&self, direction: Direction) -> Option<u32> {
        match direction {
            Direction::Sent => self.sent_to,
            Direction::Received => self.received_to,
        }
    }

    /// The stream has come up to `to`; an earlier place changes nothing.
    pub fn pass(&mut self, direction: Direction, to: u32) {
        let known = match direction {
            Direction::Sent => &mut self.sent_to,
            Direction::Received => &mut self.received_to,
        };
        // Half of all sequence numbers lie behind.
        if known.is_none_or(|known| to.wrapping_sub(known) < 1 << 31) {
            *known = Some(to);
        }
    }
}

/// The ends of connections that are not over.
#[derive(Debug, Default)]
pub(super) struct Ends {
    by_id: FxHashMap<ConnId, Progress>,
}

impl Ends {
    /// What is known of an end; `None` of those beyond the bound.
    pub fn progress(&mut self, id: ConnId) -> Option<&mut Progress> {
        if self.by_id.len() >= MAX_ENDS {
            return self.by_id.get_mut(&id);
        }
        Some(self.by_id.entry(id).or_default())
    }

    /// Nothing more comes of it.
    pub fn forget(&mut self, id: ConnId) {
        self.by_id.remove(&id);
    }

    /// Whether the other end has told the packet already. Who tells it first is remembered: each word of one end makes one of
    /// the other's superfluous, so that a packet that was sent twice is told twice.
    pub fn is_told_by_other(&mut self, sender: ConnId, packet: Identity, by_sender: bool) -> bool {
        let Some(progress) = self.progress(sender) else { return false };
        let unmatched = &mut progress.unmatched;
        if let Some(found) = unmatched.iter().position(|told| *told == (packet, !by_sender)) {
            unmatched.remove(found);
            return true;
        }
        if unmatched.len() >= MAX_UNMATCHED {
            unmatched.pop_front();
        }
        unmatched.push_back((packet, by_sender));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: Identity = Identity { seq: 0, flags: 2, is_message: false };

    #[test]
    fn each_word_of_one_end_makes_one_of_the_other_superfluous() {
        let mut ends = Ends::default();
        let mut told = |by_sender| ends.is_told_by_other(ConnId(1), SYN, by_sender);
        // Sent twice, received once; then once more, received first as far as the times tell.
        assert_eq!([true, true, false].map(&mut told), [false, false, true]);
        assert_eq!([false, false, true].map(&mut told), [true, false, true]);
    }

    #[test]
    fn other_packets_and_other_senders_are_not_it() {
        let mut ends = Ends::default();
        assert!(!ends.is_told_by_other(ConnId(1), SYN, true));
        assert!(!ends.is_told_by_other(ConnId(2), SYN, false));
        assert!(!ends.is_told_by_other(ConnId(1), Identity { seq: 1, ..SYN }, false));
        for seq in 1..1000 {
            ends.is_told_by_other(ConnId(1), Identity { seq, ..SYN }, true);
        }
        assert_eq!(ends.progress(ConnId(1)).unwrap().unmatched.len(), MAX_UNMATCHED);
    }

    #[test]
    fn a_stream_only_goes_on_also_around_the_wrap() {
        let mut progress = Progress::default();
        assert_eq!(progress.end_of(Direction::Sent), None);
        for (to, end) in [(u32::MAX - 1, u32::MAX - 1), (5, 5), (u32::MAX, 5)] {
            progress.pass(Direction::Sent, to);
            assert_eq!(progress.end_of(Direction::Sent), Some(end));
        }
        assert_eq!(progress.end_of(Direction::Received), None);
    }
}
