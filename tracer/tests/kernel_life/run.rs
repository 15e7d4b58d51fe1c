//! One run for all: every scenario is played under one tracer and one witness, then each is judged alone.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::expect::Lives;
use crate::scenarios::{Begins, Scenario};
use crate::stage::{Gate, Stage};
use crate::support::records::Line;
use crate::support::said;
use crate::support::shield::{self, Hidden};
use crate::support::tcpstates::TcpStates;
use crate::support::tracing::{Output, Run, Tracing};
use crate::support::witness::{Told, Witness};

/// How many scenarios are played at once; most of their time is the kernel's timers.
const AT_ONCE: usize = 8;

/// How long after the last scenario's last act its sockets may live: TIME_WAIT and some.
const LAST_TIMERS: Duration = Duration::from_secs(90);

/// A scenario that was played.
pub struct Played {
    pub scenario: Scenario,
    pub stage: Stage,
    /// What it expects, or why it could not be played.
    pub lives: Result<Lives, String>,
}

/// All that a run left behind.
pub struct Outcome {
    pub played: Vec<Played>,
    /// `None`: the scenarios were held against the witness alone.
    pub run: Option<Run>,
    pub told: Vec<Told>,
    /// Events that the witness itself lost.
    pub witness_lost: u64,
    /// Threads in whose time the kernel runs no tracing program.
    pub shielded: HashSet<u32>,
    /// What the program said was hidden from it for that reason.
    pub hidden: Hidden,
    /// What `tcpstates` told, and whether it lost some; `None` where it is not installed.
    pub tcpstates: Option<(Vec<Told>, bool)>,
}

/// Plays scenarios, from the first to the last kernel timer.
pub fn play_all(scenarios: &[Scenario], witness_only: bool) -> Result<Outcome, String> {
    let witness = Witness::start().map_err(|e| format!("no witness: tracefs: {e}"))?;
    let shielded = shield::Watch::begin();
    let tcpstates = TcpStates::start();
    let gate = Arc::new(Gate::default());
    let (before, under): (Vec<_>, Vec<_>) = scenarios
        .iter()
        .enumerate()
        .partition(|(_, scenario)| scenario.begins == Begins::BeforeTheTracer);
    let (mut played, tracing) = std::thread::scope(|scope| {
        let older: Vec<_> = before
            .iter()
            .map(|&row| {
                scope.spawn({
                    let gate = &gate;
                    move || play(row, gate)
                })
            })
            .collect();
        gate.wait_for(older.len());
        let tracing = if witness_only { Ok(None) } else { Tracing::start(&[]).map(Some) };
        gate.open();
        let mut played = if tracing.is_ok() { play_many(&under, &gate) } else { Vec::new() };
        played.extend(older.into_iter().filter_map(|thread| thread.join().ok()));
        (played, tracing)
    });
    let tracing = tracing?;
    played.sort_by_key(|p| scenarios.iter().position(|s| s.name == p.scenario.name));
    let run = tracing.map(|tracing| {
        tracing.wait_until(LAST_TIMERS, |lines| all_are_over(&played, lines));
        tracing.stop()
    });
    let (told, witness_lost) = witness.stop();
    let tcpstates = tcpstates.map(TcpStates::stop);
    let shielded = shielded.end();
    let lines = run.iter().flat_map(|run| &run.lines).map(|output| &output.line);
    let hidden = Hidden::among(lines, &shielded);
    Ok(Outcome { played, run, told, witness_lost, shielded, hidden, tcpstates })
}

fn play_many(rows: &[(usize, &Scenario)], gate: &Arc<Gate>) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(&row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = play(row, gate);
                    played.lock().expect("nobody panics with the list").push(one);
                }
            });
        }
    });
    played.into_inner().expect("nobody panics with the list")
}

fn play((index, scenario): (usize, &Scenario), gate: &Arc<Gate>) -> Played {
    let number = u8::try_from(index).expect("fewer than 256 scenarios");
    let stage = Stage::new(number, scenario.between, Arc::clone(gate));
    let lives = catch_unwind(AssertUnwindSafe(|| (scenario.play)(&stage)))
        .map_err(|panic| said(panic.as_ref()));
    if lives.is_err() && scenario.begins == Begins::BeforeTheTracer {
        gate.give_up();
    }
    Played { scenario: *scenario, stage, lives }
}

/// Whether a `connection` line has come for every life that ends within the test.
fn all_are_over(played: &[Played], lines: &[Output]) -> bool {
    let mut over: std::collections::HashMap<_, usize> = std::collections::HashMap::new();
    for output in lines {
        if let Line::Connection(life) = &output.line {
            *over.entry((life.local(), life.remote())).or_default() += 1;
        }
    }
    let lives = || played.iter().filter_map(|p| p.lives.as_ref().ok()).flat_map(|l| &l.all);
    let ends: HashSet<_> = lives().filter(|l| l.ends()).map(|l| (l.local, l.remote)).collect();
    ends.into_iter().all(|(local, remote)| {
        let wanted = lives().filter(|l| l.ends() && (l.local, l.remote) == (local, remote)).count();
        over.get(&(local, remote)).copied().unwrap_or(0) >= wanted
    })
}
