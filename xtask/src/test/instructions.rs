//! `cargo xtask instructions`: what the hot paths cost in instructions, held against the checked-in figures.
//!
//! Time on a shared machine says little; valgrind's callgrind counts the same work the same in every run, to a
//! few in ten thousand. The workloads are those of tracer's micro-benchmarks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use super::{checks::packages, report::Outcome};
use crate::{
    project::Project,
    setup::programs,
    shell::{capture, describe, for_each_line, say},
};

mod figures;

use figures::{Figures, Verdict};

/// The checked-in figures.
const FILE: &str = "tracer/benches/instructions.json";
/// The bench with the workloads.
const BENCH: &str = "micro";
/// Callgrind counts within this function of the bench alone: what a workload needs made ready is left out.
const COUNTED: &str = "--toggle-collect=*workloads::measured*";

/// Count the instructions of the hot paths and compare them with the checked-in figures
#[derive(Args)]
pub struct Options {
    /// Write what was counted as the figures to be held from now on
    #[arg(long)]
    bless: bool,
}

pub fn main(options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    if options.bless {
        let counted = count(&project, valgrind(&project)?)?;
        let file = project.root.join(FILE);
        fs::write(&file, counted.to_json()).with_context(|| format!("writing {FILE}"))?;
        say(format_args!("{FILE} is written: {} figures", counted.instructions.len()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(match check(&project)? {
        Outcome::Passed(note) | Outcome::Skipped(note) => {
            say(note);
            ExitCode::SUCCESS
        }
        Outcome::Failed(reason) => {
            say(reason);
            ExitCode::FAILURE
        }
    })
}

/// Fails where a hot path has grown. Skipped where valgrind cannot be had, and with a compiler other than the figures':
/// it makes other instructions.
pub fn check(project: &Project) -> Result<Outcome> {
    let text = fs::read_to_string(project.root.join(FILE));
    let held = Figures::from_json(&text.with_context(|| format!("reading {FILE}"))?)?;
    let compiler = compiler(project)?;
    if held.compiler != compiler {
        let reason = format!("the figures are {}'s, this is {compiler}", held.compiler);
        return Ok(Outcome::Skipped(reason));
    }
    let valgrind = match valgrind(project) {
        Ok(valgrind) => valgrind,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let counted = count(project, valgrind)?;
    let verdict = Verdict::of(&held, &counted);
    println!("{verdict}");
    let hint = "if it is meant to be so: cargo xtask instructions --bless";
    Ok(if verdict.is_good() {
        Outcome::Passed(format!("{} hot paths, {}", counted.instructions.len(), verdict.summary()))
    } else {
        Outcome::Failed(format!("{}; {hint}", verdict.summary()))
    })
}

fn count(project: &Project, valgrind: PathBuf) -> Result<Figures> {
    let bench = build(project)?;
    let names = names(&bench)?;
    let dir = project.target.join("instructions");
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let counter = Counter { valgrind, bench, dir };
    Ok(Figures { compiler: compiler(project)?, instructions: counter.count_all(names)? })
}

fn valgrind(project: &Project) -> Result<PathBuf> {
    if project.which("valgrind").is_none() {
        for missing in programs::ensure(project, &[programs::VALGRIND])? {
            say(missing);
        }
    }
    project.which("valgrind").context("valgrind is not here and could not be set up")
}

/// The compiler and what it compiles for.
fn compiler(project: &Project) -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = capture(Command::new(rustc).arg("-vV").current_dir(&project.root))?;
    let version = text.lines().next().context("rustc -vV says nothing")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(format!("{version} for {}", host.context("rustc -vV names no host")?))
}

/// Compiles the bench and asks cargo where it put it. In the profile of the tests, whose builds are there already;
/// never incrementally: that cuts the code up by what was compiled before.
fn build(project: &Project) -> Result<PathBuf> {
    let mut command = project.cargo();
    packages(command.env("CARGO_INCREMENTAL", "0").arg("build")).args([
        "--bench",
        BENCH,
        "--message-format=json-render-diagnostics",
    ]);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", describe(&command)))?;
    let stdout = child.stdout.take().context("no pipe from cargo")?;
    let mut bench = None;
    for_each_line(stdout, |line| bench = executable(line).or(bench.take()))?;
    if !child.wait().context("waiting for cargo")?.success() {
        bail!("the bench {BENCH} does not compile");
    }
    bench.with_context(|| format!("cargo did not say where the bench {BENCH} is"))
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_bench = message["target"]["name"] == BENCH;
    message["executable"].as_str().filter(|_| is_bench).map(PathBuf::from)
}

/// The workloads: what is before the colon of each line.
fn names(bench: &Path) -> Result<Vec<String>> {
    let text = capture(Command::new(bench).arg("list"))?;
    let names = text.lines().filter_map(|line| line.split_once(':'));
    Ok(names.map(|(name, _)| name.to_owned()).collect())
}

/// Runs workloads under callgrind.
struct Counter {
    valgrind: PathBuf,
    bench: PathBuf,
    /// For callgrind's files.
    dir: PathBuf,
}

impl Counter {
    fn count_all(&self, names: Vec<String>) -> Result<std::collections::BTreeMap<String, u64>> {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let queue = Mutex::new(names.into_iter());
        let next = || queue.lock().ok().and_then(|mut names| names.next());
        let work = || std::iter::from_fn(next).map(|name| self.count(&name)).collect();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let counted = workers.into_iter().map(|worker| {
                let figures: Result<Vec<(String, u64)>> =
                    worker.join().unwrap_or_else(|_panic| bail!("a counting thread broke"));
                figures
            });
            Ok(counted.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
    }

    /// Instructions per unit of a workload, under the name `WORKLOAD per UNIT`.
    fn count(&self, name: &str) -> Result<(String, u64)> {
        let file = self.dir.join(format!("callgrind.{}", name.replace(' ', "-")));
        let mut command = Command::new(&self.valgrind);
        command.args(["--quiet", "--tool=callgrind", "--collect-atstart=no", COUNTED]);
        command.arg(format!("--callgrind-out-file={}", file.display()));
        let said = capture(command.arg(&self.bench).args(["run", name]))?;
        let (unit, units) =
            amount(&said).with_context(|| format!("{name} says {said:?} of what it did"))?;
        let text = fs::read_to_string(&file);
        let total = total(&text.with_context(|| format!("reading {}", file.display()))?);
        let total = total.filter(|total| *total > 0);
        let total = total.with_context(|| format!("callgrind counted nothing of {name}"))?;
        Ok((format!("{name} per {unit}"), total / units))
    }
}

/// The first way in which a workload tells how much it did: `connection: 1000, ...`.
fn amount(said: &str) -> Option<(&str, u64)> {
    let (unit, rest) = said.lines().next()?.split_once(": ")?;
    let units = rest.split(',').next()?.parse().ok().filter(|units| *units > 0)?;
    Some((unit, units))
}

/// Callgrind's `totals:` line.
fn total(file: &str) -> Option<u64> {
    file.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_says_first_what_its_cost_is_told_in() {
        let said = "connection: 1000, 18203/s, 54937 ns each\ntransition: 11000, 1/s, 1 ns each\n";
        assert_eq!(amount(said), Some(("connection", 1000)));
        assert_eq!(amount("exchange told: 8000, 9/s, 1 ns each\n"), Some(("exchange told", 8000)));
    }

    #[test]
    fn what_is_no_amount_or_nothing_is_refused() {
        for said in ["", "connection\n", "connection: many, 1/s\n", "connection: 0, 1/s\n"] {
            assert_eq!(amount(said), None, "{said:?}");
        }
    }

    #[test]
    fn callgrinds_total_is_found_behind_its_costs() {
        let file = "version: 1\nevents: Ir\n\nfn=(1) main\n16 400\n\ntotals: 712193\n";
        assert_eq!(total(file), Some(712_193));
        assert_eq!(total("version: 1\nevents: Ir\n"), None);
    }

    #[test]
    fn the_bench_is_told_from_cargos_other_messages() {
        let message = |name: &str, executable: &str| {
            format!(r#"{{"target":{{"name":"{name}"}},"executable":{executable}}}"#)
        };
        assert_eq!(executable(&message("tracer", "\"/t/tracer\"")), None);
        assert_eq!(executable(&message(BENCH, "null")), None);
        assert_eq!(executable("   Compiling tracer"), None);
        assert_eq!(executable(&message(BENCH, "\"/t/micro\"")), Some("/t/micro".into()));
    }
}
