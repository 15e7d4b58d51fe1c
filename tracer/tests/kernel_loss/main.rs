//! With rings made tiny on purpose: what the hooks recorded plus what they say they lost is what happened.
//!
//! Other programs of the host are seen as well, so what happened is known between two counts: what the kernel's own
//! trace had while the hooks were surely there, and all that it had. On a quiet host they are one number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod daemon;
mod files;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use nix::time::{ClockId, clock_gettime};
use tracer::decode::decode;
use tracer::load::programs::Groups;
use tracer::load::{Loaded, RingSizes};
use tracer::ports::PortSet;
use tracer::tcp::TcpState;
use tracer::time::TimeAnchor;
use tracer_common::Hook;

use support::actor::Actor;
use support::netns::Namespace;
use support::records::Line;
use support::tracing::Tracing;
use support::witness::Witness;
use support::{actor, environment, load, shield, wait_until};

const CONNECTIONS: u64 = 2000;
/// SYN, SYN+ACK and two FINs, each seen at both ends.
const SEGMENTS_OF_A_CONNECTION: u64 = 8;
const TINY: RingSizes = RingSizes { events_kib: 4, payloads_kib: 4 };

fn main() -> ExitCode {
    actor::act_if_asked();
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, environment::missing()) {
        environment::skip("kernel_loss", &why);
        return ExitCode::SUCCESS;
    }
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(name, move || test().map_err(Failed::from))
    };
    let trials = vec![
        trial("recorded_and_lost_are_what_happened", recorded_and_lost),
        trial("a_life_that_misses_something_says_so", gaps_are_told),
        trial("hooks_that_nobody_asked_for_are_left_out_and_said_to_be", states_alone),
        trial("on_a_saturated_host_what_happens_is_told_within_seconds", saturated),
        trial("a_reader_that_never_reads_does_not_keep_it_running", told_twice),
        trial("what_is_thrown_away_unread_is_counted", thrown_away),
        trial("what_a_daemon_tells_keeps_and_counts_is_the_same", daemon::tells_keeps_and_counts),
        trial("a_daemons_lines_know_a_short_connection", daemon::knows_short_connections),
        trial("a_recording_in_several_files_is_whole_in_each", files::in_several_files),
        trial("recordings_of_two_hosts_become_one_by_one_clock", files::of_two_hosts),
        trial("the_last_minutes_are_written_when_something_happens", files::of_the_last_minutes),
    ];
    // One after the other: each would be the other's noise.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// [`CONNECTIONS`] of them.
fn make_connections(namespace: &Namespace) {
    load::closed_by_clients(namespace, 8080, CONNECTIONS);
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock can be read");
    Duration::from(now).as_nanos() as u64
}

/// Reads the rings now and then, as a program would that is too slow, until told; events by hook.
fn drain(loaded: &mut Loaded, over: &AtomicBool) -> HashMap<u8, u64> {
    let mut drained = HashMap::new();
    loop {
        let last = over.load(Ordering::Acquire);
        for ring in [&mut loaded.events, &mut loaded.payloads] {
            ring.drain(&mut |bytes| {
                let event =
                    decode(bytes, TimeAnchor::new(0, 0)).expect("what the hooks write decodes");
                *drained.entry(event.hook as u8).or_default() += 1;
            });
        }
        if last {
            return drained;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn recorded_and_lost() -> Result<(), String> {
    let witness = Witness::start().map_err(|e| format!("no witness: tracefs: {e}"))?;
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let mut loaded =
        tracer::load::load(TINY, Groups::ALL, &PortSet::all()).map_err(|e| e.to_string())?;
    let (attached_ns, over) = (now_ns(), AtomicBool::new(false));
    let drained = std::thread::scope(|scope| {
        let reader = scope.spawn(|| drain(&mut loaded, &over));
        make_connections(&namespace);
        over.store(true, Ordering::Release);
        reader.join().expect("the reader does not panic")
    });
    let read_ns = now_ns();
    let counted = Hook::ALL.map(|hook| (hook, loaded.counters.read(hook)));
    drop(loaded);
    let (told, witness_lost) = witness.stop();
    assert_eq!(witness_lost, 0, "the witness itself lost events");
    let shielded = shield::tasks();
    let surely = told
        .iter()
        .filter(|t| (attached_ns..=read_ns).contains(&t.at_ns) && !shielded.contains(&t.task))
        .count() as u64;
    let quiet = surely == told.len() as u64;
    println!("{surely} to {} state changes happened", told.len());
    for (hook, counters) in counted {
        let drained = drained.get(&(hook as u8)).copied().unwrap_or(0);
        let (emitted, lost) = (counters.emitted, counters.lost);
        println!("{:10} emitted {emitted}, lost {lost}, read {drained}", hook.name());
        // What other programs did after the last look is emitted, not read.
        if drained > emitted || (quiet && drained != emitted) {
            return Err(format!("{}: {emitted} written, {drained} read", hook.name()));
        }
    }
    let sum = |hook: Hook| counted[hook as usize].1.emitted + counted[hook as usize].1.lost;
    if !(surely..=told.len() as u64).contains(&sum(Hook::State)) {
        return Err(format!(
            "state: {} recorded or lost of {surely} to {}",
            sum(Hook::State),
            told.len()
        ));
    }
    if counted[Hook::State as usize].1.lost == 0 {
        return Err("nothing was lost: the rings were not tiny enough to prove anything".into());
    }
    let segments = CONNECTIONS * SEGMENTS_OF_A_CONNECTION;
    if sum(Hook::Segments) < segments || (quiet && sum(Hook::Segments) != segments) {
        return Err(format!("segments: {} recorded or lost of {segments}", sum(Hook::Segments)));
    }
    Ok(())
}

/// The program, on the same load: it says that it lost, and no life with a hole is told as whole.
fn gaps_are_told() -> Result<(), String> {
    use TcpState::{
        Close, CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent, TimeWait,
    };
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    // A namespace is found by the processes that live in it.
    let _resident = Actor::start(&namespace, "loss-resident");
    let tracing = Tracing::start(&["--event-ring-kib", "4", "--payload-ring-kib", "4"])?;
    make_connections(&namespace);
    let run = tracing.stop();
    let mut lost: HashMap<String, u64> = HashMap::new();
    let (mut lives, mut holes) = (0, 0);
    for output in &run.lines {
        match &output.line {
            Line::Loss(loss) => *lost.entry(loss.hook.clone()).or_default() += loss.events,
            Line::Connection(life) if life.netns == Some(namespace.inode()) => {
                lives += 1;
                let path = life.path();
                let whole = [
                    &[SynSent, Established, FinWait1, FinWait2, TimeWait][..],
                    &[SynSent, Established, FinWait1, FinWait2, TimeWait, Close],
                    &[SynRecv, Established, CloseWait, LastAck, Close],
                ]
                .contains(&path.as_slice());
                let timed = life.states.iter().all(|step| step.at.is_some());
                if !whole || !timed {
                    holes += 1;
                    if life.lost_events == 0 {
                        return Err(format!("has a hole and does not say so: {}", output.text));
                    }
                }
            }
            _ => {}
        }
    }
    println!("lost {lost:?}; {lives} lives told, {holes} of them with holes");
    if !run.status.success() || !run.unreadable.is_empty() {
        return Err(format!("{}: {} {:?}", run.status, run.stderr, run.unreadable));
    }
    if lost.get("state").copied().unwrap_or(0) == 0 {
        return Err(
            "nothing was told as lost: the rings were not tiny enough to prove anything".into()
        );
    }
    Ok(())
}

/// With states alone the lives are those of full sockets, and what is not attached is named.
fn states_alone() -> Result<(), String> {
    use TcpState::{Close, CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent};
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let _resident = Actor::start(&namespace, "states-resident");
    let tracing = Tracing::start(&["--hooks", "state"])?;
    make_connections(&namespace);
    let run = tracing.stop();
    let mut lives: HashMap<Vec<TcpState>, u64> = HashMap::new();
    let mut said = false;
    for output in &run.lines {
        match &output.line {
            Line::Host(host) => {
                said = host.hooks["state"] == "attached"
                    && host.hooks["timers"].starts_with("off (not asked for); lost without it:");
            }
            Line::Connection(life) if life.netns == Some(namespace.inode()) => {
                if life.older_than_tracer {
                    return Err(format!("is not older: {}", output.text));
                }
                *lives.entry(life.path()).or_default() += 1;
            }
            Line::Segment(_) | Line::Exchange(_) | Line::Loss(_) => {
                return Err(format!("nobody asked for this: {}", output.text));
            }
            _ => {}
        }
    }
    let expected = HashMap::from([
        (vec![SynSent, Established, FinWait1, FinWait2, Close], CONNECTIONS),
        (vec![SynRecv, Established, CloseWait, LastAck, Close], CONNECTIONS),
    ]);
    if !said || lives != expected {
        return Err(format!("said: {said}; {lives:?}"));
    }
    Ok(())
}

/// More threads that want a processor than there are: the tracing one, which stands aside, must have its turn.
fn saturated() -> Result<(), String> {
    const ROUNDS: usize = 8;
    /// So many that what stands aside waits for seconds where nobody sees to it.
    const BUSY_BY_PROCESSOR: usize = 32;
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let netns = namespace.inode();
    let tracing = Tracing::start(&[])?;
    let over = AtomicBool::new(false);
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let busy = || {
        while !over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    };
    let told = std::thread::scope(|scope| {
        (0..BUSY_BY_PROCESSOR * processors).for_each(|_| _ = scope.spawn(busy));
        let told = (1..=ROUNDS).map(|round| {
            namespace.run(|| {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
                let address = listener.local_addr().expect("a listener is bound");
                let client = TcpStream::connect(address).expect("connect");
                drop((listener.accept().expect("accept"), client));
            });
            tracing.wait_until(Duration::from_secs(3), |lines| {
                let is_end =
                    |line: &Line| matches!(line, Line::Connection(c) if c.netns == Some(netns));
                lines.iter().filter(|output| is_end(&output.line)).count() >= round
            })
        });
        let told: Vec<bool> = told.collect();
        over.store(true, Ordering::Relaxed);
        told
    });
    tracing.stop();
    if told.iter().all(|told| *told) { Ok(()) } else { Err(format!("told in time: {told:?}")) }
}

/// Lines that nobody reads fill the pipe; the write then waits for ever, and the second signal ends it.
fn told_twice() -> Result<(), String> {
    use nix::sys::signal::{Signal, kill};
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let mut child = Command::new(environment::tracer())
        .args(["watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    // The first line says that its hooks are attached.
    stdout.read_exact(&mut [0]).map_err(|e| e.to_string())?;
    make_connections(&namespace);
    let wchan = format!("/proc/{}/wchan", child.id());
    let waits = || std::fs::read_to_string(&wchan).is_ok_and(|at| at.contains("pipe_write"));
    let stuck = wait_until(Duration::from_secs(30), waits);
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    // Two of one kind could become one on their way.
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        kill(pid, signal).map_err(|e| e.to_string())?;
    }
    let over = wait_until(Duration::from_secs(10), || child.try_wait().is_ok_and(|s| s.is_some()));
    if !over {
        child.kill().map_err(|e| e.to_string())?;
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if stuck && over && status.code() == Some(1) {
        Ok(())
    } else {
        Err(format!("waited in the write: {stuck}; ended by two signals: {over}; {status}"))
    }
}

/// What the bench sets beside the other commands: every hook, and events that are only counted.
fn thrown_away() -> Result<(), String> {
    use nix::sys::signal::{Signal, kill};
    /// State changes of both ends besides the segments.
    const EVENTS_OF_A_CONNECTION: u64 = 10 + SEGMENTS_OF_A_CONNECTION;
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let mut child = Command::new(environment::tracer())
        .arg("drain")
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let mut ready = [0; 7];
    stdout.read_exact(&mut ready).map_err(|e| e.to_string())?;
    assert_eq!(&ready, b"drains\n");
    make_connections(&namespace);
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGINT).map_err(|e| e.to_string())?;
    let mut said = String::new();
    stdout.read_to_string(&mut said).map_err(|e| e.to_string())?;
    let status = child.wait().map_err(|e| e.to_string())?;
    let numbers: Vec<u64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    let least = CONNECTIONS * EVENTS_OF_A_CONNECTION;
    match numbers[..] {
        [taken, 0] if taken >= least && status.success() => Ok(()),
        _ => Err(format!("{status}, of {least} events at least: {said}")),
    }
}
