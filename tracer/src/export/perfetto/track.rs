//! Tracks: what they are called, whose they are, and which of them have been told of.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use rustc_hash::FxHashSet;

use super::packets::Packets;
use super::proto::{CounterDescriptor, ProcessDescriptor, TrackDescriptor};
use crate::export::known::End;
use crate::record::{ConnId, Text};
use crate::sanitize::printable;
use crate::tcp::Endpoint;

/// Most tracks that are remembered as told of: 16 MB. Beyond it all are forgotten and told of again, which readers allow.
const MAX_DESCRIBED: usize = 1_000_000;

/// Low bits of a track's number that say what kind it is.
const KIND_BITS: u32 = 3;

/// A line of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The run, and what is to be said of the whole trace.
    Run,
    /// How many connection ends there are.
    Open,
    /// What was lost.
    Losses,
    /// Above the connections whose process is not known.
    NoProcess,
    /// A process, by a hash of its id and name: ids are given again.
    Process(u64),
    /// The states of a connection end.
    Connection(ConnId),
    /// Its segments.
    Segments(ConnId),
    /// One request with its answer; each has a number of its own, since requests that are sent ahead overlap. Readers
    /// show those of one name and parent as one track.
    Exchange(u64),
}

impl Track {
    /// Its number; never 0, which stands for no track.
    pub fn uuid(self) -> u64 {
        let (kind, number) = match self {
            Track::Run => (0, 1),
            Track::Open => (0, 2),
            Track::Losses => (0, 3),
            Track::NoProcess => (0, 4),
            Track::Process(hash) => (1, hash),
            Track::Connection(id) => (2, id.0),
            Track::Segments(id) => (3, id.0),
            Track::Exchange(number) => (4, number),
        };
        number.wrapping_shl(KIND_BITS) | kind
    }
}

/// The tracks that have been told of: each is told of before its first event.
#[derive(Debug, Default)]
pub struct Tracks {
    described: FxHashSet<u64>,
    exchanges: u64,
}

impl Tracks {
    /// The track of a connection end, under its process; `end` is what is known of it.
    pub fn connection(
        &mut self,
        packets: &mut Packets<'_>,
        id: ConnId,
        end: Option<&End>,
    ) -> io::Result<Track> {
        let track = Track::Connection(id);
        if self.is_new(track) {
            let process = self.process(packets, end)?;
            packets.describe(child(track, process, connection_name(id, end)))?;
        }
        Ok(track)
    }

    /// The track of its segments, under it.
    pub fn segments(
        &mut self,
        packets: &mut Packets<'_>,
        id: ConnId,
        end: Option<&End>,
    ) -> io::Result<Track> {
        let connection = self.connection(packets, id, end)?;
        let track = Track::Segments(id);
        if self.is_new(track) {
            packets.describe(child(track, connection, "segments".to_owned()))?;
        }
        Ok(track)
    }

    /// A track for one exchange or a part of it, under its connection.
    pub fn exchange(
        &mut self,
        packets: &mut Packets<'_>,
        id: ConnId,
        end: Option<&End>,
    ) -> io::Result<Track> {
        let connection = self.connection(packets, id, end)?;
        self.exchanges += 1;
        let track = Track::Exchange(self.exchanges);
        packets.describe(child(track, connection, "requests".to_owned()))?;
        Ok(track)
    }

    /// The track of the run.
    pub fn run(&mut self, packets: &mut Packets<'_>) -> io::Result<Track> {
        self.root(packets, Track::Run, "tracer")
    }

    /// The track of losses.
    pub fn losses(&mut self, packets: &mut Packets<'_>) -> io::Result<Track> {
        self.root(packets, Track::Losses, "lost events")
    }

    /// The track that counts.
    pub fn open(&mut self, packets: &mut Packets<'_>) -> io::Result<Track> {
        let counter = CounterDescriptor { unit_name: Some("ends".to_owned()) };
        let description = "From the SYN to the end of TIME_WAIT. A connection with both ends on this host counts twice.";
        if self.is_new(Track::Open) {
            packets.describe(TrackDescriptor {
                counter: Some(counter),
                description: Some(description.to_owned()),
                ..root(Track::Open, "connection ends")
            })?;
        }
        Ok(Track::Open)
    }

    /// Nothing more comes of this connection.
    pub fn forget(&mut self, id: ConnId) {
        self.described.remove(&Track::Connection(id).uuid());
        self.described.remove(&Track::Segments(id).uuid());
    }

    fn process(&mut self, packets: &mut Packets<'_>, end: Option<&End>) -> io::Result<Track> {
        let Some((pid, comm)) = end.and_then(|end| Some((end.pid?, end.comm.as_ref()))) else {
            return self.root(packets, Track::NoProcess, "unknown process");
        };
        let track = Track::Process(hash(pid, comm));
        if self.is_new(track) {
            packets.describe(TrackDescriptor {
                uuid: Some(track.uuid()),
                process: Some(ProcessDescriptor {
                    pid: i32::try_from(pid).ok(),
                    process_name: comm.map(|comm| printable(comm).into_owned()),
                }),
                ..TrackDescriptor::default()
            })?;
        }
        Ok(track)
    }

    fn root(&mut self, packets: &mut Packets<'_>, track: Track, name: &str) -> io::Result<Track> {
        if self.is_new(track) {
            packets.describe(root(track, name))?;
        }
        Ok(track)
    }

    fn is_new(&mut self, track: Track) -> bool {
        if self.described.len() >= MAX_DESCRIBED {
            self.described.clear();
        }
        self.described.insert(track.uuid())
    }
}

fn root(track: Track, name: &str) -> TrackDescriptor {
    TrackDescriptor {
        uuid: Some(track.uuid()),
        name: Some(name.to_owned()),
        ..TrackDescriptor::default()
    }
}

fn child(track: Track, parent: Track, name: String) -> TrackDescriptor {
    TrackDescriptor {
        uuid: Some(track.uuid()),
        parent_uuid: Some(parent.uuid()),
        name: Some(name),
        ..TrackDescriptor::default()
    }
}

/// The same for the same process in one trace; 61 bits of it count, so no two processes of a recording meet by chance.
fn hash(pid: u32, comm: Option<&Text>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (pid, comm).hash(&mut hasher);
    hasher.finish()
}

/// `c17 client 10.0.0.1:41234 -> 10.0.0.2:80`; never the same for two connections.
fn connection_name(id: ConnId, end: Option<&End>) -> String {
    let Some(End { endpoint, local, remote, .. }) = end else {
        return format!("{id} (no connection record)");
    };
    match endpoint {
        Some(Endpoint::Client) => format!("{id} client {local} -> {remote}"),
        Some(Endpoint::Server) => format!("{id} server {local} <- {remote}"),
        None => format!("{id} unknown end {local} -- {remote}"),
    }
}
