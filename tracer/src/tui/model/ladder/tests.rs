use super::*;
use crate::record::{ConnId, Connection};
use crate::tui::fixture::{ago, connection, exchange, segment, states};
use crate::tui::model::Model;
use crate::view_update::Update;

use std::sync::Arc;

use TcpState::{CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent};

/// Both ends of a connection on this host, from SYN to the first FIN, with a request.
fn both_ends() -> Model {
    use Direction::{Received, Sent};
    let client = Connection {
        peer: Some(ConnId(2)),
        states: states(&[
            (SynSent, 100_002),
            (Established, 99_950),
            (FinWait1, 502),
            (FinWait2, 470),
        ]),
        ..connection(1)
    };
    let server = Connection {
        id: ConnId(2),
        endpoint: Some(Endpoint::Server),
        peer: Some(ConnId(1)),
        comm: Some("nginx".into()),
        local: client.remote,
        remote: client.local,
        states: states(&[
            (SynRecv, 99_990),
            (Established, 99_940),
            (CloseWait, 480),
            (LastAck, 400),
        ]),
        ..connection(2)
    };
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    model.tick(ago(0));
    let told = [client, server].map(|end| Update::Connection(Arc::new(end)));
    model.offer(told.into());
    model.offer(vec![
        segment(1, 100_000, Sent, "S", 0),
        segment(2, 99_995, Received, "S", 0),
        segment(2, 99_980, Sent, "SA", 0),
        segment(1, 99_960, Received, "SA", 0),
        segment(1, 500, Sent, "FA", 1),
        segment(2, 490, Received, "FA", 1),
        segment(2, 398, Sent, "FA", 1),
        Update::Record(crate::record::Record::Exchange(Arc::new(Exchange {
            request: Some(crate::record::Request { at: Some(ago(90_000)), ..Default::default() }),
            response: Some(crate::record::Response { at: Some(ago(50_000)), ..Default::default() }),
            ..exchange(1, 1, 200)
        }))),
    ]);
    model
}

fn told(model: &Model, id: u64) -> Vec<String> {
    let ladder = ladder(model.table.row(ConnId(id)).unwrap(), &model.table);
    let name = |state: Option<TcpState>| state.map_or("", TcpState::name);
    let line = |rung: &Rung| {
        let between = match &rung.between {
            Between::Segment { from, words, seen, .. } => format!("{from:?} {words} {seen:?}"),
            Between::Message { from, words, .. } => format!("{from:?} {words}"),
            other => format!("{other:?}"),
        };
        format!("{}|{between}|{}|{}", name(rung.client), name(rung.server), rung.proves)
    };
    ladder.rungs.iter().map(line).collect()
}

#[test]
fn both_ends_make_one_ladder_whichever_is_asked() {
    let model = both_ends();
    let expected = [
        "SYN_SENT|Client SYN seq 0 AtBoth(5)|SYN_RECV|nginx learns: curl can send",
        "ESTABLISHED|Server SYN+ACK seq 0 ack 1 AtBoth(20)||curl learns: both can send and receive",
        "|Nothing|ESTABLISHED|the ACK came: nginx knows it too",
        "|Quiet(9940)||",
        "|Client GET /api/orders?page=2||request",
        "|Quiet(40000)||nginx works on the answer",
        "|Server 200||answer",
        "|Quiet(49500)||",
        "FIN_WAIT1|Client FIN seq 1 ack 1 AtBoth(10)|CLOSE_WAIT|curl sends no more, still reads",
        "FIN_WAIT2|Nothing||curl's FIN is acknowledged",
        "|Server FIN seq 1 ack 1 NotArriving|LAST_ACK|nginx sends no more, still reads (not seen to arrive)",
    ];
    let told = [told(&model, 1), told(&model, 2)];
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], expected);
}

#[test]
fn of_one_end_alone_nothing_is_said_about_the_other() {
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    let states = states(&[(SynSent, 100), (Established, 40)]);
    let end = Connection { states, ..connection(1) };
    model.offer(vec![Update::Connection(Arc::new(end))]);
    model.offer(vec![
        segment(1, 99, Direction::Sent, "S", 0),
        segment(1, 41, Direction::Received, "SA", 0),
    ]);
    assert_eq!(
        told(&model, 1),
        [
            "SYN_SENT|Client SYN seq 0 AtOne||the server learns: curl can send",
            "ESTABLISHED|Server SYN+ACK seq 0 ack 1 AtOne||curl learns: both can send and receive",
        ]
    );
}

#[test]
fn a_connection_of_which_no_time_is_known_has_no_ladder() {
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    let states = vec![crate::record::StateEntry { state: Established, at: None }];
    let end = Connection { states, ..connection(1) };
    model.offer(vec![Update::Connection(Arc::new(end))]);
    assert!(told(&model, 1).is_empty());
}

#[test]
fn a_name_that_both_ends_share_is_not_used() {
    let mut model = both_ends();
    let row = model.table.row(ConnId(2)).unwrap();
    let server = Connection { comm: Some("curl".into()), ..row.connection().clone() };
    model.offer(vec![Update::Connection(Arc::new(server))]);
    assert!(told(&model, 1)[0].ends_with("the server learns: the client can send"));
}

#[test]
fn the_end_of_who_resets_stands_on_the_line_of_its_reset() {
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    let states = states(&[(Established, 400), (TcpState::Close, 101)]);
    let end = Connection { endpoint: Some(Endpoint::Server), states, ..connection(1) };
    model.offer(vec![Update::Connection(Arc::new(end))]);
    model.offer(vec![segment(1, 100, Direction::Sent, "R", 1)]);
    assert_eq!(
        told(&model, 1).last().map(String::as_str),
        Some("|Server RST seq 1 AtOne|CLOSE|curl cuts it off at once")
    );
}
