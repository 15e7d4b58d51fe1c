//! `tracer drain`: every hook attached, and each event thrown away as soon as it is found in its ring.
//!
//! What it costs is what the hooks and the wake-ups cost with user space for nothing: `cargo xtask bench` sets it beside
//! the other commands, and what lies between is decoding, tracking and telling. It waits, and stands among other threads,
//! as they do, and looks at each event's header and time as they do to put two rings in order.

use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::Context as _;
use tracer_common::Hook;

use super::args::DrainArgs;
use super::pause::PauseTimer;
use super::priority::Priority;
use super::trace::{self, Stop};
use crate::decode::peek_at_ns;
use crate::engine::TellChanged;
use crate::load::{self, Loaded};
use crate::pipeline::Options;
use crate::ports::PortSet;
use crate::ring::Gauge;

pub(super) fn run(args: &DrainArgs) -> anyhow::Result<()> {
    let options = args.trace.options(TellChanged::Never, PortSet::all());
    trace::own_thread()?.block_on(drain(&options, args.trace.duration))
}

async fn drain(options: &Options, duration: Option<Duration>) -> anyhow::Result<()> {
    let mut stop = Stop::new(duration)?;
    let timer = PauseTimer::new()?;
    let mut loaded = load::load(options.rings, options.groups, &options.ports)
        .context("nothing can be drained")?;
    let priority = Priority::of_this_thread(Gauge::of(&[&loaded.events, &loaded.payloads])?);
    writeln!(stdout(), "drains").context("cannot write to stdout")?;
    let (mut events, mut pause) = (0, Duration::ZERO);
    while !stop.within(pause, &timer).await? {
        let found = throw_away(&mut loaded);
        events += found;
        priority.turn();
        pause = trace::pause_after(pause, found == 0);
    }
    events += throw_away(&mut loaded);
    let lost: u64 = Hook::ALL.into_iter().map(|hook| loaded.counters.read(hook).lost).sum();
    writeln!(stdout(), "drained: {events} events taken, {lost} events lost")
        .context("cannot write to stdout")
}

/// How many events were there.
fn throw_away(loaded: &mut Loaded) -> u64 {
    let mut events = 0;
    for ring in [&mut loaded.events, &mut loaded.payloads] {
        ring.drain(&mut |event| events += u64::from(peek_at_ns(event).is_some()));
    }
    events
}
