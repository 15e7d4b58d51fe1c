//! Families, options and odd uses of a socket.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use tracer::tcp::TcpState::{Close, Closing, Established, FinWait1, SynRecv, SynSent, TimeWait};

use super::opening::close_client_first;
use super::{ACTIVE_CLIENT, CUT_CLIENT, CUT_SERVER, PASSIVE_SERVER};
use crate::expect::{Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::{Conn, Options};
use crate::support::wire::{DEVICE, Fate};

/// Client and server on, no cookie asked for on either side (Documentation/networking/ip-sysctl.rst).
const FAST_OPEN_WITHOUT_COOKIES: &str = "519";

fn closed_by_client(client: &Conn<'_>, server: &Conn<'_>) -> Lives {
    close_client_first(client, server);
    Lives::new().pair(
        client.client(ACTIVE_CLIENT).graceful("local"),
        server.server(PASSIVE_SERVER).graceful("remote"),
    )
}

pub fn ipv6(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_v6());
    let client = stage.client.connect(listener.at);
    closed_by_client(&client, &listener.accept())
}

/// One kernel socket is AF_INET, the other AF_INET6 with ::ffff:a.b.c.d: one connection all the same.
pub fn dual_stack(stage: &Stage) -> Lives {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), stage.server_at().port());
    let listener = stage.server.listen(any);
    let client = stage.client.connect(stage.server_at());
    closed_by_client(&client, &listener.accept())
}

pub fn mapped_client(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let IpAddr::V4(ip) = listener.at.ip() else { panic!("the stage's addresses are IPv4") };
    let mapped = SocketAddr::new(ip.to_ipv6_mapped().into(), listener.at.port());
    let client = stage.client.connect(mapped);
    closed_by_client(&client, &listener.accept())
}

/// It is its own peer: its SYN crosses itself, and so does its FIN.
pub fn to_itself(stage: &Stage) -> Lives {
    let at = stage.server_at();
    let client = stage.client.connect_from(at, at);
    client.send(5);
    client.receive(5);
    client.shutdown();
    client.receive_end(0);
    client.close();
    client.wait_state(Some(TimeWait));
    let path = [SynSent, SynRecv, Established, FinWait1, Closing, TimeWait, Close];
    Lives::new().alone(client.client(&path).graceful("both").bytes(5, 5))
}

/// `connect` to AF_UNSPEC resets what stood and makes the socket new: same cookie, two lives.
pub fn lives_twice(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.disconnect();
    pair.server.receive_fails_with(libc::ECONNRESET);
    pair.server.close();
    let again = pair.client.connect_again(pair.listener.at);
    let server_again = pair.listener.accept();
    close_client_first(&again, &server_again);
    Lives::new()
        .pair(
            pair.client.client(CUT_CLIENT).outcome("reset_by_local").closed_by("local"),
            pair.server.server(CUT_SERVER).outcome("reset_by_remote").closed_by("remote"),
        )
        .pair(
            again.client(ACTIVE_CLIENT).graceful("local"),
            server_again.server(PASSIVE_SERVER).graceful("remote"),
        )
}

/// The first copy of each of the client's data segments is lost.
pub fn retransmitted(stage: &Stage) -> Lives {
    let pair = stage.pair();
    let mut next = None;
    stage.wire().rule(move |segment| {
        let news = next.is_none_or(|next: u32| (segment.end().wrapping_sub(next) as i32) > 0);
        if segment.payload_bytes > 0 && news {
            next = Some(segment.end());
            return Fate::Drop;
        }
        Fate::Pass
    });
    pair.client.send(5000);
    pair.server.receive(5000);
    stage.wire().rule(|_| Fate::Pass);
    close_client_first(&pair.client, &pair.server);
    Lives::new().pair(
        pair.client.client(ACTIVE_CLIENT).graceful("local").bytes(5000, 0).retransmitted(1),
        pair.server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 5000),
    )
}

/// An MPTCP socket is one socket of protocol 262 over one subflow of protocol 6: one connection.
pub fn mptcp(stage: &Stage) -> Lives {
    let options = Options { mptcp: true, ..Options::default() };
    let listener = stage.server.listen_with(stage.server_at(), 16, options);
    let client = stage.client.connect_with(listener.at, options);
    let server = listener.accept();
    client.send(10);
    server.receive(10);
    close_client_first(&client, &server);
    closed_mptcp(&client, &server)
}

fn closed_mptcp(client: &Conn<'_>, server: &Conn<'_>) -> Lives {
    Lives::new().pair(
        client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 0),
        server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
    )
}

/// Data in the SYN; the server's end is born with it, without a request socket.
pub fn fast_open(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_fastopen", FAST_OPEN_WITHOUT_COOKIES);
    let options = Options { fast_open: Some(16), ..Options::default() };
    let listener = stage.server.listen_with(stage.server_at(), 16, options);
    let client = stage.client.connect_fast(listener.at, 10);
    let server = listener.accept();
    server.receive(10);
    close_client_first(&client, &server);
    Lives::new().pair(
        client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 0),
        server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
    )
}

/// The server's end stays in SYN_RECV until data comes.
pub fn defer_accept(stage: &Stage) -> Lives {
    let options = Options { defer_accept_s: Some(10), ..Options::default() };
    let listener = stage.server.listen_with(stage.server_at(), 16, options);
    let client = stage.client.connect(listener.at);
    client.wait_state(Some(Established));
    stage.server_sees(client.remote, client.local, Some(SynRecv));
    sleep(Duration::from_millis(200));
    client.send(10);
    let server = listener.accept();
    server.receive(10);
    close_client_first(&client, &server);
    Lives::new()
        .pair(
            client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 0),
            server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
        )
        .check(|lives| match lives[1].between_us(SynRecv, Established) {
            Some(200_000..) => Ok(()),
            other => Err(format!("SYN_RECV should last until the data, lasted {other:?} us")),
        })
}

/// What a BPF program hands on from a sockmap passes TCP by.
pub fn in_sockmap(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.enter_sockmap();
    pair.client.send(10);
    pair.server.receive(10);
    close_client_first(&pair.client, &pair.server);
    Lives::new()
        .pair(
            pair.client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 0),
            pair.server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
        )
        .check(|lives| {
            let ends = (lives[0].bypasses_tcp, lives[1].bypasses_tcp);
            match ends == (true, false) {
                true => Ok(()),
                false => Err(format!("bypasses_tcp: {ends:?}")),
            }
        })
}

/// Sockets that are bound to different interfaces may have one four-tuple at the same time.
pub fn same_tuple_on_two_interfaces(stage: &Stage) -> Lives {
    const SECOND: &str = "wire2";
    let _second = stage.second_wire(SECOND);
    let from = stage.client_at(6000);
    let on = |device| {
        let [here, there] = stage.interfaces(device);
        let bound = |interface| Options { interface: Some(interface), ..Options::default() };
        let listener = stage.server.listen_with(stage.server_at(), 16, bound(there));
        let options = Options { bind: Some(from), ..bound(here) };
        (stage.client.connect_with(listener.at, options), listener.accept())
    };
    let pairs = [on(DEVICE), on(SECOND)];
    for (bytes, (client, server)) in [10, 20].into_iter().zip(&pairs) {
        client.send(bytes);
        server.receive(bytes);
    }
    for (client, server) in &pairs {
        server.reset();
        client.receive_fails_with(libc::ECONNRESET);
        client.close();
    }
    [10, 20].into_iter().zip(&pairs).fold(Lives::new(), |lives, (bytes, (client, server))| {
        lives.pair(
            client
                .client(CUT_CLIENT)
                .outcome("reset_by_remote")
                .closed_by("remote")
                .bytes(bytes, 0)
                .segments(&["sent S", "received SA", "received RA"]),
            server
                .server(CUT_SERVER)
                .outcome("reset_by_local")
                .closed_by("local")
                .bytes(0, bytes)
                .segments(&["received S", "sent SA", "sent RA"]),
        )
    })
}
