//! Measurements without pairs: idle, start, memory, and the time of each BPF program.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    bpf::{Floor, count_runs, program_name},
    contender::{CONTENDERS, Contender, FREQUENT_HOOKS, Kind, RECORDING, named},
    load::{self, Load, PORT, Place, Size},
    machine,
    measure::Bench,
    proc::{Memory, ProgramRuns, programs_of},
    process::{self, Process, wait_for},
    stats::Spread,
    watch::Watching,
};
use crate::shell::say;

/// Own processor time of a contender where nothing happens.
pub struct Idle {
    pub contender: &'static str,
    /// Of one core.
    pub percent: f64,
}

/// All at once: nobody slows anybody down where nothing happens.
pub fn idle(bench: &Bench, length: Duration) -> Result<Vec<Idle>> {
    machine::fresh_network()?;
    let processes = CONTENDERS.iter().filter(|contender| !matches!(contender.kind, Kind::Empty(_)));
    let mut watching = Vec::new();
    for (number, contender) in processes.enumerate() {
        let scratch = bench.place.file(&format!("idle-{number}"));
        fs::create_dir_all(&scratch).with_context(|| format!("creating {}", scratch.display()))?;
        let place = Place { project: bench.place.project, scratch: &scratch };
        match Watching::start(&place, &bench.tracer, contender) {
            Ok(started) => watching.push((contender.name, started)),
            // One that is not here is told under every load.
            Err(error) if !process::is_interrupted() => {
                say(format_args!("idle, {}: {error:#}", contender.name));
            }
            Err(error) => return Err(error),
        }
    }
    // Starting leaves work behind: symbols, buffers, the first pictures.
    pause(Duration::from_secs(1))?;
    let start = Instant::now();
    let before: Vec<u64> = watching.iter().map(|(_, watching)| watching.cpu_us()).collect();
    pause(length)?;
    let passed_us = start.elapsed().as_micros() as f64;
    let mut idle = Vec::new();
    for ((contender, watching), before) in watching.into_iter().zip(before) {
        let used_us = watching.cpu_us().saturating_sub(before) as f64;
        idle.push(Idle { contender, percent: 100.0 * used_us / passed_us });
        watching.end()?;
    }
    Ok(idle)
}

/// Lets time pass that is itself what is measured.
fn pause(length: Duration) -> Result<()> {
    let end = Instant::now() + length;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if process::is_interrupted() {
            bail!("interrupted");
        }
        thread::sleep(left.min(Duration::from_millis(200)));
    }
    Ok(())
}

/// From the start of tracer to the first state change that it tells of, in ms.
pub fn first_event(bench: &Bench, times: u32) -> Result<Option<Spread>> {
    machine::fresh_network()?;
    let address = ("127.84.0.1", PORT);
    let listener = TcpListener::bind(address).context("listening on loopback")?;
    let mut took_ms = Vec::new();
    for _ in 0..times {
        machine::wait_until_quiet();
        let file = bench.place.file("first.out");
        let mut command = bench.place.program_at(&bench.tracer);
        command.args(["watch", "--json"]).stdout(bench.place.create("first.out")?);
        let start = Instant::now();
        let process = Process::start(&mut command)?;
        let took = wait_for("tracer's first event", Duration::from_secs(20), || {
            TcpStream::connect(address).context("connecting on loopback")?;
            listener.accept().context("accepting on loopback")?;
            let text = fs::read_to_string(&file).unwrap_or_default();
            Ok(text.contains("\"type\":\"transition\"").then(|| start.elapsed()))
        })?;
        took_ms.push(took.as_secs_f64() * 1e3);
        process.end(Duration::from_secs(5))?;
    }
    Ok(Spread::of(took_ms))
}

/// tracer's memory for many connections.
pub struct Growth {
    /// Its own memory with nothing to remember; much of it is what starting left to be used again.
    pub base_kib: u64,
    pub rings_kib: u64,
    /// Further TIME_WAITs, and own memory for each.
    pub timewaits: u64,
    pub timewait_bytes: f64,
    /// Open ends beside them, and own memory for each.
    pub live_ends: u64,
    pub live_bytes: f64,
}

/// How long the kernel keeps one at least.
const TIME_WAIT: Duration = Duration::from_secs(60);

/// Grows by TIME_WAITs, then by as many again, then by open connections. The first ones fill what
/// starting left free and are not counted.
pub fn memory(bench: &Bench, connections: u64, timewait_addresses: u8) -> Result<Growth> {
    machine::fresh_network()?;
    let _server = load::serve(&bench.place, Load::Churn)?;
    let watching = Watching::start(&bench.place, &bench.tracer, recording()?)?;
    let pid = watching.process().context("tracer is a process")?.id();
    let now = || watching.catch_up().map(|_| Memory::of(pid));
    let base = now()?;
    let start = Instant::now();
    load::churn(&bench.place, 0..timewait_addresses)?;
    let filled = now()?;
    let more = load::churn(&bench.place, timewait_addresses..timewait_addresses * 2)?;
    let waiting = now()?;
    if start.elapsed() >= TIME_WAIT {
        bail!("the first TIME_WAITs ended before the last began: the machine is too slow for this");
    }
    let (held, live_ends) = open_many(connections)?;
    let live = now()?;
    drop(held);
    watching.end()?;
    let each = |after: Memory, before: Memory, count: u64| {
        after.own_kib.saturating_sub(before.own_kib) as f64 * 1024.0 / count as f64
    };
    Ok(Growth {
        base_kib: base.own_kib,
        rings_kib: live.rings_kib,
        timewaits: more.requests,
        timewait_bytes: each(waiting, filled, more.requests),
        live_ends,
        live_bytes: each(live, waiting, live_ends),
    })
}

fn recording() -> Result<&'static Contender> {
    named(RECORDING).context("no contender records")
}

/// Opens connections to the server, as many as the limit of open files allows, and returns them
/// with the number of their ends.
fn open_many(connections: u64) -> Result<(Vec<TcpStream>, u64)> {
    /// Descriptors that this process and nginx have for other things.
    const OTHERS: u64 = 500;
    let (_, most) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of open files")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raising the limit of open files")?;
    let count = connections.min(most.saturating_sub(OTHERS));
    let connect = |_| TcpStream::connect(("127.84.0.1", PORT)).context("connecting to nginx");
    let open = (0..count).map(connect).collect::<Result<Vec<_>>>()?;
    Ok((open, count * 2))
}

/// A BPF program of tracer under two loads, counted by the kernel.
pub struct ProgramTime {
    pub name: String,
    /// For each connection of the churn.
    pub churn: Runs,
    /// For each request of the keep-alive load.
    pub keep_alive: Runs,
}

/// How often a program ran for each thing of a load, and for how long at a time.
#[derive(Clone, Copy, Default)]
pub struct Runs {
    pub each: f64,
    pub ns: f64,
}

/// Runs and times of tracer's programs, and of empty ones on the same hooks: ns for each run.
pub fn programs(bench: &Bench, size: Size) -> Result<(Vec<ProgramTime>, f64)> {
    let counting = count_runs()?;
    let churn = counted(bench, Load::Churn, size, Some(recording()?))?;
    let keep_alive = counted(bench, Load::KeepAlive, size, Some(recording()?))?;
    let floor = counted(bench, Load::Churn, size, None)?;
    drop(counting);
    let (time_ns, runs) = floor
        .programs
        .iter()
        .fold((0, 0), |(time, runs), program| (time + program.time_ns, runs + program.runs));
    let rows =
        churn.by_name().into_iter().zip(keep_alive.by_name()).map(|((name, one), (_, other))| {
            ProgramTime {
                name: name.to_owned(),
                churn: runs_of(one, churn.things),
                keep_alive: runs_of(other, keep_alive.things),
            }
        });
    Ok((rows.collect(), time_ns as f64 / runs as f64))
}

fn runs_of(program: &ProgramRuns, things: u64) -> Runs {
    let ns = if program.runs == 0 { 0.0 } else { program.time_ns as f64 / program.runs as f64 };
    Runs { each: program.runs as f64 / things as f64, ns }
}

struct Counted {
    programs: Vec<ProgramRuns>,
    names: Vec<String>,
    /// Connections or requests.
    things: u64,
}

impl Counted {
    /// The programs in an order that is the same in each run: they are loaded by several threads, so their numbers are
    /// not. Where the kernel's 15 bytes of two names are the same, the one that runs less comes first.
    fn by_name(&self) -> Vec<(&str, &ProgramRuns)> {
        let mut named: Vec<_> = self.names.iter().map(String::as_str).zip(&self.programs).collect();
        named.sort_by_key(|(name, program)| (*name, program.runs));
        named
    }
}

/// Runs a load under a contender, or under empty programs, while the kernel counts.
fn counted(
    bench: &Bench,
    load: Load,
    size: Size,
    contender: Option<&Contender>,
) -> Result<Counted> {
    machine::wait_until_quiet();
    machine::fresh_network()?;
    let _server = load::serve(&bench.place, load)?;
    let watching = contender
        .map(|contender| Watching::start(&bench.place, &bench.tracer, contender))
        .transpose()?;
    let empty = if contender.is_none() { Some(Floor::attach(FREQUENT_HOOKS)?) } else { None };
    let process = watching.as_ref().and_then(Watching::process);
    let pid = process.map_or_else(std::process::id, Process::id);
    let before = programs_of(pid);
    let outcome = load::run(&bench.place, load, size)?;
    let after = programs_of(pid);
    let names = after.iter().map(|program| program_name(program.id).unwrap_or_default()).collect();
    drop(empty);
    if let Some(watching) = watching {
        watching.end()?;
    }
    let programs = after.into_iter().zip(before).map(|(after, before)| ProgramRuns {
        runs: after.runs.saturating_sub(before.runs),
        time_ns: after.time_ns.saturating_sub(before.time_ns),
        ..after
    });
    Ok(Counted { programs: programs.collect(), names, things: outcome.requests })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_stand_in_one_order_whatever_their_numbers_are() {
        let counted = |programs: &[(&str, u64)]| Counted {
            programs: (1..)
                .zip(programs)
                .map(|(id, (_, runs))| ProgramRuns { id, runs: *runs, time_ns: 0, missed: 0 })
                .collect(),
            names: programs.iter().map(|(name, _)| (*name).to_owned()).collect(),
            things: 1,
        };
        let one = counted(&[("timer", 9), ("accept", 7), ("state", 5), ("accept", 0)]);
        let other = counted(&[("accept", 0), ("state", 1), ("accept", 2), ("timer", 3)]);
        let runs = |counted: &Counted| -> Vec<(String, u64)> {
            counted.by_name().into_iter().map(|(name, p)| (name.to_owned(), p.runs)).collect()
        };
        let text = |name: &str, runs| (name.to_owned(), runs);
        assert_eq!(
            runs(&one),
            [text("accept", 0), text("accept", 7), text("state", 5), text("timer", 9)]
        );
        assert_eq!(
            runs(&other),
            [text("accept", 0), text("accept", 2), text("state", 1), text("timer", 3)]
        );
    }
}
