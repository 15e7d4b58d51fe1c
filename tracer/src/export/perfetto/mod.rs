//! Perfetto's trace format (<https://perfetto.dev/docs/reference/synthetic-track-event>): what happened on a timeline, as
//! ui.perfetto.dev and its trace processor open it.
//!
//! Under each process a track for each connection end, with a slice for each state; below that its requests and its
//! segments. docs/exports.md says how to read it.

mod annotation;
mod exchange;
mod flow;
mod life;
mod open;
mod packets;
mod proto;
mod states;
#[cfg(test)]
mod tests;
mod track;

use std::io::{self, Write};

use packets::Packets;
use proto::TrackEvent;
use track::Tracks;

use super::known::End;
use super::{ExportError, Known, Records};
use crate::record::{
    Connection, Exchange, Host, Loss, LossUnit, Record, Segment, Source, Transition,
};
use crate::sanitize::printable;
use crate::tcp::Direction;
use crate::time::Timestamp;

/// Writes `records`.
///
/// # Errors
/// [`ExportError`]. Where the recording cannot be read on, the trace ends there, and is whole.
pub fn write(records: Records<'_>, known: &Known, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut timeline = Timeline::new(known, out);
    let mut end = Ok(());
    for record in records {
        match record {
            Ok(record) => timeline.add(&record)?,
            Err(error) => {
                end = Err(error.into());
                break;
            }
        }
    }
    timeline.finish()?;
    end
}

/// A trace that is being written.
struct Timeline<'a> {
    known: &'a Known,
    packets: Packets<'a>,
    tracks: Tracks,
    started_at: Option<Timestamp>,
    has_counted: bool,
    exchanges_without_time: u64,
    connections_without_time: u64,
}

impl<'a> Timeline<'a> {
    fn new(known: &'a Known, out: &'a mut dyn Write) -> Timeline<'a> {
        Timeline {
            known,
            packets: Packets::new(out),
            tracks: Tracks::default(),
            started_at: None,
            has_counted: false,
            exchanges_without_time: 0,
            connections_without_time: 0,
        }
    }

    fn add(&mut self, record: &Record) -> io::Result<()> {
        match record {
            Record::Host(host) => self.host(host),
            Record::Transition(transition) => self.transition(transition),
            Record::Segment(segment) => self.segment(segment),
            Record::Exchange(exchange) => self.exchange(exchange),
            Record::Connection(connection) => self.connection(connection),
            Record::Loss(loss) => self.loss(loss),
        }
    }

    fn host(&mut self, host: &Host) -> io::Result<()> {
        self.started_at = self.started_at.or(Some(host.started_at));
        let track = self.tracks.run(&mut self.packets)?;
        let event = TrackEvent {
            name: Some("tracing starts".to_owned()),
            debug_annotations: annotation::of(host)?,
            ..TrackEvent::default()
        };
        self.packets.instant(track, host.started_at, event)?;
        self.count()
    }

    /// Once, as soon as it is known when tracing began: all else that it needs is in [`Known`].
    fn count(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_counted, true) {
            return Ok(());
        }
        for (at, open) in open::counts(self.known, self.started_at) {
            let track = self.tracks.open(&mut self.packets)?;
            self.packets.count(track, at, open)?;
        }
        Ok(())
    }

    /// States are told by the connection's record. Here is only what that does not say: which changes were inferred, and all
    /// changes of a connection that has no such record.
    fn transition(&mut self, transition: &Transition) -> io::Result<()> {
        let end = self.known.end(transition.conn);
        if end.is_some() && transition.source == Source::Observed {
            return Ok(());
        }
        let track = self.tracks.connection(&mut self.packets, transition.conn, end.as_ref())?;
        let inferred = if transition.source == Source::Inferred { " (inferred)" } else { "" };
        let event = TrackEvent {
            name: Some(format!("{} -> {}{inferred}", transition.from, transition.to)),
            categories: vec!["transition".to_owned()],
            debug_annotations: annotation::of(transition)?,
            ..TrackEvent::default()
        };
        self.packets.instant(track, transition.at, event)
    }

    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let end = self.known.end(segment.conn);
        let track = self.tracks.segments(&mut self.packets, segment.conn, end.as_ref())?;
        let event = TrackEvent {
            name: Some(segment_name(segment)),
            categories: vec!["segment".to_owned()],
            debug_annotations: annotation::of(segment)?,
            ..TrackEvent::default()
        };
        self.packets.instant(track, segment.at, event)
    }

    fn exchange(&mut self, exchange: &Exchange) -> io::Result<()> {
        if !exchange::write(exchange, self.known, &mut self.tracks, &mut self.packets)? {
            self.exchanges_without_time += 1;
        }
        Ok(())
    }

    fn connection(&mut self, connection: &Connection) -> io::Result<()> {
        let end = End::from(connection);
        let track = self.tracks.connection(&mut self.packets, connection.id, Some(&end))?;
        if !states::write(connection, self.started_at, track, &mut self.packets)? {
            self.connections_without_time += 1;
        }
        self.tracks.forget(connection.id);
        Ok(())
    }

    fn loss(&mut self, loss: &Loss) -> io::Result<()> {
        let track = self.tracks.losses(&mut self.packets)?;
        let unit = match loss.unit() {
            LossUnit::Events => String::new(),
            unit => format!(" {}s", unit.name()),
        };
        let event = TrackEvent {
            name: Some(format!("{}{unit} lost: {}", loss.events, printable(&loss.hook))),
            categories: vec!["loss".to_owned()],
            debug_annotations: annotation::of(loss)?,
            ..TrackEvent::default()
        };
        self.packets.instant(track, loss.at, event)
    }

    fn finish(mut self) -> io::Result<()> {
        self.count()?;
        self.tell_what_is_missing()?;
        self.packets.finish()
    }

    /// What has no place in time is said at the end of it.
    fn tell_what_is_missing(&mut self) -> io::Result<()> {
        let Some(at) = self.packets.latest() else { return Ok(()) };
        for (count, what) in [
            (self.exchanges_without_time, "requests of unknown time are left out"),
            (self.connections_without_time, "connections of unknown time have no slices"),
            (self.known.left_out(), "connections are not counted: more than can be remembered"),
        ] {
            if count == 0 {
                continue;
            }
            let track = self.tracks.run(&mut self.packets)?;
            let event = TrackEvent {
                name: Some(format!("{count} {what}")),
                debug_annotations: vec![annotation::number("count", count)],
                ..TrackEvent::default()
            };
            self.packets.instant(track, at, event)?;
        }
        Ok(())
    }
}

/// `SYN+ACK sent`, `data sent again`.
fn segment_name(segment: &Segment) -> String {
    // An ACK says nothing beside a FIN: every segment of a connection that stands has one.
    let letters = [("S", "SYN"), ("F", "FIN"), ("R", "RST")];
    let mut names: Vec<&str> = letters
        .iter()
        .filter(|(letter, _)| segment.flags.contains(letter))
        .map(|(_, name)| *name)
        .collect();
    if segment.flags.contains('S') && segment.flags.contains('A') {
        names.push("ACK");
    }
    let name = if names.is_empty() { "data".to_owned() } else { names.join("+") };
    let direction = match segment.direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let again = if segment.retransmit { " again" } else { "" };
    format!("{name} {direction}{again}")
}
