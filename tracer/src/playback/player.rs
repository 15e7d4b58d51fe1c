//! The player: which records are due at a time that it keeps, and what a person does to that time.

use super::{Reveal, told_at};
use crate::record::{Connection, Record};
use crate::recording::Sight;
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

/// How far ahead of what is told connections are looked for, nanoseconds: those that last are noted when they are a second
/// old, and a block of a recording can be as much younger.
const AHEAD_NS: u64 = 2_500_000_000;

/// What is played.
pub trait Source {
    /// Looks at the next part: who is in it. `None` behind the last one.
    fn look(&mut self) -> Option<Sight>;
    /// The next record of the parts that were looked at.
    fn read(&mut self) -> Option<Record>;
    /// Whether so much is looked at and not read that no more should be.
    fn is_full(&self) -> bool;
}

/// Whether a record is what somebody looks for; with its connection, where that is known.
pub type Wanted = Box<dyn FnMut(&Record, Option<&Connection>) -> bool + Send>;

/// Plays records in their order; none is told before its time. `open` gives them from the first one on.
pub struct Player<R, F> {
    open: F,
    source: R,
    /// Up to where was looked ahead; the end of time once there is no more.
    looked_until: Timestamp,
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
    /// What it is on its way to, at once.
    wanted: Option<Wanted>,
    /// The last batch was too small for the time that went by.
    is_behind: bool,
    lost: u64,
}

impl<R: Source, F: FnMut() -> R> Player<R, F> {
    /// A player of what `open` gives, whose last record was told at `end`; `None` where there is no record.
    pub fn new(mut open: F, end: Timestamp) -> Option<Player<R, F>> {
        let mut player = Player {
            source: open(),
            looked_until: Timestamp(0),
            open,
            next: None,
            reveal: Reveal::default(),
            at: Timestamp(0),
            begin: Timestamp(0),
            end,
            speed: ORDINARY,
            is_paused: false,
            goal: None,
            wanted: None,
            is_behind: false,
            lost: 0,
        };
        player.read_next();
        let (_, begin) = player.next.as_ref()?;
        player.begin = *begin;
        player.at = *begin;
        player.end = end.max(*begin);
        Some(player)
    }

    /// The time of the first record.
    #[must_use]
    pub const fn begins_at(&self) -> Timestamp {
        self.begin
    }

    /// The time of the last record, as far as that is known.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.end
    }

    /// What is there before the first record.
    pub fn begin(&mut self, out: &mut Vec<Update>) {
        self.show_older(out);
        out.push(Update::Play(self.status()));
    }

    fn show_older(&mut self, out: &mut Vec<Update>) {
        self.look_ahead(self.begin);
        self.reveal.begin(self.begin, out);
    }

    /// Lets `elapsed_ns` go by and tells what that brings.
    pub fn pass(&mut self, elapsed_ns: u64, out: &mut Vec<Update>) {
        if let Some(goal) = self.goal {
            if self.tell_until(goal, out) {
                self.at = goal;
                self.goal = None;
            }
        } else if let Some(wanted) = self.wanted.take() {
            self.seek(wanted, out);
        } else if self.is_paused || self.has_ended() {
            return;
        } else if let Some(speed) = SPEEDS.get(self.speed) {
            let target = self.at.plus_ns((elapsed_ns as f64 * speed) as u64);
            // What does not fit into a batch makes the time wait, and is told next.
            self.is_behind = !self.tell_until(target, out);
            self.at = if self.is_behind { self.at } else { target.min(self.end) };
        } else {
            self.tell_until(self.end, out);
        }
        out.push(Update::Play(self.status()));
    }

    /// Whether there is nothing to wait for but what a person asks.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.goal.is_none() && self.wanted.is_none() && (self.is_paused || self.has_ended())
    }

    /// Whether it has more to tell at once than it told last.
    #[must_use]
    pub fn hurries(&self) -> bool {
        let is_fastest = self.speed >= SPEEDS.len();
        !self.stands()
            && (self.goal.is_some() || self.wanted.is_some() || self.is_behind || is_fastest)
    }

    fn has_ended(&self) -> bool {
        self.next.is_none()
    }

    /// Does what a person asks for.
    pub fn act(&mut self, play: Play, out: &mut Vec<Update>) {
        self.wanted = None;
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

    /// Goes on, at once, to the next record that is wanted, and stops there; at the end if there is none.
    pub fn to_next(&mut self, wanted: Wanted) {
        self.goal = None;
        self.wanted = Some(wanted);
    }

    /// Looks for what is wanted in the next batch of records.
    fn seek(&mut self, mut wanted: Wanted, out: &mut Vec<Update>) {
        for _ in 0..BATCH {
            let Some((_, due)) = self.next else { return };
            self.look_ahead(due);
            let Some((record, _)) = &self.next else { return };
            let connection = record.conn().and_then(|id| self.reveal.known(id));
            let is_wanted = wanted(record, connection);
            self.tell_next(out);
            if is_wanted {
                self.is_paused = true;
                return;
            }
        }
        self.wanted = Some(wanted);
    }

    fn go_to(&mut self, time: Timestamp, out: &mut Vec<Update>) {
        let time = time.clamp(self.begin, self.end);
        if time < self.at {
            // Records can be told forward only: from the first one again.
            self.source = (self.open)();
            self.looked_until = Timestamp(0);
            self.reveal.restart();
            (self.at, self.lost) = (self.begin, 0);
            self.read_next();
            out.push(Update::Restart(self.begin));
            self.show_older(out);
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
        self.look_ahead(due);
        if let Record::Loss(loss) = &record {
            self.lost = self.lost.saturating_add(loss.lost_events());
        }
        self.reveal.tell(record, self.at, out);
        self.read_next();
    }

    fn read_next(&mut self) {
        let before = self.at;
        self.next = self.read().map(|record| {
            // One that does not say when came with the one before it.
            let due = told_at(&record).unwrap_or(before);
            (record, due)
        });
        // The last blocks need not hold the latest time.
        self.end = self.next.as_ref().map_or(self.end, |(_, due)| self.end.max(*due));
    }

    fn read(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.source.read() {
                return Some(record);
            }
            self.look().then_some(())?;
        }
    }

    /// Looks for connections up to some time behind `at`, as far as there is room.
    fn look_ahead(&mut self, at: Timestamp) {
        let until = at.plus_ns(AHEAD_NS);
        while self.looked_until < until && !self.source.is_full() && !self.reveal.is_full() {
            self.look();
        }
    }

    /// Looks at the next part; false where there is none.
    fn look(&mut self) -> bool {
        let Some(sight) = self.source.look() else {
            self.looked_until = Timestamp(u64::MAX);
            return false;
        };
        self.looked_until = self.looked_until.max(sight.until);
        sight.connections.into_iter().for_each(|connection| self.reveal.learn(connection));
        true
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
    use crate::record::Loss;
    use crate::tcp::TcpState::{Close, Established, SynSent};
    use crate::tui::fixture::{NOW, ago, transition};

    const SECOND_NS: u64 = 1_000_000_000;

    /// Records one by one, each a part of its own.
    struct Parts {
        records: std::vec::IntoIter<Record>,
        seen: std::collections::VecDeque<Record>,
    }

    impl Source for Parts {
        fn look(&mut self) -> Option<Sight> {
            let record = self.records.next()?;
            let connections = match &record {
                Record::Connection(connection) => vec![connection.clone()],
                _ => Vec::new(),
            };
            let until = told_at(&record).unwrap_or_default();
            self.seen.push_back(record);
            Some(Sight { connections, until })
        }

        fn read(&mut self) -> Option<Record> {
            self.seen.pop_front()
        }

        fn is_full(&self) -> bool {
            self.seen.len() >= 100
        }
    }

    fn player_of(records: Vec<Record>) -> Player<Parts, impl FnMut() -> Parts> {
        let open = move || Parts {
            records: records.clone().into_iter(),
            seen: std::collections::VecDeque::new(),
        };
        Player::new(open, NOW).unwrap()
    }

    /// Something at three seconds ago, and three changes at two seconds, one second and no time ago.
    fn player() -> Player<Parts, impl FnMut() -> Parts> {
        let moved = |from, to, us| Record::Transition(transition(5, from, to, ago(us)));
        let begun = Record::Loss(Loss { at: ago(3_000_000), hook: "state".to_owned(), events: 1 });
        let mut player = player_of(vec![
            begun,
            moved(Close, SynSent, 2_000_000),
            moved(SynSent, Established, 1_000_000),
            moved(Established, Close, 0),
        ]);
        player.pass(0, &mut Vec::new());
        player
    }

    #[test]
    fn a_connection_is_known_when_it_opens_though_its_record_comes_at_its_end() {
        let whole = crate::tui::fixture::connection(5);
        let told = crate::record::Connection { closed_at: Some(ago(0)), ..whole };
        let mut player = player_of(vec![
            Record::Transition(transition(5, Close, SynSent, ago(2_000_000))),
            Record::Connection(told.into()),
        ]);
        let mut out = Vec::new();
        player.begin(&mut out);
        player.pass(0, &mut out);
        let shown = out.iter().find_map(|update| match update {
            Update::Connection(connection) => Some((connection.id.0, connection.closed_at)),
            _ => None,
        });
        assert_eq!(shown, Some((5, None)));
    }

    #[test]
    fn without_a_record_there_is_nothing_to_play() {
        let none =
            || Parts { records: Vec::new().into_iter(), seen: std::collections::VecDeque::new() };
        assert!(Player::new(none, NOW).is_none());
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
        assert_eq!(records(&mut out), 2, "with the one at the begin");
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
    fn the_next_record_that_is_wanted_is_gone_to_at_once_and_stopped_at() {
        let (mut player, mut out) = (player(), Vec::new());
        let stands = |record: &Record, _: Option<&Connection>| matches!(record, Record::Transition(to) if to.to == Established);
        player.to_next(Box::new(stands));
        assert!(!player.stands());
        player.pass(0, &mut out);
        assert!(player.stands());
        assert!(
            matches!(out.last(), Some(Update::Play(at)) if at.at == ago(1_000_000) && at.is_paused)
        );
        // There is no second one.
        player.to_next(Box::new(stands));
        player.pass(0, &mut out);
        assert!(matches!(out.last(), Some(Update::Play(at)) if at.has_ended));
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
        assert!(player.hurries());
        player.pass(0, &mut out);
        assert!(player.stands() && !player.hurries());
        assert_eq!(records(&mut out), 1);
    }

    #[test]
    fn more_than_a_batch_holds_is_hurried_after() {
        let moved = |_| Record::Transition(transition(5, Close, SynSent, ago(1_000_000)));
        let mut player = player_of((0..3 * BATCH).map(moved).collect());
        let mut out = Vec::new();
        player.pass(SECOND_NS, &mut out);
        assert_eq!(records(&mut out), BATCH);
        assert!(player.hurries());
        player.pass(0, &mut out);
        player.pass(0, &mut out);
        assert_eq!(records(&mut out), 2 * BATCH);
        player.pass(0, &mut out);
        assert!(!player.hurries());
    }
}
