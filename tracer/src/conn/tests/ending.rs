//! How lives end: FIN_WAIT2, TIME_WAIT and their timers.

use super::*;

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
    assert_eq!(script.end(Script::CLIENT_ID).outcome(), Outcome::Graceful);
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
    let connection = script.end(Script::CLIENT_ID);
    assert_eq!(connection.lost_events(), 0);
    let life = [SynSent, Established, FinWait1, FinWait2, TimeWait];
    assert_eq!(script.life(Script::CLIENT_ID), life);
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
    let pid = script.end(Script::CLIENT_ID).owner.as_ref().map(|owner| owner.pid);
    assert_eq!(script.tracker.orphaned_namespaces(Timestamp(u64::MAX)), [(1, pid)]);
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
    let client_end = script.end(Script::CLIENT_ID);
    assert_eq!(client_end.state, TimeWait);
    assert_eq!(client_end.entered_at(), Some(fin_at));
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
    assert_eq!(script.end(Script::CLIENT_ID).state, TimeWait);
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
    assert_eq!(script.ended(Script::CLIENT_ID).closed_at(), Some(killed_at));
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
    assert_eq!(script.end(Script::CLIENT_ID).state, TimeWait);
    assert!(script.closed.is_empty());
}

#[test]
fn an_inferred_step_is_not_told_before_the_one_that_it_follows() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    let server = client.mirrored();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(SERVER, server, Established, CloseWait);
    script.state(SERVER, server, CloseWait, LastAck);
    // The server's FIN leaves before the client has taken the ACK of its own in.
    script.segment(SERVER, server, Direction::Sent, flags::FIN | flags::ACK, 501);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.timer(CLIENT, client, TimerOf::TimeWait, TimerOp::Start, FinWait2);
    let orphaned_at = script.end(Script::CLIENT_ID).entered_at();
    script.state(CLIENT, client, FinWait2, Close);
    script.state(SERVER, server, LastAck, Close);
    let client = script.end(Script::CLIENT_ID);
    assert_eq!((client.state, client.entered_at()), (TimeWait, orphaned_at));
}
