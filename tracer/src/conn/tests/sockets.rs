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
        true,
    );
    let mut script = Script { tracker, now_us: 1_000, transitions: Vec::new(), closed: Vec::new() };
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
    tracker.merge_snapshot(vec![dumped(Established), dumped(FinWait1)], true);
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
