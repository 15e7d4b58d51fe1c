//! CONNECT and protocol changes: where HTTP ends on a connection, in any packets.

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::table::Case;
use crate::talk::{Talk, expect, get, ok, small};

pub const CASES: &[Case] = &[
    Case::scripted("bytes_of_a_tunnel_before_its_response_are_no_requests", eager_tunnel),
    Case::scripted("a_connect_response_that_packets_cut_opens_the_tunnel", cut_connect),
    Case::scripted("an_upgrade_response_that_packets_cut_ends_http", cut_upgrade),
    Case::scripted("a_refused_tunnel_leaves_http_as_it_was", refused_tunnel),
    Case::scripted("an_upgrade_that_the_server_passes_over_leaves_http_as_it_was", no_upgrade),
];

const CONNECT: &str = "CONNECT b.test:443 HTTP/1.1\r\nhost: b.test:443\r\n\r\n";
const CONNECTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const UPGRADE: &str = "GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\n\
                       upgrade: websocket\r\n\r\n";
const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                        upgrade: websocket\r\n\r\n";

/// The client does not wait for the tunnel; what it sends through it reads like HTTP.
fn eager_tunnel(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(CONNECT);
    talk.ask(get("/inside-1"));
    talk.ask(get("/inside-2"));
    talk.answer(CONNECTED);
    talk.answer(ok("from inside"));
    talk.ask(get("/inside-3"));
    talk.answer(ok("from inside"));
    talk.close();
    expect(vec![Ex::new(1, "CONNECT", "b.test:443", 200, 0)])
}

fn cut_connect(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(CONNECT);
    for piece in CONNECTED.as_bytes().chunks(9) {
        talk.answer(piece);
    }
    talk.ask(get("/inside"));
    talk.answer(ok("from inside"));
    talk.close();
    expect(vec![Ex::new(1, "CONNECT", "b.test:443", 200, 0)])
}

/// The last packet of the head has the first bytes of the other protocol, which read like a
/// response.
fn cut_upgrade(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(UPGRADE);
    let (head, end) = UPGRADED.split_at(UPGRADED.len() - 3);
    talk.answer(&head[..10]);
    talk.answer(&head[10..]);
    talk.answer(end.to_owned() + &ok("of another protocol"));
    talk.ask(get("/of-another-protocol"));
    talk.answer(ok("of another protocol"));
    talk.close();
    expect(vec![Ex::new(1, "GET", "/chat", 101, 0)])
}

fn refused_tunnel(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(CONNECT);
    talk.answer("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 4\r\n\r\nwho?");
    talk.ask(CONNECT);
    talk.answer("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    talk.small("/next");
    talk.close();
    expect(vec![
        Ex::new(1, "CONNECT", "b.test:443", 407, 4),
        Ex::new(2, "CONNECT", "b.test:443", 502, 0),
        small(3, "/next"),
    ])
}

fn no_upgrade(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(UPGRADE);
    talk.answer(ok("ok"));
    talk.small("/next");
    talk.close();
    expect(vec![small(1, "/chat"), small(2, "/next")])
}
