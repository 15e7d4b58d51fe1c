//! `tracer demo`: something to see on any machine.

use super::args::DemoArgs;
use super::trace::{self, Until};
use super::watch;
use crate::demo;
use crate::filter::Filter;

/// Traces the host as `watch` does, with a small server and its clients at work beside it.
pub(super) fn run(args: &DemoArgs, level: log::LevelFilter) -> anyhow::Result<()> {
    let mut shown = watch::open(args.output, Filter::all(), level)?;
    let options = args.trace.options(shown.tell_changed);
    let until = Until { duration: args.trace.duration };
    let runtime = trace::runtime()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let actors = runtime.spawn(demo::run(async {
        // Both a word and a dropped sender mean the end.
        _ = stopped.await;
    }));
    let traced = runtime.block_on(trace::run(options, until, shown.sink.as_mut()));
    drop(stop);
    let played = runtime.block_on(actors);
    traced?;
    played?.map_err(Into::into)
}
