//! The loop of every command that traces: polls, hands what it found to sinks, stops when asked.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::pause::PauseTimer;
use super::priority::Priority;
use crate::engine::{Output, TellChanged};
use crate::pipeline::{Options, Pipeline};

/// Between looks under load: at 20,000 connections a second the rings fill to a few percent in it.
const BUSY: Duration = Duration::from_millis(5);
/// Between looks at an idle host at most: a person hardly sees the difference.
const IDLE: Duration = Duration::from_millis(100);

/// Where the found goes.
pub(super) trait Sink {
    /// The run begins: called once, when everything is attached.
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()>;
    /// Takes one look's outputs, none included.
    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()>;
    /// The run is over.
    fn end(&mut self, pipeline: &Pipeline) -> anyhow::Result<()>;
    /// How it wants to hear of changes from the next look on, where that is not as at the begin.
    fn tell_changed(&self) -> Option<TellChanged> {
        None
    }
    /// Whether the sink wants no more (its person has quit).
    fn is_done(&self) -> bool {
        false
    }
}

/// When to stop besides a signal.
pub(super) struct Until {
    /// After this time.
    pub duration: Option<Duration>,
}

/// Traces into `sink` until the time is up, a signal comes or the sink is done.
pub(super) async fn run(options: Options, until: Until, sink: &mut dyn Sink) -> anyhow::Result<()> {
    let mut stop = Stop::new(until.duration)?;
    let timer = PauseTimer::new()?;
    let mut pipeline = Pipeline::start(options)?;
    let priority = Priority::of_this_thread(pipeline.gauge()?);
    sink.begin(&pipeline)?;
    let mut outputs = Vec::new();
    let mut pause = BUSY;
    while !sink.is_done() && !stop.within(pause, &timer).await? {
        let progress = pipeline.poll(&mut outputs);
        sink.take(&outputs, &pipeline)?;
        outputs.clear();
        if let Some(tell_changed) = sink.tell_changed() {
            pipeline.set_tell_changed(tell_changed);
        }
        priority.turn();
        pause = if progress.caught_up {
            pause_after(pause, progress.events == 0)
        } else {
            Duration::ZERO
        };
    }
    drop(priority);
    pipeline.finish(&mut outputs);
    sink.take(&outputs, &pipeline)?;
    sink.end(&pipeline)
}

/// The pause before the next look, where the last one came after `pause` and left nothing behind.
pub(super) fn pause_after(pause: Duration, found_nothing: bool) -> Duration {
    if found_nothing { (pause * 2).clamp(BUSY, IDLE) } else { BUSY }
}

/// What ends a run from outside.
pub(super) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    at: Option<Instant>,
}

impl Stop {
    /// Within a runtime: a signal, or `duration` from now.
    ///
    /// # Errors
    /// Where signals cannot be listened for.
    pub fn new(duration: Option<Duration>) -> anyhow::Result<Stop> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Stop {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            at: duration.map(|duration| Instant::now() + duration),
        })
    }

    /// Waits for a signal.
    async fn signalled(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Waits for `pause`, by `timer`; true when the run is to end.
    pub async fn within(&mut self, pause: Duration, timer: &PauseTimer) -> anyhow::Result<bool> {
        let left = self.at.map(|at| at.saturating_duration_since(Instant::now()));
        let is_last = left.is_some_and(|left| left <= pause);
        let pause = left.filter(|_| is_last).unwrap_or(pause);
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Ok(true),
            _ = self.terminate.recv() => Ok(true),
            waited = timer.wait(pause) => waited.map(|()| is_last),
        }
    }
}

/// From now on a second SIGINT or SIGTERM ends the program at once, with status 1: the first one is not heeded while a
/// write waits for a reader that never comes. Not for the live view, which has a terminal to restore.
pub(super) fn end_at_once_when_told_twice() -> std::io::Result<()> {
    let told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal only sets what the second one finds.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&told))?;
        flag::register(signal, Arc::clone(&told))?;
    }
    Ok(())
}

/// Does `work` until it is done or a signal ends it, which is no failure: what was written until then stays.
pub(super) fn until_signalled(
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut stop = Stop::new(None)?;
        tokio::select! {
            done = tokio::task::spawn_blocking(work) => done.context("the work broke off")?,
            () = stop.signalled() => Ok(()),
        }
    });
    // Not waited for: it may be stuck in a write that nobody reads.
    runtime.shutdown_background();
    result
}

/// A runtime of this one thread, for the commands that only trace: a second one that is woken for each pause doubles
/// what an idle host costs.
pub(super) fn own_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}

/// A runtime with a thread for what goes on beside the command itself.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")
}
