//! `tracer daemon`: traces without a screen, keeps the last minutes, and serves views, recordings and figures.

use std::io::{Write as _, stderr};
use std::net::SocketAddr;

use super::args::DaemonArgs;
use super::trace::{self, Sink, Until};
use super::usage::{self, Usage};
use crate::daemon::{
    Ask, Audience, History, HttpFigures, Live, Metrics, RunFigures, Server, serve_metrics,
};
use crate::engine::{Output, TellChanged};
use crate::pipeline::{Options, Pipeline};
use crate::recording::{Figures, Kept, Writer};
use crate::selected::Selected;

pub(super) fn run(args: &DaemonArgs) -> anyhow::Result<()> {
    let filter = args.filter.filter()?;
    // A filter asks about the connection as it is at the moment.
    let unwatched = if !filter.is_all() {
        TellChanged::AtOnce
    } else if args.metrics.is_some() {
        // An exchange that both its ends report counts once.
        TellChanged::Paired
    } else {
        TellChanged::Never
    };
    let options = args.trace.options(unwatched, filter.ports());
    let options = Options { tell_lasting: true, filter: filter.words(), ..options };
    let mut daemon = Daemon {
        server: Server::listen(&args.socket)?,
        socket: args.socket.display().to_string(),
        metrics_at: args.metrics,
        keep_ns: u64::try_from(args.last.as_nanos()).unwrap_or(u64::MAX),
        max_bytes: usize::try_from(args.memory).unwrap_or(usize::MAX),
        selected: Selected::new(filter),
        unwatched,
        history: None,
        audience: Audience::default(),
        metrics: None,
        usage: Usage::default(),
    };
    let until = Until { duration: args.trace.duration };
    trace::own_thread()?.block_on(trace::run(options, until, &mut daemon))
}

struct Daemon {
    server: Server,
    socket: String,
    metrics_at: Option<SocketAddr>,
    keep_ns: u64,
    max_bytes: usize,
    selected: Selected,
    /// How to hear of changes while nobody watches.
    unwatched: TellChanged,
    history: Option<Writer<Kept>>,
    audience: Audience,
    metrics: Option<Metrics>,
    usage: Usage,
}

impl Daemon {
    fn keep(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        let Some(history) = &mut self.history else { return Ok(()) };
        let now = pipeline.now();
        self.selected.each(outputs, |record, _| history.write(record, now))?;
        self.selected.lasting(outputs, |connection| history.note(connection, now))?;
        Ok(history.tick(now)?)
    }

    fn answer(&mut self, ask: Ask, pipeline: &Pipeline) -> anyhow::Result<()> {
        // One that has hung up needs no answer.
        match ask {
            Ask::Live(answer) => {
                // The next figures come at once, for the one that has none yet.
                self.usage = Usage::default();
                _ = answer.send(Live {
                    host: pipeline.host(),
                    connections: pipeline.connections(),
                    at: pipeline.now(),
                    looks: self.audience.admit(),
                });
            }
            Ask::History(last_ns, answer) => {
                let Some(history) = &mut self.history else { return Ok(()) };
                let at = pipeline.now();
                history.flush()?;
                let blocks = history.sink().share(last_ns, at);
                let connections = self.selected.open(pipeline.connections()).collect();
                _ = answer.send(History { host: pipeline.host(), blocks, connections, at });
            }
            Ask::Metrics(answer) => {
                if let Some(metrics) = &self.metrics {
                    _ = answer.send(metrics.text(&self.figures(pipeline)));
                }
            }
        }
        Ok(())
    }

    fn figures(&self, pipeline: &Pipeline) -> RunFigures {
        let http = pipeline.counters().http;
        RunFigures {
            seen: pipeline.totals().seen,
            states: pipeline.population(),
            cpu_s: usage::process_cpu_ns() as f64 / 1e9,
            rss_bytes: usage::resident_bytes(),
            history_bytes: self.history.as_ref().map_or(0, |kept| kept.sink().bytes() as u64),
            clients: self.audience.len() as u64,
            clients_cut_off: self.audience.cut_off(),
            http: HttpFigures { tunnel_bytes: http.tunnel_bytes, holes: http.holes },
        }
    }
}

impl Sink for Daemon {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let kept = Kept::new(self.keep_ns, self.max_bytes);
        self.history = Some(Writer::new(kept, &pipeline.host(), pipeline.now())?);
        let mut said = format!("listening at {}", self.socket);
        if let Some(address) = self.metrics_at {
            self.metrics = Some(Metrics::new(&pipeline.host()));
            let address = serve_metrics(address, self.server.asker())?;
            said += &format!(", figures at http://{address}/metrics");
        }
        // Nothing depends on whether somebody reads it.
        _ = writeln!(stderr(), "{said}");
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        self.keep(outputs, pipeline)?;
        if let Some(metrics) = &mut self.metrics {
            metrics.take(outputs);
        }
        self.audience.take(outputs, pipeline.now());
        if !self.audience.is_empty()
            && let Some(stats) = self.usage.stats(pipeline, 0, None)
        {
            self.audience.take_figures(Figures { at: pipeline.now(), stats });
        }
        let asks: Vec<Ask> = self.server.asks().collect();
        asks.into_iter().try_for_each(|ask| self.answer(ask, pipeline))
    }

    fn end(&mut self, _pipeline: &Pipeline) -> anyhow::Result<()> {
        self.audience.end();
        self.server.see_off();
        Ok(())
    }

    fn tell_changed(&self) -> Option<TellChanged> {
        let is_watched = !self.audience.is_empty();
        Some(if is_watched { TellChanged::AtOnce } else { self.unwatched })
    }
}
