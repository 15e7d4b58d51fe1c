//! Where traced records go, but for recordings and the live view: lines on stdout.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::os::fd::AsFd;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::trace::{self, Sink};
use crate::engine::Output;
use crate::filter::Filter;
use crate::pipeline::Pipeline;
use crate::plain;
use crate::record::{Connection, Record};
use crate::selected::Selected;

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

    /// Writes what passes, and brings it out.
    pub fn write(&mut self, outputs: &[Output]) -> anyhow::Result<()> {
        let Lines { selected, form, colours, out } = self;
        selected.each(outputs, |record, connection| {
            write_line(out, *form, *colours, record, connection)
        })?;
        self.out.flush()?;
        Ok(())
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
        self.write(&[Output::Record(Record::Host(pipeline.host()))])
    }

    fn take(&mut self, outputs: &[Output], _pipeline: &Pipeline) -> anyhow::Result<()> {
        self.write(outputs)
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
