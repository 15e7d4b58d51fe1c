//! Timers of timewait and request sockets: SYN arrival, TIME_WAIT, an orphan's FIN_WAIT2, and their ends.
//!
//! `timer_cancel` comes before every re-arm and every expiry too, and when a request becomes a child. So a
//! cancel or an expiry is the end only when nothing that explains it follows ([`TIMER_SETTLE_NS`]).

use tracer_common::{TimerOf, TimerOp};

use super::connection::{SmallKind, SmallSocket};
use super::deadlines::Due;
use super::moment::Moment;
use super::tables::Key;
use super::tracker::{CHILD_WAIT_NS, TIMER_SETTLE_NS, Tracker};
use crate::event::Timer;
use crate::record::Source;
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

/// How long after events were found to be lost more of them may be.
const LOSS_SPAN_NS: u64 = 1_000_000_000;

impl Tracker {
    pub(super) fn apply_timer(&mut self, at: Timestamp, cookie: Option<u64>, timer: &Timer) {
        match (timer.of, timer.op) {
            (TimerOf::Request, TimerOp::Start) => self.request_armed(at, timer),
            (TimerOf::TimeWait, TimerOp::Start) => self.timewait_armed(at, cookie, timer),
            (_, TimerOp::Cancel) => self.small_socket_sign(at, cookie, timer, false),
            (_, TimerOp::Expire) => self.small_socket_sign(at, cookie, timer, true),
        }
    }

    /// A request socket's timer starts when its SYN arrives, and anew with each SYN+ACK sent again.
    fn request_armed(&mut self, at: Timestamp, timer: &Timer) {
        // The slab may give a new request the address of the one that has just become a child of the same tuple.
        let waiting = |id: &Key| {
            self.tables.get(*id).is_some_and(|c| c.state == TcpState::SynRecv && !c.child_seen)
        };
        let living = self.living(timer).filter(waiting);
        // A dump of the half-open sockets may have brought it before.
        let id = living.or_else(|| self.half_open(&timer.tuple)).or_else(|| {
            self.end_forgotten(&timer.tuple, at);
            self.open_server(timer.tuple, at, timer.isns)
        });
        let Some(id) = id else { return };
        self.tables.set_small(id, SmallKind::Request, timer.skaddr);
        if let Some(connection) = self.tables.get_mut(id) {
            // It has a listener (SO_REUSEPORT): `reqsk_timer_handler` starts no timer without one.
            connection.evidence.listener_closed = false;
        }
    }

    /// A timewait socket takes a connection over, or moves from an orphan's FIN_WAIT2 to TIME_WAIT, or TIME_WAIT
    /// begins again because the other end repeated its FIN.
    fn timewait_armed(&mut self, at: Timestamp, cookie: Option<u64>, timer: &Timer) {
        // The cookie first: the slab may give the address of a timewait socket that was just killed to the next one
        // of the same tuple.
        let known = self.find_socket(cookie, &timer.tuple).or_else(|| self.living(timer));
        if let Some(old) = self.living(timer).filter(|old| Some(*old) != known) {
            self.end_replaced(old, at);
        }
        let id = match known {
            Some(id) if self.can_become_timewait(id, at) => id,
            _ => match self.open_timewait(at, cookie, timer) {
                Some(id) => id,
                None => return,
            },
        };
        self.tables.set_small(id, SmallKind::TimeWait, timer.skaddr);
        let Some(state) = self.tables.get(id).map(|connection| connection.state) else { return };
        if !leads_to_timewait(state) {
            // Linux makes a timewait socket of FIN_WAIT2 and CLOSING only: the step to those was not seen.
            self.miss_step(id, at);
        }
        if state != timer.state {
            self.step(id, timer.state, at, Source::Observed);
        }
        if timer.state == TcpState::FinWait2 {
            self.orphans.insert(id);
        }
    }

    /// Whether the timewait socket can be this connection's. Its full socket's `-> CLOSE` comes a few
    /// microseconds later; should it be told first, the end is taken back.
    fn can_become_timewait(&mut self, id: Key, at: Timestamp) -> bool {
        let Some(connection) = self.tables.get_mut(id) else { return false };
        if let Some(closed_at) = connection.closed_at() {
            let just_closed = at.since_us(closed_at) < 1_000 && !connection.is_timewait();
            if !just_closed {
                return false;
            }
            connection.closed = false;
        }
        connection.state.is_synchronized() || connection.state == TcpState::Close
    }

    /// A timewait socket of a connection that is not known.
    fn open_timewait(&mut self, at: Timestamp, cookie: Option<u64>, timer: &Timer) -> Option<Key> {
        let id = self.open_older(timer.tuple, None, timer.state, at)?;
        if let Some(cookie) = cookie {
            self.tables.set_cookie(id, cookie);
        }
        Some(id)
    }

    /// The connection that this small socket is, by its address; another one's where the slab was reused.
    fn living(&self, timer: &Timer) -> Option<Key> {
        let id = self.tables.by_skaddr(timer.skaddr)?;
        let connection = self.tables.get(id)?;
        (connection.tuple == timer.tuple && !connection.is_closed()).then_some(id)
    }

    fn small_socket_sign(
        &mut self,
        at: Timestamp,
        cookie: Option<u64>,
        timer: &Timer,
        expired: bool,
    ) {
        let known = self.living(timer).or_else(|| self.adopt_dumped(cookie, timer));
        let Some(id) = known.or_else(|| self.open_at_start(at, cookie, timer)) else { return };
        let Some(connection) = self.tables.get_mut(id) else { return };
        let kind = kind_of(timer);
        let Some(small) = connection.small.as_mut().filter(|s| s.kind == kind) else { return };
        if expired || !small.expired {
            small.stopped_at = Moment::at(at);
            small.expired = expired;
        }
        // At its expiry the timewait socket says what it is: the step to TIME_WAIT may have had no event.
        let silent = timer.of == TimerOf::TimeWait && connection.state != timer.state;
        self.deadlines.push(at.plus_ns(TIMER_SETTLE_NS), id, Due::SmallSocketEnd);
        if silent {
            self.step(id, timer.state, at, Source::Inferred);
        }
    }

    /// A small socket that came from the dump, whose kernel address is only learned now.
    /// By its cookie: a new socket may have its tuple already, where that one's port was bound by hand.
    fn adopt_dumped(&mut self, cookie: Option<u64>, timer: &Timer) -> Option<Key> {
        let id = self.find_socket(cookie, &timer.tuple)?;
        let connection = self.tables.get(id)?;
        let small = connection.small_of(kind_of(timer))?;
        if small.skaddr != 0 || connection.is_closed() {
            return None;
        }
        self.tables.set_small(id, small.kind, timer.skaddr);
        Some(id)
    }

    /// A small socket that is older than the tracer and not known from a dump: it ends now, or its child is known
    /// already.
    fn open_at_start(&mut self, at: Timestamp, cookie: Option<u64>, timer: &Timer) -> Option<Key> {
        if !self.is_start(at) {
            return None;
        }
        let id = match timer.of {
            TimerOf::TimeWait => self.open_timewait(at, cookie, timer)?,
            TimerOf::Request if self.tables.by_tuple(&timer.tuple).is_some() => return None,
            TimerOf::Request => {
                self.open_older(timer.tuple, Some(Endpoint::Server), TcpState::SynRecv, at)?
            }
        };
        self.tables.set_small(id, kind_of(timer), timer.skaddr);
        Some(id)
    }

    /// Nothing came that explains the cancel or the expiry: it was the end of the small socket.
    pub(super) fn settle_small_socket(&mut self, id: Key, now: Timestamp) {
        let Some(connection) = self.tables.get(id) else { return };
        let Some(small) = connection.small else { return };
        match small.kind {
            SmallKind::TimeWait => self.settle(id, small, now),
            SmallKind::Request => self.settle_request(id, small, now),
        }
    }

    /// The kernel answers a SYN for a tuple only when no full socket has it: one that is still told here has ended
    /// unseen.
    fn end_forgotten(&mut self, tuple: &crate::event::Tuple, at: Timestamp) {
        let is_full =
            |id: &Key| self.tables.get(*id).is_some_and(|c| !c.is_closed() && !c.is_timewait());
        if let Some(id) = self.tables.by_tuple(tuple).filter(is_full) {
            self.miss_step(id, at);
            self.end_unseen(id, at);
        }
    }

    /// Another small socket has this one's address: it is gone, since its timer was cancelled.
    fn end_replaced(&mut self, id: Key, at: Timestamp) {
        let connection = self.tables.get(id);
        let timewait = connection.and_then(|c| c.small_of(SmallKind::TimeWait));
        let Some(timewait) = timewait else { return };
        let ended_at = timewait.stopped_at.get().unwrap_or(at);
        self.step(id, TcpState::Close, ended_at, Source::Observed);
        self.end(id, ended_at);
    }

    fn settle_request(&mut self, id: Key, request: SmallSocket, now: Timestamp) {
        let Some(connection) = self.tables.get(id) else { return };
        if connection.is_closed() {
            return;
        }
        if connection.child_seen || connection.state != TcpState::SynRecv {
            self.tables.clear_small(id);
            return;
        }
        self.settle(id, request, now);
    }

    /// Whether a child that was born without its tuple (before 6.18) may be this request's: its next event ties it,
    /// and on a stalled processor that takes its time.
    fn may_become_a_child(&self, id: Key, small: &SmallSocket, now: Timestamp) -> bool {
        let (false, Some(cancelled_at)) = (small.expired, small.stopped_at.get()) else {
            return false;
        };
        self.tables.get(id).is_some_and(|c| c.state == TcpState::SynRecv && !c.child_seen)
            && now.since_ns(cancelled_at) < CHILD_WAIT_NS
            && self.pending_children.values().any(|born_at| *born_at <= cancelled_at)
    }

    fn settle(&mut self, id: Key, small: SmallSocket, now: Timestamp) {
        let due = |sign: Timestamp| sign.plus_ns(TIMER_SETTLE_NS) <= now;
        if self.may_become_a_child(id, &small, now) {
            self.deadlines.push(now.plus_ns(TIMER_SETTLE_NS), id, Due::SmallSocketEnd);
            return;
        }
        if small.stopped_at.get().is_some_and(due) {
            self.end_small_socket(id, small);
        }
    }

    /// It ended when its timer stopped.
    pub(super) fn end_small_socket(&mut self, id: Key, small: SmallSocket) {
        let Some(ended_at) = small.stopped_at.get() else { return };
        let Some(connection) = self.tables.get_mut(id) else { return };
        if connection.is_closed() {
            return;
        }
        connection.evidence.timer_expired = small.expired;
        // A request whose child was lost ends like one that was given up.
        let may_have_child = connection.state == TcpState::SynRecv && !small.expired;
        if may_have_child
            && self.lost_at != Timestamp(0)
            && self.lost_at.plus_ns(LOSS_SPAN_NS) >= ended_at
        {
            connection.evidence.miss();
        }
        self.tables.unindex_small(id);
        self.step(id, TcpState::Close, ended_at, Source::Observed);
        self.end(id, ended_at);
    }

    /// The other end's FIN was acknowledged by an orphan in FIN_WAIT2: it is in TIME_WAIT, though the re-arm of
    /// its timer in the same slot of the timer wheel has no event.
    pub(super) fn infer_time_wait(&mut self, id: Key, at: Timestamp) {
        let Some(orphan) = self.tables.get(id).filter(|c| c.is_orphaned_fin_wait2()) else {
            return;
        };
        // A FIN may leave, and a look begin, before this end is in FIN_WAIT2.
        let at = at.max(orphan.entered_at().unwrap_or(at));
        self.step(id, TcpState::TimeWait, at, Source::Inferred);
    }
}

const fn kind_of(timer: &Timer) -> SmallKind {
    match timer.of {
        TimerOf::TimeWait => SmallKind::TimeWait,
        TimerOf::Request => SmallKind::Request,
    }
}

const fn leads_to_timewait(state: TcpState) -> bool {
    matches!(state, TcpState::FinWait2 | TcpState::Closing | TcpState::TimeWait | TcpState::Close)
}
