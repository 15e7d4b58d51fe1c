//! The report of `cargo xtask test`, where what cannot be had here skips a check and each check has a line of its own.

use std::fmt;

use anyhow::Result;

use crate::test::report::{self, Outcome, time_step};

/// Why something cannot be had here. A check that fails for it is skipped: it tells nothing about the export.
#[derive(Clone, Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Everything so far, in order.
#[derive(Default)]
pub struct Report(report::Report);

impl Report {
    /// Runs a check and prints a line with its figures, or what is wrong; the others still run.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<String>) {
        let step = time_step(name, || skipped_or(run()));
        let (word, note) = step.outcome.words();
        eprintln!("{name}: {word}: {note}");
        self.0.add(step);
    }

    pub fn is_green(&self) -> bool {
        self.0.is_green()
    }

    /// The table, then a closing line.
    pub fn print(&self) {
        self.0.print("exports");
    }
}

fn skipped_or(checked: Result<String>) -> Result<Outcome> {
    match checked {
        Err(error) if error.is::<Missing>() => Ok(Outcome::Skipped(format!("{error:#}"))),
        checked => checked.map(Outcome::Passed),
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
        report.step("two", || Ok("5 rows".into()));
        assert!(report.is_green());
        report.step("three", || anyhow::bail!("broken\nat line 2"));
        assert!(!report.is_green());
        let text = report.0.to_string();
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("skipped") && text.contains("no node here"), "{text}");
    }
}
