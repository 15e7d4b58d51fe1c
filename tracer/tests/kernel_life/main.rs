//! The life of connections, from real sockets to the program's JSON lines.
//!
//! Every row of the table in `scenarios` is a test. All are played under one run of `tracer watch --json`, in
//! network namespaces of their own, and the kernel's own trace of socket states is the witness that each scenario
//! is what its name says. `TRACER_TEST_WITNESS_ONLY` leaves the program out: a test of the scenarios themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod agree;
mod expect;
mod fits;
mod judge;
mod run;
mod scenarios;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

use run::Outcome;
use scenarios::{Scenario, TABLE};
use support::records::Line;
use support::shield;
use support::{actor, environment};

/// The one run, played when the first test asks for it.
struct Once {
    scenarios: Vec<Scenario>,
    outcome: OnceLock<Result<Outcome, String>>,
}

impl Once {
    fn outcome(&self) -> Result<&Outcome, Failed> {
        let witness_only = std::env::var_os("TRACER_TEST_WITNESS_ONLY").is_some();
        let played = self.outcome.get_or_init(|| run::play_all(&self.scenarios, witness_only));
        played.as_ref().map_err(|why| Failed::from(why.as_str()))
    }
}

fn main() -> ExitCode {
    actor::act_if_asked();
    scenarios::connect_and_end_if_asked();
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, environment::missing()) {
        environment::skip("kernel_life", &why);
        return ExitCode::SUCCESS;
    }
    let once = Arc::new(Once { scenarios: wanted(&arguments), outcome: OnceLock::new() });
    libtest_mimic::run(&arguments, trials(&once)).exit_code()
}

/// The scenarios that the command line asks for; all, where a test needs them all.
fn wanted(arguments: &Arguments) -> Vec<Scenario> {
    let named = |s: &&Scenario| arguments.filter.as_ref().is_none_or(|f| s.name.contains(f));
    TABLE.iter().filter(named).copied().collect()
}

fn trials(once: &Arc<Once>) -> Vec<Trial> {
    let row = |scenario: &Scenario| {
        let (once, name) = (Arc::clone(once), scenario.name);
        Trial::test(name, move || {
            let outcome = once.outcome()?;
            let played = outcome.played.iter().find(|p| p.scenario.name == name);
            let played = played.ok_or("it was not played")?;
            judge::judge(played, outcome).map_err(Failed::from)
        })
    };
    let over_all = |name: &str, judge: fn(&Outcome) -> Result<(), String>| {
        let once = Arc::clone(once);
        Trial::test(name, move || judge(once.outcome()?).map_err(Failed::from))
    };
    let mut trials: Vec<Trial> = TABLE.iter().map(row).collect();
    trials.extend([
        over_all("every_line_is_a_record_and_nothing_is_lost", nothing_is_lost),
        over_all("every_line_fits_the_schema", fits_the_schema),
        over_all("the_kernels_own_trace_agrees_on_every_transition", kernel_agrees),
        over_all("tcpstates_agrees_on_every_transition", tcpstates_agrees),
    ]);
    trials
}

fn nothing_is_lost(outcome: &Outcome) -> Result<(), String> {
    let Some(run) = &outcome.run else { return Ok(()) };
    let mut problems = Vec::new();
    let mut hidden_states = 0;
    for output in &run.lines {
        match &output.line {
            Line::Loss(loss) if shield::is_by_shield(loss, &outcome.shielded) => {
                hidden_states += if loss.hook == "state" { loss.events } else { 0 };
            }
            Line::Loss(_) => problems.push(output.text.clone()),
            _ => {}
        }
    }
    let happened = outcome.told.iter().filter(|told| outcome.shielded.contains(&told.task)).count();
    if hidden_states > happened as u64 {
        problems.push(format!("{hidden_states} told as hidden, {happened} were"));
    }
    problems.extend(run.unreadable.clone());
    if run.missed_runs > 0 && problems.is_empty() {
        problems.push(format!("the kernel left {} runs of hooks out, untold", run.missed_runs));
    }
    if !run.status.success() {
        problems.push(format!("it ended with {}: {}", run.status, run.stderr));
    }
    none(problems)
}

fn fits_the_schema(outcome: &Outcome) -> Result<(), String> {
    none(outcome.run.as_ref().map_or(Vec::new(), fits::misfits))
}

fn kernel_agrees(outcome: &Outcome) -> Result<(), String> {
    if outcome.run.is_none() {
        return Ok(());
    }
    none(unless_hidden(agree::disagreements(outcome), outcome))?;
    let compared = agree::clocks_apart(outcome)?;
    println!("{compared} transitions at the same time as in the kernel's own trace");
    Ok(())
}

fn tcpstates_agrees(outcome: &Outcome) -> Result<(), String> {
    let (Some((told, lost)), Some(_)) = (&outcome.tcpstates, &outcome.run) else {
        eprintln!("tcpstates_agrees_on_every_transition: skipped: no tcpstates here");
        return Ok(());
    };
    println!(
        "tcpstates told {} transitions{}",
        told.len(),
        if *lost { ", and lost some" } else { "" }
    );
    none(unless_hidden(agree::unordered_disagreements(outcome, told, *lost), outcome))
}

/// No problems, where the program said that as many events were hidden from it: one for each life.
fn unless_hidden(problems: Vec<String>, outcome: &Outcome) -> Vec<String> {
    if outcome.hidden.covers(problems.len()) { Vec::new() } else { problems }
}

fn none(problems: Vec<String>) -> Result<(), String> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
