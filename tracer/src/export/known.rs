//! Who the connections of a recording are: their records come last, after all that is told of them.

use rustc_hash::FxHashMap;

use super::counts::Counts;
use crate::record::{ConnId, Connection, Record, SocketAddress, Text};
use crate::tcp::Endpoint;
use crate::time::Timestamp;

/// Most connections that are remembered; each takes about 180 bytes. Just below where the table of places would double.
const MAX_CONNECTIONS: usize = 900_000;
/// Ends that get their memory together: a table that holds them itself would copy all of them whenever it grows.
const CHUNK: usize = 4096;

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
#[derive(Debug, Default)]
pub struct Known {
    /// In the order in which they were learned.
    ends: Vec<Vec<End>>,
    /// Which of them is whose.
    places: FxHashMap<ConnId, u32>,
    left_out: u64,
    counts: Counts,
}

impl Known {
    /// Takes note of a record on the first pass.
    pub fn learn(&mut self, record: &Record) {
        self.counts.count(record);
        let Record::Connection(connection) = record else { return };
        let end = End::from(&**connection);
        if let Some(known) = self.end_mut(connection.id) {
            *known = end;
        } else if self.places.len() < MAX_CONNECTIONS {
            self.places.insert(connection.id, self.places.len() as u32);
            match self.ends.last_mut() {
                Some(chunk) if chunk.len() < CHUNK => chunk.push(end),
                _ => {
                    let mut chunk = Vec::with_capacity(CHUNK);
                    chunk.push(end);
                    self.ends.push(chunk);
                }
            }
        } else {
            self.left_out += 1;
        }
    }

    fn end_mut(&mut self, id: ConnId) -> Option<&mut End> {
        let place = *self.places.get(&id)? as usize;
        self.ends.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    /// What is known of a connection; nothing of one that was still open when a recording was cut short.
    #[must_use]
    pub fn end(&self, id: ConnId) -> Option<&End> {
        let place = *self.places.get(&id)? as usize;
        self.ends.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// All connections that are known, in the order of their records.
    pub fn ends(&self) -> impl Iterator<Item = &End> {
        self.ends.iter().flatten()
    }

    /// Whether the other end of this connection tells the same exchanges from its side, and is the client.
    #[must_use]
    pub fn is_told_by_client(&self, id: ConnId) -> bool {
        let Some(end) = self.end(id) else { return false };
        let peer = end.peer.and_then(|peer| self.end(peer));
        end.endpoint == Some(Endpoint::Server)
            && peer.is_some_and(|peer| peer.endpoint == Some(Endpoint::Client))
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
