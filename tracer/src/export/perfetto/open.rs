//! How many connection ends there were at each time.

use crate::export::Known;
use crate::export::known::End;
use crate::time::Timestamp;

/// The number of ends from each time on, in order of time. Ends of unknown begin are there from `started_at` on; where that
/// is not known either, from the first time on.
///
/// Takes 16 bytes for each end that is known, for as long as the result lives.
pub fn counts(
    known: &Known,
    started_at: Option<Timestamp>,
) -> impl Iterator<Item = (Timestamp, i64)> + use<> {
    let begin = |end: &End| end.opened_at.or(started_at);
    let mut opened = Vec::with_capacity(known.ends().filter(|end| begin(end).is_some()).count());
    let mut closed = Vec::with_capacity(known.ends().filter(|end| end.closed_at.is_some()).count());
    let mut open = 0;
    for end in known.ends() {
        match begin(&end) {
            Some(at) => opened.push(at),
            None => open += 1,
        }
        closed.extend(end.closed_at);
    }
    opened.sort_unstable();
    closed.sort_unstable();
    let (mut opened, mut closed) = (opened.into_iter().peekable(), closed.into_iter().peekable());
    std::iter::from_fn(move || {
        let next = [opened.peek(), closed.peek()].into_iter().flatten().min();
        let at = *next?;
        while opened.next_if_eq(&at).is_some() {
            open += 1;
        }
        while closed.next_if_eq(&at).is_some() {
            open -= 1;
        }
        Some((at, open))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::examples;
    use crate::record::{ConnId, Connection, Record};

    fn known(lives: &[(Option<u64>, Option<u64>)]) -> Known {
        let found = examples().into_iter().flatten().find_map(|record| match record {
            Record::Connection(connection) => Some((*connection).clone()),
            _ => None,
        });
        let connection: Connection = found.unwrap();
        let mut known = Known::default();
        for (id, (opened_at, closed_at)) in (1..).map(ConnId).zip(lives) {
            let (opened_at, closed_at) = (opened_at.map(Timestamp), closed_at.map(Timestamp));
            let one = Connection { id, opened_at, closed_at, ..connection.clone() };
            known.learn(&Record::Connection(one.into()));
        }
        known
    }

    #[test]
    fn each_time_has_the_number_that_holds_from_then_on() {
        let known = known(&[
            (Some(10), Some(30)),
            (Some(20), Some(30)),
            (Some(30), None),
            (None, Some(40)),
        ]);
        let at = |counts: &[(u64, i64)]| -> Vec<(Timestamp, i64)> {
            counts.iter().map(|(at, count)| (Timestamp(*at), *count)).collect()
        };
        let counted: Vec<_> = counts(&known, Some(Timestamp(5))).collect();
        assert_eq!(counted, at(&[(5, 1), (10, 2), (20, 3), (30, 2), (40, 1)]));
        let without_start: Vec<_> = counts(&known, None).collect();
        assert_eq!(without_start, at(&[(10, 2), (20, 3), (30, 2), (40, 1)]));
    }
}
