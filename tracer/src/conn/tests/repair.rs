//! Sockets in repair mode (TCP_REPAIR): a process sets their state, and no segment is sent.

use super::*;

const ECONNABORTED: i32 = 103;

fn restored() -> Script {
    let mut script = Script::new();
    let client = client_tuple();
    script.repaired(CLIENT, client, Close, SynSent, 0);
    script.repaired(CLIENT, client, SynSent, Established, 0);
    script
}

#[test]
fn a_restored_connection_begins_to_stand_and_has_no_syn_and_no_opener() {
    let mut script = restored();
    let end = script.end(ConnId(1));
    assert_eq!((end.endpoint, end.opened_at(), end.older), (None, None, false));
    assert_eq!((end.lost_events(), end.connect_us()), (0, None));
    assert_eq!(end.owner.as_ref().map(|owner| owner.pid.get()), Some(7));
    assert_eq!(script.transitions, [(ConnId(1), Close, Established, Source::Observed)]);
    let client = client_tuple();
    script.state(CLIENT, client, Established, CloseWait);
    script.state(CLIENT, client, CloseWait, LastAck);
    script.state(CLIENT, client, LastAck, Close);
    script.pass(1_000_000);
    assert_eq!(script.life(ConnId(1)), [Established, CloseWait, LastAck, Close]);
    assert_eq!(script.verdict(ConnId(1)), (Outcome::Graceful, Some(ClosedBy::Remote)));
}

#[test]
fn a_connection_that_is_taken_out_has_no_outcome() {
    let mut script = Script::new();
    script.handshake();
    script.repaired(SERVER, client_tuple().mirrored(), Established, Close, ECONNABORTED);
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::SERVER_ID), (Outcome::Unknown, None));
    assert_eq!(script.ended(Script::SERVER_ID).lost_events(), 0);
}

#[test]
fn a_socket_that_is_taken_out_and_restored_lives_twice() {
    let mut script = restored();
    script.repaired(CLIENT, client_tuple(), Established, Close, ECONNABORTED);
    script.repaired(CLIENT, client_tuple(), Close, SynSent, 0);
    script.repaired(CLIENT, client_tuple(), SynSent, Established, 0);
    script.pass(1_000_000);
    assert_eq!(script.life(ConnId(1)), [Established, Close]);
    assert_eq!(script.life(ConnId(2)), [Established]);
}

#[test]
fn both_ends_may_be_restored_in_either_order() {
    let mut script = restored();
    let server = client_tuple().mirrored();
    script.repaired(SERVER, server, Close, SynSent, 0);
    script.repaired(SERVER, server, SynSent, Established, 0);
    assert_eq!(script.end(ConnId(1)).peer(), Some(ConnId(2)));
    assert_eq!(script.end(ConnId(2)).peer(), Some(ConnId(1)));
}

#[test]
fn a_restore_that_fails_leaves_nothing() {
    let mut script = Script::new();
    script.repaired(CLIENT, client_tuple(), Close, SynSent, 0);
    script.repaired(CLIENT, client_tuple(), SynSent, Close, 0);
    assert!(script.tracker.is_empty());
}
