//! `tracer record`.

use super::args::RecordArgs;
use super::sinks::Recorder;
use super::trace::{self, Until};
use crate::recording::Existing;

pub(super) fn run(args: &RecordArgs) -> anyhow::Result<()> {
    let filter = args.filter.filter()?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let options = args.trace.options(!filter.is_all());
    let mut recorder = Recorder::new(&args.output, existing, filter);
    let until = Until { duration: args.trace.duration };
    trace::own_thread()?.block_on(trace::run(options, until, &mut recorder))
}
