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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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

/// A ring filled so far is worked off by a reader among the others: it is what bursts of a few milliseconds do not leave, so
/// that nobody waits for the reader where there is time to spare between them.
const NEED: Fill = Fill::percent(20);
/// From here on there may be no time left: at 450 MB of events a second a ring is full 40 ms later.
const DANGER: Fill = Fill::percent(40);
/// As good as read.
const EASE: Fill = Fill::percent(2);
/// Between looks at the rings while there is little in them. At the rate above they fill to two thirds in it.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The same while there is more.
const WATCH_EVERY: Duration = Duration::from_millis(10);
/// The same while nothing is in them and the reader has its turns: on an idle host each look costs as much as reading does.
const IDLE_EVERY: Duration = Duration::from_millis(150);
/// Within it the reader must have had its turn: longer than its pauses on an idle host, and so short that a person does not
/// see it.
const PATIENCE: Duration = Duration::from_millis(150);
/// Where so many others want a processor that it had none among them for as long again.
const NO_PATIENCE: Duration = Duration::from_millis(300);

/// Sees to the priority of one thread for as long as it lives; then that one comes first again, to come to its end.
pub(super) struct Priority {
    /// Closed to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    turns: Arc<AtomicU32>,
    stands_behind: Arc<AtomicBool>,
}

/// Where the reader stands among those who want a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Runs when no other program wants to, and gives way at once to one that wakes up (SCHED_IDLE, sched(7)); to one that waits, by
    /// [`Priority::turn`].
    Behind,
    /// Like any other program.
    Among,
    /// Before other programs.
    First,
}

/// Where the reader has to stand.
struct Judgement {
    standing: Standing,
    /// The reader's turns at the last look, and how long it has had none.
    turns: u32,
    without_a_turn: Duration,
}

impl Judgement {
    /// The rings are filled so far and the reader has had so many turns, this long after the last look.
    fn look(&mut self, fill: Fill, turns: u32, since: Duration) -> Standing {
        let has_had_one = turns != self.turns;
        self.turns = turns;
        self.without_a_turn =
            if has_had_one { Duration::ZERO } else { self.without_a_turn.saturating_add(since) };
        self.standing = self.by_fill(fill).max(self.by_patience());
        self.standing
    }

    /// What was begun is brought to its end.
    fn by_fill(&self, fill: Fill) -> Standing {
        match self.standing {
            _ if fill >= DANGER => Standing::First,
            Standing::First if fill >= NEED => Standing::First,
            _ if fill >= NEED => Standing::Among,
            Standing::First | Standing::Among if fill >= EASE => Standing::Among,
            _ => Standing::Behind,
        }
    }

    fn by_patience(&self) -> Standing {
        match self.without_a_turn {
            long if long >= NO_PATIENCE => Standing::First,
            long if long >= PATIENCE => Standing::Among,
            _ => Standing::Behind,
        }
    }

    /// How long until the next look.
    fn pause(&self, fill: Fill) -> Duration {
        let is_idle = self.standing == Standing::Behind && self.without_a_turn.is_zero();
        match fill {
            _ if fill >= EASE => WATCH_EVERY,
            _ if is_idle && fill <= Fill::percent(0) => IDLE_EVERY,
            _ => LOOK_EVERY,
        }
    }
}

impl Priority {
    /// Sees to the calling thread, which reads the rings of `gauge`. Where it may not come first, it stays as it is.
    pub fn of_this_thread(gauge: Gauge) -> Priority {
        let reader = gettid();
        let turns = Arc::<AtomicU32>::default();
        let stands_behind = Arc::<AtomicBool>::default();
        // It shows whether the way back is open: once it stands behind, only CAP_SYS_NICE brings a thread before others.
        if let Err(error) = stand(reader, Standing::First) {
            log::info!(
                "runs at ordinary priority ({error}): on a saturated host events may be lost"
            );
            return Priority { stop: None, thread: None, turns, stands_behind };
        }
        let (stop, stopped) = mpsc::channel();
        let (taken, behind) = (Arc::clone(&turns), Arc::clone(&stands_behind));
        let attend = move || {
            // Signals stay the other threads': two at once, each handled on a thread of its own, would both be the first
            // (`trace::end_at_once_when_told_twice`).
            _ = SigSet::all().thread_block();
            let (standing, without_a_turn) = (Standing::First, Duration::ZERO);
            let mut judgement = Judgement { standing, turns: 0, without_a_turn };
            let mut pause = LOOK_EVERY;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let stood = judgement.standing;
                let fill = gauge.fill();
                let standing = judgement.look(fill, taken.load(Ordering::Relaxed), pause);
                pause = judgement.pause(fill);
                if standing != stood
                    && let Err(error) = stand(reader, standing)
                {
                    log::warn!("the tracing thread's priority cannot be changed: {error}");
                    return;
                }
                behind.store(standing == Standing::Behind, Ordering::Relaxed);
            }
            behind.store(false, Ordering::Relaxed);
            _ = stand(reader, Standing::First);
        };
        let thread = thread::Builder::new().name("priority".to_owned()).spawn(attend);
        let thread = thread.inspect_err(|error| log::info!("always comes first ({error})")).ok();
        Priority { stop: Some(stop), thread, turns, stands_behind }
    }

    /// The thread has had its turn. Where it stands behind others, those that wait go first now: once the kernel has picked a
    /// thread it leaves it the processor up to the next tick, 4 ms later or more, whatever its policy.
    pub fn turn(&self) {
        // It counts, and orders nothing.
        self.turns.fetch_add(1, Ordering::Relaxed);
        if self.stands_behind.load(Ordering::Relaxed) {
            thread::yield_now();
        }
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
        Judgement { standing: Behind, turns: 0, without_a_turn: Duration::ZERO }
    }

    /// Where it stands at looks every 50 ms at which it has had so many turns.
    fn stood<const N: usize>(turns: [u32; N]) -> [Standing; N] {
        let mut judgement = judgement();
        turns.map(|turns| judgement.look(EMPTY, turns, LOOK_EVERY))
    }

    #[test]
    fn a_reader_that_has_its_turns_and_empty_rings_stands_behind() {
        let turns: Vec<u32> = (1..20).collect();
        let mut judgement = judgement();
        assert!(turns.iter().all(|turns| judgement.look(EMPTY, *turns, IDLE_EVERY) == Behind));
    }

    #[test]
    fn the_more_is_in_the_rings_the_sooner_comes_the_next_look() {
        let mut judgement = judgement();
        judgement.look(EMPTY, 1, LOOK_EVERY);
        assert_eq!(judgement.pause(EMPTY), IDLE_EVERY);
        assert_eq!(judgement.pause(Fill::percent(1)), LOOK_EVERY);
        assert_eq!(judgement.pause(Fill::percent(2)), WATCH_EVERY);
        judgement.look(EMPTY, 1, LOOK_EVERY);
        assert_eq!(judgement.pause(EMPTY), LOOK_EVERY);
    }

    #[test]
    fn what_a_burst_leaves_in_a_ring_waits_and_what_more_is_there_is_read_among_the_others() {
        let mut judgement = judgement();
        let stood = [6, 19, 20, 19, 6, 2, 1, 19]
            .iter()
            .zip(1..)
            .map(|(percent, turns)| judgement.look(Fill::percent(*percent), turns, WATCH_EVERY));
        let expected = [Behind, Behind, Among, Among, Among, Among, Behind, Behind];
        assert_eq!(stood.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_ring_that_may_soon_be_full_brings_the_reader_first_until_it_is_not() {
        let mut judgement = judgement();
        let stood = [39, 40, 39, 20, 19, 2, 1]
            .iter()
            .zip(1..)
            .map(|(percent, turns)| judgement.look(Fill::percent(*percent), turns, WATCH_EVERY));
        let expected = [Among, First, First, First, Among, Among, Behind];
        assert_eq!(stood.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_reader_without_a_turn_stands_among_the_others_until_it_has_had_one() {
        let stood = stood([1, 1, 1, 1, 1, 2, 3]);
        assert_eq!(stood, [Behind, Behind, Behind, Among, Among, Behind, Behind]);
    }

    #[test]
    fn a_reader_without_a_turn_among_many_others_comes_first() {
        let stood = stood([1, 1, 1, 1, 1, 1, 1, 1, 2]);
        assert_eq!(stood[3..], [Among, Among, Among, First, First, Behind]);
    }

    #[test]
    fn looks_that_come_sooner_do_not_make_it_impatient() {
        let mut judgement = judgement();
        let stood: Vec<Standing> =
            (0..15).map(|_| judgement.look(Fill::percent(2), 1, WATCH_EVERY)).collect();
        assert!(stood.iter().all(|standing| *standing == Behind), "{stood:?}");
    }
}
