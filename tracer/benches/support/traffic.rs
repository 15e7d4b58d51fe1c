//! Whole lives of many connections, running into one another as under load.

use super::life::{Life, Side, Socket};
use super::tape::Tape;

/// Ports that Linux gives to clients: net.ipv4.ip_local_port_range.
const CLIENT_PORTS: std::ops::Range<u16> = 32_768..60_999;
/// The first event, CLOCK_MONOTONIC nanoseconds.
const BEGIN_NS: u64 = 1_000_000_000;
/// Opening and closing of one life without its TIME_WAIT, nanoseconds.
const LIFE_NS: u64 = 250_000;
/// One exchange, nanoseconds.
const EXCHANGE_NS: u64 = 60_000;

/// Sizes of the kernel's objects: their addresses are multiples of them.
const TCP_SOCK_BYTES: u64 = 2_432;
const REQUEST_SOCK_BYTES: u64 = 304;
const TIMEWAIT_SOCK_BYTES: u64 = 264;

/// What curl, ab or wrk asks for.
pub const REQUEST: &[u8] = b"GET /index.html?page=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
User-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n";
/// The head of nginx' answer.
const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: text/html\r\nContent-Length: 615\r\n\
Last-Modified: Tue, 04 Apr 2023 12:00:00 GMT\r\nConnection: keep-alive\r\n\
ETag: \"642c2ba0-267\"\r\nAccept-Ranges: bytes\r\n\r\n";
/// Bytes of its welcome page.
pub const RESPONSE_BODY_BYTES: usize = 615;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections, of which both ends are told.
    pub connections: usize,
    /// Open at the same time, TIME_WAIT not counted.
    pub concurrent: usize,
    /// HTTP exchanges on each.
    pub exchanges: usize,
}

impl Load {
    /// Connections that open and close and carry nothing.
    #[must_use]
    pub const fn states(connections: usize) -> Load {
        Load { connections, concurrent: 16, exchanges: 0 }
    }

    /// A connection for every request.
    #[must_use]
    pub const fn churn(connections: usize) -> Load {
        Load { connections, concurrent: 16, exchanges: 1 }
    }

    /// A thousand requests on every connection.
    #[must_use]
    pub const fn keep_alive(connections: usize) -> Load {
        Load { connections, concurrent: 16, exchanges: 1_000 }
    }

    /// Exchanges that both ends together are to tell.
    #[must_use]
    pub const fn told_exchanges(&self) -> usize {
        2 * self.connections * self.exchanges
    }

    /// State changes that both ends together are to tell: six of the end that closes first, five of the other.
    #[must_use]
    pub const fn told_transitions(&self) -> usize {
        11 * self.connections
    }

    /// Its events.
    #[must_use]
    pub fn tape(&self) -> Tape {
        let mut tape = Tape::default();
        let response = response();
        let open_ns = LIFE_NS + EXCHANGE_NS * self.exchanges as u64;
        let spacing_ns = open_ns / self.concurrent as u64;
        for number in 0..self.connections as u64 {
            let begin_ns = BEGIN_NS + number * spacing_ns;
            self.live(&mut tape, number, begin_ns, &response);
        }
        tape.sort();
        tape
    }

    fn live(&self, tape: &mut Tape, number: u64, begin_ns: u64, response: &[u8]) {
        // The slab gives the address of a request that became a child to the next one.
        let request = number % (4 * self.concurrent as u64);
        let request_skaddr = skaddr(3, request, REQUEST_SOCK_BYTES);
        let mut life = Life::new(tape, begin_ns, client(number), server(number), request_skaddr);
        life.open();
        life.accept();
        for _ in 0..self.exchanges {
            life.exchange(REQUEST, response);
        }
        life.close(closer(number));
    }
}

/// The end that closes first: now the one, now the other.
#[must_use]
pub fn closer(number: u64) -> Side {
    if number.is_multiple_of(2) { Side::Client } else { Side::Server }
}

/// The server's answer.
#[must_use]
pub fn response() -> Vec<u8> {
    let body = b"<!DOCTYPE html><p>Welcome!</p>\n".iter().copied().cycle();
    RESPONSE_HEAD.iter().copied().chain(body.take(RESPONSE_BODY_BYTES)).collect()
}

fn client(number: u64) -> Socket {
    let ports = u64::from(CLIENT_PORTS.end - CLIENT_PORTS.start);
    Socket {
        cookie: 0x1000 + 2 * number,
        skaddr: skaddr(1, number, TCP_SOCK_BYTES),
        timewait_skaddr: skaddr(4, 2 * number, TIMEWAIT_SOCK_BYTES),
        // A tuple is free again only after its TIME_WAIT: every 28 thousand connections come from another address.
        ip: [127, 0, 0, 1 + (number / ports) as u8],
        port: CLIENT_PORTS.start + (number % ports) as u16,
        isn: isn(2 * number),
        pid: 4_001,
        comm: "ab",
    }
}

fn server(number: u64) -> Socket {
    Socket {
        cookie: 0x1001 + 2 * number,
        skaddr: skaddr(2, number, TCP_SOCK_BYTES),
        timewait_skaddr: skaddr(4, 2 * number + 1, TIMEWAIT_SOCK_BYTES),
        ip: [127, 0, 0, 1],
        port: 8080,
        isn: isn(2 * number + 1),
        pid: 812,
        comm: "nginx",
    }
}

/// The kernel address of the `number`th object of a slab.
fn skaddr(slab: u64, number: u64, object_bytes: u64) -> u64 {
    0xffff_8880_0000_0000 + (slab << 32) + number * object_bytes
}

/// Initial sequence numbers look random (RFC 6528); the golden ratio spreads them, the same in every run.
fn isn(number: u64) -> u32 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
