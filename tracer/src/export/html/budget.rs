//! What of a recording a page holds: a browser keeps all of it in memory, an exporter nothing.

use serde::Serialize;

use crate::export::counts::{Counts, Kind};
use crate::record::Record;
use crate::time::Timestamp;

/// Most records in a page.
pub const MAX_RECORDS: u64 = 200_000;
/// Bytes of records from which on no more are taken: browsers hold no text of 512 MiB.
pub const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The kinds by how much a page would miss them. A connection tells its states itself, so transitions go first.
const BY_WORTH: [Kind; Kind::COUNT] =
    [Kind::Host, Kind::Loss, Kind::Connection, Kind::Exchange, Kind::Segment, Kind::Transition];

/// Records of a kind that are not in the page.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LeftOut {
    /// `type` of the records.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// How many.
    pub records: u64,
    /// Time of the first of them; `None` where such records have none, or that one had none.
    pub from: Option<Timestamp>,
}

/// Room for records, most for those that are missed most.
#[derive(Debug)]
pub struct Budget {
    room: [u64; Kind::COUNT],
    room_for_all: u64,
    taken: u64,
    left_out: [Option<LeftOut>; Kind::COUNT],
}

impl Budget {
    /// Room for `max` records of a recording that has `counts`.
    #[must_use]
    pub fn new(max: u64, counts: &Counts) -> Budget {
        let mut room = [0; Kind::COUNT];
        let mut left = max;
        for kind in BY_WORTH {
            room[kind as usize] = left;
            left = left.saturating_sub(counts.of(kind));
        }
        Budget { room, room_for_all: max, taken: 0, left_out: [None; Kind::COUNT] }
    }

    /// Whether the page takes `record`, behind `bytes` of others; counts it either way.
    pub fn takes(&mut self, record: &Record, bytes: u64) -> bool {
        let kind = Kind::of(record);
        let room = &mut self.room[kind as usize];
        if *room == 0 || self.room_for_all == 0 || bytes >= MAX_BYTES {
            let first = LeftOut { kind: kind.name(), records: 0, from: time(record) };
            self.left_out[kind as usize].get_or_insert(first).records += 1;
            return false;
        }
        *room -= 1;
        self.room_for_all -= 1;
        self.taken += 1;
        true
    }

    /// How many were taken.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// What was not, kind by kind.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.left_out.into_iter().flatten().collect()
    }
}

/// When what a record tells of began.
fn time(record: &Record) -> Option<Timestamp> {
    match record {
        Record::Host(host) => Some(host.started_at),
        Record::Transition(transition) => Some(transition.at),
        Record::Segment(segment) => Some(segment.at),
        Record::Exchange(exchange) => {
            let asked = exchange.request.as_ref().and_then(|request| request.at);
            asked.or_else(|| exchange.response.as_ref()?.at)
        }
        Record::Connection(connection) => connection.opened_at,
        Record::Loss(loss) => Some(loss.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::examples;

    /// The types that a page with room for `max` holds of the examples, and what it leaves out.
    fn held(max: u64) -> (Vec<&'static str>, Vec<LeftOut>) {
        let mut counts = Counts::default();
        examples().iter().flatten().for_each(|record| counts.count(record));
        let mut budget = Budget::new(max, &counts);
        let held = examples().into_iter().flatten().filter(|record| budget.takes(record, 0));
        let held = held.map(|record| Kind::of(&record).name()).collect();
        (held, budget.left_out())
    }

    #[test]
    fn everything_is_held_where_there_is_room() {
        let (held, left_out) = held(12);
        assert_eq!((held.len(), left_out), (12, vec![]));
    }

    #[test]
    fn transitions_are_left_out_first_then_segments() {
        let (held, left_out) = held(8);
        assert_eq!(held.iter().filter(|kind| **kind == "segment").count(), 1);
        assert!(!held.contains(&"transition"), "{held:?}");
        let told: Vec<_> = left_out.iter().map(|kind| (kind.kind, kind.records)).collect();
        assert_eq!(told, [("transition", 3), ("segment", 1)]);
        assert_eq!(
            left_out[0].from.map(|at| at.to_string()).as_deref(),
            Some("2026-03-01T12:00:01.000000123Z")
        );
    }

    #[test]
    fn losses_and_connections_are_held_to_the_last() {
        let (held, _) = held(5);
        assert_eq!(held, ["host", "host", "connection", "connection", "loss"]);
    }

    #[test]
    fn the_bound_holds_where_nothing_was_counted_before() {
        let mut budget = Budget::new(3, &Counts::default());
        let held = examples().iter().flatten().filter(|record| budget.takes(record, 0)).count();
        assert_eq!((held, budget.taken()), (3, 3));
    }

    #[test]
    fn records_behind_too_many_bytes_are_left_out_and_counted() {
        let mut budget = Budget::new(12, &Counts::default());
        assert!(!budget.takes(examples()[11].as_ref().unwrap(), MAX_BYTES));
        assert_eq!((budget.left_out()[0].kind, budget.left_out()[0].records), ("loss", 1));
    }
}
