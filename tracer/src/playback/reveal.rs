//! What was known of a connection at each moment.
//!
//! A recording tells a connection whole at its end. A view that plays it wants it when it opens: who it is, and its life
//! up to then, but nothing of what was still to come. The player looks ahead for it.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::record::{ConnId, Connection, Outcome, Record, StateEntry};
use crate::time::Timestamp;
use crate::view_update::Update;

/// Connections that are known ahead of their records at most. Those beyond are shown when their records come.
const MAX_CONNECTIONS: usize = 100_000;

/// Connections whose records are still to come, and which of them have been shown.
#[derive(Debug, Default)]
pub struct Reveal {
    ahead: FxHashMap<ConnId, Arc<Connection>>,
    shown: FxHashSet<ConnId>,
}

impl Reveal {
    /// Takes note of a connection ahead of its record: the latest word holds. Where it says more of who the connection
    /// is, it is shown with the connection's next record.
    pub fn learn(&mut self, connection: Arc<Connection>) {
        let before = self.ahead.get(&connection.id);
        if before.is_none() && self.is_full() {
            return;
        }
        if before.is_some_and(|before| !is_same(before, &connection)) {
            self.shown.remove(&connection.id);
        }
        self.ahead.insert(connection.id, connection);
    }

    /// Whether no more can be known ahead.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ahead.len() >= MAX_CONNECTIONS
    }

    /// A connection whose record is still to come, as that or a note has it.
    #[must_use]
    pub fn known(&self, id: ConnId) -> Option<&Connection> {
        self.ahead.get(&id).map(Arc::as_ref)
    }

    /// Connections that are older than the recording: known from its begin.
    pub fn begin(&mut self, at: Timestamp, out: &mut Vec<Update>) {
        let older = self.ahead.values().filter(|connection| connection.older_than_tracer);
        let mut older: Vec<ConnId> = older.map(|connection| connection.id).collect();
        older.sort_unstable();
        older.into_iter().for_each(|id| self.show(id, at, out));
    }

    /// Forgets everything: it is played from the begin again.
    pub fn restart(&mut self) {
        self.ahead.clear();
        self.shown.clear();
    }

    /// What a live run would have told with this record at `at`.
    pub fn tell(&mut self, record: Record, at: Timestamp, out: &mut Vec<Update>) {
        if let Record::Connection(connection) = &record {
            // Told whole by itself: nothing is to be shown before it any more.
            self.ahead.remove(&connection.id);
            self.shown.remove(&connection.id);
        } else if let Some(id) = record.conn() {
            self.show(id, at, out);
        }
        out.push(Update::Record(record));
    }

    fn show(&mut self, id: ConnId, at: Timestamp, out: &mut Vec<Update>) {
        if let Some(connection) = self.ahead.get(&id)
            && self.shown.insert(id)
        {
            out.push(Update::Connection(Arc::new(as_of(connection, at))));
        }
    }
}

/// Whether two words on a connection say the same of who it is.
fn is_same(a: &Connection, b: &Connection) -> bool {
    let who = |c: &Connection| (c.endpoint, c.local, c.remote, c.peer, c.pid);
    let process = |c: &Connection| (c.comm.clone(), c.exe.clone(), c.cgroup.clone());
    who(a) == who(b) && process(a) == process(b)
}

/// The connection as it was known at `at`: no counters, for a recording has only the last ones.
fn as_of(connection: &Connection, at: Timestamp) -> Connection {
    Connection {
        closed_at: None,
        states: states_until(&connection.states, at),
        outcome: Outcome::Open,
        closed_by: None,
        bytes_sent: None,
        bytes_received: None,
        segments_retransmitted: None,
        srtt_us: None,
        exchanges: 0,
        lost_events: 0,
        ..connection.clone()
    }
}

/// The states entered by then. One whose moment is not known was entered before the next one that has one; the first is
/// where an older connection was met.
fn states_until(states: &[StateEntry], at: Timestamp) -> Vec<StateEntry> {
    let known = states.iter().rposition(|entry| entry.at.is_some_and(|entered| entered <= at));
    let met = states.first().filter(|first| first.at.is_none()).map(|_| 0);
    let last = known.or(met);
    last.map_or_else(Vec::new, |last| states[..=last].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Transition;
    use crate::tcp::TcpState::{self, Close, CloseWait, Established, LastAck, SynSent};
    use crate::tui::fixture::{NOW, ago, connection, states, transition};

    fn whole() -> Connection {
        let life =
            [(SynSent, 900), (Established, 800), (CloseWait, 500), (LastAck, 400), (Close, 300)];
        Connection {
            states: states(&life),
            closed_at: Some(ago(300)),
            outcome: Outcome::Graceful,
            exchanges: 7,
            ..connection(5)
        }
    }

    fn moved(from: TcpState, to: TcpState, us: u64) -> Record {
        Record::Transition(Transition { ..transition(5, from, to, ago(us)) })
    }

    #[test]
    fn a_connection_is_shown_with_its_first_record_and_knows_nothing_of_its_future() {
        let mut reveal = Reveal::default();
        reveal.learn(Arc::new(whole()));
        let mut out = Vec::new();
        reveal.begin(ago(1_000), &mut out);
        assert!(out.is_empty());
        reveal.tell(moved(Close, SynSent, 900), ago(900), &mut out);
        let [Update::Connection(shown), Update::Record(Record::Transition(_))] = &out[..] else {
            panic!("{out:?}");
        };
        assert_eq!(shown.states, states(&[(SynSent, 900)]));
        assert_eq!((shown.outcome, shown.closed_at, shown.exchanges), (Outcome::Open, None, 0));
        reveal.tell(moved(SynSent, Established, 800), ago(800), &mut out);
        assert_eq!(out.len(), 3, "shown once");
        reveal.tell(Record::Connection(Arc::new(whole())), NOW, &mut out);
        assert!(matches!(&out[3], Update::Record(Record::Connection(last)) if last.exchanges == 7));
    }

    #[test]
    fn what_becomes_known_later_is_shown_with_the_next_record() {
        let mut reveal = Reveal::default();
        reveal.learn(Arc::new(Connection { pid: None, comm: None, ..whole() }));
        let mut out = Vec::new();
        reveal.tell(moved(Close, SynSent, 900), ago(900), &mut out);
        reveal.learn(Arc::new(Connection { pid: Some(7), ..whole() }));
        reveal.tell(moved(SynSent, Established, 800), ago(800), &mut out);
        reveal.learn(Arc::new(Connection { pid: Some(7), exchanges: 9, ..whole() }));
        reveal.tell(moved(Established, CloseWait, 500), ago(500), &mut out);
        let pids = out.iter().filter_map(|update| match update {
            Update::Connection(connection) => Some(connection.pid),
            _ => None,
        });
        assert_eq!(pids.collect::<Vec<_>>(), [None, Some(7)]);
    }

    #[test]
    fn one_that_is_older_than_the_recording_is_there_from_its_begin() {
        let mut old = whole();
        old.older_than_tracer = true;
        old.states[0] = StateEntry { state: Established, at: None };
        old.states.remove(1);
        let mut reveal = Reveal::default();
        reveal.learn(Arc::new(old));
        let mut out = Vec::new();
        reveal.begin(ago(1_000), &mut out);
        let [Update::Connection(shown)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(shown.states, [StateEntry { state: Established, at: None }]);
    }
}
