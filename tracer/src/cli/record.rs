//! `tracer record`.

use super::args::RecordArgs;
use super::sinks::Recorder;
use super::trace::{self, Until};
use crate::engine::TellChanged;
use crate::recording::Existing;

pub(super) fn run(args: &RecordArgs) -> anyhow::Result<()> {
    let filter = args.filter.filter()?;
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let tell_changed = if filter.is_all() { TellChanged::Never } else { TellChanged::AtOnce };
    let options = args.trace.options(tell_changed);
    let mut recorder = Recorder::new(&args.output, existing, filter);
    let until = Until { duration: args.trace.duration };
    trace::own_thread()?.block_on(trace::run(options, until, &mut recorder))
}
