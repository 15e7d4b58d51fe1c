//! Handshakes, and what comes instead of them.

use tracer::tcp::TcpState::{Close, Established, FinWait1, SynRecv, SynSent};
use tracer::tcp::flags;

use super::{ACTIVE_CLIENT, ACTIVE_SERVER, CUT_CLIENT, CUT_SERVER, PASSIVE_CLIENT, PASSIVE_SERVER};
use crate::expect::{Endpoint, Expected, Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::{Conn, Op, Options};
use crate::support::packet;
use crate::support::wire::{End, Fate};

const NEVER_OPENED: &[tracer::tcp::TcpState] = &[SynSent, Close];
const HALF_OPEN: &[tracer::tcp::TcpState] = &[SynRecv, Close];

/// An ICMP code: the router has no way to the host.
const HOST_UNREACHABLE: u8 = 1;

/// Closes an open connection from the client's side, all the way.
pub fn close_client_first(client: &Conn<'_>, server: &Conn<'_>) {
    client.shutdown();
    server.receive_end(0);
    server.close();
    client.receive_end(0);
    client.close();
}

pub fn refused(stage: &Stage) -> Lives {
    let client = stage.client.connect_start(stage.server_at(), Options::default());
    client.connect_fails_with(libc::ECONNREFUSED);
    client.close();
    Lives::new()
        .alone(client.client(NEVER_OPENED).outcome("refused").segments(&["sent S", "received RA"]))
}

pub fn black_hole(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_syn_retries", "1");
    let wire = stage.wire();
    wire.drop(|_| true);
    let client = stage.client.connect_start(stage.server_at(), Options::default());
    client.connect_fails_with(libc::ETIMEDOUT);
    client.close();
    // Kernels differ in how often they try (net.ipv4.tcp_syn_linear_timeouts, since 6.5); the wire has counted.
    let again = wire.count(|s| s.is_syn()) - 1;
    assert!(again >= 1, "the SYN is sent again");
    Lives::new().alone(
        client
            .client(NEVER_OPENED)
            .outcome("timed_out")
            .retransmitted(again as u64)
            .segments(&["sent S"])
            .and_segments("sent S again", again),
    )
}

pub fn unreachable(stage: &Stage) -> Lives {
    let wire = stage.wire();
    wire.drop(|_| true);
    let client = stage.client.connect_start(stage.server_at(), Options::default());
    let syn = wire.wait_for("the SYN", |s| s.is_syn());
    wire.inject(End::Left, &packet::unreachable(*syn.to.ip(), HOST_UNREACHABLE, &syn));
    client.connect_fails_with(libc::EHOSTUNREACH);
    client.close();
    Lives::new().alone(client.client(NEVER_OPENED).outcome("unreachable"))
}

/// The kernel knows no way and says so at once: no connection, no record.
pub fn no_route(stage: &Stage) -> Lives {
    let nowhere = "203.0.113.1:80".parse().expect("an address");
    let reply = stage.client.tell(&Op::Connect { to: nowhere, options: Options::default() });
    assert_eq!(reply.errno, Some(libc::ENETUNREACH));
    Lives::new()
}

pub fn given_up(stage: &Stage) -> Lives {
    let wire = stage.wire();
    wire.drop(|_| true);
    let client = stage.client.connect_start(stage.server_at(), Options::default());
    wire.wait_for("the SYN", |s| s.is_syn());
    client.close();
    client.wait_state(None);
    Lives::new().alone(client.client(NEVER_OPENED).outcome("aborted").segments(&["sent S"]))
}

/// Both ends send again, the server its SYN+ACK, the client its SYN.
pub fn syn_ack_lost(stage: &Stage) -> Lives {
    let mut lost = 0;
    stage.wire().rule(move |segment| {
        if segment.is_syn_ack() && lost == 0 {
            lost += 1;
            return Fate::Drop;
        }
        Fate::Pass
    });
    let pair = stage.pair();
    close_client_first(&pair.client, &pair.server);
    Lives::new()
        .pair(
            pair.client.client(ACTIVE_CLIENT).graceful("local"),
            pair.server.server(PASSIVE_SERVER).graceful("remote"),
        )
        // The client repeats its SYN a second after the first; when that arrived is the wire's affair.
        .check(|lives| match lives[0].between_us(SynSent, Established) {
            Some(900_000..) => Ok(()),
            other => Err(format!("SYN_SENT should last a second, lasted {other:?} us")),
        })
}

pub fn syn_ack_never_answered(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_synack_retries", "1");
    let listener = stage.server.listen(stage.server_at());
    let nobody = stage.host(50, 5000);
    let wire = stage.wire();
    wire.inject(End::Right, &packet::tcp(nobody, stage.server_v4(), flags::SYN, 1000, 0));
    wire.wait_for("the SYN+ACK", |s| s.is_syn_ack());
    let life = Expected::unaccepted(&stage.server, (listener.at, nobody.into()), HALF_OPEN)
        .outcome("timed_out")
        .retransmitted(1)
        .segments(&["received S", "sent SA", "sent SA again"]);
    Lives::new().alone(life)
}

pub fn syn_ack_answered_by_reset(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let nobody = stage.host(50, 5000);
    let (wire, server) = (stage.wire(), stage.server_v4());
    wire.inject(End::Right, &packet::tcp(nobody, server, flags::SYN, 1000, 0));
    wire.wait_for("the SYN+ACK", |s| s.is_syn_ack());
    wire.inject(End::Right, &packet::tcp(nobody, server, flags::RST, 1001, 0));
    let life = Expected::unaccepted(&stage.server, (listener.at, nobody.into()), HALF_OPEN)
        .outcome("reset_by_remote")
        .segments(&["received S", "sent SA", "received R"]);
    Lives::new().alone(life)
}

/// A backlog of 1 takes two connections. The third SYN is dropped without a word: no server end.
pub fn full_backlog(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_syn_retries", "1");
    let listener = stage.server.listen_with(stage.server_at(), 1, Options::default());
    let taken = [stage.client.connect(listener.at), stage.client.connect(listener.at)];
    let late = stage.client.connect_start(listener.at, Options::default());
    late.connect_fails_with(libc::ETIMEDOUT);
    late.close();
    let late = late.client(NEVER_OPENED).outcome("timed_out").retransmitted(1);
    taken.iter().fold(Lives::new().alone(late), |lives, client| {
        let server = listener.accept();
        close_client_first(client, &server);
        lives.pair(
            client.client(ACTIVE_CLIENT).graceful("local"),
            server.server(PASSIVE_SERVER).graceful("remote"),
        )
    })
}

/// When the SYNs of the last two came there was room for both; when their third segments come, for one. The other
/// client believes in a connection that the server never had.
pub fn full_backlog_at_the_ack(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_synack_retries", "1");
    // Backlog 2: three may wait to be accepted, two may be half-open without cookies.
    let listener = stage.server.listen_with(stage.server_at(), 2, Options::default());
    let (wire, client_ip) = (stage.wire(), stage.client_at(0).ip());
    let mut taken = vec![stage.client.connect(listener.at), stage.client.connect(listener.at)];
    for client in &taken {
        stage.server_sees(client.remote, client.local, Some(Established));
    }
    wire.hold(move |segment| segment.is_pure_ack() && segment.from.ip() == &client_ip);
    taken.push(stage.client.connect(listener.at));
    let unlucky = stage.client.connect(listener.at);
    let port = unlucky.local.port();
    wire.wait_for("the third segment", move |s| s.is_pure_ack() && s.from.port() == port);
    wire.release();
    stage.server_sees(taken[2].remote, taken[2].local, Some(Established));
    let half_open = Expected::unaccepted(&stage.server, (unlucky.remote, unlucky.local), HALF_OPEN);
    stage.server_sees(unlucky.remote, unlucky.local, None);
    unlucky.send(10);
    unlucky.receive_fails_with(libc::ECONNRESET);
    unlucky.close();
    let lives = Lives::new().pair(
        unlucky.client(CUT_CLIENT).outcome("reset_by_remote").closed_by("remote").bytes(10, 0),
        half_open.outcome("timed_out").retransmitted(1),
    );
    taken.iter().fold(lives, |lives, client| {
        let server = listener.accept();
        close_client_first(client, &server);
        lives.pair(
            client.client(ACTIVE_CLIENT).graceful("local"),
            server.server(PASSIVE_SERVER).graceful("remote"),
        )
    })
}

/// With a cookie the server remembers nothing until the third segment: its SYN_RECV begins there.
pub fn syn_cookies(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_syncookies", "2");
    let pair = stage.pair();
    pair.server.shutdown();
    pair.client.receive_end(0);
    pair.client.close();
    pair.server.receive_end(0);
    pair.server.close();
    Lives::new().pair(
        pair.client.client(PASSIVE_CLIENT).graceful("remote"),
        pair.server.server(ACTIVE_SERVER).graceful("local"),
    )
}

/// The client's third segment is lost; then its FIN comes to a port where nobody listens any more.
pub fn listener_closes_half_open(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let wire = stage.wire();
    let client_ip = stage.client_at(0).ip();
    wire.drop(move |segment| segment.is_pure_ack() && segment.from.ip() == &client_ip);
    let client = stage.client.connect(listener.at);
    wire.wait_for("the third segment", move |s| s.is_pure_ack() && s.from.ip() == &client_ip);
    listener.close();
    let half_open = Expected::unaccepted(&stage.server, (client.remote, client.local), HALF_OPEN);
    stage.server_sees(client.remote, client.local, None);
    client.close();
    client.wait_state(None);
    Lives::new().pair(
        client
            .client(&[SynSent, Established, FinWait1, Close])
            .outcome("reset_by_remote")
            .closed_by("local"),
        half_open.outcome("aborted"),
    )
}

/// The third segment was under way while the listener closed: it is answered by a reset.
pub fn ack_after_the_listener(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let wire = stage.wire();
    let client_ip = stage.client_at(0).ip();
    wire.hold(move |segment| segment.is_pure_ack() && segment.from.ip() == &client_ip);
    let client = stage.client.connect(listener.at);
    wire.wait_for("the third segment", move |s| s.is_pure_ack() && s.from.ip() == &client_ip);
    listener.close();
    wire.release();
    client.receive_fails_with(libc::ECONNRESET);
    client.close();
    let half_open = Expected::unaccepted(&stage.server, (client.remote, client.local), HALF_OPEN);
    Lives::new().pair(
        client.client(CUT_CLIENT).outcome("reset_by_remote").closed_by("remote"),
        half_open.outcome("aborted"),
    )
}

/// Their ends never had an owner.
pub fn never_accepted(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let clients = [stage.client.connect(listener.at), stage.client.connect(listener.at)];
    for client in clients {
        stage.server_sees(client.remote, client.local, Some(Established));
    }
    listener.close();
    clients.iter().fold(Lives::new(), |lives, client| {
        client.receive_fails_with(libc::ECONNRESET);
        client.close();
        lives.pair(
            client.client(CUT_CLIENT).outcome("reset_by_remote").closed_by("remote"),
            Expected::unaccepted(&stage.server, (client.remote, client.local), CUT_SERVER)
                .outcome("reset_by_local")
                .closed_by("local"),
        )
    })
}

/// RFC 9293, 3.5, figure 7: no listener anywhere, and yet it opens.
pub fn simultaneous_open(stage: &Stage) -> Lives {
    let (wire, left, right) = (stage.wire(), stage.client_at(6000), stage.server_at());
    wire.hold(|segment| segment.is_syn());
    let from = |bind| Options { bind: Some(bind), ..Options::default() };
    let one = stage.client.connect_start(right, from(left));
    let other = stage.server.connect_start(left, from(right));
    wire.wait_for("one SYN", |s| s.is_syn() && s.from.port() == left.port());
    wire.wait_for("the other SYN", |s| s.is_syn() && s.from.port() == right.port());
    wire.release();
    one.connected();
    other.connected();
    close_client_first(&one, &other);
    let opened = [SynSent, SynRecv];
    Lives::new().pair(
        one.client(&[&opened[..], &ACTIVE_CLIENT[1..]].concat()).graceful("local"),
        other.client(&[&opened[..], &PASSIVE_CLIENT[1..]].concat()).graceful("remote"),
    )
}

/// A second connect from the same port to the same place: the kernel enters SYN_SENT, finds the tuple taken, and
/// leaves it again without a segment.
pub fn tuple_in_use(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let from = stage.client_at(6001);
    let client = stage.client.connect_from(from, listener.at);
    let server = listener.accept();
    let options = Options { bind: Some(from), ..Options::default() };
    let reply = stage.client.tell(&Op::Connect { to: listener.at, options });
    assert_eq!(reply.errno, Some(libc::EADDRNOTAVAIL));
    close_client_first(&client, &server);
    let futile = Expected::new(&stage.client, (from, listener.at), Endpoint::Client, NEVER_OPENED);
    Lives::new()
        .pair(
            client.client(ACTIVE_CLIENT).graceful("local"),
            server.server(PASSIVE_SERVER).graceful("remote"),
        )
        .alone(futile.outcome("aborted").segments(&[]))
}
