//! The project's goals, each with the figure of this run.

use super::{
    contender::{RECORDING, STATES_RECORDED, VIEW},
    load::Load,
    measure::Measured,
    report::Results,
    stats::Spread,
};

/// A goal and how far it is.
pub struct Goal {
    pub load: &'static str,
    pub measure: &'static str,
    pub goal: &'static str,
    /// The figure of this run, in words; None where it was not measured.
    pub figure: Option<String>,
    /// None where it was not measured, or only while others disturbed it.
    pub met: Option<bool>,
}

/// A figure of a cell's pairs.
#[derive(Clone, Copy)]
struct Figure {
    spread: Spread,
    /// Whether there is a pair that nothing disturbed.
    sure: bool,
}

impl Figure {
    fn of(cell: &Measured, spread: Option<Spread>) -> Option<Self> {
        Some(Self { spread: spread?, sure: cell.undisturbed() > 0 })
    }
}

/// The bound on a figure.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }
}

struct Row(&'static str, &'static str, &'static str);

impl Row {
    fn pairs(self, figure: Option<Figure>, bound: Bound, digits: usize, unit: &str) -> Goal {
        let star = |figure: Figure| if figure.sure { "" } else { " *" };
        let text = figure.map(|figure| format!("{:.digits$}{unit}{}", figure.spread, star(figure)));
        let sure = figure.filter(|figure| figure.sure);
        self.said(text, sure.map(|figure| bound.holds(figure.spread.median)))
    }

    fn spread(self, figure: Option<Spread>, bound: Bound, digits: usize, unit: &str) -> Goal {
        self.pairs(figure.map(|spread| Figure { spread, sure: true }), bound, digits, unit)
    }

    fn value(self, figure: Option<f64>, bound: Bound, digits: usize, unit: &str) -> Goal {
        let text = figure.map(|value| format!("{value:.digits$}{unit}"));
        self.said(text, figure.map(|value| bound.holds(value)))
    }

    fn said(self, figure: Option<String>, met: Option<bool>) -> Goal {
        let Self(load, measure, goal) = self;
        Goal { load, measure, goal, figure, met }
    }
}

/// Every goal, in the order of their table.
pub fn goals(results: &Results) -> Vec<Goal> {
    let cell = |load, contender| results.cells.iter().find(|cell| cell.is(load, contender));
    let ratio =
        |load, contender| cell(load, contender).and_then(|cell| Figure::of(cell, cell.ratio()));
    let kept = "throughput kept";
    let added = ratio(Load::FixedRate, RECORDING)
        .map(|figure| Figure { spread: added_percent(figure.spread), ..figure });
    let each = |load, contender| {
        cell(load, contender).and_then(|cell| Figure::of(cell, cell.cpu_us_each()))
    };
    let memory = results.memory.as_ref();
    let million_mib = memory.map(|grown| grown.timewait_bytes * 1e6 / f64::from(1 << 20));
    let idle = results.idle.iter().filter(|idle| idle.contender.starts_with("tracer"));
    let idle = idle.filter(|idle| idle.contender != VIEW).map(|idle| idle.percent);
    use Bound::{AtLeast, AtMost};
    vec![
        Row("a connection per request", "throughput kept, everything complete", ">= 0.95").pairs(
            ratio(Load::Churn, RECORDING),
            AtLeast(0.95),
            2,
            "",
        ),
        Row("the same, states only (recorded)", kept, ">= 0.99").pairs(
            ratio(Load::Churn, STATES_RECORDED),
            AtLeast(0.99),
            2,
            "",
        ),
        Row("keep-alive", "throughput kept, each exchange paired", ">= 0.93").pairs(
            ratio(Load::KeepAlive, RECORDING),
            AtLeast(0.93),
            2,
            "",
        ),
        Row("half of saturation", "p99 added", "<= 5 %").pairs(added, AtMost(5.0), 1, " %"),
        Row("transfer", kept, ">= 0.98").pairs(
            ratio(Load::Transfer, RECORDING),
            AtLeast(0.98),
            2,
            "",
        ),
        completeness(results),
        Row("own processor time", "for each state change (recorded)", "<= 1 µs").pairs(
            each(Load::Churn, STATES_RECORDED),
            AtMost(1.0),
            2,
            " µs",
        ),
        Row("own processor time", "for each exchange told", "<= 3 µs").pairs(
            each(Load::KeepAlive, RECORDING),
            AtMost(3.0),
            2,
            " µs",
        ),
        Row("memory", "for each open end", "<= 512 B").value(
            memory.map(|grown| grown.live_bytes),
            AtMost(512.0),
            0,
            " B",
        ),
        Row("memory", "for 1 million TIME_WAIT (extrapolated)", "<= 400 MiB").value(
            million_mib,
            AtMost(400.0),
            0,
            " MiB",
        ),
        Row("idle host", "processor, the greediest mode but the view", "<= 0.2 % of a core").value(
            idle.reduce(f64::max),
            AtMost(0.2),
            2,
            " %",
        ),
        Row("idle host", "start to first event", "<= 300 ms").spread(
            results.first_event_ms,
            AtMost(300.0),
            0,
            " ms",
        ),
    ]
}

/// How much longer, from how many times as long.
pub fn added_percent(ratio: Spread) -> Spread {
    let percent = |ratio: f64| (ratio - 1.0) * 100.0;
    Spread { median: percent(ratio.median), min: percent(ratio.min), max: percent(ratio.max) }
}

/// The least complete of everything that tracer's modes told in any run.
fn completeness(results: &Results) -> Goal {
    let tracer = results.cells.iter().filter(|cell| cell.cell.contender.name.starts_with("tracer"));
    let all = tracer.flat_map(Measured::completeness).map(|(_, ratio)| ratio);
    let worst = all.reduce(|a, b| if (a - 1.0).abs() >= (b - 1.0).abs() { a } else { b });
    Row("all of these", "seen / happened, the worst run of any mode", "1.000")
        .said(worst.map(exact), worst.map(|ratio| ratio == 1.0))
}

/// A ratio with which only completeness itself reads 1.0000.
pub fn exact(ratio: f64) -> String {
    const STEPS: f64 = 10_000.0;
    let cut = if ratio > 1.0 { (ratio * STEPS).ceil() } else { (ratio * STEPS).floor() };
    format!("{:.4}", cut / STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_complete_reads_so() {
        assert_eq!(exact(1.0), "1.0000");
        assert_eq!(exact(0.999_99), "0.9999");
        assert_eq!(exact(1.000_01), "1.0001");
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let goals = goals(&Results::default());
        assert!(goals.iter().all(|goal| goal.met.is_none() && goal.figure.is_none()));
    }

    #[test]
    fn a_figure_that_others_disturbed_decides_nothing() {
        let spread = Spread { median: 0.99, min: 0.98, max: 1.0 };
        let goal = |sure| {
            Row("", "", "").pairs(Some(Figure { spread, sure }), Bound::AtLeast(0.95), 2, "")
        };
        assert_eq!(goal(true).met, Some(true));
        assert_eq!(goal(false).met, None);
        assert_eq!(goal(false).figure.unwrap(), "0.99 (0.98–1.00) *");
    }

    #[test]
    fn a_bound_includes_itself() {
        assert!(Bound::AtLeast(0.95).holds(0.95));
        assert!(!Bound::AtLeast(0.95).holds(0.949));
        assert!(Bound::AtMost(5.0).holds(5.0));
        assert!(!Bound::AtMost(5.0).holds(f64::NAN));
    }

    #[test]
    fn twice_as_long_is_a_hundred_percent_more() {
        let added = added_percent(Spread { median: 2.0, min: 0.5, max: 3.0 });
        assert_eq!(added, Spread { median: 100.0, min: -50.0, max: 200.0 });
    }
}
