//! What ran, what failed and what had to be skipped.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How a step ended.
pub enum Outcome {
    /// With a figure, such as the number of tests.
    Passed(String),
    Failed(String),
    /// Not run, and why.
    Skipped(String),
}

impl Outcome {
    /// In a word, and what there is to say of it.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Passed(note) => ("passed", note),
            Self::Failed(note) => ("FAILED", note),
            Self::Skipped(note) => ("skipped", note),
        }
    }
}

/// A finished step.
pub struct Step {
    pub name: String,
    pub outcome: Outcome,
    pub took: Duration,
}

/// Everything so far, in order.
#[derive(Default)]
pub struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// Runs a step and takes down how it ended; an error is a failure, and the others still run.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome>) {
        eprintln!("\n== {name}");
        let step = time_step(name, run);
        if let Outcome::Failed(reason) = &step.outcome {
            eprintln!("{name} failed: {reason}");
        }
        self.add(step);
    }

    pub fn add(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub fn is_green(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    /// The table, then a closing line that names the command.
    pub fn print(&self, command: &str) {
        println!("\n{self}");
        let skipped =
            self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Skipped(_))).count();
        let verdict = if self.is_green() { "green" } else { "NOT green" };
        println!("xtask {command}: {verdict}, {} steps, {skipped} skipped", self.steps.len());
    }
}

/// Runs and times one step.
pub fn time_step(name: &str, run: impl FnOnce() -> Result<Outcome>) -> Step {
    let start = Instant::now();
    let outcome = run().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
    Step { name: name.to_owned(), outcome, took: start.elapsed() }
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

/// Adds up the closing lines of libtest programs.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counts {
    pub passed: u32,
    pub failed: u32,
    pub ignored: u32,
}

impl Counts {
    /// Takes in a line of output; only `test result:` lines count.
    pub fn take(&mut self, line: &str) {
        let Some((_, figures)) = line.split_once("test result: ") else { return };
        let words: Vec<&str> = figures.split([' ', ';', '.']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u32>() else { continue };
            match pair[1] {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tests passed", self.passed)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if self.ignored > 0 {
            write!(f, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up_and_others_ignored() {
        let mut counts = Counts::default();
        counts.take("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        counts.take("a line about 5 passed cars");
        counts.take("6.1 | test result: FAILED. 3 passed; 2 failed; 0 ignored; finished in 0.1s");
        assert_eq!(counts, Counts { passed: 15, failed: 2, ignored: 1 });
        assert_eq!(counts.to_string(), "15 tests passed, 2 failed, 1 ignored");
    }

    #[test]
    fn a_report_with_a_skipped_step_is_green_and_says_why() {
        let mut report = Report::default();
        report.step("kernel tests", || Ok(Outcome::Skipped("no root rights".into())));
        assert!(report.is_green());
        assert!(report.to_string().contains("skipped"));
        assert!(report.to_string().contains("no root rights"));
    }

    #[test]
    fn an_error_in_a_step_makes_the_report_red_and_the_next_step_still_runs() {
        let mut report = Report::default();
        report.step("one", || anyhow::bail!("broken"));
        report.step("two", || Ok(Outcome::Passed(String::new())));
        assert!(!report.is_green());
        assert_eq!(report.to_string().lines().count(), 2);
    }
}
