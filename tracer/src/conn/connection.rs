//! One end of one connection, as far as it is known.
//!
//! Up to a million of them are kept at once (TIME_WAIT lasts a minute): their size is asserted.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use super::life::Life;
use super::moment::Moment;
use crate::event::{Counters, Isns, Task, Tuple};
use crate::record::{ConnId, Text};
use crate::tcp::{Direction, Endpoint, TcpState};
use crate::time::Timestamp;

/// What is known of a process beyond its number and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its binary.
    pub exe: Option<Arc<str>>,
    /// Its cgroup v2 path.
    pub cgroup: Option<Arc<str>>,
    /// Container id found in that path.
    pub container: Option<Arc<str>>,
}

/// A process's name as the kernel keeps it: up to 15 bytes, NUL-padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// The name; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn name(&self) -> Text {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        Text::from_utf8_lossy(&self.0[..end])
    }
}

impl From<&str> for Comm {
    /// Cut where it is longer than the kernel's.
    fn from(name: &str) -> Self {
        let mut comm = Comm::default();
        let length = name.len().min(comm.0.len() - 1);
        comm.0[..length].copy_from_slice(&name.as_bytes()[..length]);
        comm
    }
}

/// The process that uses a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process id.
    pub pid: NonZeroU32,
    /// Its name.
    pub comm: Comm,
    /// The rest, filled in by the edge; `None` until then.
    pub facts: Option<Arc<ProcessFacts>>,
}

impl Owner {
    /// Whether both are the same process under the same name.
    pub(super) fn is_same(&self, other: &Owner) -> bool {
        self.pid == other.pid && self.comm == other.comm
    }

    /// The owner that a task in process context is; `None` where no task was told.
    #[must_use]
    pub fn from_task(task: &Task) -> Option<Owner> {
        Some(Owner { pid: NonZeroU32::new(task.pid)?, comm: Comm(task.comm), facts: None })
    }
}

/// What kind of small socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SmallKind {
    /// A request socket, before the full one.
    Request,
    /// A timewait socket, after it.
    TimeWait,
}

/// The small socket that a connection is, was before its full socket, or has become.
#[derive(Clone, Copy, Debug)]
pub(super) struct SmallSocket {
    pub kind: SmallKind,
    /// Kernel address; 0 where it came from a dump.
    pub skaddr: u64,
    /// When its timer was taken off the wheel or ran out, with nothing yet that explains it.
    pub stopped_at: Moment,
    /// Whether it ran out. The kernel takes it off the wheel just before.
    pub expired: bool,
}

impl SmallSocket {
    pub const fn armed(kind: SmallKind, skaddr: u64) -> Self {
        SmallSocket { kind, skaddr, stopped_at: Moment::UNKNOWN, expired: false }
    }
}

/// One way of the connection: the segments that went along it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// Initial sequence number, where it is known.
    pub isn: u32,
    /// The FIN's sequence number, where one passed.
    pub fin_seq: u32,
    /// When it last passed.
    pub fin_at: Moment,
}

/// How a way's initial sequence number is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IsnFrom {
    /// It is not known.
    #[default]
    Nothing,
    /// The socket has it; its SYN was not seen.
    Socket,
    /// Its SYN was seen.
    Syn,
}

/// What was seen along one way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Its SYN.
    pub isn: IsnFrom,
    /// A reset.
    pub reset: bool,
}

impl Seen {
    pub fn has_syn(self) -> bool {
        self.isn == IsnFrom::Syn
    }
}

/// What the verdict is drawn from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub sent: Way,
    pub received: Way,
    pub seen_sent: Seen,
    pub seen_received: Seen,
    /// sk_err when the socket closed: at most MAX_ERRNO, 4095.
    pub errno: i16,
    /// Whether the other end's FIN was taken in.
    pub fin_received: bool,
    /// The listener closed while this was half-open.
    pub listener_closed: bool,
    /// It was found to be gone: no event told of its end.
    pub end_unseen: bool,
    /// Segments seen to be sent again.
    pub repeats_sent: u16,
    /// It was closed in repair mode: no segment was sent, the connection may go on elsewhere.
    pub taken_out: bool,
    /// A timewait or request socket ended by its timer.
    pub timer_expired: bool,
    /// It was a request socket.
    pub was_request: bool,
    /// Changes that must have happened unseen.
    pub missed: u16,
}

impl Evidence {
    pub fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    /// Counts a change that must have happened unseen.
    pub fn miss(&mut self) {
        self.missed = self.missed.saturating_add(1);
    }

    pub fn seen(&mut self, direction: Direction) -> &mut Seen {
        match direction {
            Direction::Sent => &mut self.seen_sent,
            Direction::Received => &mut self.seen_received,
        }
    }
}

/// One end of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its identity.
    pub id: ConnId,
    pub(super) cookie: Option<NonZeroU64>,
    /// The four-tuple as far as known.
    pub tuple: Tuple,
    /// Which end it is.
    pub endpoint: Option<Endpoint>,
    /// The state it is in.
    pub state: TcpState,
    /// There before the tracer.
    pub older: bool,
    /// The child socket of a server end was born.
    pub(super) child_seen: bool,
    /// The kernel's counters were told at least once.
    pub(super) counted: bool,
    /// Its last kernel object is done with: its last step was its end.
    pub(super) closed: bool,
    /// Its life so far.
    pub life: Life,
    /// Who uses it; shared by all connections of a process.
    pub owner: Option<Arc<Owner>>,
    /// A process put it into ESTABLISHED without a handshake (TCP_REPAIR).
    pub(super) restored: bool,
    /// Its socket was seen in a BPF sockmap: data may pass it by.
    pub in_sockmap: bool,
    /// The other end's id.
    pub(super) peer: Option<NonZeroU64>,
    pub(super) counters: Counters,
    /// Exchanges seen.
    pub exchanges: u32,
    pub(super) evidence: Evidence,
    pub(super) small: Option<SmallSocket>,
    /// The kernel's own count of events of this socket that it could not hand over.
    pub(super) kernel_lost: u32,
}

/// A million of them, boxed and indexed, shall fit 400 MiB.
const _: () = assert!(size_of::<Connection>() <= 256);

impl Connection {
    pub(super) fn new(
        id: ConnId,
        tuple: Tuple,
        endpoint: Option<Endpoint>,
        state: TcpState,
        at: Option<Timestamp>,
    ) -> Self {
        Connection {
            id,
            cookie: None,
            tuple,
            endpoint,
            state,
            older: false,
            child_seen: false,
            counted: false,
            life: Life::new(state, at),
            closed: false,
            owner: None,
            restored: false,
            in_sockmap: false,
            peer: None,
            counters: Counters::default(),
            exchanges: 0,
            evidence: Evidence::default(),
            small: None,
            kernel_lost: 0,
        }
    }

    /// The socket's cookie, once one is known to be its own.
    #[must_use]
    pub fn cookie(&self) -> Option<u64> {
        self.cookie.map(NonZeroU64::get)
    }

    /// The other end, when on this host.
    #[must_use]
    pub fn peer(&self) -> Option<ConnId> {
        self.peer.map(|id| ConnId(id.get()))
    }

    /// When it entered the state it is in, where that was seen.
    #[must_use]
    pub fn entered_at(&self) -> Option<Timestamp> {
        self.life.last_at()
    }

    /// When it opened, where that was seen. A restored one opened before, elsewhere.
    #[must_use]
    pub fn opened_at(&self) -> Option<Timestamp> {
        self.life.began_at().filter(|_| !self.restored)
    }

    /// When it ended.
    #[must_use]
    pub fn closed_at(&self) -> Option<Timestamp> {
        self.life.last_at().filter(|_| self.closed)
    }

    /// SYN to ESTABLISHED, microseconds.
    #[must_use]
    pub fn connect_us(&self) -> Option<u64> {
        let established_at = self.life.first_in(TcpState::Established)?;
        Some(established_at.since_us(self.opened_at()?))
    }

    /// The kernel's counters, last told.
    #[must_use]
    pub const fn counters(&self) -> Option<&Counters> {
        if self.counted { Some(&self.counters) } else { None }
    }

    pub(super) const fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
        self.counted = true;
    }

    /// Events about this end that are known to be lost.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        // A lost state change shows in both counts.
        self.kernel_lost.max(self.evidence.missed.into()).into()
    }

    /// Segments sent again: the kernel's count where there is a full socket; a request socket has none, so what
    /// was seen counts.
    #[must_use]
    pub fn segments_retransmitted(&self) -> Option<u64> {
        let kernel = self.counters().map(|counters| counters.segments_retransmitted.into());
        let was_request = self.small_of(SmallKind::Request).is_some() && !self.child_seen;
        kernel.or(was_request.then_some(self.evidence.repeats_sent.into()))
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether it lives in a timewait socket.
    #[must_use]
    pub fn is_timewait(&self) -> bool {
        self.small_of(SmallKind::TimeWait).is_some()
    }

    pub(super) fn small_of(&self, kind: SmallKind) -> Option<&SmallSocket> {
        self.small.as_ref().filter(|small| small.kind == kind)
    }

    /// Whether it is an orphan's FIN_WAIT2, whose step to TIME_WAIT no hook may tell.
    #[must_use]
    pub fn is_orphaned_fin_wait2(&self) -> bool {
        self.is_timewait() && self.state == TcpState::FinWait2 && !self.is_closed()
    }

    /// Initial sequence number of a way, where it is known.
    #[must_use]
    pub fn isn(&self, direction: Direction) -> Option<u32> {
        let (way, seen) = match direction {
            Direction::Sent => (self.evidence.sent, self.evidence.seen_sent),
            Direction::Received => (self.evidence.received, self.evidence.seen_received),
        };
        (seen.isn != IsnFrom::Nothing).then_some(way.isn)
    }

    /// Initial sequence numbers of both ways, where both are known.
    pub(super) fn isns(&self) -> Option<Isns> {
        let (sent, received) = (self.isn(Direction::Sent)?, self.isn(Direction::Received)?);
        Some(Isns { sent, received })
    }

    /// Takes over initial sequence numbers that a socket knows, where no SYN was seen to carry
    /// them.
    pub(super) fn learn_isns(&mut self, isns: Isns) {
        for (direction, isn) in [(Direction::Sent, isns.sent), (Direction::Received, isns.received)]
        {
            if self.isn(direction).is_none() {
                self.evidence.way(direction).isn = isn;
                self.evidence.seen(direction).isn = IsnFrom::Socket;
            }
        }
    }

    /// The timewait or request socket that it still is, where that one's timer was seen to stop.
    pub(super) fn small_stopped(&self) -> Option<SmallSocket> {
        let is_child = self.child_seen || self.state != TcpState::SynRecv;
        self.small.filter(|small| {
            small.stopped_at.get().is_some() && (small.kind == SmallKind::TimeWait || !is_child)
        })
    }

    /// Takes note of the kernel's count of events that it could not hand over; true when it grew.
    pub(super) fn note_kernel_lost(&mut self, socket_lost: u32) -> bool {
        let grew = socket_lost > self.kernel_lost;
        self.kernel_lost = self.kernel_lost.max(socket_lost);
        grew
    }

    /// Writes down that it entered `state`; `at` is `None` where that moment was not seen.
    pub(super) fn enter(&mut self, state: TcpState, at: Option<Timestamp>) {
        self.state = state;
        if !self.life.push(state, at) {
            self.evidence.miss();
        }
    }
}
