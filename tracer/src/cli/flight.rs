//! `tracer record --last`: the last minutes in memory, and on disk when a signal or something that happens asks for them.

use std::convert::Infallible;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use signal_hook::consts::SIGUSR1;
use signal_hook::flag;

use super::recorder::{self, Progress};
use super::trace::Sink;
use crate::engine::Output;
use crate::filter::Filter;
use crate::pipeline::Pipeline;
use crate::record::Record;
use crate::recording::{Behind, Kept, Series, Totals, Writer};
use crate::selected::Selected;
use crate::time::Timestamp;

/// What comes in so many nanoseconds after the trigger is written with it: how what triggered it goes on and ends.
const AFTER_TRIGGER_NS: u64 = 5_000_000_000;

/// What to keep, and what asks for it.
pub(super) struct Flight {
    /// How far back, nanoseconds.
    pub keep_ns: u64,
    /// How much memory at most, bytes.
    pub max_bytes: usize,
    /// Where to.
    pub series: Series,
    /// What is recorded.
    pub filter: Filter,
    /// What asks for it to be written.
    pub when: Option<Filter>,
}

/// See the module's documentation.
pub(super) struct FlightRecorder {
    flight: Flight,
    selected: Selected,
    trigger: Option<Selected>,
    kept: Option<Writer<Kept>>,
    asked: Arc<AtomicBool>,
    /// When it is to be written because of a trigger.
    due_at: Option<Timestamp>,
    /// A trigger is heeded again from then on: until then it would write the same once more.
    quiet_until: Timestamp,
    writing: Vec<JoinHandle<anyhow::Result<()>>>,
    written: u64,
    progress: Progress,
}

impl FlightRecorder {
    pub fn new(mut flight: Flight) -> FlightRecorder {
        FlightRecorder {
            selected: Selected::new(std::mem::replace(&mut flight.filter, Filter::all())),
            trigger: flight.when.take().map(Selected::new),
            flight,
            kept: None,
            asked: Arc::default(),
            due_at: None,
            quiet_until: Timestamp(0),
            writing: Vec::new(),
            written: 0,
            progress: Progress::new(),
        }
    }

    /// Looks whether something that happened is what it waits for.
    fn watch(&mut self, outputs: &[Output], now: Timestamp) -> anyhow::Result<()> {
        let Some(trigger) = self.trigger.as_mut() else { return Ok(()) };
        let mut has_come = false;
        trigger.each(outputs, |record, _| {
            // `host` and `loss` pass every filter.
            has_come |= !matches!(record, Record::Host(_) | Record::Loss(_));
            Ok::<(), Infallible>(())
        })?;
        if has_come && self.due_at.is_none() && now >= self.quiet_until {
            self.due_at = Some(now.plus_ns(AFTER_TRIGGER_NS));
            self.quiet_until = now.plus_ns(AFTER_TRIGGER_NS.saturating_add(self.flight.keep_ns));
            self.progress.end(&format!("{now}: it happened; written in a moment"));
        }
        Ok(())
    }

    /// Writes what is kept to the next file. The disk is waited for on a thread of its own.
    fn write_out(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let Some(kept) = self.kept.as_mut() else { return Ok(()) };
        let now = pipeline.now();
        kept.flush()?;
        let missing_ns = kept.sink().missing_ns(now);
        if missing_ns > 0 {
            log::warn!(
                "the earliest {} s did not fit into memory; --memory allows more",
                missing_ns.div_ceil(1_000_000_000)
            );
        }
        let (path, file) = self.flight.series.begin_next()?;
        let mut writer = Writer::new(Behind::new(file), &pipeline.host(), now)?;
        kept.sink().write_into(&mut writer, now)?;
        for connection in self.selected.open(pipeline.connections()) {
            writer.write(&Record::Connection(connection), now)?;
        }
        self.written += 1;
        let finish = move || finish(writer, &path);
        let thread = std::thread::Builder::new().name("flight".to_owned()).spawn(finish);
        self.writing.push(thread.context("cannot start a thread that writes")?);
        Ok(())
    }

    /// Takes the results of files that are finished, all of them at the end.
    fn reap(&mut self, all: bool) -> anyhow::Result<()> {
        let (done, writing) =
            self.writing.drain(..).partition(|thread: &JoinHandle<_>| all || thread.is_finished());
        self.writing = writing;
        for thread in done {
            match thread.join() {
                Ok(result) => result?,
                Err(_panic) => bail!("the thread that writes broke off"),
            }
        }
        Ok(())
    }
}

fn finish(writer: Writer<Behind<File>>, path: &Path) -> anyhow::Result<()> {
    let (totals, _): (Totals, _) =
        writer.finish().with_context(|| format!("{}", path.display()))?;
    Progress::new().end(&format!("recorded: {}, in {}", recorder::said(&totals), path.display()));
    Ok(())
}

impl Sink for FlightRecorder {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        flag::register(SIGUSR1, Arc::clone(&self.asked)).context("cannot listen for SIGUSR1")?;
        let kept = Kept::new(self.flight.keep_ns, self.flight.max_bytes);
        self.kept = Some(Writer::new(kept, &pipeline.host(), pipeline.now())?);
        self.progress.end(&format!(
            "tracing; the last {} s are kept in memory, and `kill -USR1 {}` writes them",
            self.flight.keep_ns / 1_000_000_000,
            std::process::id()
        ));
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        let now = pipeline.now();
        let Some(kept) = self.kept.as_mut() else { return Ok(()) };
        self.selected.each(outputs, |record, _| kept.write(record, now))?;
        self.selected.lasting(outputs, |connection| kept.note(connection, now))?;
        kept.tick(now)?;
        let bytes = kept.sink().bytes();
        self.progress.tell(|| format!("keeping {} KiB", bytes / 1024));
        self.watch(outputs, now)?;
        let is_due = self.due_at.is_some_and(|due_at| now >= due_at);
        if is_due {
            self.due_at = None;
        }
        if self.asked.swap(false, Ordering::Relaxed) || is_due {
            self.write_out(pipeline)?;
        }
        self.reap(false)
    }

    fn end(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        // What triggered it is not lost because the run ends a moment later.
        if self.due_at.take().is_some() || self.asked.swap(false, Ordering::Relaxed) {
            self.write_out(pipeline)?;
        }
        self.reap(true)?;
        if self.written == 0 {
            self.progress.end("nothing was written: nothing asked for it");
        }
        Ok(())
    }
}
