//! How many connection ends there were at each time.

use crate::export::Known;
use crate::time::Timestamp;

/// The number of ends from each time on, in order of time. Ends of unknown begin are there from `started_at` on; where that
/// is not known either, from the first time on.
///
/// Takes 32 bytes for each end that is known, for as long as the result lives.
pub fn counts(known: &Known, started_at: Option<Timestamp>) -> Vec<(Timestamp, i64)> {
    let mut changes = Vec::new();
    let mut open = 0;
    for end in known.ends() {
        match end.opened_at.or(started_at) {
            Some(at) => changes.push((at, 1)),
            None => open += 1,
        }
        changes.extend(end.closed_at.map(|at| (at, -1)));
    }
    changes.sort_unstable();
    for change in &mut changes {
        open += change.1;
        change.1 = open;
    }
    keep_last_of_each_time(&mut changes);
    changes
}

fn keep_last_of_each_time(counts: &mut Vec<(Timestamp, i64)>) {
    counts.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            kept.1 = later.1;
        }
        is_same
    });
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
        let counted = counts(&known, Some(Timestamp(5)));
        assert_eq!(counted, at(&[(5, 1), (10, 2), (20, 3), (30, 2), (40, 1)]));
        let without_start = counts(&known, None);
        assert_eq!(without_start, at(&[(10, 2), (20, 3), (30, 2), (40, 1)]));
    }
}
