//! The life cycle as lanes: how many connections are in each state, and how many enter it per second.

use std::collections::VecDeque;

use crate::record::ConnId;
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// Seconds of history per lane.
pub const LANE_SECONDS: usize = 8;

/// Entries into a state that are remembered one by one, to be seen moving.
const ARRIVALS: usize = 128;
/// For so long an entry is news, nanoseconds.
const NEWS_NS: u64 = 3_000_000_000;

/// One state's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Connections in the state.
    pub population: u32,
    /// Of those, how many have been in it for longer than a healthy one is.
    pub stuck: u32,
    /// Entries into the state per second, a ring indexed by the second.
    entries: [u32; LANE_SECONDS],
}

/// A lane for each state.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    lanes: [Lane; TcpState::ALL.len() + 1],
    /// The last ones that entered each state, the youngest last; some have left it since.
    arrivals: [VecDeque<(Timestamp, ConnId)>; TcpState::ALL.len() + 1],
    last_arrival: Timestamp,
    second: u64,
}

impl Lanes {
    /// The figures of `state`.
    #[must_use]
    pub fn lane(&self, state: TcpState) -> &Lane {
        &self.lanes[state as usize]
    }

    /// Entries per second of the last seconds, oldest first; the second that runs is the last.
    pub fn entries(&self, state: TcpState) -> impl Iterator<Item = u32> + '_ {
        let oldest = slot(self.second) + 1;
        (0..LANE_SECONDS).map(move |i| self.lane(state).entries[(oldest + i) % LANE_SECONDS])
    }

    /// Connections in any of `states`.
    #[must_use]
    pub fn population(&self, states: &[TcpState]) -> u32 {
        states.iter().map(|&state| self.lane(state).population).sum()
    }

    /// Goes on to the second of `now`, emptying those that begin. Whether a new one began.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let second = now.0 / 1_000_000_000;
        if second <= self.second {
            return false;
        }
        let begun = (second - self.second).min(LANE_SECONDS as u64);
        for begun in (second - begun + 1)..=second {
            for lane in &mut self.lanes {
                lane.entries[slot(begun)] = 0;
            }
        }
        self.second = second;
        true
    }

    /// A connection went from one lane (`None`: from outside) to another (`None`: it has ended).
    pub(super) fn moved(&mut self, from: Option<TcpState>, to: Option<TcpState>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            let population = &mut self.lanes[from as usize].population;
            *population = population.saturating_sub(1);
        }
        if let Some(to) = to {
            self.lanes[to as usize].population += 1;
        }
    }

    /// Counts an entry into a state in the second that runs.
    pub(super) fn entered(&mut self, state: TcpState, conn: ConnId, at: Timestamp) {
        self.lanes[state as usize].entries[slot(self.second)] += 1;
        let arrivals = &mut self.arrivals[state as usize];
        if arrivals.len() == ARRIVALS {
            arrivals.pop_front();
        }
        arrivals.push_back((at, conn));
        self.last_arrival = self.last_arrival.max(at);
    }

    /// The last connections that entered `state`, each with the moment; some have left it since.
    pub fn arrivals(&self, state: TcpState) -> impl Iterator<Item = (Timestamp, ConnId)> + '_ {
        self.arrivals[state as usize].iter().copied()
    }

    /// Whether anybody moved lately, so that the picture changes with time alone.
    pub(super) fn is_moving(&self, now: Timestamp) -> bool {
        now.since_ns(self.last_arrival) < NEWS_NS
    }

    /// Sets anew how many connections are stuck where.
    pub(super) fn set_stuck(&mut self, stuck: impl Iterator<Item = TcpState>) {
        self.lanes.iter_mut().for_each(|lane| lane.stuck = 0);
        stuck.for_each(|state| self.lanes[state as usize].stuck += 1);
    }
}

/// Where in the ring a second is kept.
fn slot(second: u64) -> usize {
    (second % LANE_SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_per_second_and_age_out() {
        let at = |second: u64| Timestamp(second * 1_000_000_000);
        let mut lanes = Lanes::default();
        lanes.advance(at(100));
        lanes.entered(TcpState::SynSent, ConnId(1), at(100));
        lanes.entered(TcpState::SynSent, ConnId(2), at(100));
        assert!(lanes.advance(at(102)));
        assert!(!lanes.advance(at(102)));
        lanes.entered(TcpState::SynSent, ConnId(3), at(102));
        let entries: Vec<u32> = lanes.entries(TcpState::SynSent).collect();
        assert_eq!(entries, [0, 0, 0, 0, 0, 2, 0, 1]);
        lanes.advance(at(1000));
        assert_eq!(lanes.entries(TcpState::SynSent).sum::<u32>(), 0);
    }

    #[test]
    fn arrivals_are_remembered_up_to_a_bound_and_are_news_for_a_while() {
        let mut lanes = Lanes::default();
        for id in 0..2 * ARRIVALS as u64 {
            lanes.entered(TcpState::Established, ConnId(id), Timestamp(1_000_000_000 + id));
        }
        let kept: Vec<u64> =
            lanes.arrivals(TcpState::Established).map(|(_, conn)| conn.0).collect();
        assert_eq!((kept.len(), kept[0]), (ARRIVALS, ARRIVALS as u64));
        assert!(lanes.is_moving(Timestamp(2_000_000_000)));
        assert!(!lanes.is_moving(Timestamp(9_000_000_000)));
    }
}
