//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, each on the corpus kept beside it.
//!
//! A target is a program with libFuzzer in it. Its coverage counters come from the compiler at
//! hand; only a C++ compiler for libFuzzer itself is needed besides.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    project::Project,
    shell::say,
    test::report::{Outcome, Report},
};

mod build;
mod run;

/// Run the fuzz targets, and say how many inputs were tried and what was found
#[derive(Args)]
pub struct Options {
    /// Only this target; all, one after the other, without it
    target: Option<String>,

    /// How long each target runs, minutes
    #[arg(long, value_name = "N", default_value_t = 1)]
    minutes: u32,

    /// Afterwards write the corpus anew: the fewest inputs that reach all code reached so far
    #[arg(long)]
    bless: bool,
}

/// How long each target runs in `cargo xtask test`: the corpus, and a little more.
const IN_TESTS: Duration = Duration::from_secs(3);

pub fn main(options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    let mut targets = build::targets(&project)?;
    if let Some(name) = &options.target {
        if !targets.contains(name) {
            bail!("no fuzz target {name}; there are: {}", targets.join(", "));
        }
        targets.retain(|target| target == name);
    }
    if let Some(reason) = build::why_not_here() {
        bail!("{reason}");
    }
    let programs = build::build(&project, &targets)?;
    let length = Duration::from_secs(u64::from(options.minutes) * 60);
    let mut report = Report::default();
    for program in &programs {
        report.step(&program.target, || run::fuzz(&project, program, length));
        if options.bless {
            run::write_corpus(&project, program)?;
        }
    }
    report.print("fuzz");
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All targets for a few seconds each; a step of `cargo xtask test`.
pub fn check(project: &Project) -> Result<Outcome> {
    if let Some(reason) = build::why_not_here() {
        return Ok(Outcome::Skipped(reason));
    }
    let programs = build::build(project, &build::targets(project)?)?;
    let (mut inputs, mut failures) = (0, Vec::new());
    for program in &programs {
        let ran = run::run(project, program, IN_TESTS)?;
        say(format_args!("{}: {ran}", program.target));
        inputs += ran.executions;
        if ran.is_failure() {
            failures.push(format!("{}: {ran}", program.target));
        }
    }
    Ok(if failures.is_empty() {
        Outcome::Passed(format!("{} targets, {inputs} inputs", programs.len()))
    } else {
        Outcome::Failed(failures.join("\n"))
    })
}
