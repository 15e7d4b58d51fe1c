use tracer_common::Hook;

use super::*;
use crate::event::{Counters, Segment, State, Task, Tuple};
use crate::record::SocketAddress;

/// What an engine says of a client's connection up to ESTABLISHED, in short.
fn said(tell_changed: TellChanged) -> Vec<String> {
    let mut engine = Engine::new(EngineOptions { tell_changed, ..EngineOptions::default() });
    open_client(&mut engine);
    outputs_of(&mut engine)
}

/// A client's connection up to ESTABLISHED, at the times 1 and 2.
fn open_client(engine: &mut Engine) {
    let address = |port| SocketAddress { ip: [10, 0, 0, 1].into(), port };
    let tuple = Tuple::new(1, address(40_000), address(80));
    let steps = [(TcpState::Close, TcpState::SynSent), (TcpState::SynSent, TcpState::Established)];
    for ((from, to), at) in steps.into_iter().zip(1..) {
        let state = State {
            tuple,
            skaddr: 8,
            from,
            to,
            task: Task { pid: 7, tid: 7, cgroup_id: 5, comm: [b'x'; 16] },
            errno: 0,
            fin_received: false,
            orphan: false,
            unwatched: false,
            repair: false,
            in_sockmap: false,
            isns: None,
            counters: Counters::default(),
        };
        let body = Body::State(state);
        let (at, cookie) = (Timestamp(at), Some(3));
        engine.apply(&Event { at, cookie, socket_lost: 0, hook: Hook::State, body });
        for owned in engine.take_owned() {
            engine.set_facts(owned.conn, Arc::default());
        }
    }
}

/// The target of the only request told, where `sent` is all that the client's end sent: packet's number, flags, bytes.
fn requested(sent: &[(u32, u8, &[u8])]) -> Option<String> {
    let mut engine = Engine::new(EngineOptions { sees_segments: true, ..Default::default() });
    open_client(&mut engine);
    for ((seq, flags, captured), at) in sent.iter().copied().zip(3..) {
        let (tuple, direction) = (Tuple::UNKNOWN, Direction::Sent);
        let packet_bytes = u32::try_from(captured.len()).unwrap();
        let mut apply = |hook, body| {
            let (at, cookie) = (Timestamp(at), Some(3));
            engine.apply(&Event { at, cookie, socket_lost: 0, hook, body });
        };
        if flags & flags::SYN != 0 {
            let segment = Segment {
                tuple,
                direction,
                flags,
                seq,
                ack: None,
                payload_bytes: packet_bytes,
                retransmit: false,
                by_tuple: false,
            };
            apply(Hook::Segments, Body::Segment(segment));
        }
        if !captured.is_empty() {
            let (offset_bytes, by_tuple) = (0, false);
            let payload =
                Payload { tuple, direction, seq, packet_bytes, offset_bytes, captured, by_tuple };
            apply(Hook::Payload, Body::Payload(payload));
        }
    }
    engine.finish(&[], Timestamp(100));
    let mut outputs = Vec::new();
    engine.drain_into(&mut outputs);
    outputs.iter().find_map(|output| match output {
        Output::Record(Record::Exchange(exchange)) => Some(exchange.target.as_ref()?.to_string()),
        _ => None,
    })
}

#[test]
fn a_request_may_come_with_the_syn_or_behind_it() {
    let request = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
    for isn in [7, u32::MAX] {
        let behind = isn.wrapping_add(1);
        assert_eq!(requested(&[(isn, flags::SYN, request)]).as_deref(), Some("/a"));
        let sent: [(u32, u8, &[u8]); 2] = [(isn, flags::SYN, b""), (behind, 0, request)];
        assert_eq!(requested(&sent).as_deref(), Some("/a"));
    }
}

#[test]
fn a_byte_that_probes_whether_the_other_end_is_there_is_no_data() {
    let request = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
    let sent: [(u32, u8, &[u8]); 3] = [(7, flags::SYN, b""), (7, 0, b"x"), (8, 0, request)];
    assert_eq!(requested(&sent).as_deref(), Some("/a"));
}

fn outputs_of(engine: &mut Engine) -> Vec<String> {
    let mut outputs = Vec::new();
    engine.drain_into(&mut outputs);
    let brief = |output: &Output| match output {
        Output::Record(Record::Transition(transition)) => format!("to {:?}", transition.to),
        Output::Record(record) => format!("{record:?}"),
        Output::Changed(connection) => format!("now {} states", connection.states.len()),
        Output::Lasting(connection) => format!("lasts with {} states", connection.states.len()),
    };
    outputs.iter().map(brief).collect()
}

#[test]
fn a_connection_that_is_there_for_a_second_is_told_as_lasting_once() {
    let options = EngineOptions { tell_lasting: true, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    open_client(&mut engine);
    engine.expire(Timestamp(LASTING_NS));
    assert_eq!(outputs_of(&mut engine), ["to SynSent", "to Established"]);
    engine.expire(Timestamp(LASTING_NS + 1));
    assert_eq!(outputs_of(&mut engine), ["lasts with 2 states"]);
    engine.expire(Timestamp(10 * LASTING_NS));
    assert!(outputs_of(&mut engine).is_empty());
}

#[test]
fn a_lasting_connection_is_told_again_when_it_gains_an_owner() {
    let options = EngineOptions { tell_lasting: true, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    open_client(&mut engine);
    let conn = engine.tracker.keys()[0];
    engine.set_facts(conn, Arc::default());
    assert_eq!(outputs_of(&mut engine), ["to SynSent", "to Established"], "not lasting yet");
    engine.expire(Timestamp(LASTING_NS + 1));
    engine.set_facts(conn, Arc::default());
    assert_eq!(outputs_of(&mut engine), ["lasts with 2 states", "lasts with 2 states"]);
}

#[test]
fn an_exchange_comes_behind_what_is_known_of_its_connection() {
    let mut engine =
        Engine::new(EngineOptions { tell_changed: TellChanged::Together, ..Default::default() });
    open_client(&mut engine);
    let request = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    // Without the SYNs the first exchange is certain once the second has begun.
    let messages: [(Direction, &[u8], u32); 4] = [
        (Direction::Sent, request, 8),
        (Direction::Received, response, 8),
        (Direction::Sent, request, 8 + request.len() as u32),
        (Direction::Received, response, 8 + response.len() as u32),
    ];
    for ((direction, captured, seq), at) in messages.into_iter().zip(3..) {
        let packet_bytes = u32::try_from(captured.len()).unwrap();
        let (tuple, offset_bytes, by_tuple) = (Tuple::UNKNOWN, 0, false);
        let payload =
            Payload { tuple, direction, seq, packet_bytes, offset_bytes, captured, by_tuple };
        let (at, body) = (Timestamp(at), Body::Payload(payload));
        engine.apply(&Event { at, cookie: Some(3), socket_lost: 0, hook: Hook::Payload, body });
    }
    let mut outputs = Vec::new();
    engine.drain_into(&mut outputs);
    let exchange = outputs
        .iter()
        .position(|output| matches!(output, Output::Record(Record::Exchange(_))))
        .unwrap();
    let Output::Changed(connection) = &outputs[exchange - 1] else { panic!("{outputs:?}") };
    assert_eq!((connection.local.port, connection.pid), (40_000, Some(7)));
}

#[test]
fn one_that_is_older_than_the_tracer_is_told_as_lasting_at_once() {
    let options = EngineOptions { tell_lasting: true, ..EngineOptions::default() };
    let mut engine = Engine::new(options);
    let address = |port| SocketAddress { ip: [10, 0, 0, 1].into(), port };
    let older = SnapshotSocket {
        cookie: 3,
        tuple: Tuple::new(1, address(40_000), address(80)),
        state: conn::SnapshotState::Full(TcpState::Established),
        counters: None,
        owner: None,
    };
    engine.merge_snapshot(vec![older], Timestamp(5));
    engine.expire(Timestamp(LASTING_NS));
    assert_eq!(outputs_of(&mut engine), ["lasts with 1 states"]);
}

#[test]
fn changes_are_told_at_once_or_together_or_never() {
    assert_eq!(said(TellChanged::Never), ["to SynSent", "to Established"]);
    let together = ["now 1 states", "to SynSent", "to Established", "now 2 states"];
    assert_eq!(said(TellChanged::Together), together);
    let at_once = said(TellChanged::AtOnce);
    assert!(at_once.len() > together.len());
    assert_eq!(at_once.last().map(String::as_str), Some("now 2 states"));
}
