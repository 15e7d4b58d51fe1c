//! Holds what was told against what was expected, and says in what they differ.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use tracer::tcp::TcpState;

use crate::expect::{Endpoint, Expected, Lives, Owner, UNKNOWN};
use crate::run::{Outcome, Played};
use crate::support::records::{Life, Line, Segment, Transition};
use crate::support::witness;

/// Judges one scenario; the error is the whole report.
pub fn judge(played: &Played, outcome: &Outcome) -> Result<(), String> {
    let lives = played.lives.as_ref().map_err(|why| format!("could not be played: {why}"))?;
    let mut problems = against_the_kernel(lives, outcome);
    if let Some(run) = &outcome.run {
        let seen = Seen::of(played, run.lines.iter().map(|output| &output.line));
        let deviations = against_the_records(lives, &seen);
        let is_hidden = problems.is_empty() && excused(&deviations, outcome);
        problems.extend(deviations);
        if is_hidden {
            return Ok(());
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(report(played, lives, outcome, &problems))
}

/// Whether everything that is told otherwise was said to be hidden: one event for each life at least. A scenario's own
/// check, which names no life, follows from those.
fn excused(deviations: &[String], outcome: &Outcome) -> bool {
    let is_life = |name: &&str| {
        let number = name.strip_prefix('c').unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut excused: HashSet<&str> =
        deviations.iter().filter_map(|text| text.split(':').next()).filter(is_life).collect();
    if excused.is_empty() {
        excused.extend(deviations.first().map(String::as_str));
    }
    !excused.is_empty() && excused.iter().all(|what| outcome.hidden.excuses(what))
}

fn report(played: &Played, lives: &Lives, outcome: &Outcome, problems: &[String]) -> String {
    let mut text = format!("{}\n", played.scenario.name);
    for problem in problems {
        let _ = writeln!(text, "  {problem}");
    }
    let _ = writeln!(text, "expected:");
    for life in lives.all.iter().take(8) {
        let Expected { local, remote, outcome, closed_by, path, .. } = life;
        let _ = writeln!(text, "  {local} > {remote} {} {outcome} {closed_by:?}", names(path));
    }
    let _ = writeln!(text, "lines:");
    let ids: Vec<String> = outcome
        .run
        .iter()
        .flat_map(|r| &r.lines)
        .filter_map(|o| {
            let Line::Connection(life) = &o.line else { return None };
            mine(played, life).then(|| format!("\"{}\"", life.id))
        })
        .take(8)
        .collect();
    let lines = outcome.run.iter().flat_map(|run| &run.lines);
    for output in lines.filter(|o| ids.iter().any(|id| o.text.contains(id))).take(60) {
        let _ = writeln!(text, "  {}", output.text);
    }
    text
}

/// The scenario must be what its name says: the kernel's own trace tells the lives that are expected.
fn against_the_kernel(lives: &Lives, outcome: &Outcome) -> Vec<String> {
    let mut problems = Vec::new();
    if outcome.witness_lost > 0 {
        problems.push(format!("the witness lost {} events", outcome.witness_lost));
    }
    let told = witness::lives(&outcome.told);
    for (&(local, remote), expected) in &grouped(lives) {
        if expected.iter().any(|(_, life)| life.older && life.visible().is_empty()) {
            continue;
        }
        // A request socket alone is not seen at all.
        let visible = expected.iter().map(|(_, life)| life).filter(|l| !l.visible().is_empty());
        let seen = told.get(&(local, remote)).map_or(&[][..], Vec::as_slice);
        let count = (visible.clone().count(), seen.len());
        if count.0 != count.1 {
            problems.push(format!(
                "the kernel had {count:?} (expected, seen) lives of {local} > {remote}"
            ));
        }
        for (life, seen) in visible.zip(seen) {
            let expected = life.visible();
            let seen: Vec<_> = seen.iter().map(|t| (t.from, t.to)).collect();
            // What is older than the tracer is not older than the witness.
            let from = if life.older { seen.len().saturating_sub(expected.len()) } else { 0 };
            if seen[from..] != expected[..] {
                let (did, expected) = (pairs(&seen[from..]), pairs(&expected));
                problems.push(format!(
                    "the kernel did otherwise on {local} > {remote}: expected {expected}, did {did}"
                ));
            }
        }
    }
    problems
}

type Ends = (SocketAddr, SocketAddr);

fn grouped(lives: &Lives) -> HashMap<Ends, Vec<(usize, &Expected)>> {
    let mut groups: HashMap<Ends, Vec<(usize, &Expected)>> = HashMap::new();
    for (index, life) in lives.all.iter().enumerate() {
        groups.entry((life.local, life.remote)).or_default().push((index, life));
    }
    groups
}

fn mine(played: &Played, life: &Life) -> bool {
    match life.netns {
        Some(netns) => played.stage.namespaces().contains(&netns),
        None => played.stage.owns(life.local()) || played.stage.owns(life.remote()),
    }
}

/// A scenario's lines.
pub struct Seen {
    lives: Vec<Life>,
    transitions: HashMap<String, Vec<Transition>>,
    segments: HashMap<String, Vec<Segment>>,
}

impl Seen {
    fn of<'a>(played: &Played, lines: impl Iterator<Item = &'a Line>) -> Seen {
        let mut seen =
            Seen { lives: Vec::new(), transitions: HashMap::new(), segments: HashMap::new() };
        for line in lines {
            match line {
                Line::Connection(life) if mine(played, life) => seen.lives.push((**life).clone()),
                Line::Transition(t) => {
                    seen.transitions.entry(t.conn.clone()).or_default().push(t.clone());
                }
                Line::Segment(s) => {
                    seen.segments.entry(s.conn.clone()).or_default().push(s.clone());
                }
                _ => {}
            }
        }
        seen.lives.sort_by_key(|life| life.states.first().and_then(|step| step.at));
        seen
    }
}

fn against_the_records(lives: &Lives, seen: &Seen) -> Vec<String> {
    let mut problems = Vec::new();
    let mut matched: Vec<Option<Life>> = vec![None; lives.all.len()];
    let groups = grouped(lives);
    for (&ends, expected) in &groups {
        let found: Vec<&Life> =
            seen.lives.iter().filter(|life| (life.local(), life.remote()) == ends).collect();
        if found.len() != expected.len() {
            let (local, remote) = ends;
            let (count, wanted) = (found.len(), expected.len());
            problems.push(format!("{count} lives of {local} > {remote} were told, not {wanted}"));
        }
        for ((index, _), life) in expected.iter().zip(found) {
            matched[*index] = Some(life.clone());
        }
    }
    for life in seen.lives.iter().filter(|l| !groups.contains_key(&(l.local(), l.remote()))) {
        problems.push(format!(
            "a life that never was: {} {} > {} {}",
            life.id,
            life.local(),
            life.remote(),
            names(&life.path())
        ));
    }
    for (expected, life) in lives.all.iter().zip(&matched) {
        if let Some(life) = life {
            let peer = expected.peer.map(|at| matched[at].as_ref().map(|l| l.id.clone()));
            let about = differences(expected, life, peer, seen);
            problems.extend(about.into_iter().map(|text| format!("{}: {text}", life.id)));
        }
    }
    if let Some(all) = matched.into_iter().collect::<Option<Vec<Life>>>() {
        problems.extend(lives.checks.iter().filter_map(|check| check(&all).err()));
    }
    problems
}

/// `peer` is the other end's id as told, where the expectation has another end.
fn differences(
    expected: &Expected,
    life: &Life,
    peer: Option<Option<String>>,
    seen: &Seen,
) -> Vec<String> {
    let mut list = Differences(Vec::new());
    list.unless_equal("states", &names(&expected.path), &names(&life.path()));
    let outcome = Some(expected.outcome).filter(|outcome| *outcome != UNKNOWN);
    list.unless_equal("outcome", &outcome, &life.outcome.as_deref());
    list.unless_equal("family", &expected.family(), &life.family.as_str());
    list.unless_equal("netns", &Some(expected.netns), &life.netns);
    list.unless_equal("older_than_tracer", &expected.older, &life.older_than_tracer);
    list.unless_equal("lost_events", &0, &life.lost_events);
    list.verdict(expected, life);
    list.owner(expected, life);
    list.peer(life, peer);
    list.counts(expected, life);
    list.times(expected, life);
    let none = Vec::new();
    list.transitions(expected, life, seen.transitions.get(&life.id).unwrap_or(&none));
    list.segments(expected, seen.segments.get(&life.id).unwrap_or(&none_segments()));
    list.0
}

const fn none_segments() -> Vec<Segment> {
    Vec::new()
}

struct Differences(Vec<String>);

impl Differences {
    fn unless_equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, expected: &T, told: &T) {
        if expected != told {
            self.0.push(format!("{what}: expected {expected:?}, told {told:?}"));
        }
    }

    /// What began before the tracer may be unknown; it may not be told wrongly.
    fn verdict(&mut self, expected: &Expected, life: &Life) {
        let endpoint = match expected.endpoint {
            Endpoint::Client => "client",
            Endpoint::Server => "server",
        };
        let unknown_is_right = expected.older;
        if expected.restored {
            self.unless_equal("endpoint", &None, &life.endpoint.as_deref());
        } else if !(unknown_is_right && life.endpoint.is_none()) {
            self.unless_equal("endpoint", &Some(endpoint), &life.endpoint.as_deref());
        }
        if !(unknown_is_right && life.closed_by.is_none()) {
            self.unless_equal("closed_by", &expected.closed_by, &life.closed_by.as_deref());
        }
    }

    fn owner(&mut self, expected: &Expected, life: &Life) {
        let short_lived = matches!(expected.owner, Owner::ShortLived { .. });
        match &expected.owner {
            Owner::Nobody => {
                self.unless_equal("pid", &None, &life.pid);
                self.unless_equal("comm", &None, &life.comm);
            }
            Owner::Process { pid, comm } | Owner::ShortLived { pid, comm } => {
                self.unless_equal("pid", &Some(*pid), &life.pid);
                self.unless_equal("comm", &Some(comm.as_str()), &life.comm.as_deref());
                let binary = std::env::current_exe().ok();
                let binary = binary.as_ref().and_then(|path| path.to_str());
                if !(short_lived && life.exe.is_none()) {
                    self.unless_equal("exe", &binary, &life.exe.as_deref());
                }
            }
        }
    }

    fn peer(&mut self, life: &Life, peer: Option<Option<String>>) {
        match peer {
            Some(other) => self.unless_equal("peer", &other, &life.peer),
            // A socket connected to itself may name itself.
            None if life.peer.as_ref() == Some(&life.id) => {}
            None => self.unless_equal("peer", &None, &life.peer),
        }
    }

    fn counts(&mut self, expected: &Expected, life: &Life) {
        let stood = expected.path.contains(&TcpState::Established);
        if !expected.older {
            let told = |bytes: Option<u64>| if stood { bytes } else { bytes.or(Some(0)) };
            self.unless_equal("bytes_sent", &Some(expected.bytes_sent), &told(life.bytes_sent));
            let received = told(life.bytes_received);
            self.unless_equal("bytes_received", &Some(expected.bytes_received), &received);
        }
        let again = life.segments_retransmitted.unwrap_or(0);
        if again < expected.retransmitted {
            let least = expected.retransmitted;
            self.0.push(format!("segments_retransmitted: expected {least} or more, told {again}"));
        }
    }

    fn times(&mut self, expected: &Expected, life: &Life) {
        let known: Vec<_> = life.states.iter().filter_map(|step| step.at).collect();
        if !known.is_sorted() {
            self.0.push("the times of its states go back".into());
        }
        let first = life.states.first().and_then(|step| step.at).filter(|_| !expected.restored);
        self.unless_equal("opened_at", &first, &life.opened_at);
        let end = if life.is_over() { life.states.last().and_then(|s| s.at) } else { None };
        self.unless_equal("closed_at", &end, &life.closed_at);
        let missing = life.states.iter().skip(usize::from(life.older_than_tracer));
        if missing.clone().any(|step| step.at.is_none()) {
            self.0.push("a state that was entered under the tracer has no time".into());
        }
    }

    /// The transition lines are the same life, step by step.
    fn transitions(&mut self, expected: &Expected, life: &Life, told: &[Transition]) {
        let first = match expected.endpoint {
            _ if expected.older => None,
            Endpoint::Client => Some(TcpState::Close),
            Endpoint::Server => Some(TcpState::Listen),
        };
        let path: Vec<TcpState> = first.into_iter().chain(expected.path.iter().copied()).collect();
        let expected_steps: Vec<_> = path.windows(2).map(|p| (p[0], p[1])).collect();
        let steps: Vec<_> = told.iter().map(|t| (t.from, t.to)).collect();
        self.unless_equal("transitions", &pairs(&expected_steps), &pairs(&steps));
        let at: Vec<_> = told.iter().map(|t| Some(t.at)).collect();
        let states: Vec<_> = life.states.iter().map(|step| step.at).collect();
        let since = states.len().saturating_sub(at.len());
        self.unless_equal("times of transitions", &states[since..].to_vec(), &at);
        self.durations(told);
    }

    fn durations(&mut self, told: &[Transition]) {
        for pair in told.windows(2) {
            let lasted = Some(pair[1].at.since_us(pair[0].at));
            self.unless_equal("in_from_us", &lasted, &pair[1].in_from_us);
        }
        if told.iter().any(|t| t.source != "observed" && t.source != "inferred") {
            self.0.push("a transition is neither observed nor inferred".into());
        }
    }

    fn segments(&mut self, expected: &Expected, told: &[Segment]) {
        let Some(expected) = &expected.segments else { return };
        let told: Vec<String> = told
            .iter()
            .map(|s| {
                format!("{} {}{}", s.direction, s.flags, if s.retransmit { " again" } else { "" })
            })
            .collect();
        self.unless_equal("segments", &expected.join(", "), &told.join(", "));
    }
}

/// States as a person writes them.
pub fn names(path: &[TcpState]) -> String {
    path.iter().map(|s| s.name()).collect::<Vec<_>>().join(" ")
}

fn pairs(steps: &[(TcpState, TcpState)]) -> String {
    let step = |(from, to): &(TcpState, TcpState)| format!("{from}>{to}");
    steps.iter().map(step).collect::<Vec<_>>().join(" ")
}
