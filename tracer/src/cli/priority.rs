//! How urgently the tracing thread asks for a processor.
//!
//! Where there is time to spare it runs in what others leave: a request that comes while events are read is not kept
//! waiting by that (docs/decisions/0010). Where it has not had its turn for a while it waits like any other program, and
//! where that brings it none either it comes first, or what it tells would be seconds old; it comes first too where the
//! rings fill up, or events would be lost.
//!
//! A thread that nobody leaves time to cannot see that: another one looks after it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::SigSet;
use nix::unistd::{Pid, gettid};

use crate::ring::{Fill, Gauge};
use crate::scheduling;

/// The nice value of a thread that others wait for.
const BEFORE_OTHERS: i32 = -10;
/// Of one that only draws.
const BEHIND_OTHERS: i32 = 10;

/// A ring is in need when it is filled so far: at 20,000 connections a second that is some 30 ms of events.
const NEED: Fill = Fill::percent(6);
/// And so far it is as good as read.
const EASE: Fill = Fill::percent(2);
/// Between looks at the rings. At the rate above they fill by a tenth in it.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same while nothing is in them and the reader has its turns: on an idle host each look costs as much as reading does.
const IDLE_EVERY: Duration = Duration::from_millis(150);
/// Looks within which the reader must have had its turn: longer than its pauses on an idle host, and so short that
/// a person does not see it.
const PATIENCE: u32 = 3;
/// Where so many others want a processor that it had none among them for as long again.
const NO_PATIENCE: u32 = 2 * PATIENCE;

/// Sees to the priority of one thread for as long as it lives; then that one comes first again, to come to its end.
pub(super) struct Priority {
    /// Closed to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    turns: Arc<AtomicU32>,
}

/// Where the reader stands among those who want a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Runs when no other program wants to, and gives way at once to one that does (SCHED_IDLE, sched(7)).
    Behind,
    /// Like any other program.
    Among,
    /// Before other programs.
    First,
}

/// Where the reader has to stand.
struct Judgement {
    standing: Standing,
    /// The reader's turns at the last look, and for how many looks that has been so.
    turns: u32,
    unchanged: u32,
}

impl Judgement {
    fn look(&mut self, fill: Fill, turns: u32) -> Standing {
        self.unchanged = if turns == self.turns { self.unchanged.saturating_add(1) } else { 0 };
        self.turns = turns;
        let limit = if self.standing == Standing::First { EASE } else { NEED };
        self.standing = match self.unchanged {
            _ if fill >= limit => Standing::First,
            NO_PATIENCE.. => Standing::First,
            PATIENCE.. => Standing::Among,
            _ => Standing::Behind,
        };
        self.standing
    }

    /// How long until the next look.
    fn pause(&self, fill: Fill) -> Duration {
        let is_idle = self.standing == Standing::Behind && self.unchanged == 0;
        if is_idle && fill <= Fill::percent(0) { IDLE_EVERY } else { LOOK_EVERY }
    }
}

impl Priority {
    /// Sees to the calling thread, which reads the rings of `gauge`. Where it may not come first, it stays as it is.
    pub fn of_this_thread(gauge: Gauge) -> Priority {
        let reader = gettid();
        let turns = Arc::<AtomicU32>::default();
        // It shows whether the way back is open: once it stands behind, only CAP_SYS_NICE brings a thread before others.
        if let Err(error) = stand(reader, Standing::First) {
            log::info!(
                "runs at ordinary priority ({error}): on a saturated host events may be lost"
            );
            return Priority { stop: None, thread: None, turns };
        }
        let (stop, stopped) = mpsc::channel();
        let taken = Arc::clone(&turns);
        let attend = move || {
            // Signals stay the other threads': two at once, each handled on a thread of its own, would both be the first
            // (`trace::end_at_once_when_told_twice`).
            _ = SigSet::all().thread_block();
            let mut judgement = Judgement { standing: Standing::First, turns: 0, unchanged: 0 };
            let mut pause = LOOK_EVERY;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let stood = judgement.standing;
                let fill = gauge.fill();
                let standing = judgement.look(fill, taken.load(Ordering::Relaxed));
                pause = judgement.pause(fill);
                if standing != stood
                    && let Err(error) = stand(reader, standing)
                {
                    log::warn!("the tracing thread's priority cannot be changed: {error}");
                    return;
                }
            }
            _ = stand(reader, Standing::First);
        };
        let thread = thread::Builder::new().name("priority".to_owned()).spawn(attend);
        let thread = thread.inspect_err(|error| log::info!("always comes first ({error})")).ok();
        Priority { stop: Some(stop), thread, turns }
    }

    /// The thread has had its turn.
    pub fn turn(&self) {
        // It counts, and orders nothing.
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        self.stop = None;
        // It ends at once, and a panic of its own was told.
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Back among ordinary programs: for a thread that only draws.
pub(super) fn stand_back() {
    // Refused or not, drawing goes on.
    _ = rustix::process::setpriority_process(None, BEHIND_OTHERS);
}

fn stand(thread: Pid, standing: Standing) -> io::Result<()> {
    match standing {
        Standing::Behind => scheduling::idle(thread),
        Standing::Among => scheduling::ordinary(thread, 0),
        Standing::First => scheduling::ordinary(thread, BEFORE_OTHERS),
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Among, Behind, First};
    use super::*;

    const EMPTY: Fill = Fill::percent(0);

    fn judgement() -> Judgement {
        Judgement { standing: Behind, turns: 0, unchanged: 0 }
    }

    #[test]
    fn a_reader_that_has_its_turns_and_empty_rings_stands_behind() {
        let mut judgement = judgement();
        assert!((1..20).all(|turns| judgement.look(EMPTY, turns) == Behind));
    }

    #[test]
    fn while_nothing_happens_looks_are_rare() {
        let mut judgement = judgement();
        judgement.look(EMPTY, 1);
        assert_eq!(judgement.pause(EMPTY), IDLE_EVERY);
        assert_eq!(judgement.pause(Fill::percent(1)), LOOK_EVERY);
        judgement.look(EMPTY, 1);
        assert_eq!(judgement.pause(EMPTY), LOOK_EVERY);
    }

    #[test]
    fn a_filled_ring_brings_the_reader_first_until_it_is_as_good_as_read() {
        let mut judgement = judgement();
        let percents = [1, 5, 6, 5, 3, 2, 1, 5];
        let first =
            percents.iter().zip(1..).map(|(p, turns)| judgement.look(Fill::percent(*p), turns));
        let expected = [Behind, Behind, First, First, First, First, Behind, Behind];
        assert_eq!(first.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_reader_without_a_turn_stands_among_the_others_until_it_has_had_one() {
        let mut judgement = judgement();
        let stood = [1, 1, 1, 1, 1, 2, 3].map(|turns| judgement.look(EMPTY, turns));
        assert_eq!(stood, [Behind, Behind, Behind, Among, Among, Behind, Behind]);
    }

    #[test]
    fn a_reader_without_a_turn_among_many_others_comes_first() {
        let mut judgement = judgement();
        let stood = [1, 1, 1, 1, 1, 1, 1, 1, 2].map(|turns| judgement.look(EMPTY, turns));
        assert_eq!(stood[3..], [Among, Among, Among, First, First, Behind]);
    }
}
