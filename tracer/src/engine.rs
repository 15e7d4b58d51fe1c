//! The pure core in one piece: events and time in, [`Output`]s out.
//!
//! It owns the tracker and the HTTP state of every connection that carries any, and turns what they find
//! into records. It reads no clock and does no input or output; the edge is `pipeline`.

use std::sync::Arc;

use crate::conn::{self, Change, Limits, SnapshotSocket, Tracker, TrackerCounters};
use crate::event::{Body, Event};
use crate::record::{self, ConnId, Record};
use crate::time::Timestamp;

/// What the engine has to say, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// A line of output. A `connection` line comes once, when the end is over or the run is.
    Record(Record),
    /// A connection as it is now: it opened, gained an owner or its other end. For live views.
    Changed(Arc<record::Connection>),
    /// Its owner is known by number: the edge looks up the rest and hands it back with [`Engine::set_facts`].
    Owned {
        /// The connection.
        conn: ConnId,
        /// Process id.
        pid: u32,
        /// cgroup v2 id, 0 where unknown.
        cgroup_id: u64,
    },
}

/// See the module's documentation.
pub struct Engine {
    tracker: Tracker,
    outputs: Vec<Output>,
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits, sees_segments: bool) -> Self {
        Engine { tracker: Tracker::new(limits, sees_segments), outputs: Vec::new() }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &Event<'_>) {
        match &event.body {
            Body::Payload(_) | Body::Exec(_) => {}
            _ => {
                self.tracker.apply(event);
                self.collect();
            }
        }
    }

    /// Lets time pass.
    pub fn expire(&mut self, now: Timestamp) {
        self.tracker.expire(now);
        self.collect();
    }

    /// Merges the dump of the sockets that were there before.
    pub fn merge_snapshot(&mut self, sockets: Vec<SnapshotSocket>, whole: bool) {
        self.tracker.merge_snapshot(sockets, whole);
        self.collect();
    }

    /// Takes in a later look at small sockets.
    pub fn look(&mut self, sockets: &[SnapshotSocket], at: Timestamp) {
        self.tracker.look(sockets, at);
        self.collect();
    }

    /// Namespaces in which an orphan sits in FIN_WAIT2, whose next step no hook may tell.
    #[must_use]
    pub fn orphans(&self) -> Vec<u32> {
        self.tracker.orphaned_namespaces()
    }

    /// Adds what the edge knows of an owner.
    pub fn set_facts(&mut self, conn: ConnId, facts: Arc<conn::ProcessFacts>) {
        self.tracker.set_facts(conn, facts);
        self.tell_changed(conn);
    }

    /// What was found out since the last call, in order.
    pub fn drain(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// What hit a bound.
    #[must_use]
    pub fn counters(&self) -> TrackerCounters {
        self.tracker.counters
    }

    /// Connection ends tracked now.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.tracker.len()
    }

    /// The run is over: whatever is still open is told as it is.
    pub fn finish(&mut self, sockets: &[SnapshotSocket]) {
        self.tracker.refresh_counters(sockets);
        self.collect();
        let mut ids: Vec<ConnId> = self.tracker.iter().map(|c| c.id).collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(connection) = self.tracker.get(id) {
                let record = Arc::new(connection_record(connection));
                self.outputs.push(Output::Record(Record::Connection(record)));
            }
        }
    }

    fn collect(&mut self) {
        let changes: Vec<Change> = self.tracker.drain().collect();
        for change in changes {
            self.tell(change);
        }
    }

    fn tell(&mut self, change: Change) {
        match change {
            Change::Opened(id) | Change::Paired(id) => self.tell_changed(id),
            Change::Transition(transition) => {
                self.outputs.push(Output::Record(Record::Transition(transition)));
            }
            Change::Segment(segment) => self.outputs.push(Output::Record(Record::Segment(segment))),
            Change::Owned { conn, pid, cgroup_id } => {
                self.outputs.push(Output::Owned { conn, pid, cgroup_id });
            }
            Change::Closed(connection) => {
                let record = Arc::new(connection_record(&connection));
                self.outputs.push(Output::Record(Record::Connection(record)));
            }
        }
    }

    fn tell_changed(&mut self, id: ConnId) {
        if let Some(connection) = self.tracker.get(id) {
            self.outputs.push(Output::Changed(Arc::new(connection_record(connection))));
        }
    }
}

/// The record of a connection as it is now.
#[must_use]
pub fn connection_record(c: &conn::Connection) -> record::Connection {
    let owner = c.owner.as_ref();
    let facts = owner.map(|o| o.facts.as_ref());
    record::Connection {
        id: c.id,
        endpoint: c.endpoint,
        family: c.tuple.family(),
        local: c.tuple.local,
        remote: c.tuple.remote,
        peer: c.peer,
        pid: owner.map(|o| o.pid),
        comm: owner.map(|o| o.comm.clone()),
        exe: facts.and_then(|f| f.exe.clone()),
        cgroup: facts.and_then(|f| f.cgroup.clone()),
        container: facts.and_then(|f| f.container.clone()),
        netns: (c.tuple.netns != 0).then_some(c.tuple.netns),
        opened_at: c.opened_at,
        closed_at: c.closed_at,
        older_than_tracer: c.older,
        states: c.history.to_vec(),
        outcome: c.outcome(),
        closed_by: c.closed_by(),
        bytes_sent: c.counters.map(|n| n.bytes_sent),
        bytes_received: c.counters.map(|n| n.bytes_received),
        segments_retransmitted: c.counters.map(|n| n.segments_retransmitted),
        srtt_us: c.counters.and_then(|n| n.srtt_us),
        exchanges: c.exchanges,
        lost_events: c.lost_events(),
    }
}
