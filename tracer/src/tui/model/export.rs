//! What the view holds, as records: for a file that goes to somebody else.

use rustc_hash::FxHashSet;

use super::row::Row;
use super::{Model, Page};
use crate::record::{ConnId, Connection, Record, Segment};
use crate::tcp::flag_letters;
use crate::time::Timestamp;

/// Records, oldest first, and what is missing among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// The records: host, segments, exchanges, connections.
    pub records: Vec<Record>,
    /// Connections among them.
    pub connections: usize,
    /// Exchanges of these connections that the view does not hold any more.
    pub missing_exchanges: u64,
}

/// The selected connection with its other end, or all that the filter shows.
///
/// State changes are in the connections' own lives; which of them were inferred the view does not hold, so there are no
/// records of them.
#[must_use]
pub fn held(model: &Model) -> Held {
    let wanted = wanted(model);
    let rows = || wanted.iter().filter_map(|id| model.table.row(*id));
    let mut timed: Vec<(Timestamp, Record)> = Vec::new();
    for row in rows() {
        let id = row.connection().id;
        timed.extend(row.passed().segments().iter().map(|passed| {
            let segment = Segment {
                conn: id,
                at: passed.at,
                direction: passed.direction,
                flags: flag_letters(passed.flags),
                seq: passed.seq,
                ack: passed.ack,
                payload_bytes: passed.payload_bytes,
                retransmit: passed.repeated,
            };
            (passed.at, Record::Segment(segment))
        }));
        let last = row.states().rev().find_map(|entry| entry.at).unwrap_or_default();
        timed.push((last, Record::Connection(connection(row).into())));
    }
    let mut exchanges = 0;
    for entry in model.requests.held().filter(|entry| wanted.contains(&entry.exchange.conn)) {
        let at = entry.exchange.request.as_ref().and_then(|request| request.at);
        timed.push((at.unwrap_or_default(), Record::Exchange(entry.exchange.clone())));
        exchanges += 1;
    }
    timed.sort_by_key(|(at, _)| *at);
    let host = model.host.iter().map(|host| Record::Host(host.clone()));
    Held {
        connections: rows().count(),
        missing_exchanges: rows().map(Row::exchanges).sum::<u64>().saturating_sub(exchanges),
        records: host.chain(timed.into_iter().map(|(_, record)| record)).collect(),
    }
}

fn wanted(model: &Model) -> FxHashSet<ConnId> {
    let selected = match model.page {
        Page::Connections => model.cursor.selected,
        Page::Requests => model.requests.selected().map(|entry| entry.exchange.conn),
        Page::Groups => None,
    };
    match selected {
        Some(id) => {
            let peer = model.table.row(id).and_then(|row| row.connection().peer);
            peer.into_iter().chain([id]).collect()
        }
        None => model.table.shown().iter().copied().collect(),
    }
}

/// The connection as it is by now.
fn connection(row: &Row) -> Connection {
    Connection {
        states: row.states().collect(),
        exchanges: row.exchanges(),
        ..row.connection().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{NOW, mixed_updates};
    use crate::tui::model::Action;

    fn mixed() -> Model {
        let mut model = Model::new(|_| Err("none".to_owned()));
        model.tick(NOW);
        model.offer(mixed_updates());
        model.settle(20);
        model
    }

    #[test]
    fn with_nothing_selected_all_that_is_shown_is_told_and_each_line_parses() {
        let model = mixed();
        let held = held(&model);
        assert_eq!(held.connections, model.table.shown().len());
        for record in &held.records {
            let mut line = Vec::new();
            record.write_json_line(&mut line).unwrap();
            let line = String::from_utf8(line).unwrap();
            assert_eq!(Record::from_json(&line).unwrap(), *record, "{line}");
        }
    }

    #[test]
    fn a_selected_connection_goes_alone_with_what_has_happened_on_it_since() {
        let mut model = mixed();
        model.act(Action::First);
        model.settle(20);
        let held = held(&model);
        let connections: Vec<_> = (held.records.iter())
            .filter_map(|record| match record {
                Record::Connection(connection) => Some(connection),
                _ => None,
            })
            .collect();
        let row = model.selected().unwrap();
        assert_eq!(connections.len(), 1);
        assert_eq!(connections[0].id, row.connection().id);
        assert_eq!(connections[0].states, row.states().collect::<Vec<_>>());
    }
}
