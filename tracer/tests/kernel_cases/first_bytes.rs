//! Connections whose first bytes are not those of a common request in one packet.

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::table::Case;
use crate::talk::{Talk, expect, expect_each, get, ok, small};

pub const CASES: &[Case] = &[
    Case::scripted("a_request_written_byte_by_byte_is_recorded", request_by_bytes),
    Case::scripted("a_response_written_byte_by_byte_is_recorded", response_by_bytes),
    Case::scripted("a_request_whose_first_packet_is_short_is_recorded", short_first_packets),
    Case::scripted("every_token_is_a_method", methods),
    Case::scripted("a_method_that_packets_cut_is_recorded", cut_method),
    Case::scripted("empty_lines_come_before_a_request_line", empty_lines),
    Case::scripted("what_begins_like_a_request_and_is_none_makes_no_exchange", no_http),
];

fn request_by_bytes(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for path in ["/1", "/2"] {
        get(path).bytes().for_each(|byte| talk.ask([byte]));
        talk.answer(ok("ok"));
    }
    talk.small("/3");
    talk.close();
    expect((1..=3).map(|number| small(number, &format!("/{number}"))).collect())
}

fn response_by_bytes(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for path in ["/1", "/2"] {
        talk.ask(get(path));
        ok("ok").bytes().for_each(|byte| talk.answer([byte]));
    }
    talk.small("/3");
    talk.close();
    expect((1..=3).map(|number| small(number, &format!("/{number}"))).collect())
}

/// A connection for each length of the first packet, both ways.
fn short_first_packets(place: &mut Place) -> Vec<Check> {
    let lengths = [1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 15, 16, 17];
    let mut connections = Vec::new();
    for length in lengths {
        let talk = Talk::new(place);
        let path = format!("/{length}");
        let (request, response) = (get(&path), ok("ok"));
        let (first, rest) = request.split_at(length);
        talk.ask(first);
        talk.ask(rest);
        let (first, rest) = response.split_at(length);
        talk.answer(first);
        talk.answer(rest);
        talk.small("/next");
        talk.close();
        connections.push(vec![small(1, &path), small(2, "/next")]);
    }
    expect_each(connections)
}

/// RFC 9110 section 9.1, 5.6.2: a method is any token.
const METHODS: [&str; 9] = [
    "LINK",
    "M-SEARCH",
    "BAN",
    "PROPFIND",
    "VERSION-CONTROL",
    "get",
    "X",
    "!#$%&'*+-.^_`|~09Az",
    "A-METHOD-THAT-IS-LONGER-THAN-THE-THIRTY-TWO-BYTES-THAT-MANY-PARSERS-ALLOW",
];

/// Each method on a connection of its own, for the first bytes decide.
fn methods(place: &mut Place) -> Vec<Check> {
    let mut connections = Vec::new();
    for method in METHODS {
        let talk = Talk::new(place);
        talk.ask(format!("{method} /m HTTP/1.1\r\nhost: a.test\r\n\r\n"));
        talk.answer(ok("ok"));
        talk.small("/next");
        talk.close();
        connections.push(vec![Ex::new(1, method, "/m", 200, 2), small(2, "/next")]);
    }
    expect_each(connections)
}

fn cut_method(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for piece in ["M-SEA", "RCH", " ", "* HTTP/1.1\r", "\nhost: a.test\r\n\r", "\n"] {
        talk.ask(piece);
    }
    talk.answer(ok("ok"));
    talk.small("/next");
    talk.close();
    expect(vec![Ex::new(1, "M-SEARCH", "*", 200, 2), small(2, "/next")])
}

/// RFC 9112 section 2.2: a server ignores at least one of them.
fn empty_lines(place: &mut Place) -> Vec<Check> {
    let layouts: [&[&str]; 5] = [
        &["\r\nGET /e HTTP/1.1\r\nhost: a.test\r\n\r\n"],
        &["\r\n\r\n\r\nGET /e HTTP/1.1\r\nhost: a.test\r\n\r\n"],
        &["\r\n", "GET /e HTTP/1.1\r\nhost: a.test\r\n\r\n"],
        &["\r", "\n", "\r", "\nG", "ET /e HTTP/1.1\r\nhost: a.test\r\n\r\n"],
        &["\nGET /e HTTP/1.1\r\nhost: a.test\r\n\r\n"],
    ];
    let mut connections = Vec::new();
    for layout in layouts {
        let talk = Talk::new(place);
        layout.iter().for_each(|piece| talk.ask(piece));
        talk.answer(ok("ok"));
        talk.small("/next");
        talk.close();
        connections.push(vec![small(1, "/e"), small(2, "/next")]);
    }
    expect_each(connections)
}

/// Protocols of text, and bytes of none.
fn no_http(place: &mut Place) -> Vec<Check> {
    let beginnings: [&[u8]; 6] = [
        b"USER anonymous\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        b"GET a\r\n",
        b"\r\n\r\n\0\r\nQUIT",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    for beginning in beginnings {
        let talk = Talk::new(place);
        for _ in 0..3 {
            talk.ask(beginning);
            talk.answer(b"+OK\r\n");
        }
        talk.close();
    }
    expect_each(vec![Vec::new(); beginnings.len()])
}
