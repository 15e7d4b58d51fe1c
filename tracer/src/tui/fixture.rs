//! Made-up connections for the tests of the views.

use std::sync::Arc;

use crate::record::{
    ClosedBy, ConnId, Connection, Exchange, Family, Host, Outcome, Record, Request, Response,
    Segment, SocketAddress, Source, StateEntry, Timing, Transition,
};
use crate::tcp::{Direction, Endpoint, TcpState};
use crate::time::Timestamp;
use crate::view_update::{Stats, Update};

/// The moment in which the pictures are taken, 2023-11-14T22:13:20Z.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// So many microseconds before [`NOW`].
pub fn ago(us: u64) -> Timestamp {
    Timestamp(NOW.0 - us * 1000)
}

/// A standing client connection of curl, opened 1.25 s ago.
pub fn connection(id: u64) -> Connection {
    Connection {
        id: ConnId(id),
        endpoint: Some(Endpoint::Client),
        family: Family::Ipv4,
        local: address("127.0.0.1:41234"),
        remote: address("127.0.0.1:8080"),
        peer: None,
        pid: Some(812),
        comm: Some("curl".into()),
        exe: Some("/usr/bin/curl".into()),
        cgroup: Some("/user.slice/session-3.scope".into()),
        container: None,
        netns: Some(4_026_531_840),
        opened_at: Some(ago(1_250_076)),
        closed_at: None,
        older_than_tracer: false,
        states: states(&[(TcpState::SynSent, 1_250_076), (TcpState::Established, 1_250_000)]),
        outcome: Outcome::Open,
        closed_by: None,
        bytes_sent: Some(78),
        bytes_received: Some(612),
        segments_retransmitted: Some(0),
        srtt_us: Some(41),
        exchanges: 0,
        lost_events: 0,
        isn_sent: None,
        isn_received: None,
        bypasses_tcp: false,
        proxied_for: None,
    }
}

pub fn address(text: &str) -> SocketAddress {
    let address: std::net::SocketAddr = text.parse().unwrap();
    SocketAddress { ip: address.ip(), port: address.port() }
}

/// A life, each state with how many microseconds ago it began.
pub fn states(life: &[(TcpState, u64)]) -> Vec<StateEntry> {
    life.iter().map(|&(state, us)| StateEntry { state, at: Some(ago(us)) }).collect()
}

/// An answered GET on a connection.
pub fn exchange(conn: u64, number: u64, status: u16) -> Exchange {
    Exchange {
        conn: ConnId(conn),
        number,
        protocol: Some("HTTP/1.1".into()),
        method: Some("GET".into()),
        scheme: Some("http".into()),
        authority: Some("127.0.0.1:8080".into()),
        target: Some("/api/orders?page=2".into()),
        status: Some(status),
        reason: None,
        request: Some(Request { at: Some(ago(900_000)), ..Request::default() }),
        response: Some(Response {
            at: Some(ago(899_000)),
            body_bytes: Some(612),
            media_type: Some("text/html".into()),
            ..Response::default()
        }),
        timing: Timing { wait_us: Some(322), ..Timing::default() },
        reused_connection: Some(number > 1),
        complete: true,
        missing_bytes: Some(0),
    }
}

pub fn transition(conn: u64, from: TcpState, to: TcpState, at: Timestamp) -> Transition {
    let endpoint = Some(Endpoint::Client);
    let (conn, source) = (ConnId(conn), Source::Observed);
    Transition { conn, at, endpoint, from, to, in_from_us: Some(76), source }
}

pub fn host() -> Update {
    Update::Record(Record::Host(Arc::new(Host {
        schema: 1,
        version: "0.1.0".to_owned(),
        hostname: "web-1".to_owned(),
        kernel: "6.18.44".to_owned(),
        started_at: ago(60_000_000),
        hooks: std::collections::BTreeMap::new(),
        show_secrets: false,
        filter: None,
    })))
}

pub fn stats() -> Stats {
    Stats {
        events_per_s: 8_432.0,
        seen: 1_234_567,
        tracked: 12,
        cpu_percent: 1.1,
        rss_bytes: 38 << 20,
        hooks_attached: 8,
        hooks_total: 8,
        ..Stats::default()
    }
}

/// A connection in every state and with every kind of end.
pub fn mixed() -> Vec<Connection> {
    use TcpState::*;
    let life = |id: u64, life: &[(TcpState, u64)]| Connection {
        local: address(&format!("10.0.0.4:{}", 41_000 + id)),
        opened_at: Some(ago(life[0].1)),
        states: states(life),
        ..connection(id)
    };
    let server = |id: u64, steps: &[(TcpState, u64)]| Connection {
        endpoint: Some(Endpoint::Server),
        local: address("10.0.0.4:443"),
        remote: address(&format!("10.0.0.77:{}", 51_000 + id)),
        pid: Some(455),
        comm: Some("nginx".into()),
        exe: Some("/usr/sbin/nginx".into()),
        srtt_us: Some(210),
        ..life(id, steps)
    };
    let over = |outcome, closed_by, connection: Connection| Connection {
        closed_at: Some(ago(3_000_000)),
        outcome,
        closed_by,
        ..connection
    };
    let black_hole = Connection {
        remote: address("203.0.113.9:443"),
        comm: Some("worker".into()),
        pid: Some(31),
        srtt_us: None,
        ..life(1, &[(SynSent, 3_100_000)])
    };
    let leaked = Connection {
        remote: address("[2001:db8:85a3::8a2e:370:7334]:5432"),
        comm: Some("python3".into()),
        pid: Some(31_337),
        ..life(8, &[(SynSent, 740_000_100), (Established, 740_000_000), (CloseWait, 720_000_000)])
    };
    let older = Connection {
        older_than_tracer: true,
        endpoint: None,
        states: vec![StateEntry { state: Established, at: None }],
        ..life(4, &[(Established, 0)])
    };
    let lossy =
        Connection { lost_events: 3, ..server(12, &[(SynRecv, 500_100), (Established, 500_000)]) };
    vec![
        black_hole,
        server(2, &[(SynRecv, 500)]),
        server(3, &[(SynRecv, 9_000_076), (Established, 9_000_000)]),
        older,
        life(5, &[(SynSent, 5_000_076), (Established, 5_000_000), (FinWait1, 200)]),
        life(
            6,
            &[
                (SynSent, 8_000_076),
                (Established, 8_000_000),
                (FinWait1, 700_500),
                (FinWait2, 700_000),
            ],
        ),
        life(
            7,
            &[
                (SynSent, 22_300_050),
                (Established, 22_299_000),
                (FinWait1, 19_060_000),
                (FinWait2, 19_050_000),
                (TimeWait, 19_000_000),
            ],
        ),
        leaked,
        server(
            9,
            &[(SynRecv, 2_000_000), (Established, 1_999_000), (CloseWait, 1_000), (LastAck, 300)],
        ),
        over(Outcome::Refused, None, life(10, &[(SynSent, 3_000_100), (Close, 3_000_000)])),
        over(
            Outcome::ResetByRemote,
            Some(ClosedBy::Remote),
            life(11, &[(SynSent, 4_000_100), (Established, 4_000_000), (Close, 3_000_000)]),
        ),
        lossy,
        over(
            Outcome::Graceful,
            Some(ClosedBy::Remote),
            server(
                13,
                &[
                    (SynRecv, 6_000_000),
                    (Established, 5_999_000),
                    (CloseWait, 3_100_000),
                    (LastAck, 3_050_000),
                    (Close, 3_000_000),
                ],
            ),
        ),
    ]
}

/// A SYN, FIN or RST.
pub fn segment(conn: u64, us: u64, direction: Direction, letters: &str, seq: u32) -> Update {
    Update::Record(Record::Segment(Segment {
        conn: ConnId(conn),
        at: ago(us),
        direction,
        flags: letters.into(),
        seq,
        ack: letters.contains('A').then_some(1),
        payload_bytes: 0,
        retransmit: false,
    }))
}

fn segments_of_the_slow_one() -> [Update; 4] {
    use Direction::{Received, Sent};
    [
        segment(7, 22_300_040, Sent, "S", 0),
        segment(7, 22_299_010, Received, "SA", 0),
        segment(7, 19_059_990, Sent, "FA", 79),
        segment(7, 19_000_010, Received, "FA", 613),
    ]
}

/// The updates that tell of [`mixed`], its requests and the run.
pub fn mixed_updates() -> Vec<Update> {
    let mut updates = vec![host(), Update::Stats(stats())];
    updates.extend(mixed().into_iter().map(|c| Update::Connection(Arc::new(c))));
    let slow = Exchange {
        timing: Timing { wait_us: Some(3_100_000), ..Timing::default() },
        target: Some("/slow".into()),
        request: Some(Request { at: Some(ago(22_298_500)), ..Request::default() }),
        response: Some(Response {
            at: Some(ago(19_198_500)),
            body_bytes: Some(612),
            media_type: Some("text/html".into()),
            ..Response::default()
        }),
        ..exchange(7, 1, 200)
    };
    updates.extend(segments_of_the_slow_one());
    let cut = Exchange { complete: false, missing_bytes: Some(4096), ..exchange(12, 1, 200) };
    let exchanges = (1..=7).map(|n| exchange(3, n, 200)).chain([exchange(3, 8, 503), slow, cut]);
    updates.extend(exchanges.map(|e| Update::Record(Record::Exchange(Arc::new(e)))));
    updates
}
