//! Runs a target and reads what libFuzzer reports.

use std::{
    collections::VecDeque,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::build::Program;
use crate::{
    project::Project,
    shell::{capture, describe, for_each_line, say},
    test::report::Outcome,
};

/// How long a single input may take: far longer than any does, so that a slow machine is no
/// finding.
const INPUT_TIMEOUT_SECONDS: u32 = 20;
/// Length of the inputs in the corpus: enough for every message and event, small enough to keep.
const CORPUS_INPUT_BYTES: u32 = 16 * 1024;

/// What is shown of the output of a target that failed: its message, its stack and the fuzzer's
/// summary.
const LINES_OF_A_FAILURE: usize = 80;

/// What a run of a target did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Inputs tried.
    pub executions: u64,
    /// The input that failed, in a file.
    pub finding: Option<PathBuf>,
    /// The program ended with another status than 0.
    pub broke_off: bool,
}

impl Ran {
    pub const fn is_failure(&self) -> bool {
        self.broke_off || self.finding.is_some()
    }

    /// Takes in a line of libFuzzer's output.
    fn take(&mut self, line: &str) {
        if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = number.trim().parse().unwrap_or(0);
        } else if let Some((_, file)) = line.split_once("Test unit written to ") {
            self.finding = Some(file.trim().into());
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} inputs", self.executions)?;
        match &self.finding {
            Some(file) => write!(f, ", one FAILED: {}", file.display()),
            None if self.broke_off => write!(f, ", then it broke off"),
            None => write!(f, ", no finding"),
        }
    }
}

/// Runs a target for `length` as a step of a report.
pub fn fuzz(project: &Project, program: &Program, length: Duration) -> Result<Outcome> {
    let ran = run(project, program, length)?;
    let text = ran.to_string();
    Ok(if ran.is_failure() { Outcome::Failed(text) } else { Outcome::Passed(text) })
}

/// Runs a target for `length`. New inputs go into `target/fuzz/corpus`; those of the repository are
/// read only.
pub fn run(project: &Project, program: &Program, length: Duration) -> Result<Ran> {
    let found = made(&project.fuzz().join("corpus").join(&program.target))?;
    let failed = made(&project.fuzz().join("artifacts").join(&program.target))?;
    let mut command = Command::new(&program.file);
    command
        .current_dir(&project.root)
        .arg(format!("-max_total_time={}", length.as_secs()))
        .arg(format!("-timeout={INPUT_TIMEOUT_SECONDS}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", failed.display()))
        .args([&found, &made(&corpus(project, program))?])
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {}", describe(&command)))?;
    let stderr = child.stderr.take().context("no pipe from the target")?;
    let (mut ran, mut last) = (Ran::default(), VecDeque::new());
    for_each_line(stderr, |line| {
        ran.take(line);
        // One line in thousands matters, and only when the target has failed.
        if last.len() == LINES_OF_A_FAILURE {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    })?;
    let status = child.wait().with_context(|| format!("waiting for {}", program.target))?;
    ran.broke_off = !status.success();
    if ran.is_failure() {
        last.iter().for_each(say);
    }
    Ok(ran)
}

/// Replaces the corpus in the repository by the fewest inputs that reach what it and
/// `target/fuzz/corpus` reach.
pub fn write_corpus(project: &Project, program: &Program) -> Result<()> {
    let kept = corpus(project, program);
    let found = made(&project.fuzz().join("corpus").join(&program.target))?;
    let fresh = project.fuzz().join("minimised");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("emptying {}", fresh.display()))?;
    }
    made(&fresh)?;
    capture(
        Command::new(&program.file)
            .args([
                "-set_cover_merge=1",
                "-use_counters=0",
                &format!("-max_len={CORPUS_INPUT_BYTES}"),
            ])
            .args([&fresh, &kept, &found]),
    )?;
    let inputs = files(&fresh)?;
    if inputs.is_empty() {
        bail!("no input of {} reaches anything", program.target);
    }
    fs::remove_dir_all(&kept).with_context(|| format!("emptying {}", kept.display()))?;
    made(&kept)?;
    for input in inputs {
        let name = input.file_name().context("a file has a name")?;
        fs::copy(&input, kept.join(name)).context("writing the corpus")?;
    }
    Ok(())
}

/// The corpus in the repository.
fn corpus(project: &Project, program: &Program) -> PathBuf {
    project.root.join("fuzz/corpus").join(&program.target)
}

fn made(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir.to_owned())
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_finding_counts_its_inputs() {
        let mut ran = Ran::default();
        ran.take("#1048576\tpulse  cov: 900 ft: 3000 corp: 300/20Kb");
        ran.take("stat::number_of_executed_units: 1234567");
        assert!(!ran.is_failure());
        assert_eq!(ran.to_string(), "1234567 inputs, no finding");
    }

    #[test]
    fn a_finding_names_its_file() {
        let mut ran = Ran::default();
        ran.take("artifact_prefix='/a/'; Test unit written to /a/crash-0123");
        ran.take("stat::number_of_executed_units: 302");
        assert!(ran.is_failure());
        assert_eq!(ran.to_string(), "302 inputs, one FAILED: /a/crash-0123");
    }

    #[test]
    fn a_target_that_ends_by_itself_has_failed() {
        assert!(Ran { broke_off: true, ..Ran::default() }.is_failure());
    }
}
