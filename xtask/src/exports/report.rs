//! What was checked, with its figures, and what was not.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;

/// Why something cannot be had here. A check that fails for it is skipped: it tells nothing about the export.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

enum Outcome {
    /// With its figures.
    Passed(String),
    Failed(String),
    Skipped(String),
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Everything so far, in order.
#[derive(Default)]
pub struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// Runs a check and prints a line with its figures, or what is wrong; the others still run.
    pub fn step(&mut self, name: &'static str, run: impl FnOnce() -> Result<String>) {
        let start = Instant::now();
        let outcome = match run() {
            Ok(figures) => Outcome::Passed(figures),
            Err(error) if error.is::<Missing>() => Outcome::Skipped(format!("{error:#}")),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        let (word, note) = outcome.words();
        eprintln!("{name}: {word}: {note}");
        self.steps.push(Step { name, outcome, took: start.elapsed() });
    }

    pub fn is_green(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    /// The table, then a closing line.
    pub fn print(&self) {
        println!("\n{self}");
        let skipped =
            self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Skipped(_))).count();
        let verdict = if self.is_green() { "green" } else { "NOT green" };
        println!("xtask exports: {verdict}, {} steps, {skipped} skipped", self.steps.len());
    }
}

impl Outcome {
    fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Passed(figures) => ("passed", figures),
            Self::Failed(reason) => ("FAILED", reason),
            Self::Skipped(reason) => ("skipped", reason),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        for step in &self.steps {
            let (word, note) = step.outcome.words();
            // The rest of a long message has been printed where it arose.
            let note = note.lines().next().unwrap_or_default();
            let seconds = step.took.as_secs_f64();
            writeln!(f, "{:width$}  {word:7}  {seconds:6.1} s  {note}", step.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_skips_a_check_and_what_is_wrong_fails_it() {
        let mut report = Report::default();
        report.step("one", || Err(Missing("no node here".into()).into()));
        assert!(report.is_green());
        report.step("two", || anyhow::bail!("broken\nat line 2"));
        report.step("three", || Ok("5 rows".into()));
        assert!(!report.is_green());
        let text = report.to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("skipped") && text.contains("no node here"), "{text}");
    }
}
