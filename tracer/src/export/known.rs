//! Who the connections of a recording are: their records come last, after all that is told of them.

use super::counts::Counts;
use super::packed::PackedEnds;
use crate::by_conn::{self, ByConn};
use crate::record::{ConnId, Connection, Record, SocketAddress, Text, peers};
use crate::tcp::Endpoint;
use crate::time::Timestamp;

/// Stretches of ids that are remembered at most: two million connections, which take 64 bytes each and 5 for their place.
const MAX_STRETCHES: usize = 2_000_000 / by_conn::STRETCH;

/// What is known of one connection end.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Which end it is.
    pub endpoint: Option<Endpoint>,
    /// Its own address.
    pub local: SocketAddress,
    /// The other end's.
    pub remote: SocketAddress,
    /// The other end, where it is in the recording too.
    pub peer: Option<ConnId>,
    /// Process that uses it.
    pub pid: Option<u32>,
    /// That process's name.
    pub comm: Option<Text>,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// When it opened.
    pub opened_at: Option<Timestamp>,
    /// When it was done with.
    pub closed_at: Option<Timestamp>,
    /// Events about it that are known to be lost.
    pub lost_events: u64,
    /// Initial sequence number of what it sent, where that was seen.
    pub isn_sent: Option<u32>,
    /// The same of what it received.
    pub isn_received: Option<u32>,
}

/// The connections of a recording.
#[derive(Debug)]
pub struct Known {
    ends: PackedEnds,
    /// Which of them is whose.
    places: ByConn,
    left_out: u64,
    counts: Counts,
}

impl Default for Known {
    fn default() -> Known {
        Known {
            ends: PackedEnds::default(),
            places: ByConn::with_bound(MAX_STRETCHES),
            left_out: 0,
            counts: Counts::default(),
        }
    }
}

impl Known {
    /// Takes note of a record on the first pass.
    pub fn learn(&mut self, record: &Record) {
        self.counts.count(record);
        let Record::Connection(connection) = record else { return };
        let is_kept = self.keep(connection.id, &End::from(&**connection));
        self.left_out += u64::from(!is_kept);
    }

    /// Takes note of a connection that went on, as it was then. Its record, if there is one, comes later and holds.
    pub fn learn_note(&mut self, connection: &Connection) {
        let is_kept = self.keep(connection.id, &End::from(connection));
        self.left_out += u64::from(!is_kept);
    }

    /// False where there is no room. The latest word on a connection holds.
    fn keep(&mut self, id: ConnId, end: &End) -> bool {
        match self.places.get(id) {
            Some(place) => self.ends.replace(place, end),
            None if self.places.has_room_for(id) => {
                let place = self.ends.push(end);
                place.is_some_and(|place| self.places.insert(id, place))
            }
            None => false,
        }
    }

    /// What is known of a connection: of one that was still open when a recording was cut short, what its last note says.
    #[must_use]
    pub fn end(&self, id: ConnId) -> Option<End> {
        self.ends.get(self.places.get(id)?)
    }

    /// All connections that are known, in the order of their records.
    pub fn ends(&self) -> impl Iterator<Item = End> {
        self.ends.iter()
    }

    /// Whether the other end of this connection is in the recording, and its exchanges stand for
    /// those of both.
    #[must_use]
    pub fn is_told_by_peer(&self, id: ConnId) -> bool {
        let Some(end) = self.end(id) else { return false };
        let peer = end.peer.and_then(|peer| Some((peer, self.end(peer)?.endpoint)));
        peer.is_some_and(|peer| !peers::stands_for_both((id, end.endpoint), peer))
    }

    /// Connections beyond the bound: what is told of them is exported as if nothing were known of them.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// How many records of each kind there are.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl End {
    /// The server's address, where it is known which end this is.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddress> {
        self.endpoint.map(|endpoint| match endpoint {
            Endpoint::Client => self.remote,
            Endpoint::Server => self.local,
        })
    }

    /// The client's.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddress> {
        self.endpoint.map(|endpoint| match endpoint {
            Endpoint::Client => self.local,
            Endpoint::Server => self.remote,
        })
    }
}

impl From<&Connection> for End {
    fn from(connection: &Connection) -> End {
        End {
            endpoint: connection.endpoint,
            local: connection.local,
            remote: connection.remote,
            peer: connection.peer,
            pid: connection.pid,
            comm: connection.comm.clone(),
            netns: connection.netns,
            opened_at: connection.opened_at,
            closed_at: connection.closed_at,
            lost_events: connection.lost_events,
            isn_sent: connection.isn_sent,
            isn_received: connection.isn_received,
        }
    }
}
