//! Runs in pairs: the load without a contender and with it, in turns.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::{
    contender::{Contender, Kind, Mode},
    load::{self, Load, Outcome, Place, Size},
    machine,
    plan::Cell,
    proc::{Counters, Ticks},
    process,
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

/// A run of a load.
#[derive(Clone, Copy)]
pub struct Ran {
    pub outcome: Outcome,
    /// Processor time of client, server and contender during the load.
    pub cpu_us: u64,
    /// The share of the processors that others took meanwhile.
    pub others: f64,
}

impl Ran {
    /// Processor time for each request, or for each bit where there are none.
    fn cpu_us_each(&self) -> f64 {
        let Outcome { score, requests, seconds, .. } = self.outcome;
        let things = if requests > 0 { requests as f64 } else { score * seconds };
        self.cpu_us as f64 / things
    }
}

/// A run without a contender and one with it.
pub struct Pair {
    pub without: Ran,
    pub with: Traced,
}

/// The run with the contender.
pub struct Traced {
    pub ran: Ran,
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
        self.with.ran.outcome.score / self.without.outcome.score
    }

    /// How many times as much processor time the same work took, with the contender's own.
    pub fn cpu_ratio(&self) -> f64 {
        self.with.ran.cpu_us_each() / self.without.cpu_us_each()
    }

    /// Whether others took so much of the processors that the ratio may be theirs.
    pub fn is_disturbed(&self) -> bool {
        const MUCH: f64 = 0.15;
        self.without.others.max(self.with.ran.others) > MUCH
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
        Spread::of(self.believed().map(Pair::ratio))
    }

    /// Of [`Pair::cpu_ratio`]. Others slow this down far less than the throughput, so all pairs count.
    pub fn cpu_ratio(&self) -> Option<Spread> {
        Spread::of(self.pairs.iter().map(Pair::cpu_ratio))
    }

    /// A figure of each traced run.
    pub fn spread(&self, figure: impl Fn(&Traced) -> f64) -> Option<Spread> {
        Spread::of(self.believed().map(|pair| figure(&pair.with)))
    }

    /// Pairs that nothing disturbed; all, where there are none.
    pub fn believed(&self) -> impl Iterator<Item = &Pair> {
        let none = self.undisturbed() == 0;
        self.pairs.iter().filter(move |pair| none || !pair.is_disturbed())
    }

    /// Their number.
    pub fn undisturbed(&self) -> usize {
        self.pairs.iter().filter(|pair| !pair.is_disturbed()).count()
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
                Load::KeepAlive | Load::Chunked | Load::FixedRate => run.ran.outcome.requests * 2,
                Load::Transfer => 0,
            };
            run.cost.cpu_us as f64 / things as f64
        })
    }

    /// Own processor time against the load's length: 1 is a whole core.
    pub fn cores(&self) -> Option<Spread> {
        self.spread(|run| run.cost.cpu_us as f64 / 1e6 / run.ran.outcome.seconds)
    }
}

impl Bench<'_> {
    /// One pair; every second one has its traced run first.
    pub fn pair(&self, cell: &Cell, traced_first: bool) -> Result<Pair> {
        let Cell { load, contender, .. } = *cell;
        let (without, with) = if traced_first {
            let with = self.traced(load, contender)?;
            (self.untraced(load)?, with)
        } else {
            (self.untraced(load)?, self.traced(load, contender)?)
        };
        Ok(Pair { without, with })
    }

    fn untraced(&self, load: Load) -> Result<Ran> {
        machine::wait_until_quiet();
        machine::fresh_network()?;
        let server = load::serve(&self.place, load)?;
        self.run(load, || server.cpu_us())
    }

    /// Runs the load; `beside_us` tells the processor time of what takes part but is not waited for.
    fn run(&self, load: Load, beside_us: impl Fn() -> u64) -> Result<Ran> {
        let own_us = || Ok::<u64, anyhow::Error>(process::own_cpu_us()? + beside_us());
        let (ticks, before_us) = (Ticks::now(), own_us()?);
        let outcome = load::run(&self.place, load, self.size)?;
        let cpu_us = own_us()?.saturating_sub(before_us);
        Ok(Ran { outcome, cpu_us, others: Ticks::now().since(ticks).others_share(cpu_us) })
    }

    fn traced(&self, load: Load, contender: &Contender) -> Result<Traced> {
        machine::wait_until_quiet();
        machine::fresh_network()?;
        let namespace = machine::network_inode()?;
        let server = load::serve(&self.place, load)?;
        let watching = Watching::start(&self.place, &self.tracer, contender)?;
        let before = Counters::read();
        let ran = self.run(load, || server.cpu_us() + watching.cpu_us())?;
        machine::wait_until_closed()?;
        let counters = Counters::read().since(before);
        let cost = watching.end()?;
        drop(server);
        let happened = Happened { outcome: ran.outcome, counters };
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
        Ok(Traced { ran, transitions, completeness, lost, cost })
    }
}

/// Whether a contender shows what it saw to a person only, or to nobody, so that nothing can be counted.
pub const fn is_uncounted(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Empty(_)
            | Kind::Tracer(Mode::View | Mode::FilteredOut | Mode::Drained | Mode::DrainedHooks(_))
    )
}
