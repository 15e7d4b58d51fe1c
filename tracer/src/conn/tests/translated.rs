//! Address translation between two ends of this host: REDIRECT, DNAT, masquerading, in one
//! namespace or across several.

use super::*;

const ISNS: Isns = Isns { sent: 500, received: 100 };

fn at(ip: &str, port: u16) -> SocketAddress {
    SocketAddress { ip: ip.parse().unwrap(), port }
}

/// What each end's socket has as its addresses, in the order client, server.
fn translated() -> [(&'static str, Tuple, Tuple); 4] {
    let tuple = |netns, local, remote| Tuple::new(netns, local, remote);
    let client = at("10.0.0.1", 40_000);
    let service = at("10.96.0.1", 80);
    [
        ("DNAT", tuple(1, client, service), tuple(1, at("10.0.0.1", 8080), client)),
        ("SNAT", tuple(1, client, service), tuple(2, service, at("10.0.0.9", 61_000))),
        (
            "both, across namespaces",
            tuple(1, client, service),
            tuple(2, at("172.17.0.2", 8080), at("172.17.0.1", 61_000)),
        ),
        (
            "IPv6",
            tuple(1, at("fd00::1", 40_000), at("fd00::96", 80)),
            tuple(1, at("::1", 8080), at("fd00::1", 40_000)),
        ),
    ]
}

/// The handshake: what an end sends passes the hook under translated addresses, what it receives
/// under its own.
fn handshake(script: &mut Script, client: Tuple, server: Tuple) {
    script.state(CLIENT, Tuple { local: address(0), ..client }, Close, SynSent);
    let syn_on_wire = Tuple { netns: client.netns, ..server.mirrored() };
    script.segment(CLIENT, syn_on_wire, Direction::Sent, flags::SYN, ISNS.received);
    script.segment(LISTENER, server, Direction::Received, flags::SYN, ISNS.received);
    script.request(REQ, server, ISNS);
    let answer_on_wire = Tuple { netns: server.netns, ..client.mirrored() };
    script.segment(LISTENER, answer_on_wire, Direction::Sent, SYN_ACK, ISNS.sent);
    script.segment(CLIENT, client, Direction::Received, SYN_ACK, ISNS.sent);
    script.state(CLIENT, client, SynSent, Established);
    script.state(SERVER, server, Listen, SynRecv);
    script.timer(0, server, TimerOf::Request, TimerOp::Cancel, SynRecv);
    script.child_stands(SERVER, server, ISNS);
}

const SYN_ACK: u8 = flags::SYN | flags::ACK;

#[test]
fn ends_on_both_sides_of_an_address_translation_are_peers() {
    for (name, client, server) in translated() {
        let mut script = Script::new();
        handshake(&mut script, client, server);
        let (one, other) = (script.end(Script::CLIENT_ID), script.end(Script::SERVER_ID));
        assert_eq!((one.tuple, other.tuple), (client, server), "{name}");
        assert_eq!((one.peer(), other.peer()), (Some(other.id), Some(one.id)), "{name}");
        assert_eq!((one.isns(), other.isns()), (Some(ISNS.mirrored()), Some(ISNS)), "{name}");
        assert_eq!(script.tracker.counters.unattributed, 0, "{name}");
        let sent: Vec<_> = script
            .segments
            .iter()
            .filter(|s| s.conn == other.id && s.direction == Direction::Sent)
            .map(|s| (s.flags.to_string(), s.seq, s.ack, s.retransmit))
            .collect();
        assert_eq!(sent, [("SA".to_owned(), 0, Some(1), false)], "{name}");
    }
}

#[test]
fn a_translated_end_that_is_seen_only_at_its_child_is_found_too() {
    // SYN cookies and TCP Fast Open: no request socket.
    let (_, client, server) = translated()[0];
    let mut script = Script::new();
    script.state(CLIENT, client, Close, SynSent);
    script.segment(CLIENT, client, Direction::Sent, flags::SYN, ISNS.received);
    script.segment(LISTENER, server, Direction::Received, flags::SYN, ISNS.received);
    script.segment(CLIENT, client, Direction::Received, SYN_ACK, ISNS.sent);
    script.state(SERVER, server, Listen, SynRecv);
    script.child_stands(SERVER, server, ISNS);
    assert_eq!(script.end(Script::CLIENT_ID).peer(), Some(Script::SERVER_ID));
}

#[test]
fn ends_with_other_sequence_numbers_are_no_peers_whatever_else_fits() {
    let (_, client, server) = translated()[0];
    let mut script = Script::new();
    handshake(&mut script, client, server);
    let elsewhere = Tuple { remote: at("10.96.0.2", 80), local: address(40_001), ..client };
    script.state(44, elsewhere, Close, SynSent);
    script.segment(44, elsewhere, Direction::Sent, flags::SYN, ISNS.received);
    script.segment(44, elsewhere, Direction::Received, SYN_ACK, ISNS.sent + 1);
    assert_eq!(script.end(ConnId(3)).peer(), None);
}

#[test]
fn two_candidates_with_the_same_sequence_numbers_leave_the_peer_unknown() {
    let (_, client, server) = translated()[0];
    let mut script = Script::new();
    script.request(REQ, server, ISNS);
    script.request(REQ + 1, Tuple { local: at("10.0.0.1", 8081), ..server }, ISNS);
    script.state(CLIENT, client, Close, SynSent);
    script.segment(CLIENT, client, Direction::Sent, flags::SYN, ISNS.received);
    script.segment(CLIENT, client, Direction::Received, SYN_ACK, ISNS.sent);
    assert!((1..=3).all(|id| script.end(ConnId(id)).peer().is_none()));
}

#[test]
fn the_same_sequence_numbers_a_minute_later_are_another_connections() {
    let (_, client, server) = translated()[0];
    let mut script = Script::new();
    script.request(REQ, server, ISNS);
    script.pass(60_000_000);
    script.state(CLIENT, client, Close, SynSent);
    script.segment(CLIENT, client, Direction::Sent, flags::SYN, ISNS.received);
    script.segment(CLIENT, client, Direction::Received, SYN_ACK, ISNS.sent);
    assert_eq!(script.end(ConnId(2)).peer(), None);
}

#[test]
fn a_full_table_of_lone_ends_is_counted() {
    let mut script = Script::new();
    let mut lone = super::super::lone_ends::LoneEnds::default();
    script.request(REQ, client_tuple().mirrored(), ISNS);
    let key = script.tracker.keys()[0];
    assert!(lone.insert(ISNS, key, Timestamp(0), 1));
    assert!(!lone.insert(ISNS.mirrored(), key, Timestamp(0), 1));
}
