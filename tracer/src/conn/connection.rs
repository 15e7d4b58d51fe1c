//! One end of one connection, as far as it is known.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::{Counters, Task, Tuple};
use crate::record::{ConnId, StateEntry};
use crate::tcp::{Direction, Endpoint, TcpState};
use crate::time::Timestamp;

/// States kept of one life; a longer one keeps its first and is counted.
const HISTORY_MAX: usize = 64;

/// What is known of a process beyond its number and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Its binary.
    pub exe: Option<String>,
    /// Its cgroup v2 path.
    pub cgroup: Option<String>,
    /// Container id found in that path.
    pub container: Option<String>,
}

/// The process that uses a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Its name (of the thread that was seen).
    pub comm: String,
    /// The rest, filled in by the edge.
    pub facts: Arc<ProcessFacts>,
}

impl Owner {
    /// The owner that a task in process context is.
    #[must_use]
    pub fn from_task(task: &Task) -> Owner {
        let end = task.comm.iter().position(|&b| b == 0).unwrap_or(task.comm.len());
        let comm = String::from_utf8_lossy(&task.comm[..end]).into_owned();
        Owner { pid: task.pid, comm, facts: Arc::default() }
    }
}

/// The timewait socket that a connection has become.
#[derive(Clone, Copy, Debug)]
pub(super) struct SmallSocket {
    /// Kernel address.
    pub skaddr: u64,
    /// When its timer was taken off the wheel, with nothing yet that says why.
    pub cancelled_at: Option<Timestamp>,
    /// When its timer ran out, with no re-arm yet.
    pub expired_at: Option<Timestamp>,
}

impl SmallSocket {
    pub const fn armed(skaddr: u64) -> Self {
        SmallSocket { skaddr, cancelled_at: None, expired_at: None }
    }
}

/// One way of the connection: the segments that went along it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Way {
    /// Initial sequence number.
    pub isn: Option<u32>,
    /// The FIN's sequence number and when it last passed.
    pub fin: Option<(u32, Timestamp)>,
    /// When a reset passed.
    pub reset_at: Option<Timestamp>,
}

/// What the verdict is drawn from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub sent: Way,
    pub received: Way,
    /// sk_err when the socket closed.
    pub errno: i32,
    /// Whether the other end's FIN was taken in.
    pub fin_received: bool,
    /// The listener closed while this was half-open.
    pub listener_closed: bool,
    /// It was found to be gone: no event told of its end.
    pub end_unseen: bool,
    /// Segments seen to be sent again.
    pub repeats_sent: u64,
    /// A timewait or request socket ended by its timer.
    pub timer_expired: bool,
}

impl Evidence {
    pub fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }
}

/// One end of one connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its identity.
    pub id: ConnId,
    /// The socket's cookie, once one is known to be its own.
    pub cookie: Option<u64>,
    /// The four-tuple as far as known.
    pub tuple: Tuple,
    /// Which end it is.
    pub endpoint: Option<Endpoint>,
    /// The state it is in.
    pub state: TcpState,
    /// When it entered it.
    pub entered_at: Option<Timestamp>,
    /// Its life so far.
    pub history: SmallVec<[StateEntry; 6]>,
    /// When it opened.
    pub opened_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// There before the tracer.
    pub older: bool,
    /// Who uses it.
    pub owner: Option<Owner>,
    /// The other end, when on this host.
    pub peer: Option<ConnId>,
    /// The kernel's counters, last told.
    pub counters: Option<Counters>,
    /// Exchanges seen.
    pub exchanges: u64,
    /// SYN to ESTABLISHED, microseconds.
    pub connect_us: Option<u64>,
    pub(super) evidence: Evidence,
    pub(super) timewait: Option<SmallSocket>,
    pub(super) request: Option<SmallSocket>,
    /// The child socket of a server end was born.
    pub(super) child_seen: bool,
    /// The kernel's own count of events of this socket that it could not hand over.
    pub(super) kernel_lost: u64,
    /// Changes that must have happened unseen.
    pub(super) missed: u64,
}

impl Connection {
    pub(super) fn new(
        id: ConnId,
        tuple: Tuple,
        endpoint: Option<Endpoint>,
        state: TcpState,
    ) -> Self {
        Connection {
            id,
            cookie: None,
            tuple,
            endpoint,
            state,
            entered_at: None,
            history: SmallVec::new(),
            opened_at: None,
            closed_at: None,
            older: false,
            owner: None,
            peer: None,
            counters: None,
            exchanges: 0,
            connect_us: None,
            evidence: Evidence::default(),
            timewait: None,
            request: None,
            child_seen: false,
            kernel_lost: 0,
            missed: 0,
        }
    }

    /// Events about this end that are known to be lost.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        // A lost state change shows in both counts.
        self.kernel_lost.max(self.missed)
    }

    /// Segments sent again: the kernel's count where there is a full socket; a request socket has none, so what
    /// was seen counts.
    #[must_use]
    pub fn segments_retransmitted(&self) -> Option<u64> {
        let kernel = self.counters.map(|counters| counters.segments_retransmitted);
        let was_request = self.request.is_some() && !self.child_seen;
        kernel.or(was_request.then_some(self.evidence.repeats_sent))
    }

    /// Whether it has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed_at.is_some()
    }

    /// Whether it lives in a timewait socket.
    #[must_use]
    pub const fn is_timewait(&self) -> bool {
        self.timewait.is_some()
    }

    /// Whether it is an orphan's FIN_WAIT2, whose step to TIME_WAIT no hook may tell.
    #[must_use]
    pub fn is_orphaned_fin_wait2(&self) -> bool {
        self.timewait.is_some() && self.state == TcpState::FinWait2 && !self.is_closed()
    }

    /// Initial sequence number of a way, where its SYN was seen.
    #[must_use]
    pub const fn isn(&self, direction: Direction) -> Option<u32> {
        match direction {
            Direction::Sent => self.evidence.sent.isn,
            Direction::Received => self.evidence.received.isn,
        }
    }

    /// Writes down that it entered `state`; `at` is `None` where that moment was not seen.
    pub(super) fn enter(&mut self, state: TcpState, at: Option<Timestamp>) {
        self.state = state;
        self.entered_at = at;
        if self.history.len() < HISTORY_MAX {
            self.history.push(StateEntry { state, at });
        } else {
            self.missed += 1;
        }
    }

    /// Whether this very step was told before.
    pub(super) fn has_step(&self, from: TcpState, to: TcpState) -> bool {
        self.history.windows(2).any(|pair| pair[0].state == from && pair[1].state == to)
    }
}
