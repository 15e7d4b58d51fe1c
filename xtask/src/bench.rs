//! `cargo xtask bench`: what tracing costs, beside what others cost.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    project::Project,
    setup::{self, programs},
    shell::{self, say},
};

mod bpf;
mod contender;
mod goals;
mod load;
mod machine;
mod measure;
mod parse;
mod plan;
mod proc;
mod process;
mod report;
mod seen;
mod single;
mod stats;
mod watch;

use load::{Load, Place};
use machine::{Description, Scratch};
use measure::{Bench, Measured};
use plan::Wanted;
use report::{Preface, Results};

/// Measure what tracing costs, beside its peers, and write docs/benchmarks.md; as root
#[derive(Args)]
pub struct Options {
    /// Only this load; may be given several times
    #[arg(long, value_name = "LOAD")]
    only: Vec<Load>,

    /// Only contenders with this in their name; may be given several times
    #[arg(long, value_name = "NAME")]
    contender: Vec<String>,

    /// So many pairs of every contender, instead of the plan's own number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pairs: Option<u32>,

    /// End within so many minutes; what does not fit is left out and said so
    #[arg(long, value_name = "NUMBER", default_value_t = plan::BUDGET_MINUTES)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=60))]
    minutes: u32,

    /// One pair of short runs each, to try it out; writes no document unless --output is given
    #[arg(long)]
    quick: bool,

    /// Where to write the document [default: docs/benchmarks.md, for a whole run only]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Options {
    fn is_whole(&self) -> bool {
        self.only.is_empty() && self.contender.is_empty() && self.pairs.is_none() && !self.quick
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            loads: self.only.clone(),
            contenders: self.contender.clone(),
            pairs: if self.quick { self.pairs.or(Some(1)) } else { self.pairs },
        }
    }

    /// Idle, memory and the rest belong to a run that was not narrowed down.
    fn with_extras(&self) -> bool {
        self.only.is_empty() && self.contender.is_empty()
    }
}

pub fn main(options: Options) -> Result<ExitCode> {
    machine::check()?;
    let project = Project::find()?;
    setup::bpf::ensure(&project)?;
    let missing = programs::ensure(&project, &programs::FOR_BENCHMARKS)?;
    shell::run(project.cargo().args(["build", "--release", "--package", "tracer"]))?;
    let tracer = project.target.join("release/tracer");
    process::catch_signals()?;
    let scratch = Scratch::new(&project)?;
    let place = Place { project: &project, scratch: scratch.path() };
    let bench = Bench { place, tracer, size: plan::size(options.quick) };
    let preface = Preface {
        machine: Description::read(&project),
        versions: versions(&project),
        arguments: arguments(&options),
    };
    let results = measure_all(bench, &options, missing)?;
    let document = report::document(&preface, &results);
    println!("{document}");
    write(&project, &options, &document)?;
    Ok(ExitCode::SUCCESS)
}

fn write(project: &Project, options: &Options, document: &str) -> Result<()> {
    let own = options.is_whole().then(|| project.root.join("docs/benchmarks.md"));
    let Some(file) = options.output.clone().or(own) else { return Ok(()) };
    fs::write(&file, document).with_context(|| format!("writing {}", file.display()))?;
    say(format_args!("written: {}", project.show(&file)));
    Ok(())
}

fn measure_all(mut bench: Bench, options: &Options, missing: Vec<String>) -> Result<Results> {
    let start = Instant::now();
    let mut results = Results { failures: missing, ..Results::default() };
    let mut cells = plan::cells(&options.wanted());
    if cells.is_empty() {
        bail!("no contender of that name under that load");
    }
    if cells.iter().any(|cell| cell.load == Load::FixedRate) {
        let found = half_of_saturation(&bench);
        let rate = or_failure("the rate of h2load", &mut results.failures, found)?;
        // Without a rate there is no such load.
        cells.retain(|cell| rate.is_some() || cell.load != Load::FixedRate);
        bench.size.rate = rate.unwrap_or(0);
        results.rate = bench.size.rate;
    }
    if options.with_extras() {
        single_measurements(&bench, options.quick, &mut results)?;
    }
    results.cells = cells.into_iter().map(Measured::new).collect();
    in_rounds(&bench, options, start, &mut results)?;
    results.took = start.elapsed();
    Ok(results)
}

/// The best of a few short runs, untraced.
fn half_of_saturation(bench: &Bench) -> Result<u32> {
    const RUNS: u32 = 3;
    let mut most = 0.0_f64;
    for _ in 0..RUNS {
        machine::wait_until_quiet();
        machine::fresh_network()?;
        most = most.max(load::saturation(&bench.place)?);
    }
    say(format_args!("nginx serves h2load {most:.0} requests/s"));
    Ok((most / 2.0) as u32)
}

fn single_measurements(bench: &Bench, quick: bool, results: &mut Results) -> Result<()> {
    let (idle, starts) = if quick { (3, 2) } else { (10, 7) };
    let (connections, addresses) = if quick { (2_000, 1) } else { (20_000, 6) };
    let Results { failures, .. } = results;
    say("idle");
    let found = single::idle(bench, Duration::from_secs(idle));
    results.idle = or_failure("idle", failures, found)?.unwrap_or_default();
    say("start to first event");
    let found = single::first_event(bench, starts);
    results.first_event_ms = or_failure("start to first event", failures, found)?.flatten();
    say("memory");
    let found = single::memory(bench, connections, addresses);
    results.memory = or_failure("memory", failures, found)?;
    say("BPF programs");
    let found = single::programs(bench, plan::size(true));
    if let Some((programs, empty_ns)) = or_failure("BPF programs", failures, found)? {
        results.programs = programs;
        results.empty_ns = Some(empty_ns);
    }
    Ok(())
}

/// A measurement that fails is told in the report, and the others go on; an interruption ends all.
fn or_failure<T>(what: &str, failures: &mut Vec<String>, found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if process::is_interrupted() => Err(error),
        Err(error) => {
            say(format_args!("{what}: {error:#}"));
            failures.push(format!("{what}: {error:#}"));
            Ok(None)
        }
    }
}

/// A pair of every cell a round, so that slow drifts of the machine meet all alike, and a run that is
/// cut short has something of everything. Pairs that were disturbed are made once more while there is
/// time.
fn in_rounds(
    bench: &Bench,
    options: &Options,
    start: Instant,
    results: &mut Results,
) -> Result<()> {
    let rounds = results.cells.iter().map(|cell| cell.cell.pairs).max().unwrap_or(0);
    let end = start + Duration::from_secs(60 * u64::from(options.minutes)) - plan::RESERVE;
    let mut left_out = 0;
    for round in 0..if options.quick { rounds } else { 2 * rounds } {
        for measured in &mut results.cells {
            let wanted = measured.cell.pairs;
            if measured.undisturbed() >= wanted as usize || round >= 2 * wanted {
                continue;
            }
            let needs = Duration::from_secs_f64(plan::pair_seconds(&measured.cell, bench.size));
            if Instant::now() + needs > end {
                left_out += 1;
                continue;
            }
            one_pair(bench, round, start, measured)?;
        }
    }
    if left_out > 0 {
        results.failures.push(format!("{left_out} pairs, for the time was up"));
    }
    Ok(())
}

fn one_pair(bench: &Bench, round: u32, start: Instant, measured: &mut Measured) -> Result<()> {
    let cell = measured.cell;
    let name = format!("{}, {}", cell.load.name(), cell.contender.name);
    let found = bench.pair(&cell, round % 2 == 1);
    let Some(pair) = or_failure(&name, &mut measured.failures, found)? else { return Ok(()) };
    let seen: Vec<String> = pair
        .with
        .completeness
        .iter()
        .map(|found| format!(", {} {}/{}", found.what, found.seen, found.happened.start()))
        .collect();
    let at = start.elapsed().as_secs();
    let disturbed = if pair.is_disturbed() { ", disturbed" } else { "" };
    say(format_args!(
        "{at:5} s  {name}: {:.3}, processor time x {:.3}{disturbed}{}",
        pair.ratio(),
        pair.cpu_ratio(),
        seen.concat()
    ));
    measured.pairs.push(pair);
    Ok(())
}

/// What each program calls itself; Debian's number where it says none.
fn versions(project: &Project) -> Vec<String> {
    let says = |program: &programs::Program| {
        let file = project.which(program.name)?;
        let output = Command::new(file).arg(program.version).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.chars().any(|c| c.is_ascii_digit()))?;
        Some(format!("{}: {}", program.name, line.trim()))
    };
    programs::FOR_BENCHMARKS.iter().filter_map(says).collect()
}

/// As given, for the report to name them.
fn arguments(options: &Options) -> String {
    if options.is_whole() && options.minutes == plan::BUDGET_MINUTES {
        return String::new();
    }
    let words: Vec<String> = std::env::args().skip(2).collect();
    format!(" {}", words.join(" "))
}
