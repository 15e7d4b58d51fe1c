//! Holds all that the program told against what another witness told of the same run, life by life: no
//! expectation comes in between.

use std::collections::HashMap;
use std::net::SocketAddr;

use tracer::tcp::TcpState;

use crate::expect::visible;
use crate::run::Outcome;
use crate::support::records::{Life, Line, Transition};
use crate::support::witness::{self, Told};

/// How far the two clocks of one event may lie apart, over all events.
const CLOCKS_APART_NS: u64 = 2_000_000;

type Ends = (SocketAddr, SocketAddr);

/// In what the program and a witness differ; a witness that has lost events may have told less.
pub fn disagreements(outcome: &Outcome, told: &[Told], witness_lost: bool) -> Vec<String> {
    let theirs = witness::lives(told);
    let mut problems = Vec::new();
    for (ends, lives) in ours(outcome) {
        let theirs = theirs.get(&ends).map_or(&[][..], Vec::as_slice);
        if theirs.len() != lives.len() && !witness_lost {
            let (count, other) = (lives.len(), theirs.len());
            problems.push(format!("{ends:?}: {count} lives told, the witness saw {other}"));
            continue;
        }
        for (life, theirs) in lives.iter().zip(theirs) {
            problems.extend(compare(life, theirs, witness_lost));
        }
    }
    problems
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
    let path = life.path();
    visible(!life.older_than_tracer && path.first() == Some(&TcpState::SynSent), &path)
}

fn compare(life: &Life, theirs: &[Told], witness_lost: bool) -> Option<String> {
    let ours = steps(life);
    let theirs: Vec<_> = theirs.iter().map(|t| (t.from, t.to)).collect();
    let same = if life.older_than_tracer {
        theirs.ends_with(&ours)
    } else if witness_lost {
        let mut rest = ours.iter();
        theirs.iter().all(|step| rest.any(|s| s == step))
    } else {
        ours == theirs
    };
    (!same).then(|| format!("{}: told {ours:?}, the witness saw {theirs:?}", life.id))
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
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) if last.0 - first.0 > CLOCKS_APART_NS => {
            Err(format!("{} and {} lie {} ns apart", first.1, last.1, last.0 - first.0))
        }
        _ => Ok(offsets.len()),
    }
}

/// Steps that both are told of by the same tracepoint.
fn same_moment(step: &Transition) -> bool {
    use TcpState::{Close, FinWait2, Listen, TimeWait};
    step.source == "observed"
        && ![Listen, TimeWait].contains(&step.from)
        && step.to != TimeWait
        && (step.from, step.to) != (FinWait2, Close)
}
