//! Events that come twice, late or not at all.

use super::*;

#[test]
fn a_timewait_socket_of_fin_wait_1_proves_that_a_step_was_missed() {
    let mut script = Script::new();
    script.handshake();
    script.state(CLIENT, client_tuple(), Established, FinWait1);
    script.timer(CLIENT, client_tuple(), TimerOf::TimeWait, TimerOp::Start, TimeWait);
    assert_eq!(script.end(Script::CLIENT_ID).lost_events(), 1);
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
    assert_eq!(script.end(Script::CLIENT_ID).state, TimeWait);
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
    let connection = script.end(Script::CLIENT_ID);
    let life: Vec<_> = connection.life.iter().map(|e| (e.state, e.at.is_some())).collect();
    assert_eq!(life, [(SynSent, true), (Established, true), (FinWait1, false), (FinWait2, true)]);
    assert_eq!(connection.lost_events(), 1);
}
