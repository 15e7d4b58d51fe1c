//! Where traced records go: lines on stdout, a recording, a live view.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::trace::{self, Sink};
use crate::engine::Output;
use crate::filter::{Filter, Selector};
use crate::pipeline::Pipeline;
use crate::plain;
use crate::record::{ConnId, Connection, Record};
use crate::recording::{self, Behind, Existing, Totals, Writer};

/// Records that pass a filter, each with its connection as far as it is known.
pub(super) struct Selected {
    selector: Selector,
    /// Connections as last told; empty where nobody asked to be told.
    known: HashMap<ConnId, Arc<Connection>>,
}

impl Selected {
    pub fn new(filter: Filter) -> Self {
        Selected { selector: Selector::new(filter), known: HashMap::new() }
    }

    /// Calls `each` for what passes.
    pub fn each(
        &mut self,
        outputs: &[Output],
        mut each: impl FnMut(&Record, Option<&Connection>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for output in outputs {
            match output {
                Output::Changed(connection) => {
                    self.known.insert(connection.id, Arc::clone(connection));
                }
                Output::Record(record) => {
                    let connection = conn_of(record).and_then(|id| self.known.get(&id)).cloned();
                    if self.selector.passes(record, connection.as_deref()) {
                        each(record, connection.as_deref())?;
                    }
                    if let Record::Connection(ended) = record {
                        self.known.remove(&ended.id);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The connection that a record is about.
fn conn_of(record: &Record) -> Option<ConnId> {
    match record {
        Record::Host(_) | Record::Loss(_) => None,
        Record::Transition(transition) => Some(transition.conn),
        Record::Segment(segment) => Some(segment.conn),
        Record::Exchange(exchange) => Some(exchange.conn),
        Record::Connection(connection) => Some(connection.id),
    }
}

/// How a record is written as a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Plain,
    /// For programs.
    Json,
}

/// A line per record on stdout, flushed at each look.
pub(super) struct Lines {
    selected: Selected,
    form: Form,
    colours: bool,
    out: BufWriter<Stdout>,
}

impl Lines {
    pub fn new(form: Form, filter: Filter) -> Self {
        let colours =
            plain::wants_colours(io::stdout().is_terminal(), |name| std::env::var(name).ok());
        let out = BufWriter::with_capacity(256 * 1024, io::stdout());
        Lines { selected: Selected::new(filter), form, colours, out }
    }
}

fn write_line(
    out: &mut impl Write,
    form: Form,
    colours: bool,
    record: &Record,
    connection: Option<&Connection>,
) -> io::Result<()> {
    if form == Form::Json {
        return record.write_json_line(out);
    }
    let line = if colours {
        plain::coloured_line(record, connection)
    } else {
        plain::line(record, connection)
    };
    line.map_or(Ok(()), |line| writeln!(out, "{line}"))
}

impl Sink for Lines {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        trace::end_at_once_when_told_twice().context("cannot listen for signals")?;
        let host = Record::Host(pipeline.host());
        write_line(&mut self.out, self.form, self.colours, &host, None)?;
        self.out.flush()?;
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], _pipeline: &Pipeline) -> anyhow::Result<()> {
        let Lines { selected, form, colours, out } = self;
        selected.each(outputs, |record, connection| {
            Ok(write_line(out, *form, *colours, record, connection)?)
        })?;
        self.out.flush()?;
        Ok(())
    }

    fn end(&mut self, _pipeline: &Pipeline) -> anyhow::Result<()> {
        self.out.flush()?;
        Ok(())
    }
}

/// A recording.
pub(super) struct Recorder {
    path: PathBuf,
    existing: Existing,
    selected: Selected,
    writer: Option<Writer<Behind<File>>>,
    /// Progress on stderr, where a person sees it.
    progress: Option<Instant>,
}

impl Recorder {
    pub fn new(path: &Path, existing: Existing, filter: Filter) -> Self {
        let progress = io::stderr().is_terminal().then(Instant::now);
        let selected = Selected::new(filter);
        Recorder { path: path.to_owned(), existing, selected, writer: None, progress }
    }

    fn tell_progress(&mut self, pipeline: &Pipeline) {
        const EVERY: Duration = Duration::from_millis(500);
        let Some(next) = self.progress.as_mut().filter(|next| Instant::now() >= **next) else {
            return;
        };
        *next = Instant::now() + EVERY;
        if let Some(writer) = &self.writer {
            let text = summary(writer.totals(), pipeline.totals().lost);
            // Nothing depends on whether the person sees it.
            _ = write!(io::stderr(), "\r\x1b[Krecording: {text}");
        }
    }
}

fn summary(totals: &Totals, lost: u64) -> String {
    format!(
        "{} connections, {} exchanges, {} records, {lost} events lost",
        totals.connections, totals.exchanges, totals.records
    )
}

impl Sink for Recorder {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let file = recording::create(&self.path, self.existing)?;
        self.writer = Some(Writer::new(Behind::new(file), &pipeline.host(), pipeline.now())?);
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        let now = pipeline.now();
        if let Some(writer) = self.writer.as_mut() {
            self.selected.each(outputs, |record, _| Ok(writer.write(record, now)?))?;
            writer.tick(now)?;
        }
        self.tell_progress(pipeline);
        Ok(())
    }

    fn end(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let (totals, _) = writer.finish()?;
        let start = if self.progress.is_some() { "\r\x1b[K" } else { "" };
        let text = summary(&totals, pipeline.totals().lost);
        _ = writeln!(io::stderr(), "{start}recorded: {text}, in {}", self.path.display());
        Ok(())
    }
}
