//! `outcome` and `closed_by`.

use super::*;

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
    let listener = Tuple::new(1, address(80), address(0));
    aborted.state(LISTENER, listener, Listen, Close);
    aborted.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    aborted.pass(1_000_000);
    assert_eq!(aborted.verdict(ConnId(1)), (Outcome::Aborted, None));
}

#[test]
fn a_reset_whose_error_the_program_has_read_before_the_socket_closed_is_one_all_the_same() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.segment(CLIENT, client, Direction::Received, flags::RST, 501);
    script.state(CLIENT, client, Established, Close);
    script.pass(1_000_000);
    let remote = (Outcome::ResetByRemote, Some(ClosedBy::Remote));
    assert_eq!(script.verdict(Script::CLIENT_ID), remote);
}

#[test]
fn a_reset_that_tcp_did_not_take_is_not_why_a_syn_or_a_request_times_out() {
    let client = client_tuple();
    let mut script = Script::new();
    script.state(CLIENT, client, Close, SynSent);
    script.segment(CLIENT, client, Direction::Received, flags::RST, 7);
    script.state_errno(CLIENT, client, SynSent, Close, 110);
    let server = client.mirrored();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    script.segment(LISTENER, server, Direction::Received, flags::RST, 7);
    script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.timer(0, server, TimerOf::Request, TimerOp::Expire, SynRecv);
    script.pass(1_000_000);
    assert_eq!(script.verdict(ConnId(1)), (Outcome::TimedOut, None));
    assert_eq!(script.verdict(ConnId(2)), (Outcome::TimedOut, None));
}

/// Without the timers' hooks (`--hooks state`) every close that the other end is slow to answer looks like this.
#[test]
fn an_orphan_whose_timewait_socket_was_not_seen_has_no_verdict() {
    let mut script = Script::new();
    script.handshake();
    let client = client_tuple();
    script.state(CLIENT, client, Established, FinWait1);
    script.state(CLIENT, client, FinWait1, FinWait2);
    script.state(CLIENT, client, FinWait2, Close);
    script.pass(1_000_000);
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::Unknown, Some(ClosedBy::Local)));
}

/// SO_REUSEPORT: `reqsk_timer_handler` gives a request up, or to another listener, when its own has closed.
#[test]
fn a_request_whose_timer_starts_again_was_not_the_closed_listeners() {
    let mut script = Script::new();
    let server = client_tuple().mirrored();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    let listener = Tuple::new(1, address(80), address(0));
    script.state(LISTENER, listener, Listen, Close);
    for again in [true, false] {
        script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
        script.timer(0, server, TimerOf::Request, TimerOp::Expire, SynRecv);
        if again {
            script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
        }
        script.pass(1_000_000);
    }
    assert_eq!(script.verdict(ConnId(1)), (Outcome::TimedOut, None));
}
