//! How lives begin.

use super::*;

#[test]
fn a_handshake_makes_two_ends_that_know_each_other() {
    let mut script = Script::new();
    script.handshake();
    assert_eq!(script.life(Script::CLIENT_ID), [SynSent, Established]);
    assert_eq!(script.life(Script::SERVER_ID), [SynRecv, Established]);
    let client = script.end(Script::CLIENT_ID);
    let server = script.end(Script::SERVER_ID);
    assert_eq!((client.peer(), server.peer()), (Some(server.id), Some(client.id)));
    assert_eq!((client.cookie(), server.cookie()), (Some(CLIENT), Some(SERVER)));
    assert_eq!(client.tuple, client_tuple());
    assert_eq!(script.tracker.len(), 2);
}

#[test]
fn a_child_born_without_its_tuple_and_cookie_is_tied_by_its_next_event() {
    // Kernels before 6.18.
    let server = client_tuple().mirrored();
    let mut script = Script::new();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    let empty = Tuple::new(1, address(80), address(0));
    script.state(LISTENER, empty, Listen, SynRecv);
    script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.state(SERVER, server, SynRecv, Established);
    script.pass(1_000_000);
    assert_eq!(script.life(ConnId(1)), [SynRecv, Established]);
    assert_eq!(script.end(ConnId(1)).cookie(), Some(SERVER));
    assert_eq!(script.tracker.len(), 1);
}

#[test]
fn a_processor_that_stalls_between_a_childs_birth_and_its_next_event_does_not_end_the_request() {
    let server = client_tuple().mirrored();
    let mut script = Script::new();
    script.timer(0, server, TimerOf::Request, TimerOp::Start, SynRecv);
    let empty = Tuple::new(1, address(80), address(0));
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
    assert_eq!(script.end(ConnId(1)).lost_events(), 0);
}

#[test]
fn a_syn_cookies_answer_is_known_from_its_child_and_the_end_opened_with_its_syn() {
    let server = client_tuple().mirrored();
    let isns = Isns { sent: 500, received: 100 };
    let mut script = Script::new();
    script.segment(LISTENER, server, Direction::Received, flags::SYN, isns.received);
    let syn_at = script.at();
    script.pass(300_000);
    script.state(SERVER, server, Listen, SynRecv);
    script.child_stands(SERVER, server, isns);
    let end = script.end(ConnId(1));
    assert_eq!((end.opened_at(), end.isns()), (Some(syn_at), Some(isns)));
    let segments: Vec<_> = script
        .segments
        .iter()
        .map(|s| (s.direction, s.flags.to_string(), s.seq, s.ack, s.retransmit, s.at))
        .collect();
    assert_eq!(
        segments,
        [
            (Direction::Received, "S".to_owned(), 0, None, false, syn_at),
            (Direction::Sent, "SA".to_owned(), 0, Some(1), false, syn_at),
        ]
    );
}

#[test]
fn a_request_sockets_answer_that_was_not_seen_is_not_taken_for_a_cookies() {
    let server = client_tuple().mirrored();
    let isns = Isns { sent: 500, received: 100 };
    let mut script = Script::new();
    script.segment(LISTENER, server, Direction::Received, flags::SYN, isns.received);
    script.request(REQ, server, isns);
    script.state(SERVER, server, Listen, SynRecv);
    script.child_stands(SERVER, server, isns);
    assert_eq!(script.segments.len(), 1);
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

#[test]
fn a_socket_that_turns_out_not_to_be_watched_is_told_as_it_is_and_forgotten() {
    let mut script = Script::new();
    let client = client_tuple();
    script.state(CLIENT, Tuple { local: address(0), ..client }, Close, SynSent);
    let taken_back =
        event::State { unwatched: true, ..state_event(client, SynSent, Established, 0) };
    script.tell(Hook::State, CLIENT, Body::State(taken_back));
    assert!(script.tracker.is_empty());
    assert_eq!(script.ended(ConnId(1)).tuple, client);
    // Once more, and of a socket that nobody has heard of: nothing.
    script.tell(Hook::State, CLIENT, Body::State(taken_back));
    script.tell(Hook::State, SERVER, Body::State(taken_back));
    assert_eq!(script.closed.len(), 1);
    assert_eq!(script.transitions.len(), 1);
}
