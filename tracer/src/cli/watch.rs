//! `tracer watch`: the live view on a terminal, lines elsewhere.

use std::io::{IsTerminal, stdout};

use super::args::{OutputArgs, TraceArgs, WatchArgs};
use super::sinks::{Form, Lines};
use super::trace::{self, Sink, Until};
use super::view::View;
use super::{logging, remote, view};
use crate::engine::TellChanged;
use crate::filter::Filter;
use crate::pipeline;
use crate::ports::PortSet;

pub(super) fn run(args: &WatchArgs, level: log::LevelFilter) -> anyhow::Result<()> {
    let filter = args.filter.filter()?;
    if let Some(socket) = &args.from {
        return match form(args.output) {
            Some(form) => {
                logging::to_stderr(level);
                remote::lines(socket, form, &filter, args)
            }
            None => remote::view(socket, &filter, args.trace.duration, level),
        };
    }
    let mut sink = open(args.output, filter, level)?;
    let options = sink.options(&args.trace);
    let until = Until { duration: args.trace.duration };
    trace::own_thread()?.block_on(trace::run(options, until, sink.sink.as_mut()))
}

/// A sink that shows what happens, and what it wants to hear.
pub(super) struct Shown {
    pub sink: Box<dyn Sink>,
    pub tell_changed: TellChanged,
    /// Whether it wants to hear of connections that last: it may begin a recording.
    pub tell_lasting: bool,
    /// A connection that has none of these is never shown.
    pub ports: PortSet,
    /// What is let through, in words, where that does not change.
    pub filter: Option<String>,
}

impl Shown {
    /// The pipeline's options for it.
    pub fn options(&self, args: &TraceArgs) -> pipeline::Options {
        let options = args.options(self.tell_changed, self.ports.clone());
        let filter = self.filter.clone();
        pipeline::Options { tell_lasting: self.tell_lasting, filter, ..options }
    }
}

/// How lines are to be written; `None` for the live view: where stdout is a terminal and nothing else was asked for.
fn form(output: OutputArgs) -> Option<Form> {
    match (output.json, output.plain) {
        (true, _) => Some(Form::Json),
        (_, true) => Some(Form::Plain),
        _ if !stdout().is_terminal() => Some(Form::Plain),
        _ => None,
    }
}

/// The live view or lines.
pub(super) fn open(
    output: OutputArgs,
    filter: Filter,
    level: log::LevelFilter,
) -> anyhow::Result<Shown> {
    let Some(form) = form(output) else {
        view::take_log(level)?;
        return Ok(Shown {
            sink: Box::new(View::open(&filter)?),
            tell_changed: TellChanged::Together,
            tell_lasting: true,
            // The filter is changed while it runs.
            ports: PortSet::all(),
            filter: None,
        });
    };
    logging::to_stderr(level);
    // A plain line names owner and ends, a filter asks about them: both need the connection as it is now.
    let asks = form == Form::Plain || !filter.is_all();
    let tell_changed = if asks { TellChanged::AtOnce } else { TellChanged::Never };
    let (ports, words) = (filter.ports(), filter.words());
    let sink = Box::new(Lines::new(form, filter));
    Ok(Shown { sink, tell_changed, tell_lasting: false, ports, filter: words })
}

impl TraceArgs {
    /// The pipeline's options, for connections that have one of `ports`.
    pub(super) fn options(&self, tell_changed: TellChanged, ports: PortSet) -> pipeline::Options {
        let mut rings = crate::load::RingSizes::default();
        rings.events_kib = self.rings.event_ring_kib.unwrap_or(rings.events_kib);
        rings.payloads_kib = self.rings.payload_ring_kib.unwrap_or(rings.payloads_kib);
        pipeline::Options {
            rings,
            groups: self.groups(),
            ports,
            filter: None,
            show_secrets: self.show_secrets,
            tell_changed,
            tell_lasting: false,
        }
    }
}
