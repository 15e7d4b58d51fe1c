//! Where traced records go, but for recordings and the live view: lines on stdout.

use std::collections::HashMap;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::trace::{self, Sink};
use crate::engine::Output;
use crate::filter::{Filter, Selector};
use crate::pipeline::Pipeline;
use crate::plain;
use crate::record::{ConnId, Connection, Record};

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
                    let connection = record.conn().and_then(|id| self.known.get(&id)).cloned();
                    if self.selector.passes(record, connection.as_deref()) {
                        each(record, connection.as_deref())?;
                    }
                    if let Record::Connection(ended) = record {
                        self.known.remove(&ended.id);
                    }
                }
                Output::Lasting(_) => {}
            }
        }
        Ok(())
    }
}

impl Selected {
    /// Calls `each` for those that last and would pass.
    pub fn lasting(
        &mut self,
        outputs: &[Output],
        mut each: impl FnMut(&Connection) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for output in outputs {
            if let Output::Lasting(connection) = output
                && self.selector.passes_open(connection)
            {
                each(connection)?;
            }
        }
        Ok(())
    }

    /// Those of `connections`, as they are now, whose records would pass.
    pub fn open(
        &mut self,
        connections: Vec<Arc<Connection>>,
    ) -> impl Iterator<Item = Arc<Connection>> + '_ {
        let selector = &mut self.selector;
        connections.into_iter().filter(|connection| selector.passes_open(connection))
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

    /// On a quiet host there is nothing to write, and so nothing that fails where nobody reads any more.
    fn is_done(&self) -> bool {
        has_no_reader(self.out.get_ref())
    }
}

/// Whether the other end of a pipe or socket is closed.
fn has_no_reader(out: &impl AsFd) -> bool {
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    // Asked for nothing, poll(2) still tells of these two.
    let mut fds = [PollFd::new(out, PollFlags::empty())];
    let told = poll(&mut fds, Some(&AT_ONCE)).is_ok_and(|told| told > 0);
    told && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_whose_reader_has_gone_is_told_without_a_write() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!has_no_reader(&writer));
        drop(reader);
        assert!(has_no_reader(&writer));
    }

    #[test]
    fn a_file_always_has_a_reader() {
        assert!(!has_no_reader(&tempfile::tempfile().unwrap()));
    }
}
