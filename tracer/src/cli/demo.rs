//! `tracer demo`: something to see on any machine.

use tokio::sync::oneshot;

use super::args::DemoArgs;
use super::trace::{self, Sink, Until};
use super::watch;
use crate::demo;
use crate::engine::Output;
use crate::filter::Filter;
use crate::pipeline::Pipeline;

/// Traces a small server and its clients, at work in this process, as `watch` does the host.
pub(super) fn run(args: &DemoArgs, level: log::LevelFilter) -> anyhow::Result<()> {
    // The host's other connections are not the demo's.
    let filter: Filter = format!("host:{}", demo::ADDRESS).parse()?;
    let mut shown = watch::open(args.output, filter, level)?;
    let options = shown.options(&args.trace);
    let until = Until { duration: args.trace.duration };
    let runtime = trace::runtime()?;
    let (begun, begin) = oneshot::channel::<()>();
    let (stop, stopped) = oneshot::channel::<()>();
    let actors = runtime.spawn(async {
        // Not before everything is attached: the first connection is to be seen whole.
        if begin.await.is_err() {
            return Ok(());
        }
        demo::run(async {
            // Both a word and a dropped sender mean the end.
            _ = stopped.await;
        })
        .await
    });
    let mut sink = Announced { sink: shown.sink.as_mut(), begun: Some(begun) };
    let traced = runtime.block_on(trace::run(options, until, &mut sink));
    drop((sink, stop));
    let played = runtime.block_on(actors);
    traced?;
    played?.map_err(Into::into)
}

/// A sink that says when tracing has begun.
struct Announced<'a> {
    sink: &'a mut dyn Sink,
    begun: Option<oneshot::Sender<()>>,
}

impl Sink for Announced<'_> {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        self.sink.begin(pipeline)?;
        if let Some(begun) = self.begun.take() {
            // Nobody listens only when the actors are gone, which their join tells.
            _ = begun.send(());
        }
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        self.sink.take(outputs, pipeline)
    }

    fn end(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        self.sink.end(pipeline)
    }

    fn is_done(&self) -> bool {
        self.sink.is_done()
    }
}
