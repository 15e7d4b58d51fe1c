//! A header of the PROXY protocol before the first request: what a proxy says of the client that it
//! speaks for (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).

use std::net::{IpAddr, SocketAddr};

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::table::Case;
use crate::talk::{Talk, at_both_ends, expect, get, ok, small};

pub const CASES: &[Case] = &[
    Case::scripted("a_proxy_header_of_version_1_names_the_client", version_1),
    Case::scripted("a_proxy_header_of_version_1_for_ipv6_names_the_client", version_1_ipv6),
    Case::scripted("an_unknown_proxy_header_names_nobody", unknown),
    Case::scripted("a_proxy_header_of_version_2_names_the_client", version_2),
    Case::scripted("a_proxy_header_of_version_2_with_extensions_names_the_client", extensions),
    Case::scripted("a_local_proxy_header_names_nobody", local),
    Case::scripted("a_proxy_header_that_packets_cut_names_the_client", cut),
    Case::scripted("a_proxy_header_before_an_upload_costs_nothing", upload),
];

const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 80\r\n";
const CLIENT: &str = "192.0.2.7:56324";

/// A binary header: command, address family and protocol, what comes behind its length.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a short header").to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &length, rest].concat()
}

/// Addresses and ports of TCP over IPv4, client first.
const IPV4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 220, 4, 0, 80];

/// Sends the header in the given pieces, the last one together with the first request, then a
/// second exchange.
fn play(place: &mut Place, pieces: &[&[u8]], client: Option<&str>) -> Vec<Check> {
    let talk = Talk::new(place);
    let (last, before) = pieces.split_last().expect("a piece");
    before.iter().for_each(|piece| talk.ask(piece));
    talk.ask([last, get("/p1").as_bytes()].concat());
    talk.answer(ok("ok"));
    talk.small("/p2");
    talk.close();
    let mut checks = expect(vec![small(1, "/p1"), small(2, "/p2")]);
    checks.push(proxied_for(client));
    checks
}

fn proxied_for(client: Option<&str>) -> Check {
    let expected: Option<SocketAddr> = client.map(|text| text.parse().expect("an address"));
    at_both_ends(move |life, _| match life.proxied_for.map(SocketAddr::from) {
        found if found == expected => Ok(()),
        found => Err(format!("proxied for {found:?}, not {expected:?}")),
    })
}

fn version_1(place: &mut Place) -> Vec<Check> {
    play(place, &[TEXT], Some(CLIENT))
}

fn version_1_ipv6(place: &mut Place) -> Vec<Check> {
    let text = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
    play(place, &[text], Some("[2001:db8::7]:56324"))
}

/// In a packet of its own; a proxy may add addresses that mean nothing.
fn unknown(place: &mut Place) -> Vec<Check> {
    play(place, &[b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", b""], None)
}

fn version_2(place: &mut Place) -> Vec<Check> {
    play(place, &[&binary(1, 0x11, &IPV4)], Some(CLIENT))
}

/// An authority and a checksum field, 300 bytes of padding: longer than most first packets' heads.
fn extensions(place: &mut Place) -> Vec<Check> {
    let address: IpAddr = "2001:db8::7".parse().expect("an address");
    let IpAddr::V6(client) = address else { unreachable!("written as IPv6") };
    let mut rest = [client.octets(), client.octets()].concat();
    rest.extend_from_slice(&[220, 4, 1, 187]);
    rest.extend_from_slice(b"\x02\0\x06a.test\x03\0\x04\x01\x02\x03\x04");
    rest.extend_from_slice(&[&b"\x04\x01\x2c"[..], &[0; 300]].concat());
    play(place, &[&binary(1, 0x21, &rest)], Some("[2001:db8::7]:56324"))
}

/// A proxy's check of its server's health: the addresses, where there are any, are not to be used.
fn local(place: &mut Place) -> Vec<Check> {
    play(place, &[&binary(0, 0x11, &IPV4)], None)
}

fn cut(place: &mut Place) -> Vec<Check> {
    let mut pieces: Vec<&[u8]> = TEXT.chunks(5).collect();
    pieces.push(b"");
    play(place, &pieces, Some(CLIENT))
}

/// A binary header by itself, then a request with content.
fn upload(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for piece in binary(1, 0x11, &IPV4).chunks(7) {
        talk.ask(piece);
    }
    talk.ask("PUT /up HTTP/1.1\r\nhost: a.test\r\ncontent-length: 100000\r\n\r\n");
    talk.ask_in_pieces([7; 100_000].chunks(10_000));
    talk.answer(ok("ok"));
    talk.small("/next");
    talk.close();
    let mut checks =
        expect(vec![Ex::new(1, "PUT", "/up", 200, 2).sent(100_000), small(2, "/next")]);
    checks.push(proxied_for(Some(CLIENT)));
    checks
}
