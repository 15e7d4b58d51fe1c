//! Lives told by hand-made events: what the tracker makes of each, in any order the kernel may tell it.

use tracer_common::{Hook, TimerOf, TimerOp};

use super::*;
use crate::event::{self, Body, Counters, Event, Interface, Isns, Task, Tuple};
use crate::record::{self, ClosedBy, ConnId, Outcome, SocketAddress, Source};
use crate::tcp::{Direction, TcpState, flags};
use crate::time::Timestamp;

use TcpState::{
    Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent,
    TimeWait,
};

mod ending;
mod identity;
mod opening;
mod order;
mod repair;
mod sockets;
mod translated;
mod verdicts;

const CLIENT: u64 = 11;
const SERVER: u64 = 22;
const LISTENER: u64 = 33;
const TW: u64 = 0x7777;
const REQ: u64 = 0x8888;

/// A tracker and the clock of its events, microseconds.
struct Script {
    tracker: Tracker,
    now_us: u64,
    transitions: Vec<(ConnId, TcpState, TcpState, Source)>,
    closed: Vec<Connection>,
    segments: Vec<record::Segment>,
}

fn address(port: u16) -> SocketAddress {
    SocketAddress { ip: "10.0.0.1".parse().unwrap(), port }
}

fn client_tuple() -> Tuple {
    Tuple::new(1, address(40_000), address(80))
}

fn task(pid: u32, name: &str) -> Task {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    Task { pid, tid: pid, cgroup_id: 5, comm }
}

fn state_event(tuple: Tuple, from: TcpState, to: TcpState, errno: i32) -> event::State {
    event::State {
        tuple,
        skaddr: 0x1000,
        from,
        to,
        task: task(7, "curl"),
        errno,
        fin_received: false,
        orphan: false,
        unwatched: false,
        repair: false,
        in_sockmap: false,
        isns: None,
        counters: Counters::default(),
    }
}

impl Script {
    fn new() -> Script {
        let mut tracker = Tracker::new(Limits::default(), true);
        tracker.merge_snapshot(Vec::new(), Timestamp(0));
        Script::of(tracker)
    }

    fn of(tracker: Tracker) -> Script {
        Script {
            tracker,
            now_us: 1_000,
            transitions: Vec::new(),
            closed: Vec::new(),
            segments: Vec::new(),
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.now_us * 1_000)
    }

    fn tell(&mut self, hook: Hook, cookie: u64, body: Body<'_>) {
        self.now_us += 10;
        let cookie = (cookie != 0).then_some(cookie);
        let event = Event { at: self.at(), cookie, socket_lost: 0, hook, body };
        self.tracker.expire(event.at);
        self.tracker.apply(&event);
        self.collect();
    }

    fn state(&mut self, cookie: u64, tuple: Tuple, from: TcpState, to: TcpState) {
        self.state_errno(cookie, tuple, from, to, 0);
    }

    fn state_errno(&mut self, cookie: u64, tuple: Tuple, from: TcpState, to: TcpState, errno: i32) {
        let body = Body::State(state_event(tuple, from, to, errno));
        self.tell(Hook::State, cookie, body);
    }

    fn timer(&mut self, cookie: u64, tuple: Tuple, of: TimerOf, op: TimerOp, state: TcpState) {
        let skaddr = if of == TimerOf::TimeWait { TW } else { REQ };
        let timer = event::Timer { tuple, skaddr, op, of, state, isns: None };
        self.tell(Hook::Timers, cookie, Body::Timer(timer));
    }

    fn segment(&mut self, cookie: u64, tuple: Tuple, direction: Direction, bits: u8, seq: u32) {
        let by_tuple = cookie == LISTENER || cookie == 0;
        // All SYNs here have 100.
        let ack = (bits & flags::ACK != 0).then_some(101);
        let segment = event::Segment {
            tuple,
            direction,
            flags: bits,
            seq,
            ack,
            payload_bytes: 0,
            retransmit: false,
            by_tuple,
        };
        self.tell(Hook::Segments, cookie, Body::Segment(segment));
    }

    /// A request socket's timer starts, at an address of its own.
    fn request(&mut self, skaddr: u64, tuple: Tuple, isns: Isns) {
        let timer = event::Timer {
            tuple,
            skaddr,
            op: TimerOp::Start,
            of: TimerOf::Request,
            state: SynRecv,
            isns: Some(isns),
        };
        self.tell(Hook::Timers, 0, Body::Timer(timer));
    }

    /// A server's child becomes ESTABLISHED.
    fn child_stands(&mut self, cookie: u64, tuple: Tuple, isns: Isns) {
        let state =
            event::State { isns: Some(isns), ..state_event(tuple, SynRecv, Established, 0) };
        self.tell(Hook::State, cookie, Body::State(state));
    }

    /// A change in repair mode.
    fn repaired(&mut self, cookie: u64, tuple: Tuple, from: TcpState, to: TcpState, errno: i32) {
        let state = event::State { repair: true, ..state_event(tuple, from, to, errno) };
        self.tell(Hook::State, cookie, Body::State(state));
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.tracker.expire(self.at());
        self.collect();
    }

    fn collect(&mut self) {
        let mut changes = Vec::new();
        self.tracker.drain_into(&mut changes);
        for change in changes {
            match change {
                Change::Transition(_, t) => self.transitions.push((t.conn, t.from, t.to, t.source)),
                Change::Closed(_, connection) => self.closed.push(*connection),
                Change::Segment(segment) => self.segments.push(segment),
                _ => {}
            }
        }
    }

    /// The handshake of both ends as 6.18 tells it.
    fn handshake(&mut self) {
        let client = client_tuple();
        let server = client.mirrored();
        let unbound = Tuple { local: address(0), ..client };
        self.state(CLIENT, unbound, Close, SynSent);
        self.segment(CLIENT, client, Direction::Sent, flags::SYN, 100);
        self.segment(LISTENER, server, Direction::Received, flags::SYN, 100);
        self.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
        self.segment(LISTENER, server, Direction::Sent, flags::SYN | flags::ACK, 500);
        self.segment(CLIENT, client, Direction::Received, flags::SYN | flags::ACK, 500);
        self.state(CLIENT, client, SynSent, Established);
        self.state(SERVER, server, Listen, SynRecv);
        self.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
        self.state(SERVER, server, SynRecv, Established);
    }

    /// Ids of client and server after [`Script::handshake`].
    const CLIENT_ID: ConnId = ConnId(1);
    const SERVER_ID: ConnId = ConnId(2);

    fn life(&self, id: ConnId) -> Vec<TcpState> {
        let closed = self.closed.iter().find(|c| c.id == id);
        let connection = closed.or_else(|| self.tracked(id)).expect("a known connection");
        connection.life.iter().map(|entry| entry.state).collect()
    }

    fn tracked(&self, id: ConnId) -> Option<&Connection> {
        self.tracker.iter().find(|connection| connection.id == id)
    }

    fn end(&self, id: ConnId) -> &Connection {
        self.tracked(id).expect("a tracked connection")
    }

    fn ended(&self, id: ConnId) -> &Connection {
        self.closed.iter().find(|c| c.id == id).expect("an ended connection")
    }

    fn verdict(&self, id: ConnId) -> (Outcome, Option<ClosedBy>) {
        let connection = self.ended(id);
        (connection.outcome(), connection.closed_by())
    }
}
