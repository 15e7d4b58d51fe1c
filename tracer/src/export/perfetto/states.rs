//! The states of a connection end as slices.

use std::io;

use super::life::{Life, Stretch};
use super::packets::Packets;
use super::proto::{DebugAnnotation, TrackEvent};
use super::track::Track;
use super::{annotation, flow};
use crate::record::Connection;
use crate::tcp::TcpState;
use crate::time::Timestamp;

/// Writes a slice for each state; `false` where none has a time.
pub fn write(
    connection: &Connection,
    started_at: Option<Timestamp>,
    track: Track,
    packets: &mut Packets<'_>,
) -> io::Result<bool> {
    let life = Life::of(connection, started_at);
    let first = life.stretches.first().map(|first| first.begin).or(connection.closed_at);
    let Some(first) = first else { return Ok(false) };
    let mut facts = annotation::of(connection)?;
    if !life.before.is_empty() {
        packets.instant(track, first, unseen(&life.before, std::mem::take(&mut facts)))?;
    }
    for stretch in &life.stretches {
        let event = TrackEvent {
            name: Some(name(stretch)),
            categories: vec!["state".to_owned()],
            flow_ids: arrow(connection, stretch).into_iter().collect(),
            debug_annotations: notes(connection, stretch, std::mem::take(&mut facts)),
            ..TrackEvent::default()
        };
        write_stretch(stretch, event, track, packets)?;
    }
    Ok(true)
}

/// The end of a life takes no time, and is no slice.
fn write_stretch(
    stretch: &Stretch,
    event: TrackEvent,
    track: Track,
    packets: &mut Packets<'_>,
) -> io::Result<()> {
    if stretch.states == [TcpState::Close] && stretch.end == Some(stretch.begin) {
        return packets.instant(track, stretch.begin, event);
    }
    packets.begin(track, stretch.begin, event)?;
    // Without an end, readers show the slice as one that was not finished.
    stretch.end.map_or(Ok(()), |end| packets.end(track, end))
}

fn name(stretch: &Stretch) -> String {
    let states = joined(&stretch.states);
    if stretch.is_older { format!("{states} (since before tracing)") } else { states }
}

fn joined(states: &[TcpState]) -> String {
    states.iter().map(|state| state.name()).collect::<Vec<_>>().join(", then ")
}

fn unseen(before: &[TcpState], debug_annotations: Vec<DebugAnnotation>) -> TrackEvent {
    TrackEvent {
        name: Some(format!("{} until here: its begin was not seen", joined(before))),
        categories: vec!["state".to_owned()],
        debug_annotations,
        ..TrackEvent::default()
    }
}

/// `facts` stand with what comes first in the life; every slice says whose it is.
fn notes(
    connection: &Connection,
    stretch: &Stretch,
    facts: Vec<DebugAnnotation>,
) -> Vec<DebugAnnotation> {
    let mut notes = facts;
    notes.push(annotation::text("conn", &connection.id.to_string()));
    if stretch.is_older {
        notes.push(annotation::flag("begin_seen", false));
    }
    if stretch.states.len() > 1 {
        notes.push(annotation::text("changes", "not seen: how long each state lasted is unknown"));
    }
    notes
}

/// The handshake leads through these states, whose begins were seen.
fn arrow(connection: &Connection, stretch: &Stretch) -> Option<u64> {
    let is_step = matches!(
        stretch.states.first(),
        Some(TcpState::SynSent | TcpState::SynRecv | TcpState::Established)
    );
    if stretch.is_older || !is_step {
        return None;
    }
    flow::of_handshake(connection)
}
