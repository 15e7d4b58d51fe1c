//! Which connection an event is about.

use super::*;

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
fn a_full_table_refuses_and_counts() {
    let mut script = Script::new();
    script.tracker = Tracker::new(Limits { connections: 1, pending: 1, ..Limits::default() }, true);
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
            isns: None,
        };
        script.tell(Hook::Timers, 0, Body::Timer(timer));
    }
    let peers: Vec<_> = (1..=4).map(|id| script.end(ConnId(id)).peer()).collect();
    assert_eq!(peers, [Some(ConnId(2)), Some(ConnId(1)), Some(ConnId(4)), Some(ConnId(3))]);
}

#[test]
fn loopback_ends_of_two_namespaces_are_no_pair() {
    let mut script = Script::new();
    let on_loopback = |port| SocketAddress { ip: std::net::Ipv4Addr::LOCALHOST.into(), port };
    let client = Tuple::new(1, on_loopback(40_000), on_loopback(80));
    script.state(CLIENT, client, Close, SynSent);
    script.state(CLIENT, client, SynSent, Established);
    let elsewhere = Tuple { netns: 2, ..client.mirrored() };
    script.timer(0, elsewhere, TimerOf::Request, TimerOp::Start, SynRecv);
    assert_eq!(script.end(ConnId(1)).peer(), None);
    assert_eq!(script.end(ConnId(2)).peer(), None);
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
        assert!(
            script.ended(id).closed_at() < Some(Timestamp(script.now_us * 1_000 - 900_000_000))
        );
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

/// REDIRECT, DNAT, kube-proxy, service meshes: the egress hook comes after NF_INET_POST_ROUTING (`ip_finish_output`).
#[test]
fn a_packet_that_was_translated_is_still_its_sockets() {
    let mut script = Script::new();
    let client = client_tuple();
    let translated = Tuple { remote: address(15_001), ..client };
    script.state(CLIENT, Tuple { local: address(0), ..client }, Close, SynSent);
    script.segment(CLIENT, translated, Direction::Sent, flags::SYN, 100);
    script.segment(CLIENT, client, Direction::Received, flags::SYN | flags::ACK, 500);
    script.state(CLIENT, client, SynSent, Established);
    let end = script.end(ConnId(1));
    assert_eq!((end.tuple, end.isn(Direction::Sent)), (client, Some(100)));
    assert!(script.tracker.find(Some(CLIENT), &translated).is_some());
    assert_eq!(script.tracker.counters.unattributed, 0);
}

#[test]
fn a_translated_source_is_not_taken_for_the_sockets_own() {
    let elsewhere = SocketAddress { ip: "203.0.113.7".parse().unwrap(), port: 40_000 };
    for masqueraded in [elsewhere, address(61_000)] {
        let mut script = Script::new();
        let client = client_tuple();
        script.state(CLIENT, Tuple { local: address(0), ..client }, Close, SynSent);
        let translated = Tuple { local: masqueraded, ..client };
        script.segment(CLIENT, translated, Direction::Sent, flags::SYN, 100);
        script.state(CLIENT, client, SynSent, Established);
        assert_eq!(script.life(ConnId(1)), [SynSent, Established]);
        assert_eq!(script.end(ConnId(1)).tuple, client);
        assert_eq!(script.tracker.len(), 1);
    }
}

#[test]
fn a_socket_that_connects_anew_has_ended_its_life_before_though_that_was_lost() {
    let mut script = Script::new();
    script.handshake();
    let other = Tuple { remote: address(81), ..client_tuple() };
    script.state(CLIENT, Tuple { local: address(0), ..other }, Close, SynSent);
    script.pass(1_000_000);
    assert_eq!(script.life(Script::CLIENT_ID), [SynSent, Established, Close]);
    assert_eq!(script.verdict(Script::CLIENT_ID), (Outcome::Unknown, None));
    assert_eq!(script.ended(Script::CLIENT_ID).lost_events(), 1);
}

fn on_interface(index: u32) -> Tuple {
    Tuple { interface: Interface::with_index(index), ..client_tuple() }
}

/// SO_BINDTODEVICE and VRF: the kernel looks connections up by the interface too (`inet_match`).
#[test]
fn the_same_four_tuple_on_two_interfaces_is_two_connections() {
    let mut script = Script::new();
    for (index, isn) in [(2, 100), (3, 200)] {
        let client = on_interface(index);
        let server = client.mirrored();
        let isns = Isns { sent: isn + 400, received: isn };
        let (client_cookie, server_cookie) = (u64::from(index), u64::from(index) + 10);
        script.state(client_cookie, client, Close, SynSent);
        script.segment(client_cookie, client, Direction::Sent, flags::SYN, isn);
        script.segment(LISTENER, server, Direction::Received, flags::SYN, isn);
        script.request(REQ + u64::from(index), server, isns);
        script.state(client_cookie, client, SynSent, Established);
        script.state(server_cookie, server, Listen, SynRecv);
        script.child_stands(server_cookie, server, isns);
    }
    script.pass(1_000_000);
    assert!(script.closed.is_empty());
    let lives = [1, 2, 3, 4].map(|id| script.life(ConnId(id)));
    let [client, server] = [vec![SynSent, Established], vec![SynRecv, Established]];
    assert_eq!(lives, [client.clone(), server.clone(), client, server]);
    let peers: Vec<_> = (1..=4).map(|id| script.end(ConnId(id)).peer()).collect();
    assert_eq!(peers, [Some(ConnId(2)), Some(ConnId(1)), Some(ConnId(4)), Some(ConnId(3))]);
}

#[test]
fn a_packet_without_a_socket_of_its_own_is_nobodys_where_two_interfaces_have_its_tuple() {
    let mut script = Script::new();
    for index in [2, 3] {
        let server = on_interface(index).mirrored();
        script.request(REQ + u64::from(index), server, Isns { sent: index, received: 100 });
    }
    let packet = client_tuple().mirrored().on_any_interface();
    script.segment(LISTENER, packet, Direction::Received, flags::RST, 101);
    assert_eq!(script.tracker.counters.unattributed, 1);
    assert!(script.segments.is_empty());
}

#[test]
fn a_reset_that_a_closed_socket_sends_is_its_own_though_another_interface_has_its_tuple() {
    let mut script = Script::new();
    for index in [2, 3] {
        let server = on_interface(index).mirrored();
        let isns = Isns { sent: index, received: 100 };
        script.request(REQ + u64::from(index), server, isns);
        script.state(u64::from(index), server, Listen, SynRecv);
        script.child_stands(u64::from(index), server, isns);
    }
    script.state(2, on_interface(2).mirrored(), Established, Close);
    let packet = event::Segment {
        tuple: client_tuple().mirrored().on_any_interface(),
        direction: Direction::Sent,
        flags: flags::RST | flags::ACK,
        seq: 3,
        ack: Some(101),
        payload_bytes: 0,
        retransmit: false,
        by_tuple: true,
    };
    script.tell(Hook::Segments, 2, Body::Segment(packet));
    assert_eq!(script.segments.iter().map(|s| s.conn).collect::<Vec<_>>(), [ConnId(1)]);
}

#[test]
fn a_listeners_answer_is_of_the_connection_whose_syn_it_answers() {
    let mut script = Script::new();
    for (index, isn) in [(2, 100), (3, 200)] {
        let server = on_interface(index).mirrored();
        script.request(REQ + u64::from(index), server, Isns { sent: 500, received: isn });
    }
    let packet = client_tuple().mirrored().on_any_interface();
    script.segment(LISTENER, packet, Direction::Sent, flags::SYN | flags::ACK, 500);
    assert_eq!(script.segments.iter().map(|s| s.conn).collect::<Vec<_>>(), [ConnId(1)]);
}
