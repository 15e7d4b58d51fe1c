//! `tracer record`.

use std::time::Duration;

use super::args::RecordArgs;
use super::exit::UsageError;
use super::flight::{Flight, FlightRecorder};
use super::recorder::{Files, Recorder};
use super::remote;
use super::trace::{self, Sink, Until};
use crate::engine::TellChanged;
use crate::filter::Filter;
use crate::pipeline::Options;
use crate::recording::{Existing, Limits, Series};

/// Memory that `--last` takes at most, unless told otherwise.
const FLIGHT_BYTES: u64 = 256 << 20;

pub(super) fn run(args: &RecordArgs) -> anyhow::Result<()> {
    if let Some(socket) = &args.from {
        return remote::save(socket, args);
    }
    let filter = args.filter.filter()?;
    let when = when(args)?;
    let limits = Limits { bytes: args.max_size, age_ns: args.max_age.map(nanoseconds) };
    if args.keep.is_some() && args.last.is_none() && limits.are_none() {
        let text =
            "--keep is about several files: say with --max-size or --max-age when one is full";
        return Err(UsageError(text.to_owned()).into());
    }
    // A filter asks about the connection as it is at the moment.
    let asks = !filter.is_all() || when.is_some();
    let tell_changed = if asks { TellChanged::AtOnce } else { TellChanged::Never };
    let options = args.trace.options(tell_changed, filter.ports());
    let options = Options { tell_lasting: true, filter: filter.words(), ..options };
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let keep = args.keep.and_then(|keep| usize::try_from(keep).ok());
    let series = || Series::new(args.output.clone(), existing, keep);
    let mut sink: Box<dyn Sink> = match args.last {
        Some(last) => Box::new(FlightRecorder::new(Flight {
            keep_ns: nanoseconds(last),
            max_bytes: usize::try_from(args.memory.unwrap_or(FLIGHT_BYTES)).unwrap_or(usize::MAX),
            series: series(),
            filter,
            when,
        })),
        None if limits.are_none() => {
            Box::new(Recorder::new(Files::One(args.output.clone(), existing), filter))
        }
        None => Box::new(Recorder::new(Files::Many(series(), limits), filter)),
    };
    let until = Until { duration: args.trace.duration };
    trace::own_thread()?.block_on(trace::run(options, until, &mut *sink))
}

fn when(args: &RecordArgs) -> Result<Option<Filter>, UsageError> {
    let filter = args.when.as_ref().map(|text| Filter::from_words(&[text]));
    filter.transpose().map_err(|error| UsageError(format!("--when: {error}")))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
