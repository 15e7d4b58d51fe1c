//! `tracer record`: into one file, or into several one after the other.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::trace::Sink;
use crate::engine::Output;
use crate::filter::Filter;
use crate::pipeline::Pipeline;
use crate::record::Record;
use crate::recording::{self, Behind, Existing, Limits, Series, Totals, Writer};
use crate::selected::Selected;
use crate::time::Timestamp;

/// Where the files come from.
pub(super) enum Files {
    /// One.
    One(PathBuf, Existing),
    /// A new one whenever the limits are reached.
    Many(Series, Limits),
}

impl Files {
    fn next(&mut self) -> anyhow::Result<(PathBuf, File)> {
        Ok(match self {
            Files::One(path, existing) => (path.clone(), recording::create(path, *existing)?),
            Files::Many(series, _) => series.begin_next()?,
        })
    }

    fn limits(&self) -> Limits {
        match self {
            Files::One(..) => Limits::default(),
            Files::Many(_, limits) => *limits,
        }
    }
}

/// The file that is being written.
struct Current {
    path: PathBuf,
    begun: Timestamp,
    writer: Writer<Behind<File>>,
}

impl Current {
    fn begin(files: &mut Files, pipeline: &Pipeline) -> anyhow::Result<Current> {
        let (path, file) = files.next()?;
        let begun = pipeline.now();
        let writer = Writer::new(Behind::new(file), &pipeline.host(), begun)?;
        Ok(Current { path, begun, writer })
    }

    fn finish(self) -> anyhow::Result<Totals> {
        Ok(self.writer.finish()?.0)
    }
}

/// See the module's documentation.
pub(super) struct Recorder {
    files: Files,
    selected: Selected,
    current: Option<Current>,
    /// Files that are finished, and what is in them.
    finished: (u64, Totals),
    progress: Progress,
}

impl Recorder {
    pub fn new(files: Files, filter: Filter) -> Self {
        Recorder {
            files,
            selected: Selected::new(filter),
            current: None,
            finished: (0, Totals::default()),
            progress: Progress::new(),
        }
    }

    /// The next file. Connections that are still open are told in the last one as they are, and again where they end:
    /// each file is whole by itself.
    fn turn_over(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let Some(mut full) = self.current.take() else { return Ok(()) };
        let now = pipeline.now();
        let open: Vec<_> = self.selected.open(pipeline.connections()).collect();
        for connection in &open {
            full.writer.write(&Record::Connection(Arc::clone(connection)), now)?;
        }
        let path = full.path.clone();
        let totals = full.finish()?;
        log::info!("recorded: {}, in {}", said(&totals), path.display());
        self.finished.0 += 1;
        self.finished.1.add(&totals);
        let mut next = Current::begin(&mut self.files, pipeline)?;
        open.iter().try_for_each(|connection| next.writer.note(connection, now))?;
        self.current = Some(next);
        Ok(())
    }
}

impl Sink for Recorder {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let current = Current::begin(&mut self.files, pipeline)?;
        // Scripts wait for this line (README).
        self.progress.end(&format!("tracing into {}", current.path.display()));
        self.current = Some(current);
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        let now = pipeline.now();
        let Some(current) = self.current.as_mut() else { return Ok(()) };
        let writer = &mut current.writer;
        self.selected.each(outputs, |record, _| writer.write(record, now))?;
        self.selected.lasting(outputs, |connection| writer.note(connection, now))?;
        writer.tick(now)?;
        let (bytes, begun) = (writer.written_bytes(), current.begun);
        self.progress.tell(|| format!("recording: {}", summary(writer.totals(), pipeline)));
        if self.files.limits().are_reached(bytes, begun, now) {
            self.turn_over(pipeline)?;
        }
        Ok(())
    }

    fn end(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let path = current.path.clone();
        let totals = current.finish()?;
        let (files, mut all) = self.finished;
        all.add(&totals);
        let before = match files {
            0 => String::new(),
            1 => " and one file before it".to_owned(),
            many => format!(" and {many} files before it"),
        };
        let text = summary(&all, pipeline);
        self.progress.end(&format!("recorded: {text}, in {}{before}", path.display()));
        Ok(())
    }
}

/// What is in a recording, for a person.
pub(super) fn said(totals: &Totals) -> String {
    format!(
        "{} connections, {} exchanges, {} records",
        totals.connections, totals.exchanges, totals.records
    )
}

fn summary(totals: &Totals, pipeline: &Pipeline) -> String {
    format!("{}, {} events lost", said(totals), pipeline.totals().lost)
}

/// A line on stderr that is written anew, where a person sees it.
pub(super) struct Progress {
    next: Option<Instant>,
}

impl Progress {
    pub fn new() -> Progress {
        Progress { next: io::stderr().is_terminal().then(Instant::now) }
    }

    /// Shows the text if it is time to.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        const EVERY: Duration = Duration::from_millis(500);
        let Some(next) = self.next.as_mut().filter(|next| Instant::now() >= **next) else { return };
        *next = Instant::now() + EVERY;
        // Nothing depends on whether the person sees it.
        _ = write!(io::stderr(), "\r\x1b[K{}", text());
    }

    /// A line that stays. Standard error has no buffer: the line is out when this returns.
    pub fn end(&self, text: &str) {
        let start = if self.next.is_some() { "\r\x1b[K" } else { "" };
        _ = io::stderr().write_all(format!("{start}{text}\n").as_bytes());
    }
}
