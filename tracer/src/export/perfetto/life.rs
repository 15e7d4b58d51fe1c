//! The life of a connection end as stretches of time.

use crate::record::Connection;
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// A time in which a connection was in one state, or in some whose changes were not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The states in order. Where there are more than one, nothing told when the second and later ones were entered.
    pub states: Vec<TcpState>,
    /// When the first of them was entered, or tracing began.
    pub begin: Timestamp,
    /// Whether `begin` is when tracing began, and the state is older.
    pub is_older: bool,
    /// When the last of them was left; `None` where it was not.
    pub end: Option<Timestamp>,
}

/// What of a life has a place in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The stretches, one right behind the other.
    pub stretches: Vec<Stretch>,
    /// States before them whose begin was not seen.
    pub before: Vec<TcpState>,
}

impl Life {
    /// The life of `connection` under a tracer that was started at `started_at`.
    pub fn of(connection: &Connection, started_at: Option<Timestamp>) -> Life {
        let mut life = Life::default();
        for entry in &connection.states {
            // A time before that of the state before cannot be that of the change: it counts as not seen.
            let at = entry.at.filter(|at| life.last_begin().is_none_or(|last| last <= *at));
            life.enter(entry.state, at);
        }
        life.close(connection.closed_at);
        if connection.older_than_tracer {
            life.begin_with_tracing(started_at, connection.closed_at);
        }
        life
    }

    fn last_begin(&self) -> Option<Timestamp> {
        self.stretches.last().map(|last| last.begin)
    }

    fn enter(&mut self, state: TcpState, at: Option<Timestamp>) {
        match (at, self.stretches.last_mut()) {
            (Some(at), last) => {
                if let Some(last) = last {
                    last.end = Some(at);
                }
                let (states, is_older, end) = (vec![state], false, None);
                self.stretches.push(Stretch { states, begin: at, is_older, end });
            }
            (None, Some(last)) => last.states.push(state),
            (None, None) => self.before.push(state),
        }
    }

    fn close(&mut self, closed_at: Option<Timestamp>) {
        if let Some(last) = self.stretches.last_mut() {
            last.end = closed_at.map(|at| at.max(last.begin));
        }
    }

    /// What came before the first time that is known was there when tracing began.
    fn begin_with_tracing(&mut self, started_at: Option<Timestamp>, closed_at: Option<Timestamp>) {
        let Some(begin) = started_at else { return };
        let end = self.stretches.first().map(|first| first.begin).or(closed_at);
        if self.before.is_empty() || end.is_some_and(|end| end < begin) {
            return;
        }
        let states = std::mem::take(&mut self.before);
        self.stretches.insert(0, Stretch { states, begin, is_older: true, end });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::examples;
    use crate::record::{Record, StateEntry};

    fn connection(states: &[(TcpState, Option<u64>)], closed_at: Option<u64>) -> Connection {
        let found = examples().into_iter().flatten().find_map(|record| match record {
            Record::Connection(connection) => Some((*connection).clone()),
            _ => None,
        });
        let entry =
            |&(state, at): &(TcpState, Option<u64>)| StateEntry { state, at: at.map(Timestamp) };
        Connection {
            states: states.iter().map(entry).collect(),
            closed_at: closed_at.map(Timestamp),
            ..found.unwrap()
        }
    }

    fn stretch(states: &[TcpState], begin: u64, end: Option<u64>) -> Stretch {
        let (begin, end) = (Timestamp(begin), end.map(Timestamp));
        Stretch { states: states.to_vec(), begin, is_older: false, end }
    }

    use TcpState::{CloseWait, Established, FinWait1, FinWait2, SynSent};

    #[test]
    fn a_state_lasts_until_the_next_and_the_last_until_the_end() {
        let states = [(SynSent, Some(10)), (Established, Some(30)), (FinWait1, Some(100))];
        let life = Life::of(&connection(&states, Some(150)), None);
        let expected = [
            stretch(&[SynSent], 10, Some(30)),
            stretch(&[Established], 30, Some(100)),
            stretch(&[FinWait1], 100, Some(150)),
        ];
        assert_eq!((life.stretches.as_slice(), life.before.len()), (&expected[..], 0));
        let open = Life::of(&connection(&states, None), None);
        assert_eq!(open.stretches[2], stretch(&[FinWait1], 100, None));
    }

    #[test]
    fn a_change_that_was_not_seen_joins_its_states() {
        let states = [(Established, Some(30)), (FinWait1, None), (FinWait2, Some(90))];
        let life = Life::of(&connection(&states, Some(100)), None);
        let joined = stretch(&[Established, FinWait1], 30, Some(90));
        assert_eq!(life.stretches, [joined, stretch(&[FinWait2], 90, Some(100))]);
    }

    #[test]
    fn a_time_that_goes_back_is_no_time() {
        let states = [(Established, Some(30)), (FinWait1, Some(20)), (FinWait2, Some(90))];
        let life = Life::of(&connection(&states, Some(80)), None);
        let joined = stretch(&[Established, FinWait1], 30, Some(90));
        assert_eq!(life.stretches, [joined, stretch(&[FinWait2], 90, Some(90))]);
    }

    #[test]
    fn what_is_older_than_the_tracer_begins_with_it_and_is_marked() {
        let states = [(Established, None), (CloseWait, Some(90))];
        let older = Connection { older_than_tracer: true, ..connection(&states, None) };
        let life = Life::of(&older, Some(Timestamp(50)));
        let first = Stretch { is_older: true, ..stretch(&[Established], 50, Some(90)) };
        assert_eq!(life.stretches, [first, stretch(&[CloseWait], 90, None)]);
        let without_start = Life::of(&older, None);
        assert_eq!(without_start.before, [Established]);
        assert_eq!(without_start.stretches, [stretch(&[CloseWait], 90, None)]);
    }

    #[test]
    fn a_begin_that_was_lost_is_not_taken_for_the_tracers() {
        let states = [(SynSent, None), (Established, Some(90))];
        let life = Life::of(&connection(&states, Some(100)), Some(Timestamp(50)));
        assert_eq!(life.before, [SynSent]);
        assert_eq!(life.stretches, [stretch(&[Established], 90, Some(100))]);
    }
}
