//! A hundred thousand connections, recorded and exported: as many in the file as were made, and nothing lost. And a
//! start in the midst of them: what was under way is older than the tracer, not lost.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

use crate::place::{PORT, Place};
use crate::servers;
use crate::support::records::Line;
use crate::support::{STEP, environment, shield, wait_until};

pub const NAME: &str = "a_hundred_thousand_connections_are_recorded_whole";

/// The variable that makes it fewer, for a machine that is slow.
const COUNT_VARIABLE: &str = "TRACER_TEST_CONNECTIONS";

pub fn every_one_is_recorded() -> Result<(), String> {
    for program in ["nginx", "ab"] {
        if environment::program(program).is_none() {
            environment::skip(NAME, &format!("needs {program}"));
            return Ok(());
        }
    }
    let count = std::env::var(COUNT_VARIABLE).ok().and_then(|n| n.parse().ok());
    let count: usize = count.unwrap_or(100_000);
    let mut place = Place::new();
    place.file("small", 512);
    servers::nginx(&mut place);
    let recording = place.folder().join("run.trace");
    let recorder = record(&recording);
    let url = format!("http://127.0.0.1:{PORT}/small");
    let said = place.run(place.command("ab").args([
        "-q",
        "-r",
        "-n",
        &count.to_string(),
        "-c",
        "50",
        &url,
    ]));
    let opens = place.opens();
    end(recorder)?;
    let failed = said.lines().find(|line| line.starts_with("Failed requests:"));
    if failed.is_none_or(|line| !line.trim_end().ends_with(" 0")) {
        return Err(format!("ab itself failed: {said}"));
    }
    let exported = place.folder().join("run.jsonl");
    export(&recording, &exported)?;
    Tally::of(&exported, place.netns())?.judge(count as u64, opens)
}

/// Connections that are made while the tracer starts.
const LATE_COUNT: usize = 30_000;

pub const LATE_NAME: &str = "what_is_under_way_at_the_start_is_older_and_not_lost";

pub fn under_way_at_the_start() -> Result<(), String> {
    for program in ["nginx", "ab"] {
        if environment::program(program).is_none() {
            environment::skip(LATE_NAME, &format!("needs {program}"));
            return Ok(());
        }
    }
    let mut place = Place::new();
    place.file("small", 512);
    servers::nginx(&mut place);
    let recording = place.folder().join("late.trace");
    let url = format!("http://127.0.0.1:{PORT}/small");
    let mut load = place
        .command("ab")
        .args(["-q", "-r", "-n", &LATE_COUNT.to_string(), "-c", "50", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let under_load = wait_until(STEP, || place.opens().0 > 2_000);
    let recorder = record(&recording);
    let at_the_start = place.opens().0;
    let loaded = load.wait().is_ok_and(|status| status.success());
    end(recorder)?;
    if !under_load || !loaded || at_the_start >= LATE_COUNT as u64 {
        return Err(format!("the load did not go on while the tracer started: {at_the_start}"));
    }
    let exported = place.folder().join("late.jsonl");
    export(&recording, &exported)?;
    let tally = Tally::of(&exported, place.netns())?;
    println!("begun after {at_the_start} connections; {tally:?}");
    let some = tally.older > 0 && tally.clients > 0;
    // Each hidden event may leave a hole in one life, and an end without its other end.
    let whole = tally.lost_events <= tally.hidden && tally.alone <= 2 * tally.hidden;
    if some && whole && tally.loss_lines.is_empty() {
        return Ok(());
    }
    Err(format!("begun after {at_the_start} connections; recorded: {tally:?}"))
}

fn record(to: &Path) -> Child {
    let recorder = Command::new(environment::tracer())
        .args(["record", "-o"])
        .arg(to)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start tracer record");
    // The file is begun when everything is attached.
    let begun = || std::fs::metadata(to).is_ok_and(|file| file.len() > 0);
    assert!(wait_until(STEP, begun), "tracer record does not begin its file");
    recorder
}

fn end(recorder: Child) -> Result<(), String> {
    let pid = i32::try_from(recorder.id()).expect("process ids are small");
    kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|e| e.to_string())?;
    let before_us = children_cpu_us();
    let output = recorder.wait_with_output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!(
        "{} ({} ms of processor time)",
        said.trim_end(),
        (children_cpu_us() - before_us) / 1000
    );
    if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", output.status)) }
}

/// Processor time of the children that were waited for.
fn children_cpu_us() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the own usage can be read");
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

fn export(recording: &Path, to: &Path) -> Result<(), String> {
    let mut command = Command::new(environment::tracer());
    command.arg("export").arg(recording).args(["--to", "jsonl", "-o"]).arg(to);
    let output = command.output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {said}")) }
}

/// What the export holds of one namespace.
#[derive(Debug, Default)]
struct Tally {
    clients: u64,
    servers: u64,
    /// Connection ends by how many exchanges they say they have.
    by_exchanges: HashMap<u64, u64>,
    unpaired: u64,
    lost_events: u64,
    older: u64,
    complete: u64,
    incomplete: u64,
    /// Of tracing programs, in the time of processes that the kernel shields from them.
    hidden: u64,
    loss_lines: Vec<String>,
    /// Ends that are not older than the tracer and without their other end.
    alone: u64,
    /// The first lines of those, and of connections with lost events, to see why.
    examples_alone: Vec<String>,
    examples_lossy: Vec<String>,
}

impl Tally {
    fn of(export: &Path, netns: u32) -> Result<Tally, String> {
        let file = File::open(export).map_err(|e| e.to_string())?;
        let shielded = shield::tasks();
        let mut tally = Tally::default();
        let mut exchanges: HashMap<String, bool> = HashMap::new();
        let mut mine: Vec<String> = Vec::new();
        for text in BufReader::with_capacity(1 << 20, file).lines() {
            let text = text.map_err(|e| e.to_string())?;
            // Most lines are transitions and segments, which do not matter here.
            let wanted = ["connection", "exchange", "loss"];
            if !wanted.iter().any(|kind| text.starts_with(&format!("{{\"type\":\"{kind}\""))) {
                continue;
            }
            match serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))? {
                Line::Connection(life) if life.netns == Some(netns) => {
                    match life.endpoint.as_deref() {
                        Some("client") => tally.clients += 1,
                        _ => tally.servers += 1,
                    }
                    *tally.by_exchanges.entry(life.exchanges).or_default() += 1;
                    tally.unpaired += u64::from(life.peer.is_none());
                    tally.lost_events += life.lost_events;
                    let is_alone = life.peer.is_none() && !life.older_than_tracer;
                    tally.alone += u64::from(is_alone);
                    if life.lost_events > 0 && tally.examples_lossy.len() < 4 {
                        tally.examples_lossy.push(text);
                    } else if is_alone && tally.examples_alone.len() < 4 {
                        tally.examples_alone.push(text);
                    }
                    tally.older += u64::from(life.older_than_tracer);
                    mine.push(life.id);
                }
                Line::Exchange(exchange) => {
                    let whole = exchange.complete
                        && exchange.missing_bytes == Some(0)
                        && exchange.status == Some(200)
                        && exchange.response.is_some_and(|r| r.body_bytes == Some(512));
                    exchanges.insert(exchange.conn, whole);
                }
                Line::Loss(loss) if shield::is_by_shield(&loss, &shielded) => {
                    tally.hidden += loss.events;
                }
                Line::Loss(_) => tally.loss_lines.push(text),
                _ => {}
            }
        }
        for id in mine {
            match exchanges.get(&id) {
                Some(true) => tally.complete += 1,
                Some(false) => tally.incomplete += 1,
                None => {}
            }
        }
        Ok(tally)
    }

    /// `opens`: what the kernel counted, actively and passively; ab opens a few in vain.
    fn judge(&self, requests: u64, opens: (u64, u64)) -> Result<(), String> {
        println!("{requests} requests, {opens:?} opened by the kernel's count; {self:?}");
        let all = (self.clients, self.servers) == opens && self.complete == 2 * requests;
        // Each hidden event may leave a hole in one life, and an end without its other end.
        let clean = self.loss_lines.is_empty()
            && self.lost_events <= self.hidden
            && self.unpaired <= 2 * self.hidden;
        let one_each = self.by_exchanges.get(&1) == Some(&(2 * requests))
            && self.by_exchanges.keys().all(|&exchanges| exchanges <= 1);
        if all && clean && one_each && self.incomplete == 0 {
            return Ok(());
        }
        Err(format!("{requests} requests on {opens:?} connections were made; recorded: {self:?}"))
    }
}
