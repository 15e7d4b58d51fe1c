//! Holds all that the program told against what another witness told of the same run, life by life: no
//! expectation comes in between.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use tracer::tcp::TcpState;

use crate::expect::visible;
use crate::run::Outcome;
use crate::support::records::{Life, Line, Transition};
use crate::support::witness::{self, Told};

/// How far the two stamps of one event may lie apart more than usual, for nine of ten events: both hooks run in the
/// same call.
const CLOCKS_APART_NS: u64 = 2_000_000;
/// And for any: an emulated processor may be stopped between the two.
const STOPPED_NS: u64 = 200_000_000;

type Ends = (SocketAddr, SocketAddr);

/// In what the program and the kernel's own trace differ, life by life and in order.
pub fn disagreements(outcome: &Outcome) -> Vec<String> {
    let theirs = witness::lives(&outcome.told);
    let mut problems = Vec::new();
    for (ends, lives) in ours(outcome) {
        let theirs = theirs.get(&ends).map_or(&[][..], Vec::as_slice);
        if theirs.len() == lives.len() {
            problems.extend(lives.iter().zip(theirs).filter_map(|(life, t)| compare(life, t)));
        } else {
            let (count, other) = (lives.len(), theirs.len());
            problems.push(format!("{ends:?}: {count} lives told, the kernel had {other}"));
        }
    }
    problems
}

/// In what the program and a witness differ that tells without times and, over several processors, out of order:
/// per pair of ends the same transitions, each as often. One that has lost events may have told fewer.
pub fn unordered_disagreements(outcome: &Outcome, told: &[Told], lost: bool) -> Vec<String> {
    let mut theirs: HashMap<Ends, Counts> = HashMap::new();
    for event in told.iter().filter(|event| is_countable(event.from, event.to)) {
        let counts = theirs.entry((event.local, event.remote)).or_default();
        *counts.entry((event.from, event.to)).or_default() += 1;
    }
    let mut problems = Vec::new();
    for (ends, lives) in ours(outcome) {
        let mut counts = Counts::new();
        for step in lives.iter().flat_map(|life| steps(life)).filter(|s| is_countable(s.0, s.1)) {
            *counts.entry(step).or_default() += 1;
        }
        let seen = theirs.remove(&ends).unwrap_or_default();
        let older = lives.iter().any(|life| life.older_than_tracer);
        let same = (older || is_within(&seen, &counts)) && (lost || is_within(&counts, &seen));
        if !same {
            problems.push(format!("{ends:?}: told {counts:?}, the witness saw {seen:?}"));
        }
    }
    problems
}

type Counts = BTreeMap<(TcpState, TcpState), usize>;

/// A socket has no port yet, or an old one, on its way to SYN_SENT; out of LISTEN it may have no addresses.
fn is_countable(from: TcpState, to: TcpState) -> bool {
    from != to && to != TcpState::SynSent && from != TcpState::Listen
}

fn is_within(part: &Counts, whole: &Counts) -> bool {
    part.iter().all(|(step, count)| whole.get(step).is_some_and(|other| other >= count))
}

/// Every life in the scenarios' namespaces that leaves a trace in `inet_sock_set_state`.
fn ours(outcome: &Outcome) -> HashMap<Ends, Vec<&Life>> {
    let namespaces: Vec<u32> = outcome.played.iter().flat_map(|p| p.stage.namespaces()).collect();
    let mut ours: HashMap<Ends, Vec<&Life>> = HashMap::new();
    for output in outcome.run.iter().flat_map(|run| &run.lines) {
        if let Line::Connection(life) = &output.line
            && life.netns.is_some_and(|netns| namespaces.contains(&netns))
            && !steps(life).is_empty()
        {
            ours.entry((life.local(), life.remote())).or_default().push(life);
        }
    }
    for lives in ours.values_mut() {
        lives.sort_by_key(|life| life.states.first().and_then(|step| step.at));
    }
    ours
}

fn steps(life: &Life) -> Vec<(TcpState, TcpState)> {
    let mut path = life.path();
    // connect(2) in repair mode goes through SYN_SENT without a SYN.
    if life.is_restored() {
        path.insert(0, TcpState::SynSent);
    }
    visible(!life.older_than_tracer && path.first() == Some(&TcpState::SynSent), &path)
}

fn compare(life: &Life, theirs: &[Told]) -> Option<String> {
    let ours = steps(life);
    let theirs: Vec<_> = theirs.iter().map(|t| (t.from, t.to)).collect();
    let same = if life.older_than_tracer { theirs.ends_with(&ours) } else { ours == theirs };
    (!same).then(|| format!("{}: told {ours:?}, the kernel did {theirs:?}", life.id))
}

/// Whether the times of what both saw lie as far apart as two clocks do: always the same.
pub fn clocks_apart(outcome: &Outcome) -> Result<usize, String> {
    let theirs = witness::lives(&outcome.told);
    let mut transitions: HashMap<&str, Vec<&Transition>> = HashMap::new();
    for output in outcome.run.iter().flat_map(|run| &run.lines) {
        if let Line::Transition(transition) = &output.line {
            transitions.entry(transition.conn.as_str()).or_default().push(transition);
        }
    }
    let mut offsets: Vec<(u64, &str)> = Vec::new();
    for (ends, lives) in ours(outcome) {
        for (life, theirs) in lives.iter().zip(theirs.get(&ends).into_iter().flatten()) {
            let steps = transitions.get(life.id.as_str()).into_iter().flatten();
            for step in steps.filter(|step| same_moment(step)) {
                let same = theirs.iter().find(|t| (t.from, t.to) == (step.from, step.to));
                offsets.extend(same.map(|t| (step.at.0 - t.at_ns, life.id.as_str())));
            }
        }
    }
    offsets.sort_unstable();
    let Some(&(usual, _)) = offsets.get(offsets.len() / 2) else {
        return Err("no event was seen by both".into());
    };
    let mut apart: Vec<(u64, &str)> =
        offsets.iter().map(|&(offset, id)| (offset.abs_diff(usual), id)).collect();
    apart.sort_unstable();
    let most = &apart[apart.len() * 9 / 10];
    // Between the two hooks of one event an emulated processor may be stopped for as long as its host likes.
    let worst = &apart[apart.len() * 99 / 100];
    if most.0 > CLOCKS_APART_NS || worst.0 > STOPPED_NS {
        return Err(format!(
            "stamps lie apart: {} ns for most, {} ns for {}",
            most.0, worst.0, worst.1
        ));
    }
    Ok(offsets.len())
}

/// Steps that both are told of by the same tracepoint.
fn same_moment(step: &Transition) -> bool {
    use TcpState::{Close, FinWait2, Listen, TimeWait};
    step.source == "observed"
        && ![Listen, TimeWait].contains(&step.from)
        && step.to != TimeWait
        && (step.from, step.to) != (FinWait2, Close)
}
