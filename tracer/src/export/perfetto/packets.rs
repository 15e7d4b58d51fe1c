//! Packets, one by one, as they go into the file.

use std::io::{self, Write};

use prost::Message;

use super::proto::{
    Clock, ClockSnapshot, EventType, REALTIME, SEQUENCE_BEGINS, Trace, TracePacket,
    TrackDescriptor, TrackEvent,
};
use super::track::Track;
use crate::time::Timestamp;

/// All packets come from one writer.
const SEQUENCE: u32 = 1;

/// A trace that is being written; holds one packet at a time.
pub struct Packets<'a> {
    out: &'a mut dyn Write,
    one: Trace,
    bytes: Vec<u8>,
    has_begun: bool,
    latest: Option<Timestamp>,
}

impl<'a> Packets<'a> {
    pub fn new(out: &'a mut dyn Write) -> Packets<'a> {
        let (one, bytes) = (Trace::default(), Vec::new());
        Packets { out, one, bytes, has_begun: false, latest: None }
    }

    /// The latest time of an event so far.
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// Tells of a track.
    pub fn describe(&mut self, descriptor: TrackDescriptor) -> io::Result<()> {
        self.put(TracePacket { track_descriptor: Some(descriptor), ..TracePacket::default() })
    }

    /// A slice begins.
    pub fn begin(&mut self, track: Track, at: Timestamp, event: TrackEvent) -> io::Result<()> {
        self.event(track, at, EventType::SliceBegin, event)
    }

    /// The slice that began last on this track ends.
    pub fn end(&mut self, track: Track, at: Timestamp) -> io::Result<()> {
        self.event(track, at, EventType::SliceEnd, TrackEvent::default())
    }

    /// Something that takes no time.
    pub fn instant(&mut self, track: Track, at: Timestamp, event: TrackEvent) -> io::Result<()> {
        self.event(track, at, EventType::Instant, event)
    }

    /// A counter has this value from now on.
    pub fn count(&mut self, track: Track, at: Timestamp, value: i64) -> io::Result<()> {
        let event = TrackEvent { counter_value: Some(value), ..TrackEvent::default() };
        self.event(track, at, EventType::Counter, event)
    }

    /// Nothing more comes.
    pub fn finish(self) -> io::Result<()> {
        self.out.flush()
    }

    fn event(
        &mut self,
        track: Track,
        at: Timestamp,
        event_type: EventType,
        event: TrackEvent,
    ) -> io::Result<()> {
        if self.latest.is_none() {
            self.tell_clock(at)?;
        }
        self.latest = self.latest.max(Some(at));
        let event = TrackEvent {
            event_type: Some(event_type.into()),
            track_uuid: Some(track.uuid()),
            ..event
        };
        self.put(TracePacket {
            timestamp: Some(at.0),
            timestamp_clock_id: Some(REALTIME),
            track_event: Some(event),
            ..TracePacket::default()
        })
    }

    /// Makes the wall clock the clock of the whole trace. Nothing is converted then, and times are shown as they are.
    fn tell_clock(&mut self, at: Timestamp) -> io::Result<()> {
        let clock = Clock { clock_id: Some(REALTIME), timestamp: Some(at.0) };
        let snapshot = ClockSnapshot {
            clocks: vec![clock],
            primary_trace_clock: i32::try_from(REALTIME).ok(),
        };
        self.put(TracePacket { clock_snapshot: Some(snapshot), ..TracePacket::default() })
    }

    fn put(&mut self, packet: TracePacket) -> io::Result<()> {
        let flags = (!self.has_begun).then_some(SEQUENCE_BEGINS);
        self.has_begun = true;
        self.one.packet.clear();
        self.one.packet.push(TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            sequence_flags: flags,
            ..packet
        });
        self.bytes.clear();
        self.one.encode(&mut self.bytes).map_err(io::Error::other)?;
        self.out.write_all(&self.bytes)
    }
}
