//! The states of one life, in order, each with its time.

use super::moment::Moment;
use crate::record::StateEntry;
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// Steps kept of one life; a longer one keeps its first.
const STEPS_MAX: usize = 64;
/// Steps kept without memory of their own: the longest ordinary life, SYN_SENT to CLOSE through TIME_WAIT.
const INLINE: usize = 6;

/// A life so far.
#[derive(Clone, Debug)]
pub struct Life {
    states: [TcpState; INLINE],
    /// Steps in `states` and `times`.
    inline: u8,
    times: [Moment; INLINE],
    /// What came after those: rare (a life with holes).
    more: Option<Box<More>>,
}

#[derive(Clone, Debug)]
struct More {
    steps: Vec<StateEntry>,
    /// When the last step was taken, kept or not.
    last_at: Moment,
}

impl Life {
    pub(super) fn new(state: TcpState, at: Option<Timestamp>) -> Self {
        let mut life = Life {
            states: [TcpState::Close; INLINE],
            inline: 0,
            times: [Moment::UNKNOWN; INLINE],
            more: None,
        };
        life.push(state, at);
        life
    }

    /// Adds a step; false where there is no more room.
    pub(super) fn push(&mut self, state: TcpState, at: Option<Timestamp>) -> bool {
        let next = usize::from(self.inline);
        if let (Some(place), Some(time)) = (self.states.get_mut(next), self.times.get_mut(next)) {
            *place = state;
            *time = at.into();
            self.inline += 1;
            return true;
        }
        let none = || Box::new(More { steps: Vec::new(), last_at: Moment::UNKNOWN });
        let more = self.more.get_or_insert_with(none);
        more.last_at = at.into();
        let has_room = more.steps.len() < STEPS_MAX - INLINE;
        if has_room {
            more.steps.push(StateEntry { state, at });
        }
        has_room
    }

    /// When its last step was taken, where that was seen.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        let inline = || self.times[usize::from(self.inline) - 1];
        self.more.as_ref().map_or_else(inline, |more| more.last_at).get()
    }

    /// The steps in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = StateEntry> {
        let inline = self.states.iter().zip(self.times).take(self.inline.into());
        let inline = inline.map(|(state, at)| StateEntry { state: *state, at: at.get() });
        inline.chain(self.more.iter().flat_map(|more| more.steps.iter().copied()))
    }

    /// Whether it has been in `state`.
    #[must_use]
    pub fn has_been(&self, state: TcpState) -> bool {
        self.iter().any(|step| step.state == state)
    }

    /// When it first entered `state`.
    #[must_use]
    pub fn first_in(&self, state: TcpState) -> Option<Timestamp> {
        self.iter().find(|step| step.state == state).and_then(|step| step.at)
    }

    /// When it began, where that was seen.
    #[must_use]
    pub fn began_at(&self) -> Option<Timestamp> {
        self.times[0].get()
    }

    /// Whether this very step was taken before.
    pub(super) fn has_step(&self, from: TcpState, to: TcpState) -> bool {
        self.iter().zip(self.iter().skip(1)).any(|(a, b)| a.state == from && b.state == to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_keeps_its_first_steps_in_order_and_says_when_it_is_full() {
        let mut life = Life::new(TcpState::SynSent, None);
        let told: Vec<bool> = (1..STEPS_MAX as u64 + 3)
            .map(|n| life.push(TcpState::Established, Some(Timestamp(n))))
            .collect();
        assert_eq!(told.iter().filter(|kept| **kept).count(), STEPS_MAX - 1);
        let times: Vec<_> = life.iter().map(|step| step.at).collect();
        assert_eq!(times[..3], [None, Some(Timestamp(1)), Some(Timestamp(2))]);
        assert_eq!(times.len(), STEPS_MAX);
        assert!(life.iter().rev().eq(life.iter().collect::<Vec<_>>().into_iter().rev()));
        assert!(life.has_step(TcpState::SynSent, TcpState::Established));
        assert!(!life.has_step(TcpState::Established, TcpState::SynSent));
        assert_eq!(life.first_in(TcpState::Established), Some(Timestamp(1)));
        assert_eq!(life.began_at(), None);
        assert_eq!(life.last_at(), Some(Timestamp(STEPS_MAX as u64 + 2)));
    }
}
