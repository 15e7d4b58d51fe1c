//! What the kernel's socket table adds: sockets older than the tracer, and lives set right after a loss.

use super::*;

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
        Timestamp(0),
    );
    let mut script = Script::of(tracker);
    script.state(CLIENT, client_tuple(), Established, FinWait1);
    let connection = script.end(ConnId(1));
    assert!(connection.older);
    assert_eq!(connection.opened_at(), None);
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
    tracker.merge_snapshot(vec![dumped(Established), dumped(FinWait1)], Timestamp(0));
    assert_eq!(tracker.len(), 1);
    let connection = tracker.iter().next().unwrap();
    assert!(connection.older);
    assert_eq!(connection.state, FinWait1);
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
    assert_eq!(script.end(Script::CLIENT_ID).lost_events(), 0);
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

#[test]
fn a_time_wait_whose_end_had_no_event_is_looked_for_once_it_is_overdue() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait2, Close);
    assert!(script.tracker.overdue(script.at()).is_empty());
    script.pass(70_000_000);
    let overdue = script.tracker.overdue(script.at());
    assert_eq!(overdue.len(), 1);
    assert_eq!(script.tracker.namespaces_of(&overdue), [1]);
    let alive = census(&script, vec![socket(CLIENT, SnapshotState::TimeWait(TimeWait))]);
    script.tracker.reconcile_these(overdue.clone(), &alive, script.at());
    assert_eq!(script.end(Script::CLIENT_ID).state, TimeWait);
    let gone = census(&script, Vec::new());
    script.tracker.reconcile_these(overdue, &gone, script.at());
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::CLIENT_ID).0, Outcome::Graceful);
    assert_eq!(script.ended(Script::CLIENT_ID).lost_events(), 1);
    let inferred = (Script::CLIENT_ID, TimeWait, Close, Source::Inferred);
    assert!(script.transitions.contains(&inferred));
    assert!(script.tracker.overdue(script.at()).is_empty());
}

/// The client is in TIME_WAIT, and its timer has just been cancelled.
fn cancelled_in_time_wait() -> Script {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait2, Close);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.pass(1_000);
    script
}

#[test]
fn a_time_wait_that_has_just_given_way_to_a_new_connection_ended_as_seen() {
    let mut script = cancelled_in_time_wait();
    let census = census(&script, Vec::new());
    script.tracker.reconcile(&census, script.at());
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::CLIENT_ID).0, Outcome::Graceful);
    assert_eq!(script.ended(Script::CLIENT_ID).lost_events(), 0);
    let observed = (Script::CLIENT_ID, TimeWait, Close, Source::Observed);
    assert!(script.transitions.contains(&observed));
}

#[test]
fn a_time_wait_that_begins_again_while_the_census_is_taken_goes_on() {
    let mut script = cancelled_in_time_wait();
    let census = census(&script, vec![socket(CLIENT, SnapshotState::TimeWait(TimeWait))]);
    script.tracker.reconcile(&census, script.at());
    script.timer(CLIENT, client_tuple(), TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.pass(1_000_000);
    assert_eq!(script.end(Script::CLIENT_ID).state, TimeWait);
    assert_eq!(script.end(Script::CLIENT_ID).lost_events(), 0);
}

/// A tracker that has just begun: the dump is under way.
fn beginning() -> Script {
    let tracker = Tracker::new(Limits::default(), true);
    Script::of(tracker)
}

#[test]
fn what_ends_while_the_dump_is_taken_is_older_and_does_not_come_back_with_it() {
    let mut script = beginning();
    script.state(CLIENT, client_tuple(), CloseWait, LastAck);
    script.state(CLIENT, client_tuple(), LastAck, Close);
    let dumped = vec![socket(CLIENT, SnapshotState::Full(CloseWait))];
    script.tracker.merge_snapshot(dumped, Timestamp(0));
    script.pass(1_000_000);
    assert_eq!(script.closed.len(), 1);
    assert_eq!(script.tracker.len(), 0);
    let ended = script.ended(ConnId(1));
    assert!(ended.older);
    assert_eq!(ended.lost_events(), 0);
    assert_eq!(script.life(ConnId(1)), [CloseWait, LastAck, Close]);
}

#[test]
fn a_time_wait_that_gives_way_while_the_dump_is_taken_is_older_and_the_new_connection_is_not() {
    let mut script = beginning();
    let tuple = client_tuple();
    script.timer(SERVER, tuple, TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    script.timer(0, tuple, TimerOf::Request, TimerOp::Start, SynRecv);
    script
        .tracker
        .merge_snapshot(vec![socket(SERVER, SnapshotState::TimeWait(TimeWait))], Timestamp(0));
    script.pass(1_000_000);
    let old = script.ended(ConnId(1));
    assert!(old.older);
    assert_eq!(old.lost_events(), 0);
    assert_eq!(script.life(ConnId(1)), [TimeWait, Close]);
    let new = script.end(ConnId(2));
    assert!(!new.older);
    assert_eq!(new.state, SynRecv);
    assert_eq!(script.tracker.len(), 1);
}

#[test]
fn a_child_of_a_request_that_only_the_dump_knows_is_older() {
    let mut script = beginning();
    let tuple = client_tuple();
    script.state(SERVER, tuple, Listen, SynRecv);
    script.timer(0, tuple, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.state(SERVER, tuple, SynRecv, Established);
    script.tracker.merge_snapshot(vec![socket(SERVER, SnapshotState::Request)], Timestamp(0));
    script.pass(1_000_000);
    let child = script.end(ConnId(1));
    assert!(child.older);
    assert_eq!(child.opened_at(), None);
    assert_eq!(child.lost_events(), 0);
    assert_eq!(script.life(ConnId(1)), [SynRecv, Established]);
    assert_eq!(script.tracker.len(), 1);
}

/// A processor stood still in the middle of a step while the hooks came and the dump was taken: the step itself was
/// before the hooks, the dump has the state before it, the next event the state after it.
#[test]
fn a_step_in_the_midst_of_which_the_hooks_came_is_older_and_not_lost() {
    let mut script = beginning();
    let dumped = vec![socket(SERVER, SnapshotState::Full(Established))];
    script.tracker.merge_snapshot(dumped, script.at().plus_ns(1_000_000));
    script.state(SERVER, client_tuple(), CloseWait, LastAck);
    let server = script.end(ConnId(1));
    assert!(server.older);
    assert_eq!(server.lost_events(), 0);
    assert_eq!(script.life(ConnId(1)), [Established, CloseWait, LastAck]);
}

#[test]
fn a_socket_that_neither_the_dump_nor_an_event_told_of_is_older_at_the_start_and_lost_later() {
    let mut script = beginning();
    script.tracker.merge_snapshot(Vec::new(), script.at().plus_ns(100_000));
    script.state(CLIENT, client_tuple(), SynSent, Established);
    script.state(CLIENT, client_tuple(), Established, Close);
    script.pass(1_000_000);
    script.state(CLIENT + 10, client_tuple(), SynSent, Established);
    let (at_start, later) = (script.ended(ConnId(1)), script.end(ConnId(2)));
    assert_eq!((at_start.older, at_start.lost_events()), (true, 0));
    assert_eq!((later.older, later.lost_events()), (false, 1));
}

#[test]
fn a_step_is_lost_also_at_the_start_where_those_before_it_were_seen() {
    let mut script = beginning();
    let dumped = vec![socket(CLIENT, SnapshotState::Full(Established))];
    script.tracker.merge_snapshot(dumped, script.at().plus_ns(1_000_000));
    script.state(CLIENT, client_tuple(), Established, FinWait1);
    script.state(CLIENT, client_tuple(), FinWait2, Close);
    assert_eq!(script.end(ConnId(1)).lost_events(), 1);
}

#[test]
fn where_no_segments_are_seen_a_child_at_the_start_is_new() {
    let tracker = Tracker::new(Limits::default(), false);
    let mut script = Script::of(tracker);
    script.tracker.merge_snapshot(Vec::new(), script.at().plus_ns(1_000_000));
    script.state(SERVER, client_tuple(), Listen, SynRecv);
    script.state(SERVER, client_tuple(), SynRecv, Established);
    let child = script.end(ConnId(1));
    assert!(!child.older);
    assert!(child.opened_at().is_some());
}

#[test]
fn a_child_whose_syn_was_seen_is_new_at_the_start_too() {
    let mut script = beginning();
    script.tracker.merge_snapshot(Vec::new(), script.at().plus_ns(1_000_000));
    let tuple = client_tuple();
    script.segment(LISTENER, tuple, Direction::Received, flags::SYN, 7);
    script.state(SERVER, tuple, Listen, SynRecv);
    script.state(SERVER, tuple, SynRecv, Established);
    let child = script.end(ConnId(1));
    assert!(!child.older);
    assert_eq!(script.life(ConnId(1)), [SynRecv, Established]);
}

#[test]
fn a_time_wait_of_the_dump_is_no_other_end_of_the_connection_that_takes_its_ports() {
    let mut script = beginning();
    let old = SnapshotSocket {
        tuple: client_tuple().mirrored(),
        ..socket(SERVER + 10, SnapshotState::TimeWait(TimeWait))
    };
    script.tracker.merge_snapshot(vec![old], Timestamp(0));
    script.handshake();
    let ends: Vec<_> = script.tracker.iter().map(|c| (c.older, c.peer().is_some())).collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|(older, paired)| *paired != *older), "{ends:?}");
}

#[test]
fn counters_of_a_look_do_not_undo_those_of_an_event_that_came_later() {
    let counted = |bytes_sent| Counters { bytes_sent, ..Counters::default() };
    let mut script = Script::new();
    script.handshake();
    let look = SnapshotSocket {
        counters: Some(counted(10)),
        ..socket(CLIENT, SnapshotState::Full(Established))
    };
    let sent = |script: &Script| script.end(Script::CLIENT_ID).counters().unwrap().bytes_sent;
    script.tracker.refresh_counters(std::slice::from_ref(&look));
    assert_eq!(sent(&script), 10);
    let closes = state_event(client_tuple(), Established, FinWait1, 0);
    let closes = event::State { counters: counted(5_000), ..closes };
    script.tell(Hook::State, CLIENT, Body::State(closes));
    script.tracker.refresh_counters(&[look]);
    assert_eq!(sent(&script), 5_000);
}

#[test]
fn a_time_wait_of_the_dump_whose_ports_are_taken_by_a_bound_socket_ends_as_seen() {
    let mut script = beginning();
    let dumped = vec![socket(CLIENT, SnapshotState::TimeWait(TimeWait))];
    script.tracker.merge_snapshot(dumped, Timestamp(0));
    // Its port was bound by hand: the new socket's tuple is whole before the old one's timer is cancelled.
    script.state(99, client_tuple(), Close, SynSent);
    script.timer(CLIENT, client_tuple(), TimerOf::TimeWait, TimerOp::Cancel, TimeWait);
    let killed_at = script.at();
    script.pass(1_000_000);
    assert_eq!(script.ended(ConnId(1)).closed_at(), Some(killed_at));
    assert_eq!(script.life(ConnId(2)), [SynSent]);
}

#[test]
fn two_lives_of_one_socket_are_told_apart_by_a_census() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, TimeWait);
    script.state(CLIENT, client, FinWait2, Close);
    let again = Tuple { local: address(40_001), ..client };
    script.state(CLIENT, again, Close, SynSent);
    script.state(CLIENT, again, SynSent, Established);
    script.pass(10);
    let second =
        SnapshotSocket { tuple: again, ..socket(CLIENT, SnapshotState::Full(Established)) };
    let found = vec![socket(CLIENT, SnapshotState::TimeWait(TimeWait)), second];
    let census = census(&script, found);
    script.tracker.reconcile(&census, script.at());
    assert_eq!(script.end(Script::CLIENT_ID).state, TimeWait);
    assert_eq!(script.end(ConnId(3)).state, Established);
}

#[test]
fn a_look_that_began_before_an_orphan_was_one_does_not_set_its_life_back() {
    let mut script = Script::new();
    script.handshake();
    let began_at = script.at();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, FinWait2);
    let orphaned_at = script.end(Script::CLIENT_ID).entered_at();
    script.tracker.look(&[socket(CLIENT, SnapshotState::TimeWait(TimeWait))], began_at);
    let client = script.end(Script::CLIENT_ID);
    assert_eq!((client.state, client.entered_at()), (TimeWait, orphaned_at));
}
