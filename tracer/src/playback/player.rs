//! The player: which records are due at a time that it keeps, and what a person does to that time.

use super::{Reveal, told_at};
use crate::record::{Loss, Record};
use crate::time::Timestamp;
use crate::view_update::{PlayStatus, Update};

/// Speeds that can be chosen, of the time that it took; after the last one, as fast as it can.
pub const SPEEDS: [f64; 10] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
/// Where it begins: as it was.
const ORDINARY: usize = 3;
/// Records told at once at most, so that nothing waits long for what a person asks.
const BATCH: usize = 2_000;

/// What a person asks of the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Stop, or go on.
    TogglePause,
    /// Stop, and go to the next record.
    Step,
    /// The next higher speed.
    Faster,
    /// The next lower speed.
    Slower,
    /// To this time, before or behind.
    To(Timestamp),
}

/// Plays records in their order; none is told before its time. `open` gives them from the first one on.
pub struct Player<R, F> {
    open: F,
    records: R,
    /// The next record, read already, and its time.
    next: Option<(Record, Timestamp)>,
    reveal: Reveal,
    at: Timestamp,
    begin: Timestamp,
    end: Timestamp,
    /// Index into [`SPEEDS`]; behind its end: as fast as it can.
    speed: usize,
    is_paused: bool,
    /// The time that it is on its way to, at once.
    goal: Option<Timestamp>,
    lost: u64,
}

impl<R: Iterator<Item = Record>, F: FnMut() -> R> Player<R, F> {
    /// A player of what `open` gives, which was told from `begin` to `end` and which `reveal` has learned.
    pub fn new(mut open: F, reveal: Reveal, begin: Timestamp, end: Timestamp) -> Player<R, F> {
        let mut player = Player {
            records: open(),
            open,
            next: None,
            reveal,
            at: begin,
            begin,
            end,
            speed: ORDINARY,
            is_paused: false,
            goal: None,
            lost: 0,
        };
        player.read_next();
        player
    }

    /// What is there before the first record.
    pub fn begin(&mut self, out: &mut Vec<Update>) {
        self.reveal.begin(self.begin, out);
        out.push(Update::Play(self.status()));
    }

    /// Lets `elapsed_ns` go by and tells what that brings.
    pub fn pass(&mut self, elapsed_ns: u64, out: &mut Vec<Update>) {
        if let Some(goal) = self.goal {
            if self.tell_until(goal, out) {
                self.at = goal;
                self.goal = None;
            }
        } else if self.is_paused || self.has_ended() {
            return;
        } else if let Some(speed) = SPEEDS.get(self.speed) {
            let target = self.at.plus_ns((elapsed_ns as f64 * speed) as u64);
            // What does not fit into a batch makes the time wait, and is told next.
            self.at = if self.tell_until(target, out) { target.min(self.end) } else { self.at };
        } else {
            self.tell_until(self.end, out);
        }
        out.push(Update::Play(self.status()));
    }

    /// Whether there is nothing to wait for but what a person asks.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.goal.is_none() && (self.is_paused || self.has_ended())
    }

    fn has_ended(&self) -> bool {
        self.next.is_none()
    }

    /// Does what a person asks for.
    pub fn act(&mut self, play: Play, out: &mut Vec<Update>) {
        match play {
            Play::TogglePause => self.is_paused = !self.is_paused,
            Play::Faster => self.speed = (self.speed + 1).min(SPEEDS.len()),
            Play::Slower => self.speed = self.speed.saturating_sub(1),
            Play::Step => {
                self.is_paused = true;
                self.tell_next(out);
            }
            Play::To(time) => self.go_to(time, out),
        }
        out.push(Update::Play(self.status()));
    }

    fn go_to(&mut self, time: Timestamp, out: &mut Vec<Update>) {
        let time = time.clamp(self.begin, self.end);
        if time < self.at {
            // Records can be told forward only: from the first one again.
            self.records = (self.open)();
            self.reveal.restart();
            (self.at, self.lost) = (self.begin, 0);
            self.read_next();
            out.push(Update::Restart(self.begin));
            self.reveal.begin(self.begin, out);
        }
        self.goal = Some(time);
    }

    /// Tells what is due by `target`; false where that was too much for one batch.
    fn tell_until(&mut self, target: Timestamp, out: &mut Vec<Update>) -> bool {
        for _ in 0..BATCH {
            if self.next.as_ref().is_none_or(|(_, due)| *due > target) {
                return true;
            }
            self.tell_next(out);
        }
        false
    }

    fn tell_next(&mut self, out: &mut Vec<Update>) {
        let Some((record, due)) = self.next.take() else { return };
        self.at = self.at.max(due);
        if let Record::Loss(Loss { events, .. }) = &record {
            self.lost = self.lost.saturating_add(*events);
        }
        self.reveal.tell(record, self.at, out);
        self.read_next();
    }

    fn read_next(&mut self) {
        let before = self.at;
        self.next = self.records.next().map(|record| {
            // One that does not say when came with the one before it.
            let due = told_at(&record).unwrap_or(before);
            (record, due)
        });
    }

    fn status(&self) -> PlayStatus {
        PlayStatus {
            at: self.at,
            begin: self.begin,
            end: self.end,
            speed: SPEEDS.get(self.speed).copied(),
            is_paused: self.is_paused,
            has_ended: self.has_ended(),
            lost: self.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpState::{Close, Established, SynSent};
    use crate::tui::fixture::{NOW, ago, transition};

    const SECOND_NS: u64 = 1_000_000_000;

    /// Three changes, at two seconds, one second and no time ago.
    fn player() -> Player<std::vec::IntoIter<Record>, impl FnMut() -> std::vec::IntoIter<Record>> {
        let moved = |from, to, us| Record::Transition(transition(5, from, to, ago(us)));
        let records = vec![
            moved(Close, SynSent, 2_000_000),
            moved(SynSent, Established, 1_000_000),
            moved(Established, Close, 0),
        ];
        let open = move || records.clone().into_iter();
        Player::new(open, Reveal::default(), ago(3_000_000), NOW)
    }

    fn records(out: &mut Vec<Update>) -> usize {
        out.drain(..).filter(|update| matches!(update, Update::Record(_))).count()
    }

    #[test]
    fn each_record_is_told_at_its_time() {
        let (mut player, mut out) = (player(), Vec::new());
        let told: Vec<usize> = (0..6)
            .map(|_| {
                player.pass(SECOND_NS / 2, &mut out);
                records(&mut out)
            })
            .collect();
        assert_eq!(told, [0, 1, 0, 1, 0, 1]);
        assert!(player.stands());
    }

    #[test]
    fn a_jump_forward_tells_what_lies_between_and_one_back_begins_anew() {
        let (mut player, mut out) = (player(), Vec::new());
        player.act(Play::To(ago(500_000)), &mut out);
        player.pass(0, &mut out);
        assert!(matches!(out.last(), Some(Update::Play(status)) if status.at == ago(500_000)));
        assert_eq!(records(&mut out), 2);
        player.act(Play::To(ago(1_500_000)), &mut out);
        assert!(matches!(out[0], Update::Restart(at) if at == ago(3_000_000)), "{out:?}");
        player.pass(0, &mut out);
        assert!(matches!(out.last(), Some(Update::Play(status)) if status.at == ago(1_500_000)));
        assert_eq!(records(&mut out), 1);
        player.act(Play::To(Timestamp(u64::MAX)), &mut out);
        player.pass(0, &mut out);
        assert_eq!(records(&mut out), 2);
        assert!(player.stands());
    }

    #[test]
    fn a_pause_holds_the_time_and_a_step_goes_to_the_next_record() {
        let (mut player, mut out) = (player(), Vec::new());
        player.act(Play::TogglePause, &mut out);
        player.pass(100 * SECOND_NS, &mut out);
        assert!(player.stands());
        assert_eq!(records(&mut out), 0);
        player.act(Play::Step, &mut out);
        assert!(matches!(out.last(), Some(Update::Play(status)) if status.at == ago(2_000_000)));
        assert_eq!(records(&mut out), 1);
    }

    #[test]
    fn twice_as_fast_is_half_as_long_and_the_fastest_does_not_wait() {
        let (mut player, mut out) = (player(), Vec::new());
        player.act(Play::Faster, &mut out);
        player.pass(SECOND_NS, &mut out);
        assert_eq!(records(&mut out), 2);
        for _ in 0..SPEEDS.len() {
            player.act(Play::Faster, &mut out);
        }
        player.pass(0, &mut out);
        assert!(player.stands());
        assert_eq!(records(&mut out), 1);
    }
}
