//! The pipeline's loop without its edge: events in, outputs out, time as the events tell it.

use std::vec::Drain;

use tracer::conn::Limits;
use tracer::decode::decode;
use tracer::engine::{Engine, EngineOptions, Output, TellChanged};
use tracer::ring::{Merger, SETTLE_NS, Source};
use tracer::time::{TimeAnchor, Timestamp};

use super::tape::Tape;
use super::traffic::Load;

/// How often the rings are looked at under load, nanoseconds.
const POLL_NS: u64 = 5_000_000;
/// How often what is due is settled while events come, nanoseconds: the pipeline's own figure.
const EXPIRY_EVERY_NS: u64 = 1_000_000;
/// Long enough for the last end to be told, nanoseconds.
const AFTER_THE_LAST_NS: u64 = 1_000_000_000;

/// The clock of events made up here: their first second lies in November 2023.
pub const ANCHOR: TimeAnchor = TimeAnchor::new(1_700_000_000_000_000_000, 0);

/// Decodes events and feeds them to an engine, as the pipeline does.
pub struct Driver {
    /// The engine.
    pub engine: Engine,
    /// Events that could not be decoded.
    pub malformed: u64,
    next_expiry_ns: u64,
    /// Kept for its memory.
    outputs: Vec<Output>,
}

impl Driver {
    /// A driver of an engine that has seen the whole host at its start.
    #[must_use]
    pub fn new(tell_changed: TellChanged) -> Driver {
        let mut engine = Engine::new(EngineOptions {
            limits: Limits::default(),
            sees_segments: true,
            tell_changed,
            tell_lasting: false,
            show_secrets: false,
        });
        engine.merge_snapshot(Vec::new(), Timestamp(0));
        Driver { engine, malformed: 0, next_expiry_ns: 0, outputs: Vec::new() }
    }

    /// Takes in one event.
    pub fn take(&mut self, at_ns: u64, bytes: &[u8]) {
        if at_ns >= self.next_expiry_ns {
            self.next_expiry_ns = at_ns + EXPIRY_EVERY_NS;
            self.engine.expire(ANCHOR.at(at_ns));
        }
        match decode(bytes, ANCHOR) {
            Ok(event) => {
                self.engine.apply(&event);
                // The edge looks these up in /proc, once for each process.
                drop(self.engine.take_owned());
            }
            Err(_) => self.malformed += 1,
        }
    }

    /// What was found out up to `until_ns`.
    pub fn poll(&mut self, until_ns: u64) -> Drain<'_, Output> {
        self.engine.expire(ANCHOR.at(until_ns));
        self.engine.drain_into(&mut self.outputs);
        self.outputs.drain(..)
    }
}

/// Runs an engine over a tape; `each` gets what every look finds.
pub fn straight(driver: &mut Driver, tape: &Tape, mut each: impl FnMut(Drain<'_, Output>)) {
    let mut next_poll_ns = 0;
    for (at_ns, bytes) in tape.iter() {
        if at_ns >= next_poll_ns {
            each(driver.poll(at_ns));
            next_poll_ns = at_ns + POLL_NS;
        }
        driver.take(at_ns, bytes);
    }
    each(driver.poll(tape.last_ns() + AFTER_THE_LAST_NS));
}

/// Runs an engine over a load too large for one tape, and drops what it tells. One connection follows another.
pub fn in_parts(driver: &mut Driver, load: &Load) {
    const CONNECTIONS_PER_TAPE: usize = 100;
    let load = Load { concurrent: 1, ..*load };
    for first in (0..load.connections).step_by(CONNECTIONS_PER_TAPE) {
        let end = load.connections.min(first + CONNECTIONS_PER_TAPE);
        straight(driver, &load.part(first..end), |outputs| drop(outputs));
    }
}

/// Runs an engine over a tape that comes out of two rings, through the merger that puts them into one order.
pub fn merged(driver: &mut Driver, tape: &Tape, mut each: impl FnMut(Drain<'_, Output>)) {
    let mut merger = Merger::default();
    let [mut events, mut payloads] = tape.rings();
    for now_ns in looks(tape) {
        events.until_ns = now_ns;
        payloads.until_ns = now_ns;
        let settled_ns = now_ns - SETTLE_NS;
        let mut look = || {
            let rings: &mut [&mut dyn Source] = &mut [&mut events, &mut payloads];
            let taken = merger.take_until(rings, settled_ns, |bytes| {
                let at_ns = tracer::decode::peek_at_ns(bytes).unwrap_or(0);
                driver.take(at_ns, bytes);
            });
            taken.reached_ns == settled_ns
        };
        while !look() {}
        each(driver.poll(settled_ns));
    }
}

/// When the rings are looked at: every 5 ms while there are events, and once when all is over.
fn looks(tape: &Tape) -> Vec<u64> {
    let mut looks = Vec::new();
    for (at_ns, _) in tape.iter() {
        if looks.last().is_none_or(|last| at_ns > *last) {
            looks.push(at_ns + POLL_NS);
        }
    }
    looks.push(tape.last_ns() + AFTER_THE_LAST_NS);
    looks
}
