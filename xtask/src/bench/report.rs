//! The results as a document, which is also what the terminal shows.

use std::{fmt::Write as _, time::Duration};

mod method;
mod table;

use method::method;
use table::Table;

use super::{
    contender::FREQUENT_HOOKS,
    goals::{added_percent, exact, goals},
    load::Load,
    machine::Description,
    measure::{Measured, is_uncounted},
    single::{Growth, Idle, ProgramTime},
    stats::Spread,
};

/// Everything that was measured.
#[derive(Default)]
pub struct Results {
    pub cells: Vec<Measured>,
    pub idle: Vec<Idle>,
    pub first_event_ms: Option<Spread>,
    pub memory: Option<Growth>,
    pub programs: Vec<ProgramTime>,
    /// ns for a run of an empty program.
    pub empty_ns: Option<f64>,
    /// Requests per second of the load with a fixed rate.
    pub rate: u32,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
    pub took: Duration,
}

/// What the report says besides results.
pub struct Preface {
    pub machine: Description,
    /// A line for each program that is not tracer.
    pub versions: Vec<String>,
    /// The arguments that the command was given.
    pub arguments: String,
}

/// The whole document.
pub fn document(preface: &Preface, results: &Results) -> String {
    let mut out = String::new();
    head(&mut out, preface, results);
    out.push_str("## Goals\n\n");
    goals_table(&mut out, results);
    for load in Load::ALL {
        load_section(&mut out, load, results);
    }
    programs_section(&mut out, results);
    idle_section(&mut out, results);
    memory_section(&mut out, results);
    method(&mut out, preface, results);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn head(out: &mut String, preface: &Preface, results: &Results) {
    let Description { commit, kernel, processor, processors, memory_gib } = &preface.machine;
    let minutes = results.took.as_secs_f64() / 60.0;
    let _ = write!(
        out,
        "# What it costs\n\n\
         Written by `cargo xtask bench{arguments}` in {minutes:.1} minutes; do not edit.\n\n\
         Commit {commit}, Linux {kernel}, {processors} x {processor}, {memory_gib} GiB. Server, client and tracer share these \
         processors, so believe the ratios: each is of a run with and a run without, one right after the other. Given are the \
         median and, in parentheses, the least and the greatest of all pairs.\n\n\
         Repeat it as root with `cargo xtask bench`: it gets the programs into `target/`, builds tracer and ends in less than 20 \
         minutes.\n\n",
        arguments = preface.arguments,
    );
}

fn goals_table(out: &mut String, results: &Results) {
    let mut table = Table::new(&["load", "measure", "goal", "figure", ""]);
    for goal in goals(results) {
        let verdict = match goal.met {
            Some(true) => "met",
            Some(false) => "not met",
            None => "",
        };
        let figure = goal.figure.unwrap_or_else(|| "not measured".to_owned());
        table.row(vec![
            goal.load.into(),
            goal.measure.into(),
            goal.goal.into(),
            figure,
            verdict.into(),
        ]);
    }
    table.write(out);
    out.push_str(
        "A star marks what others disturbed in every pair: such a figure decides nothing. User space alone, without a kernel, is measured by the micro-benchmarks, not here. TLS is not traced yet and has no load.\n\n",
    );
}

fn load_section(out: &mut String, load: Load, results: &Results) {
    let cells: Vec<&Measured> =
        results.cells.iter().filter(|measured| measured.cell.load == load).collect();
    if cells.is_empty() {
        return;
    }
    let untraced = Spread::of(
        cells.iter().flat_map(|cell| cell.believed()).map(|pair| pair.without.outcome.score),
    );
    let _ = write!(out, "## Load: {}\n\n{}", load.name(), load.describe());
    if load == Load::FixedRate {
        let _ = write!(out, " ({} requests/s)", results.rate);
    }
    if let Some(untraced) = untraced {
        let _ = write!(out, ". Untraced: {}", in_unit(load, untraced));
    }
    out.push_str(".\n\n");
    let mut table = Table::new(&[
        "contender",
        "pairs",
        if load == Load::FixedRate { "p99 added" } else { "throughput kept" },
        "processor time for the same work",
        "seen / happened",
        "lost",
        each_title(load),
        "own processor, cores",
        "peak memory (of it rings), MiB",
        "written, MB",
        "behind, s",
    ]);
    for cell in &cells {
        table.row(row(cell));
    }
    table.write(out);
    for cell in &cells {
        for failure in &cell.failures {
            let _ = writeln!(out, "- {} failed: {failure}", cell.cell.contender.name);
        }
    }
    if cells.iter().any(|cell| !cell.failures.is_empty()) {
        out.push('\n');
    }
}

fn in_unit(load: Load, spread: Spread) -> String {
    match load {
        Load::Transfer => format!("{spread:.1} Gbit/s", spread = scaled(spread, 1e-9)),
        Load::FixedRate => format!("{spread:.0} µs p99"),
        Load::Chunked => format!("{spread:.0} {}", load.unit()),
        Load::Churn | Load::KeepAlive => {
            format!("{spread:.1} k{}", load.unit(), spread = scaled(spread, 1e-3))
        }
    }
}

fn scaled(spread: Spread, by: f64) -> Spread {
    Spread { median: spread.median * by, min: spread.min * by, max: spread.max * by }
}

const fn each_title(load: Load) -> &'static str {
    match load {
        Load::Churn => "own µs / state change",
        Load::KeepAlive | Load::Chunked | Load::FixedRate => "own µs / exchange told",
        Load::Transfer => "own µs",
    }
}

fn row(measured: &Measured) -> Vec<String> {
    let cell = measured.cell;
    let dash = || "–".to_owned();
    let show = |spread: Option<Spread>, digits: usize| {
        spread.map_or_else(dash, |spread| format!("{:.digits$}", spread.median))
    };
    let ratio = measured.ratio().map_or_else(dash, |ratio| match cell.load {
        Load::FixedRate => format!("{:+.0} %", added_percent(ratio)),
        _ => format!("{ratio:.2}"),
    });
    let mib = |kib: u64| kib as f64 / 1024.0;
    let peak = measured.spread(|run| mib(run.cost.memory.peak_kib));
    let rings = measured.spread(|run| mib(run.cost.memory.rings_kib));
    let is_program = peak.is_some_and(|peak| peak.max > 0.0);
    let own = |text: String| if is_program { text } else { dash() };
    let memory = match (peak, rings) {
        (Some(peak), Some(rings)) if rings.max > 0.0 => {
            format!("{:.0} ({:.0})", peak.max, rings.max)
        }
        _ => show(peak, 0),
    };
    vec![
        cell.contender.name.into(),
        pairs(measured),
        ratio,
        measured.cpu_ratio().map_or_else(dash, |ratio| format!("x {ratio:.2}")),
        seen(measured),
        lost(measured),
        own(show(measured.cpu_us_each(), 2)),
        own(show(measured.cores(), 2)),
        own(memory),
        own(show(measured.spread(|run| run.cost.disk_bytes as f64 / 1e6), 1)),
        own(behind(measured)),
    ]
}

/// How many the figures are of; with a star where all of them were disturbed.
fn pairs(measured: &Measured) -> String {
    let star = if measured.undisturbed() == 0 && !measured.pairs.is_empty() { "*" } else { "" };
    format!("{}{star}", measured.believed().count())
}

fn seen(measured: &Measured) -> String {
    if is_uncounted(measured.cell.contender.kind) {
        return "not counted".to_owned();
    }
    let kinds = measured.completeness();
    let words = kinds.iter().map(|(what, ratio)| format!("{what} {}", exact(*ratio)));
    let text = words.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "–".to_owned() } else { text }
}

/// Of all runs together.
fn lost(measured: &Measured) -> String {
    let said: Vec<u64> = measured.pairs.iter().filter_map(|pair| pair.with.lost).collect();
    if said.is_empty() { "–".to_owned() } else { said.iter().sum::<u64>().to_string() }
}

fn behind(measured: &Measured) -> String {
    let lag = measured.spread(|run| run.cost.lag.as_secs_f64());
    let cut_off = measured.pairs.iter().any(|pair| pair.with.cost.ended_badly);
    let text = lag.map_or_else(|| "–".to_owned(), |lag| format!("{:.1}", lag.median));
    if cut_off { format!("{text}, killed") } else { text }
}

fn programs_section(out: &mut String, results: &Results) {
    if results.programs.is_empty() {
        return;
    }
    out.push_str("## BPF programs\n\n");
    out.push_str(
        "Of `tracer record`, counted by the kernel in runs of their own (counting costs some tens of ns a run, which are in the \
         figures). The kernel keeps 15 bytes of a name.\n\n",
    );
    let mut table = Table::new(&[
        "program",
        "runs / connection",
        "ns / run",
        "ns / connection",
        "runs / request (keep-alive)",
        "ns / run",
        "ns / request",
    ]);
    for program in &results.programs {
        let mut cells = vec![format!("`{}`", program.name)];
        for runs in [program.churn, program.keep_alive] {
            cells.push(format!("{:.2}", runs.each));
            cells.push(format!("{:.0}", runs.ns));
            cells.push(format!("{:.0}", runs.each * runs.ns));
        }
        table.row(cells);
    }
    table.write(out);
    if let Some(empty_ns) = results.empty_ns {
        let _ = write!(
            out,
            "An empty program on the {} hooks of *empty, all hooks*, counted in the same way: {empty_ns:.0} ns a run.\n\n",
            FREQUENT_HOOKS.len()
        );
    }
}

fn idle_section(out: &mut String, results: &Results) {
    if results.idle.is_empty() && results.first_event_ms.is_none() {
        return;
    }
    out.push_str("## Idle host, and start\n\n");
    if !results.idle.is_empty() {
        let mut table = Table::new(&["contender", "own processor, % of a core"]);
        for idle in &results.idle {
            table.row(vec![idle.contender.into(), format!("{:.2}", idle.percent)]);
        }
        table.write(out);
    }
    if let Some(ms) = results.first_event_ms {
        let _ = write!(
            out,
            "From the start of `tracer watch --json` to its first state change, with a connection every few milliseconds: {ms:.0} ms.\n\n"
        );
    }
}

fn memory_section(out: &mut String, results: &Results) {
    let Some(grown) = &results.memory else { return };
    let mib = |kib: u64| kib as f64 / 1024.0;
    let million_mib = grown.timewait_bytes * 1e6 / f64::from(1 << 20);
    let _ = write!(
        out,
        "## Memory\n\n\
         `tracer record`, by its private resident memory: {base:.0} MiB with nothing to remember (much of it free again after the \
         start), {waiting:.0} B for each of {timewaits} further TIME_WAITs after as many that filled that, and {live:.0} B for each of \
         {ends} ends of open connections beside them. One million TIME_WAITs need {million_mib:.0} MiB: extrapolated, not measured. \
         Besides it {rings:.0} MiB of the rings are resident, where the kernel counts each page twice (they are mapped twice).\n\n",
        base = mib(grown.base_kib),
        live = grown.live_bytes,
        ends = grown.live_ends,
        waiting = grown.timewait_bytes,
        timewaits = grown.timewaits,
        rings = mib(grown.rings_kib),
    );
}
