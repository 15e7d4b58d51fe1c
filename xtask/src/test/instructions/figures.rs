//! Figures of hot paths, and how two sets of them compare.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// How much a figure may differ before somebody is told, parts per hundred.
const TOLERANCE_PERCENT: u64 = 5;

/// What hot paths cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// What they were compiled with and for.
    pub compiler: String,
    /// Instructions by hot path and unit.
    pub instructions: BTreeMap<String, u64>,
}

impl Figures {
    pub fn from_json(text: &str) -> Result<Figures> {
        let value: Value = serde_json::from_str(text).context("the figures are no JSON")?;
        let compiler = value["compiler"].as_str().context("the figures name no compiler")?;
        let instructions = value["instructions"].as_object().context("there are no figures")?;
        let figures = instructions.iter().map(|(name, count)| {
            let count = count.as_u64().with_context(|| format!("the figure of {name}: {count}"))?;
            Ok((name.clone(), count))
        });
        Ok(Figures { compiler: compiler.to_owned(), instructions: figures.collect::<Result<_>>()? })
    }

    pub fn to_json(&self) -> String {
        let value = json!({ "compiler": self.compiler, "instructions": self.instructions });
        format!("{value:#}\n")
    }
}

/// What became of one hot path.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Finding {
    /// The change in percent, within the tolerance.
    Same(f64),
    Grown(f64),
    Shrunk(f64),
    /// No figure is held for it.
    New,
    /// There is a figure, but nothing was counted.
    Gone,
}

impl Finding {
    fn of(held: Option<u64>, counted: Option<u64>) -> Finding {
        let (Some(held), Some(counted)) = (held, counted) else {
            return if counted.is_some() { Finding::New } else { Finding::Gone };
        };
        let percent = (counted as f64 / held.max(1) as f64 - 1.0) * 100.0;
        let (held, counted) = (u128::from(held), u128::from(counted) * 100);
        if counted > held * u128::from(100 + TOLERANCE_PERCENT) {
            Finding::Grown(percent)
        } else if counted < held * u128::from(100 - TOLERANCE_PERCENT) {
            Finding::Shrunk(percent)
        } else {
            Finding::Same(percent)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Same(percent) => write!(f, "{percent:+.1} %"),
            Finding::Grown(percent) => write!(f, "{percent:+.1} %  GROWN"),
            Finding::Shrunk(percent) => write!(f, "{percent:+.1} %  shrunk"),
            Finding::New => f.write_str("NEW, no figure is held"),
            Finding::Gone => f.write_str("GONE, a figure is held"),
        }
    }
}

/// How what was counted compares with what is held.
pub struct Verdict {
    rows: Vec<(String, Option<u64>, Finding)>,
}

impl Verdict {
    pub fn of(held: &Figures, counted: &Figures) -> Verdict {
        let mut names: Vec<&String> =
            held.instructions.keys().chain(counted.instructions.keys()).collect();
        names.sort();
        names.dedup();
        let rows = names.into_iter().map(|name| {
            let now = counted.instructions.get(name).copied();
            let before = held.instructions.get(name).copied();
            (name.clone(), now, Finding::of(before, now))
        });
        Verdict { rows: rows.collect() }
    }

    /// Whether every hot path is held and none has grown.
    pub fn is_good(&self) -> bool {
        let good = |finding| matches!(finding, Finding::Same(_) | Finding::Shrunk(_));
        self.rows.iter().all(|(_, _, finding)| good(*finding))
    }

    /// What is to be told in one line: who grew, shrank, came or went.
    pub fn summary(&self) -> String {
        let told = self.rows.iter().filter(|(_, _, f)| !matches!(f, Finding::Same(_)));
        let told: Vec<String> =
            told.map(|(name, _, finding)| format!("{name} {finding}")).collect();
        if told.is_empty() {
            return format!("all within {TOLERANCE_PERCENT} %");
        }
        told.join(", ")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        for (name, counted, finding) in &self.rows {
            let counted = counted.map_or_else(|| "-".to_owned(), |count| count.to_string());
            writeln!(f, "{name:width$}  {counted:>10} instructions  {finding}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(counts: &[(&str, u64)]) -> Figures {
        let instructions = counts.iter().map(|(name, count)| ((*name).to_owned(), *count));
        Figures { compiler: "rustc 1.95.0".to_owned(), instructions: instructions.collect() }
    }

    fn verdict(held: &[(&str, u64)], counted: &[(&str, u64)]) -> (bool, String) {
        let verdict = Verdict::of(&figures(held), &figures(counted));
        (verdict.is_good(), verdict.summary())
    }

    #[test]
    fn five_percent_more_is_let_through_and_any_more_is_not() {
        assert_eq!(verdict(&[("a", 1000)], &[("a", 1050)]), (true, "all within 5 %".into()));
        assert_eq!(verdict(&[("a", 1000)], &[("a", 1051)]), (false, "a +5.1 %  GROWN".into()));
    }

    #[test]
    fn what_shrank_is_told_and_fails_nothing() {
        assert_eq!(verdict(&[("a", 1000)], &[("a", 900)]), (true, "a -10.0 %  shrunk".into()));
    }

    #[test]
    fn one_that_grew_is_not_hidden_by_others_that_shrank() {
        let (good, summary) = verdict(&[("a", 100), ("b", 100)], &[("a", 50), ("b", 106)]);
        assert!(!good);
        assert_eq!(summary, "a -50.0 %  shrunk, b +6.0 %  GROWN");
    }

    #[test]
    fn a_hot_path_without_a_figure_and_a_figure_without_a_hot_path_both_fail() {
        let (good, summary) = verdict(&[], &[("a", 1)]);
        assert_eq!((good, summary.as_str()), (false, "a NEW, no figure is held"));
        let (good, summary) = verdict(&[("a", 1)], &[]);
        assert_eq!((good, summary.as_str()), (false, "a GONE, a figure is held"));
    }

    #[test]
    fn a_figure_of_nothing_is_no_division_by_nothing() {
        assert!(!verdict(&[("a", 0)], &[("a", 10)]).0);
    }

    #[test]
    fn figures_survive_their_file() {
        let figures = figures(&[("churn per connection", 136_479), ("json per line", 10_091)]);
        assert_eq!(Figures::from_json(&figures.to_json()).unwrap(), figures);
    }

    #[test]
    fn a_file_that_holds_no_figures_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "the figures are no JSON"),
            ("{}", "the figures name no compiler"),
            (r#"{"compiler":"rustc"}"#, "there are no figures"),
            (r#"{"compiler":"rustc","instructions":{"a":-1}}"#, "the figure of a: -1"),
        ] {
            assert_eq!(Figures::from_json(text).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn a_row_says_name_count_and_change() {
        let verdict = Verdict::of(&figures(&[("a", 100)]), &figures(&[("a", 99)]));
        assert_eq!(verdict.to_string(), "a          99 instructions  -1.0 %\n");
    }
}
