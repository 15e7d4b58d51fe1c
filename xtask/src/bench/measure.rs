//! Runs in pairs: the load without a contender and with it, in turns.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{
    contender::{Contender, Kind, Mode},
    load::{self, Load, Outcome, Place, Size},
    machine,
    plan::Cell,
    proc::Counters,
    seen::{Completeness, Happened},
    stats::Spread,
    watch::{self, Cost, Watching},
};

/// What every measurement needs.
pub struct Bench<'a> {
    pub place: Place<'a>,
    pub tracer: PathBuf,
    pub size: Size,
}

/// A run without a contender and one with it.
pub struct Pair {
    pub untraced: f64,
    pub traced: f64,
    pub with: Traced,
    /// Whether the machine was quiet before both runs.
    pub quiet: bool,
}

/// The run with the contender.
pub struct Traced {
    pub outcome: Outcome,
    /// State changes that happened.
    pub transitions: u64,
    pub completeness: Vec<Completeness>,
    /// Events that the contender says it lost.
    pub lost: Option<u64>,
    pub cost: Cost,
}

impl Pair {
    /// Throughput kept; for a fixed rate, how many times as long the slowest requests took.
    pub fn ratio(&self) -> f64 {
        self.traced / self.untraced
    }
}

/// A cell of the plan, measured.
pub struct Measured {
    pub cell: Cell,
    pub pairs: Vec<Pair>,
    /// Why pairs failed.
    pub failures: Vec<String>,
}

impl Measured {
    pub const fn new(cell: Cell) -> Self {
        Self { cell, pairs: Vec::new(), failures: Vec::new() }
    }

    pub fn is(&self, load: Load, contender: &str) -> bool {
        self.cell.load == load && self.cell.contender.name == contender
    }

    pub fn ratio(&self) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(Pair::ratio))
    }

    /// A figure of each traced run.
    pub fn spread(&self, figure: impl Fn(&Traced) -> f64) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(|pair| figure(&pair.with)))
    }

    /// Of each kind of thing the least complete run, or the one that told too much.
    pub fn completeness(&self) -> Vec<(&'static str, f64)> {
        let mut worst: Vec<(&'static str, f64)> = Vec::new();
        let all = self.pairs.iter().flat_map(|pair| &pair.with.completeness);
        for found in all {
            let Some(ratio) = found.ratio() else { continue };
            match worst.iter_mut().find(|(what, _)| *what == found.what) {
                Some((_, old)) if (ratio - 1.0).abs() > (*old - 1.0).abs() => *old = ratio,
                Some(_) => {}
                None => worst.push((found.what, ratio)),
            }
        }
        worst
    }

    /// Own processor time in µs for each thing that the load is about: state changes where
    /// connections come and go, else messages' exchanges, each told by both ends.
    pub fn cpu_us_each(&self) -> Option<Spread> {
        self.spread(|run| {
            let things = match self.cell.load {
                Load::Churn => run.transitions,
                Load::KeepAlive | Load::FixedRate => run.outcome.requests * 2,
                Load::Transfer => 0,
            };
            run.cost.cpu_us as f64 / things as f64
        })
    }

    /// Own processor time against the load's length: 1 is a whole core.
    pub fn cores(&self) -> Option<Spread> {
        self.spread(|run| run.cost.cpu_us as f64 / 1e6 / run.outcome.seconds)
    }
}

impl Bench<'_> {
    /// One pair; every second one has its traced run first.
    pub fn pair(&self, cell: &Cell, traced_first: bool) -> Result<Pair> {
        let Cell { load, contender, .. } = *cell;
        if traced_first {
            let (with, before) = self.traced(load, contender)?;
            let (untraced, after) = self.untraced(load)?;
            return Ok(Pair { untraced, traced: with.outcome.score, with, quiet: before && after });
        }
        let (untraced, before) = self.untraced(load)?;
        let (with, after) = self.traced(load, contender)?;
        Ok(Pair { untraced, traced: with.outcome.score, with, quiet: before && after })
    }

    fn untraced(&self, load: Load) -> Result<(f64, bool)> {
        let quiet = machine::wait_until_quiet();
        machine::fresh_network()?;
        let _server = load::serve(&self.place, load)?;
        Ok((load::run(&self.place, load, self.size)?.score, quiet))
    }

    fn traced(&self, load: Load, contender: &Contender) -> Result<(Traced, bool)> {
        let quiet = machine::wait_until_quiet();
        machine::fresh_network()?;
        let namespace = machine::network_inode()?;
        let server = load::serve(&self.place, load)?;
        let watching = Watching::start(&self.place, &self.tracer, contender)?;
        let before = Counters::read();
        let outcome = load::run(&self.place, load, self.size)?;
        // The server's last changes of state come a moment after the client has ended.
        let lag = watching.catch_up()?;
        let counters = Counters::read().since(before);
        let mut cost = watching.end()?;
        cost.lag += lag;
        drop(server);
        let happened = Happened { outcome, counters };
        let told =
            watch::completeness(&self.place, &self.tracer, contender.kind, namespace, &happened);
        // What was cut off in the middle of its work may be unreadable.
        let (completeness, lost) = match told {
            Ok(told) => told,
            Err(error) if !cost.ended_badly => return Err(error),
            Err(_) => (Vec::new(), None),
        };
        if matches!(contender.kind, Kind::Tracer(_)) && cost.ended_badly {
            bail!("tracer did not end in order");
        }
        let transitions = happened.transitions();
        Ok((Traced { outcome, transitions, completeness, lost, cost }, quiet))
    }
}

/// Whether a contender shows what it saw to a person only, so that nothing can be counted.
pub const fn is_uncounted(kind: Kind) -> bool {
    matches!(kind, Kind::Empty(_) | Kind::Tracer(Mode::View | Mode::FilteredOut))
}
