//! Lives told by hand-made events: what the tracker makes of each, in any order the kernel may tell it.

use tracer_common::{Hook, TimerOf, TimerOp};

use super::*;
use crate::event::{self, Body, Counters, Event, Task, Tuple};
use crate::record::{ClosedBy, ConnId, Outcome, SocketAddress, Source};
use crate::tcp::{Direction, TcpState, flags};
use crate::time::Timestamp;

use TcpState::{
    Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynRecv, SynSent,
    TimeWait,
};

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
}

fn address(port: u16) -> SocketAddress {
    SocketAddress { ip: "10.0.0.1".parse().unwrap(), port }
}

fn client_tuple() -> Tuple {
    Tuple { netns: 1, local: address(40_000), remote: address(80) }
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
        counters: Counters::default(),
    }
}

impl Script {
    fn new() -> Script {
        let mut tracker = Tracker::new(Limits::default(), true);
        tracker.merge_snapshot(Vec::new(), true);
        Script { tracker, now_us: 1_000, transitions: Vec::new(), closed: Vec::new() }
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
        let timer = event::Timer { tuple, skaddr, op, of, state };
        self.tell(Hook::Timers, cookie, Body::Timer(timer));
    }

    fn segment(&mut self, cookie: u64, tuple: Tuple, direction: Direction, bits: u8, seq: u32) {
        let by_tuple = cookie == LISTENER || cookie == 0;
        let ack = (bits & flags::ACK != 0).then_some(0);
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
                Change::Transition(t) => self.transitions.push((t.conn, t.from, t.to, t.source)),
                Change::Closed(connection) => self.closed.push(*connection),
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
        let connection = closed.or_else(|| self.tracker.get(id)).expect("a known connection");
        connection.history.iter().map(|entry| entry.state).collect()
    }

    fn ended(&self, id: ConnId) -> &Connection {
        self.closed.iter().find(|c| c.id == id).expect("an ended connection")
    }

    fn verdict(&self, id: ConnId) -> (Outcome, Option<ClosedBy>) {
        let connection = self.ended(id);
        (connection.outcome(), connection.closed_by())
    }
}

#[test]
fn a_handshake_makes_two_ends_that_know_each_other() {
    let mut script = Script::new();
    script.handshake();
    assert_eq!(script.life(Script::CLIENT_ID), [SynSent, Established]);
    assert_eq!(script.life(Script::SERVER_ID), [SynRecv, Established]);
    let client = script.tracker.get(Script::CLIENT_ID).unwrap();
    let server = script.tracker.get(Script::SERVER_ID).unwrap();
    assert_eq!((client.peer, server.peer), (Some(server.id), Some(client.id)));
    assert_eq!((client.cookie, server.cookie), (Some(CLIENT), Some(SERVER)));
    assert_eq!(client.tuple, client_tuple());
    assert_eq!(script.tracker.len(), 2);
}

#[test]
fn the_client_closes_first_and_holds_time_wait_to_its_natural_end() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    let server = client.mirrored();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(SERVER, server, Established, CloseWait);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.state(SERVER, server, CloseWait, LastAck);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait2, Close);
    script.state(SERVER, server, LastAck, Close);
    script.pass(60_000_000);
    assert_eq!(script.tracker.get(Script::CLIENT_ID).unwrap().outcome(), Outcome::Graceful);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Expire, TimeWait);
    script.pass(1_000_000);
    assert_eq!(
        script.life(Script::CLIENT_ID),
        [SynSent, Established, FinWait1, FinWait2, TimeWait, Close]
    );
    assert_eq!(script.life(Script::SERVER_ID), [SynRecv, Established, CloseWait, LastAck, Close]);
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::Graceful, Some(ClosedBy::Local)));
    assert_eq!(script.verdict(Script::SERVER_ID), (Outcome::Graceful, Some(ClosedBy::Remote)));
    assert!(script.tracker.is_empty());
}

#[test]
fn a_fin_with_the_ack_passes_through_fin_wait_2() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait2, Close);
    let connection = script.tracker.get(Script::CLIENT_ID).unwrap();
    assert_eq!(connection.lost_events(), 0);
    let life = [SynSent, Established, FinWait1, FinWait2, TimeWait];
    assert_eq!(script.life(Script::CLIENT_ID), life);
}

#[test]
fn a_timewait_socket_of_fin_wait_1_proves_that_a_step_was_missed() {
    let mut script = Script::new();
    script.handshake();
    script.state(CLIENT, client_tuple(), Established, FinWait1);
    script.timer(CLIENT, client_tuple(), TimerOf::TimeWait, TimerOp::Start, TimeWait);
    assert_eq!(script.tracker.get(Script::CLIENT_ID).unwrap().lost_events(), 1);
}

#[test]
fn another_cookie_on_the_same_tuple_is_another_connection_whose_elder_ended_unseen() {
    let mut script = Script::new();
    script.handshake();
    script.state(99, client_tuple(), SynSent, Established);
    script.pass(1_000_000);
    assert_eq!(script.life(Script::CLIENT_ID), [SynSent, Established, Close]);
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::Unknown, None));
    assert_eq!(script.life(ConnId(3)), [SynSent, Established]);
}

#[test]
fn a_new_syn_on_the_tuple_of_a_living_server_end_says_that_its_end_was_lost() {
    let mut script = Script::new();
    script.handshake();
    script.pass(1_000_000);
    let server = client_tuple().mirrored();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::SERVER_ID), (Outcome::Unknown, None));
    assert_eq!(script.life(ConnId(3)), [SynRecv]);
}

#[test]
fn the_end_of_the_full_socket_told_before_its_timewait_socket_is_taken_back() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, Close);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.pass(1_000_000);
    assert!(script.closed.iter().all(|c| c.id != Script::CLIENT_ID));
    assert_eq!(script.tracker.get(Script::CLIENT_ID).unwrap().state, TimeWait);
}

#[test]
fn fins_that_cross_are_closed_by_both() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, Closing);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, Closing, Close);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Expire, TimeWait);
    script.pass(1_000_000);
    assert_eq!(
        script.life(Script::CLIENT_ID),
        [SynSent, Established, FinWait1, Closing, TimeWait, Close]
    );
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::Graceful, Some(ClosedBy::Both)));
}

#[test]
fn an_orphan_whose_fin_never_comes_times_out_and_nobody_closed_it() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, FinWait2);
    script.state(CLIENT, client, FinWait2, Close);
    assert_eq!(script.tracker.orphaned_namespaces(Timestamp(u64::MAX)), [1]);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Expire, FinWait2);
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::TimedOut, None));
    assert!(script.tracker.orphaned_namespaces(Timestamp(u64::MAX)).is_empty());
}

#[test]
fn an_orphans_silent_step_to_time_wait_is_inferred_from_its_peers_last_ack() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    let server = client.mirrored();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(SERVER, server, Established, CloseWait);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, FinWait2);
    script.state(CLIENT, client, FinWait2, Close);
    script.state(SERVER, server, CloseWait, LastAck);
    script.segment(SERVER, server, Direction::Sent, flags::FIN | flags::ACK, 501);
    let fin_at = script.at();
    script.state(SERVER, server, LastAck, Close);
    let client_end = script.tracker.get(Script::CLIENT_ID).unwrap();
    assert_eq!(client_end.state, TimeWait);
    assert_eq!(client_end.entered_at, Some(fin_at));
    let inferred = (Script::CLIENT_ID, FinWait2, TimeWait, Source::Inferred);
    assert!(script.transitions.contains(&inferred));
}

#[test]
fn an_orphans_silent_step_is_inferred_from_a_look_when_the_peer_is_elsewhere() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, FinWait2);
    let seen = SnapshotSocket {
        cookie: CLIENT,
        tuple: client,
        state: SnapshotState::TimeWait(TimeWait),
        counters: None,
        owner: None,
    };
    let at = script.at();
    script.tracker.look(&[seen], at);
    script.collect();
    assert_eq!(script.tracker.get(Script::CLIENT_ID).unwrap().state, TimeWait);
    assert!(script.transitions.contains(&(
        Script::CLIENT_ID,
        FinWait2,
        TimeWait,
        Source::Inferred
    )));
}

#[test]
fn a_time_wait_whose_timer_is_cancelled_for_nothing_was_killed_at_that_moment() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait1, Close);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    let killed_at = script.at();
    script.pass(1_000_000);
    assert_eq!(script.ended(Script::CLIENT_ID).closed_at, Some(killed_at));
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::Graceful, Some(ClosedBy::Local)));
}

#[test]
fn a_time_wait_that_begins_again_has_not_ended() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.pass(1_000_000);
    assert_eq!(script.tracker.get(Script::CLIENT_ID).unwrap().state, TimeWait);
    assert!(script.closed.is_empty());
}

#[test]
fn the_same_four_tuple_twice_within_a_moment_is_two_connections() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait1, Close);
    script.state(99, client, Close, SynSent);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.state(99, client, SynSent, Established);
    script.pass(1_000_000);
    assert_eq!(script.life(Script::CLIENT_ID), [SynSent, Established, FinWait1, TimeWait, Close]);
    assert_eq!(script.life(ConnId(3)), [SynSent, Established]);
}

#[test]
fn a_socket_that_connects_twice_lives_twice() {
    let mut script = Script::new();
    let client = client_tuple();
    script.state(CLIENT, client, Close, SynSent);
    script.state(CLIENT, client, SynSent, Established);
    script.state(CLIENT, client, Established, Close);
    script.state(CLIENT, client, Close, SynSent);
    script.state_errno(CLIENT, client, SynSent, Close, 111);
    script.pass(1_000_000);
    assert_eq!(script.life(ConnId(1)), [SynSent, Established, Close]);
    assert_eq!(script.life(ConnId(2)), [SynSent, Close]);
    assert_eq!(script.verdict(ConnId(2)).0, Outcome::Refused);
}

#[test]
fn the_error_of_an_unanswered_socket_tells_its_story() {
    for (errno, outcome) in [
        (111, Outcome::Refused),
        (110, Outcome::TimedOut),
        (113, Outcome::Unreachable),
        (101, Outcome::Unreachable),
        (0, Outcome::Aborted),
    ] {
        let mut script = Script::new();
        script.state(CLIENT, client_tuple(), Close, SynSent);
        script.state_errno(CLIENT, client_tuple(), SynSent, Close, errno);
        script.pass(1_000_000);
        assert_eq!(script.verdict(ConnId(1)), (outcome, None), "errno {errno}");
    }
}

#[test]
fn a_reset_names_its_origin() {
    let client = client_tuple();
    // linger 0: the state first, its reset behind it, no error on the socket.
    let mut script = Script::new();
    script.handshake();
    script.state(CLIENT, client, Established, Close);
    script.segment(CLIENT, client, Direction::Sent, flags::RST, 101);
    script.segment(SERVER, client.mirrored(), Direction::Received, flags::RST, 101);
    script.state_errno(SERVER, client.mirrored(), Established, Close, 104);
    script.pass(1_000_000);
    assert_eq!(script.verdict(ConnId(1)), (Outcome::ResetByLocal, Some(ClosedBy::Local)));
    assert_eq!(script.verdict(ConnId(2)), (Outcome::ResetByRemote, Some(ClosedBy::Remote)));
}

#[test]
fn data_that_meets_a_socket_nobody_reads_resets_it_from_here() {
    let client = client_tuple();
    let mut script = Script::new();
    script.handshake();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.state_errno(CLIENT, client, FinWait2, Close, 104);
    script.segment(0, client, Direction::Sent, flags::RST, 102);
    script.pass(1_000_000);
    assert_eq!(script.verdict(ConnId(1)), (Outcome::ResetByLocal, Some(ClosedBy::Local)));
}

#[test]
fn a_half_open_connection_ends_by_time_by_reset_or_with_its_listener() {
    let server = client_tuple().mirrored();
    let half_open = || {
        let mut script = Script::new();
        script.segment(LISTENER, server, Direction::Received, flags::SYN, 100);
        script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
        script
    };
    let mut timed_out = half_open();
    for _ in 0..2 {
        timed_out.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
        timed_out.timer(0, server, TimerOf::Request, TimerOp::Expire, SynRecv);
        timed_out.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
        timed_out.pass(1_000_000);
    }
    assert!(timed_out.closed.is_empty());
    timed_out.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    timed_out.timer(0, server, TimerOf::Request, TimerOp::Expire, SynRecv);
    timed_out.pass(1_000_000);
    assert_eq!(timed_out.life(ConnId(1)), [SynRecv, Close]);
    assert_eq!(timed_out.verdict(ConnId(1)), (Outcome::TimedOut, None));

    let mut reset = half_open();
    reset.segment(LISTENER, server, Direction::Received, flags::RST, 101);
    reset.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    reset.pass(1_000_000);
    assert_eq!(reset.verdict(ConnId(1)), (Outcome::ResetByRemote, None));

    let mut aborted = half_open();
    let listener = Tuple { netns: 1, local: address(80), remote: address(0) };
    aborted.state(LISTENER, listener, Listen, Close);
    aborted.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    aborted.pass(1_000_000);
    assert_eq!(aborted.verdict(ConnId(1)), (Outcome::Aborted, None));
}

#[test]
fn a_child_born_without_its_tuple_and_cookie_is_tied_by_its_next_event() {
    // Kernels before 6.18.
    let server = client_tuple().mirrored();
    let mut script = Script::new();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    let empty = Tuple { netns: 1, local: address(80), remote: address(0) };
    script.state(LISTENER, empty, Listen, SynRecv);
    script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.state(SERVER, server, SynRecv, Established);
    script.pass(1_000_000);
    assert_eq!(script.life(ConnId(1)), [SynRecv, Established]);
    assert_eq!(script.tracker.get(ConnId(1)).unwrap().cookie, Some(SERVER));
    assert_eq!(script.tracker.len(), 1);
}

#[test]
fn a_processor_that_stalls_between_a_childs_birth_and_its_next_event_does_not_end_the_request() {
    let server = client_tuple().mirrored();
    let mut script = Script::new();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    let empty = Tuple { netns: 1, local: address(80), remote: address(0) };
    script.state(LISTENER, empty, Listen, SynRecv);
    script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.pass(400_000);
    script.state(SERVER, server, SynRecv, Established);
    script.pass(5_000_000);
    assert_eq!(script.life(ConnId(1)), [SynRecv, Established]);
    assert_eq!(script.tracker.len(), 1);
}

#[test]
fn with_syn_cookies_the_server_end_begins_with_its_child() {
    let server = client_tuple().mirrored();
    let mut script = Script::new();
    script.state(SERVER, server, Listen, SynRecv);
    script.state(SERVER, server, SynRecv, Established);
    assert_eq!(script.life(ConnId(1)), [SynRecv, Established]);
    assert_eq!(script.tracker.get(ConnId(1)).unwrap().lost_events(), 0);
}

#[test]
fn the_same_event_again_changes_nothing() {
    let mut script = Script::new();
    script.handshake();
    let told = script.transitions.len();
    let client = client_tuple();
    script.state(CLIENT, client, SynSent, Established);
    script.state(SERVER, client.mirrored(), Listen, SynRecv);
    script.state(SERVER, client.mirrored(), SynRecv, Established);
    assert_eq!(script.transitions.len(), told);
    assert_eq!(script.tracker.len(), 2);
}

#[test]
fn a_lost_state_change_is_said_in_the_life_and_counted() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, FinWait1, FinWait2);
    let connection = script.tracker.get(Script::CLIENT_ID).unwrap();
    let life: Vec<_> = connection.history.iter().map(|e| (e.state, e.at.is_some())).collect();
    assert_eq!(life, [(SynSent, true), (Established, true), (FinWait1, false), (FinWait2, true)]);
    assert_eq!(connection.lost_events(), 1);
}

#[test]
fn a_socket_of_the_dump_is_older_and_its_later_life_is_told() {
    let mut tracker = Tracker::new(Limits::default(), true);
    tracker.merge_snapshot(
        vec![SnapshotSocket {
            cookie: CLIENT,
            tuple: client_tuple(),
            state: SnapshotState::Full(Established),
            counters: Some(Counters::default()),
            owner: None,
        }],
        true,
    );
    let mut script = Script { tracker, now_us: 1_000, transitions: Vec::new(), closed: Vec::new() };
    script.state(CLIENT, client_tuple(), Established, FinWait1);
    let connection = script.tracker.get(ConnId(1)).unwrap();
    assert!(connection.older);
    assert_eq!(connection.opened_at, None);
    assert_eq!(script.life(ConnId(1)), [Established, FinWait1]);
    assert_eq!(connection.lost_events(), 0);
}

#[test]
fn what_an_event_told_before_the_dump_was_merged_is_not_told_twice() {
    let mut tracker = Tracker::new(Limits::default(), true);
    let event = Event {
        at: Timestamp(5_000),
        cookie: Some(CLIENT),
        socket_lost: 0,
        hook: Hook::State,
        body: Body::State(state_event(client_tuple(), Established, FinWait1, 0)),
    };
    tracker.apply(&event);
    let dumped = |state| SnapshotSocket {
        cookie: CLIENT,
        tuple: client_tuple(),
        state: SnapshotState::Full(state),
        counters: None,
        owner: None,
    };
    tracker.merge_snapshot(vec![dumped(Established), dumped(FinWait1)], true);
    assert_eq!(tracker.len(), 1);
    let connection = tracker.get(ConnId(1)).unwrap();
    assert!(connection.older);
    assert_eq!(connection.state, FinWait1);
}

#[test]
fn a_full_table_refuses_and_counts() {
    let mut script = Script::new();
    script.tracker = Tracker::new(Limits { connections: 1, pending: 1 }, true);
    let other = Tuple { local: address(40_001), ..client_tuple() };
    script.state(CLIENT, client_tuple(), Close, SynSent);
    script.state(SERVER, other, Close, SynSent);
    assert_eq!(script.tracker.len(), 1);
    assert_eq!(script.tracker.counters.connections_refused, 1);
}

#[test]
fn equal_addresses_in_different_namespaces_are_paired_by_their_sequence_numbers() {
    let mut script = Script::new();
    for (netns, isn) in [(1, 100), (2, 200)] {
        let client = Tuple { netns, ..client_tuple() };
        let server = Tuple { netns: netns + 10, ..client.mirrored() };
        script.state(u64::from(netns), client, Close, SynSent);
        script.segment(u64::from(netns), client, Direction::Sent, flags::SYN, isn);
        script.segment(LISTENER, server, Direction::Received, flags::SYN, isn);
        let timer = event::Timer {
            tuple: server,
            skaddr: REQ + u64::from(netns),
            op: TimerOp::Start,
            of: TimerOf::Request,
            state: SynRecv,
        };
        script.tell(Hook::Timers, 0, Body::Timer(timer));
    }
    let peers: Vec<_> = (1..=4).map(|id| script.tracker.get(ConnId(id)).unwrap().peer).collect();
    assert_eq!(peers, [Some(ConnId(2)), Some(ConnId(1)), Some(ConnId(4)), Some(ConnId(3))]);
}

#[test]
fn a_new_timewait_socket_at_the_address_of_a_killed_one_is_another_connections() {
    let mut script = Script::new();
    let client = client_tuple();
    for cookie in [CLIENT, 99] {
        script.state(cookie, client, Close, SynSent);
        script.state(cookie, client, SynSent, Established);
        script.state(cookie, client, Established, FinWait1);
        script.timer(cookie, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
        script.state(cookie, client, FinWait1, Close);
        script.timer(cookie, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    }
    script.pass(1_000_000);
    for id in [ConnId(1), ConnId(2)] {
        assert_eq!(script.life(id), [SynSent, Established, FinWait1, TimeWait, Close]);
        assert!(script.ended(id).closed_at < Some(Timestamp(script.now_us * 1_000 - 900_000_000)));
    }
}

#[test]
fn a_new_request_at_the_address_of_one_that_became_a_child_is_another_connection() {
    let mut script = Script::new();
    script.handshake();
    let server = client_tuple().mirrored();
    script.state(SERVER, server, Established, Close);
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    assert_eq!(script.life(ConnId(3)), [SynRecv]);
}

#[test]
fn syn_acks_sent_again_count_for_a_connection_that_never_stood() {
    let mut script = Script::new();
    let server = client_tuple().mirrored();
    script.segment(LISTENER, server, Direction::Received, flags::SYN, 100);
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    for _ in 0..3 {
        script.segment(LISTENER, server, Direction::Sent, flags::SYN | flags::ACK, 500);
    }
    script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.timer(0, server, TimerOf::Request, TimerOp::Expire, SynRecv);
    script.pass(1_000_000);
    assert_eq!(script.ended(ConnId(1)).segments_retransmitted(), Some(2));
}

fn census(script: &Script, sockets: Vec<SnapshotSocket>) -> Census {
    Census { began_at: script.at(), sockets, namespaces: [1].into_iter().collect() }
}

fn socket(cookie: u64, state: SnapshotState) -> SnapshotSocket {
    SnapshotSocket { cookie, tuple: client_tuple(), state, counters: None, owner: None }
}

#[test]
fn a_connection_that_is_gone_after_a_loss_is_ended_as_inferred_without_a_verdict() {
    let mut script = Script::new();
    script.handshake();
    script.pass(10);
    let census = census(&script, vec![socket(CLIENT, SnapshotState::Full(Established))]);
    script.tracker.reconcile(&census, script.at());
    script.pass(1_000_000);
    assert_eq!(script.tracker.get(Script::CLIENT_ID).unwrap().lost_events(), 0);
    assert_eq!(script.life(Script::SERVER_ID), [SynRecv, Established, Close]);
    assert_eq!(script.verdict(Script::SERVER_ID), (Outcome::Unknown, None));
    assert_eq!(script.ended(Script::SERVER_ID).lost_events(), 1);
    let inferred = (Script::SERVER_ID, Established, Close, Source::Inferred);
    assert!(script.transitions.contains(&inferred));
}

#[test]
fn a_connection_in_another_state_after_a_loss_is_set_right() {
    let mut script = Script::new();
    script.handshake();
    script.pass(10);
    let found = vec![
        socket(CLIENT, SnapshotState::TimeWait(TimeWait)),
        socket(SERVER, SnapshotState::Full(Established)),
    ];
    let census = census(&script, found);
    script.tracker.reconcile(&census, script.at());
    assert_eq!(script.life(Script::CLIENT_ID), [SynSent, Established, TimeWait]);
    // Its timewait socket's address was not known: its timer's end ties it.
    let client = client_tuple();
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Expire, TimeWait);
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::CLIENT_ID).0, Outcome::Graceful);
}

#[test]
fn what_changed_after_the_census_began_and_other_namespaces_are_left_alone() {
    let mut script = Script::new();
    let early = census(&script, Vec::new());
    script.handshake();
    script.tracker.reconcile(&early, script.at());
    assert_eq!(script.life(Script::SERVER_ID), [SynRecv, Established]);
    let elsewhere = Census { namespaces: [9].into_iter().collect(), ..census(&script, Vec::new()) };
    script.pass(10);
    script.tracker.reconcile(&elsewhere, script.at());
    assert_eq!(script.life(Script::SERVER_ID), [SynRecv, Established]);
}
