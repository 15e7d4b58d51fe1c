//! The edge around the core: reads the rings, the clock and the counters, feeds the engine, hands out what it finds.
//!
//! One task owns it. Nothing here decides anything about a connection.

use std::sync::Arc;

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use tracer_common::Hook;

use crate::conn::Limits;
use crate::decode::{decode, peek_at_ns};
use crate::engine::{Engine, Output};
use crate::event::Body;
use crate::load::programs::Group;
use crate::load::{self, Loaded, RingSizes};
use crate::record::{Host, Loss, Record, SCHEMA_VERSION};
use crate::ring::{Merger, SETTLE_NS, Source};
use crate::time::{TimeAnchor, Timestamp};

/// What a run is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Sizes of the rings.
    pub rings: RingSizes,
    /// Leave secrets as they are.
    pub show_secrets: bool,
}

/// A running trace.
pub struct Pipeline {
    loaded: Loaded,
    engine: Engine,
    merger: Merger,
    anchor: TimeAnchor,
    host: Arc<Host>,
    losses: Losses,
    malformed: u64,
}

/// What was already told as lost.
#[derive(Default)]
struct Losses {
    told: [u64; Hook::ALL.len()],
    told_connections: u64,
    told_malformed: u64,
}

fn clock_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |t| {
        let seconds = u64::try_from(t.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}

impl Pipeline {
    /// Loads the programs, attaches them, and merges the sockets that are there already.
    ///
    /// # Errors
    /// When states cannot be traced on this host.
    pub fn start(options: Options) -> anyhow::Result<Pipeline> {
        let anchor =
            TimeAnchor::new(clock_ns(ClockId::CLOCK_REALTIME), clock_ns(ClockId::CLOCK_MONOTONIC));
        let started_at = anchor.at(clock_ns(ClockId::CLOCK_MONOTONIC));
        let loaded = load::load(options.rings).context("tracing cannot start")?;
        let sees_segments = loaded.health.is_attached(Group::Payload);
        let host = Arc::new(host_record(&loaded, started_at, options.show_secrets));
        Ok(Pipeline {
            loaded,
            engine: Engine::new(Limits::default(), sees_segments),
            merger: Merger::default(),
            anchor,
            host,
            losses: Losses::default(),
            malformed: 0,
        })
    }

    /// The `host` record of this run.
    #[must_use]
    pub fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }

    /// Takes in everything that the kernel told up to now and hands out what follows. Returns the number of events.
    pub fn poll(&mut self, out: &mut Vec<Output>) -> usize {
        let now_ns = clock_ns(ClockId::CLOCK_MONOTONIC);
        self.step(now_ns.saturating_sub(SETTLE_NS), out)
    }

    fn step(&mut self, until_ns: u64, out: &mut Vec<Output>) -> usize {
        self.merger.fill([
            &mut self.loaded.events as &mut dyn Source,
            &mut self.loaded.payloads as &mut dyn Source,
        ]);
        let mut events = 0;
        let Pipeline { merger, engine, anchor, malformed, .. } = self;
        merger.take_until(until_ns, |bytes| {
            events += 1;
            // Time passes between events too: what was due before this one is settled first.
            if let Some(at_ns) = peek_at_ns(bytes) {
                engine.expire(anchor.at(at_ns));
            }
            match decode(bytes, *anchor) {
                Ok(event) => match event.body {
                    Body::Exec(_) => {}
                    _ => engine.apply(&event),
                },
                Err(error) => {
                    *malformed += 1;
                    log::warn!("an event could not be decoded: {error}");
                }
            }
        });
        self.engine.expire(self.anchor.at(until_ns));
        out.append(&mut self.engine.drain());
        self.tell_losses(self.anchor.at(until_ns), out);
        if let Some(diagnostics) = self.loaded.diagnostics.as_mut() {
            diagnostics.flush();
        }
        events
    }

    fn tell_losses(&mut self, at: Timestamp, out: &mut Vec<Output>) {
        for (index, hook) in Hook::ALL.into_iter().enumerate() {
            let lost = self.loaded.counters.read(hook).lost;
            tell_loss(&mut self.losses.told[index], lost, hook.name(), at, out);
        }
        let refused = self.engine.counters().connections_refused;
        tell_loss(&mut self.losses.told_connections, refused, "connections", at, out);
        let malformed = self.malformed + self.merger.malformed;
        tell_loss(&mut self.losses.told_malformed, malformed, "decode", at, out);
    }

    /// The run is over: takes in the last events and tells what is still open.
    pub fn finish(&mut self, out: &mut Vec<Output>) {
        self.step(u64::MAX, out);
        self.engine.finish(&[]);
        out.append(&mut self.engine.drain());
    }
}

fn tell_loss(told: &mut u64, total: u64, what: &str, at: Timestamp, out: &mut Vec<Output>) {
    if total > *told {
        let loss = Loss { at, hook: what.to_owned(), events: total - *told };
        out.push(Output::Record(Record::Loss(loss)));
        *told = total;
    }
}

fn host_record(loaded: &Loaded, started_at: Timestamp, show_secrets: bool) -> Host {
    let host = load::host::Host::read();
    Host {
        schema: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: host.hostname,
        kernel: host.kernel,
        started_at,
        hooks: loaded.health.hooks(),
        show_secrets,
    }
}
