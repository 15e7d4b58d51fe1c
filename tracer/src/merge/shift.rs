//! The second recording's records as if its clock and its ids had been the first's.

use std::sync::Arc;

use super::Pairs;
use crate::record::{ConnId, Connection, Exchange, Host, Record};
use crate::time::Timestamp;

/// How the second recording's records are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// The second clock less the first, nanoseconds.
    pub ahead_ns: i64,
    /// What its ids are raised by: the first recording's highest.
    pub ids: u64,
}

impl Shift {
    /// A record of the second recording.
    #[must_use]
    pub fn second(&self, record: Record, pairs: &Pairs) -> Record {
        match record {
            Record::Host(host) => {
                let started_at = self.at(host.started_at);
                Record::Host(Host { started_at, ..(*host).clone() }.into())
            }
            Record::Transition(mut transition) => {
                transition.conn = self.id(transition.conn);
                transition.at = self.at(transition.at);
                Record::Transition(transition)
            }
            Record::Segment(mut segment) => {
                segment.conn = self.id(segment.conn);
                segment.at = self.at(segment.at);
                Record::Segment(segment)
            }
            Record::Exchange(exchange) => Record::Exchange(self.exchange(&exchange).into()),
            Record::Connection(connection) => {
                Record::Connection(Arc::new(self.connection(&connection, pairs)))
            }
            Record::Loss(mut loss) => {
                loss.at = self.at(loss.at);
                Record::Loss(loss)
            }
        }
    }

    /// A record of the first recording: its ends learn of their other ends.
    #[must_use]
    pub fn first(&self, record: Record, pairs: &Pairs) -> Record {
        match record {
            Record::Connection(connection) => match pairs.of_first(connection.id) {
                Some(theirs) => {
                    let peer = Some(self.id(theirs));
                    Record::Connection(Arc::new(Connection { peer, ..(*connection).clone() }))
                }
                None => Record::Connection(connection),
            },
            other => other,
        }
    }

    fn id(&self, id: ConnId) -> ConnId {
        ConnId(id.0.saturating_add(self.ids))
    }

    fn at(&self, at: Timestamp) -> Timestamp {
        // The second's time less what it is ahead by.
        Timestamp(at.0.saturating_add_signed(self.ahead_ns.saturating_neg()))
    }

    fn exchange(&self, exchange: &Exchange) -> Exchange {
        let mut exchange = exchange.clone();
        exchange.conn = self.id(exchange.conn);
        if let Some(request) = exchange.request.as_mut() {
            request.at = request.at.map(|at| self.at(at));
        }
        if let Some(response) = exchange.response.as_mut() {
            response.at = response.at.map(|at| self.at(at));
        }
        exchange
    }

    fn connection(&self, connection: &Connection, pairs: &Pairs) -> Connection {
        let mut connection = connection.clone();
        let elsewhere = pairs.of_second(connection.id);
        connection.peer = elsewhere.or(connection.peer.map(|peer| self.id(peer)));
        connection.id = self.id(connection.id);
        connection.opened_at = connection.opened_at.map(|at| self.at(at));
        connection.closed_at = connection.closed_at.map(|at| self.at(at));
        for entry in &mut connection.states {
            entry.at = entry.at.map(|at| self.at(at));
        }
        connection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Ends;
    use crate::tui::fixture::connection;

    const EXAMPLES: &str = include_str!("../../../docs/schema/examples.jsonl");

    /// Every time in a line, and every id.
    fn times_and_ids(record: &Record) -> (Vec<Timestamp>, Vec<u64>) {
        let mut line = Vec::new();
        record.write_json(&mut line).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let (mut times, mut ids, mut rest) = (Vec::new(), Vec::new(), vec![value]);
        while let Some(value) = rest.pop() {
            match value {
                serde_json::Value::Object(fields) => rest.extend(fields.into_iter().map(|f| f.1)),
                serde_json::Value::Array(items) => rest.extend(items),
                serde_json::Value::String(text) => {
                    if let Ok(at) = serde_json::from_value(text.clone().into()) {
                        times.push(at);
                    }
                    if let Ok(ConnId(id)) = serde_json::from_value(text.into()) {
                        ids.push(id);
                    }
                }
                _ => {}
            }
        }
        (times, ids)
    }

    #[test]
    fn every_time_and_every_id_of_every_kind_of_record_is_moved() {
        let shift = Shift { ahead_ns: -1_000, ids: 500 };
        for line in EXAMPLES.lines() {
            let record = Record::from_json(line).unwrap();
            let moved = shift.second(record.clone(), &Pairs::default());
            let ((times, ids), (moved_times, moved_ids)) =
                (times_and_ids(&record), times_and_ids(&moved));
            let expected: Vec<Timestamp> = times.iter().map(|at| at.plus_ns(1_000)).collect();
            assert_eq!(moved_times, expected, "{line}");
            assert_eq!(moved_ids, ids.iter().map(|id| id + 500).collect::<Vec<_>>(), "{line}");
        }
    }

    #[test]
    fn both_ends_learn_of_each_other() {
        let end = |id, sent, received| Connection {
            isn_sent: Some(sent),
            isn_received: Some(received),
            peer: None,
            ..connection(id)
        };
        let (ours, theirs) = (end(3, 10, 20), end(4, 20, 10));
        let (mut first, mut second) = (Ends::default(), Ends::default());
        first.learn(&ours);
        second.learn(&theirs);
        let pairs = Pairs::of(&first, &second);
        let shift = Shift { ahead_ns: 0, ids: first.last() };
        let Record::Connection(ours) = shift.first(Record::Connection(ours.into()), &pairs) else {
            panic!("another kind");
        };
        let Record::Connection(theirs) = shift.second(Record::Connection(theirs.into()), &pairs)
        else {
            panic!("another kind");
        };
        assert_eq!((ours.id, ours.peer), (ConnId(3), Some(ConnId(7))));
        assert_eq!((theirs.id, theirs.peer), (ConnId(7), Some(ConnId(3))));
    }
}
