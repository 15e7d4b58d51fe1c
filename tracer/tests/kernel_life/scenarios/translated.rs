//! Address translation between the two ends of a connection: each has the addresses of its own
//! socket.

use std::net::SocketAddr;

use super::opening::close_client_first;
use super::{ACTIVE_CLIENT, PASSIVE_SERVER};
use crate::expect::{Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::Options;

/// A host of the scenario's network that is nobody's.
const SERVICE: u8 = 9;

/// nft's name for the family of an address.
fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv6() { "ip6" } else { "ip" }
}

/// Rules that translate the destination of what this host sends.
fn to(target: &str, service: SocketAddr) -> String {
    let (family, ip, port) = (family(service), service.ip(), service.port());
    format!(
        "table {family} life {{\n chain out {{\n type nat hook output priority -100\n \
         {family} daddr {ip} tcp dport {port} {target}\n }}\n}}\n"
    )
}

/// A connection to `service`, which ends at `listener_at`.
fn connect(stage: &Stage, rules: &str, service: SocketAddr, listener_at: SocketAddr) -> Lives {
    if !stage.translate(rules) {
        return Lives::new();
    }
    let listener = stage.server.listen_with(listener_at, 16, Options::default());
    let client = stage.client.connect(service);
    let server = listener.accept();
    client.send(10);
    server.receive(10);
    close_client_first(&client, &server);
    let syns = |life: crate::expect::Expected, segments| life.segments(segments);
    Lives::new()
        .pair(
            syns(
                client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 0),
                &["sent S", "received SA", "sent FA", "received FA"],
            ),
            syns(
                server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
                &["received S", "sent SA", "received FA", "sent FA"],
            ),
        )
        .check(|lives| {
            let isns = |at: usize| (lives[at].isn_sent, lives[at].isn_received);
            let (sent, received) = isns(0);
            match isns(1) == (received, sent) && sent.is_some() && received.is_some() {
                true => Ok(()),
                false => Err(format!("initial numbers: {:?}, {:?}", isns(0), isns(1))),
            }
        })
}

pub fn service_address(stage: &Stage) -> Lives {
    let (service, at) = (stage.host(SERVICE, 80).into(), stage.server_at());
    connect(stage, &to(&format!("dnat to {at}"), service), service, at)
}

pub fn redirected(stage: &Stage) -> Lives {
    // REDIRECT of what this host sends leads to 127.0.0.1 (nf_nat_redirect_ipv4).
    let at = stage.server_at();
    let any = SocketAddr::new("0.0.0.0".parse().expect("an address"), at.port());
    let service = stage.host(SERVICE, 80).into();
    connect(stage, &to(&format!("redirect to :{}", at.port()), service), service, any)
}

pub fn masqueraded(stage: &Stage) -> Lives {
    let at = stage.server_at();
    let port = at.port();
    let source = stage.client_at(0).ip();
    let rules = format!(
        "table ip life {{\n chain post {{\n type nat hook postrouting priority 100\n \
         tcp dport {port} snat to {source}:50000-50999\n }}\n}}\n"
    );
    connect(stage, &rules, at, at)
}

pub fn service_address_v6(stage: &Stage) -> Lives {
    let at = stage.server_v6();
    // The port is the scenario's own; of IPv6 loopback there is one address only.
    let service = SocketAddr::new(at.ip(), at.port() ^ 1);
    connect(stage, &to(&format!("dnat to {at}"), service), service, at)
}

/// No request socket, and a SYN+ACK that belongs to no socket.
pub fn to_syn_cookie(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_syncookies", "2");
    service_address(stage)
}
