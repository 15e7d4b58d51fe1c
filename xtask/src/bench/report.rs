//! The results as a document, which is also what the terminal shows.

use std::{fmt::Write as _, time::Duration};

use super::{
    contender::{CONTENDERS, FREQUENT_HOOKS, ONE_LINER},
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

/// A table of Markdown.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// With columns of one width, for readers of the plain text.
    fn write(&self, out: &mut String) {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let padding = " ".repeat(width - cell.chars().count());
                let _ = write!(out, "| {cell}{padding} ");
            }
            out.push_str("|\n");
            if number == 0 {
                let line: Vec<String> = widths.iter().map(|width| "-".repeat(*width + 2)).collect();
                let _ = writeln!(out, "|{}|", line.join("|"));
            }
        }
        out.push('\n');
    }
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
        "User space alone, without a kernel, is measured by the micro-benchmarks, not here. TLS is not traced yet and has no load.\n\n",
    );
}

fn load_section(out: &mut String, load: Load, results: &Results) {
    let cells: Vec<&Measured> =
        results.cells.iter().filter(|measured| measured.cell.load == load).collect();
    if cells.is_empty() {
        return;
    }
    let untraced =
        Spread::of(cells.iter().flat_map(|cell| cell.believed()).map(|pair| pair.untraced));
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
        Load::KeepAlive | Load::FixedRate => "own µs / exchange told",
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
         `tracer record`, by its private resident memory: {base:.0} MiB with nothing to remember, {live:.0} B more for each of {ends} \
         ends of open connections, {waiting:.0} B more for each of {timewaits} TIME_WAITs. For one million TIME_WAITs that makes \
         {million_mib:.0} MiB: extrapolated, not measured. Besides it {rings:.0} MiB of the rings are resident, where the kernel counts \
         each page twice (they are mapped twice).\n\n",
        base = mib(grown.base_kib),
        live = grown.live_bytes,
        ends = grown.live_ends,
        waiting = grown.timewait_bytes,
        timewaits = grown.timewaits,
        rings = mib(grown.rings_kib),
    );
}

fn method(out: &mut String, preface: &Preface, results: &Results) {
    out.push_str("## Method\n\n");
    let pairs = || results.cells.iter().flat_map(|cell| &cell.pairs);
    let (all, disturbed) = (pairs().count(), pairs().filter(|pair| pair.is_disturbed()).count());
    let _ = write!(
        out,
        "- Each run has a network namespace of its own, with loopback only: it meets no TIME_WAIT of the run before, and the kernel's \
           counters begin at 0. The rounds go through all loads and contenders, one pair each; in every second round the traced run \
           comes first. Before a run the processors are given up to 1.5 s to become idle. In {disturbed} of {all} pairs other programs, or other \
           guests of the machine below, took more than 15 % of the processors' time: these are made again while there is time, \
           count for completeness, and for the other figures only where a contender has no others (marked *).\n\
         - A contender is waited for until it watches. It is ended by Ctrl-C once it has worked off what the load left it (*behind*), for \
           which it has some seconds; if it does not end then, it is killed.\n\
         - *Happened* are requests by the load generator's own count, connections (`ActiveOpens`, `PassiveOpens`) and packets (`lo`) by \
           the kernel's, and ten state changes for each connection, five at each end. Both ends are on this host, so a connection has two \
           ends and each exchange is told twice. Of tracer count connections with a whole life (no state missed, nothing lost) and \
           exchanges of which both messages are complete; of tcpstates and bpftrace lines, of tcplife a line per end, of tshark a line per \
           HTTP message, of tcpdump what it says it captured. Given is the worst run. More than 1 means more state changes than ten: a \
           connection that ended in another way.\n\
         - *Lost* is what the contender itself admits, in all runs together.\n\
         - Own processor time is that of the contender's processes from when it watches to its end, its time as a child of the kernel's \
           hooks excluded: that is paid by the traced programs and shows in the ratio. Memory is the greatest of all runs, the other \
           figures are medians.\n\
         - The empty programs show what the hooks themselves cost: two instructions, nobody who reads. Hooks that run seldom (accept, \
           repeated segments, resets, processes) have none.\n\
         - The live view draws on a terminal that is read and thrown away. What it saw cannot be counted.\n\
         - Left out: contenders that see nothing of a load (tcpstates, tcplife and bpftrace where connections are kept), tracer's JSON \
           lines at a fixed rate and in transfers.\n\n"
    );
    let mut table = Table::new(&["contender", "what is run"]);
    for contender in &CONTENDERS {
        table.row(vec![contender.name.into(), contender.what.into()]);
    }
    table.write(out);
    let _ = write!(out, "The one-liner: `{ONE_LINER}`\n\n");
    for version in &preface.versions {
        let _ = writeln!(out, "- {version}");
    }
    if !results.failures.is_empty() {
        out.push_str("\nNot measured:\n\n");
    }
    for failure in &results.failures {
        let _ = writeln!(out, "- {failure}");
    }
}
