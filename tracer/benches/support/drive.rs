//! The pipeline's loop without its edge: events in, outputs out, time as the events tell it.

use tracer::conn::Limits;
use tracer::decode::decode;
use tracer::engine::{Engine, EngineOptions, Output};
use tracer::ring::{Merger, SETTLE_NS, Source};
use tracer::time::TimeAnchor;

use super::tape::Tape;

/// How often the rings are looked at under load, nanoseconds.
const POLL_NS: u64 = 5_000_000;
/// How often what is due is settled while events come, nanoseconds: the pipeline's own figure.
const EXPIRY_EVERY_NS: u64 = 1_000_000;
/// Long enough for the last end to be told, nanoseconds.
const AFTER_THE_LAST_NS: u64 = 1_000_000_000;

/// An engine that has seen the whole host at its start, and tells records only.
#[must_use]
pub fn engine() -> Engine {
    let mut engine = Engine::new(EngineOptions {
        limits: Limits::default(),
        sees_segments: true,
        tell_changed: false,
        show_secrets: false,
    });
    engine.merge_snapshot(Vec::new(), true);
    engine
}

/// Decodes events and feeds them to an engine, as the pipeline does.
pub struct Driver {
    /// The engine.
    pub engine: Engine,
    /// Events that could not be decoded.
    pub malformed: u64,
    anchor: TimeAnchor,
    next_expiry_ns: u64,
}

impl Default for Driver {
    fn default() -> Self {
        let anchor = TimeAnchor::new(1_700_000_000_000_000_000, 0);
        Driver { engine: engine(), malformed: 0, anchor, next_expiry_ns: 0 }
    }
}

impl Driver {
    /// Takes in one event.
    pub fn take(&mut self, at_ns: u64, bytes: &[u8]) {
        if at_ns >= self.next_expiry_ns {
            self.next_expiry_ns = at_ns + EXPIRY_EVERY_NS;
            self.engine.expire(self.anchor.at(at_ns));
        }
        match decode(bytes, self.anchor) {
            Ok(event) => {
                self.engine.apply(&event);
                // The edge looks these up in /proc, once for each process.
                drop(self.engine.take_owned());
            }
            Err(_) => self.malformed += 1,
        }
    }

    /// What was found out up to `until_ns`.
    pub fn poll(&mut self, until_ns: u64) -> Vec<Output> {
        self.engine.expire(self.anchor.at(until_ns));
        self.engine.drain()
    }
}

/// Runs an engine over a tape; `each` gets what every look finds.
pub fn straight(tape: &Tape, mut each: impl FnMut(Vec<Output>)) -> Driver {
    let mut driver = Driver::default();
    let mut next_poll_ns = 0;
    for (at_ns, bytes) in tape.iter() {
        if at_ns >= next_poll_ns {
            each(driver.poll(at_ns));
            next_poll_ns = at_ns + POLL_NS;
        }
        driver.take(at_ns, bytes);
    }
    each(driver.poll(tape.last_ns() + AFTER_THE_LAST_NS));
    driver
}

/// The same out of two rings, through the merger that puts them into one order.
pub fn merged(tape: &Tape, mut each: impl FnMut(Vec<Output>)) -> Driver {
    let mut driver = Driver::default();
    let mut merger = Merger::default();
    let [mut events, mut payloads] = tape.rings();
    for now_ns in looks(tape) {
        events.until_ns = now_ns;
        payloads.until_ns = now_ns;
        merger.fill([&mut events as &mut dyn Source, &mut payloads]);
        let settled_ns = now_ns - SETTLE_NS;
        merger.take_until(settled_ns, |bytes| {
            let at_ns = tracer::decode::peek_at_ns(bytes).unwrap_or(0);
            driver.take(at_ns, bytes);
        });
        each(driver.poll(settled_ns));
    }
    driver
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
