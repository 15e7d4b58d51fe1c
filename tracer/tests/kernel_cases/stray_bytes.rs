//! Bytes where no message has any: servers that add a chunk or content to responses that have none,
//! and line endings between messages.

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::table::Case;
use crate::talk::{Talk, expect, get, ok, small};

pub const CASES: &[Case] = &[
    Case::scripted("a_last_chunk_behind_204_and_304_belongs_to_nothing", last_chunk),
    Case::scripted("a_stray_chunk_in_a_packet_of_its_own_belongs_to_nothing", late_chunk),
    Case::scripted("content_in_answer_to_head_belongs_to_nothing", head_with_content),
    Case::scripted("a_page_in_answer_to_head_in_many_packets_belongs_to_nothing", head_with_page),
    Case::scripted("chunks_in_answer_to_head_belong_to_nothing", head_with_chunks),
    Case::scripted("line_endings_between_messages_belong_to_nothing", line_endings),
    Case::scripted("a_response_longer_than_it_says_costs_no_other", too_long),
];

const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: a.test\r\n\r\n")
}

fn without_content(status: u16) -> String {
    format!("HTTP/1.1 {status} Word\r\n{CHUNKED}")
}

fn last_chunk(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(request("OPTIONS", "/pre"));
    talk.answer(without_content(204) + "0\r\n\r\n");
    talk.small("/x");
    talk.ask(get("/y"));
    talk.answer(without_content(304) + "0\r\n\r\n");
    talk.small("/z");
    talk.close();
    expect(vec![
        Ex::new(1, "OPTIONS", "/pre", 204, 0),
        small(2, "/x"),
        Ex::new(3, "GET", "/y", 304, 0),
        small(4, "/z"),
    ])
}

fn late_chunk(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for (path, status) in [("/a", 204), ("/b", 304), ("/c", 204)] {
        talk.ask(get(path));
        talk.answer(without_content(status));
        talk.answer("0\r\n");
        talk.answer("\r\n");
    }
    talk.small("/d");
    talk.close();
    expect(vec![
        Ex::new(1, "GET", "/a", 204, 0),
        Ex::new(2, "GET", "/b", 304, 0),
        Ex::new(3, "GET", "/c", 204, 0),
        small(4, "/d"),
    ])
}

fn head_with_content(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for path in ["/h1", "/h2"] {
        talk.ask(request("HEAD", path));
        talk.answer(ok("hello, this is content that HEAD must not have"));
    }
    talk.small("/g");
    talk.close();
    expect(vec![
        Ex::new(1, "HEAD", "/h1", 200, 0),
        Ex::new(2, "HEAD", "/h2", 200, 0),
        small(3, "/g"),
    ])
}

/// Head and content by writes of their own, as a server does that knows nothing of HEAD.
fn head_with_page(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let page = "<p>a page</p>\r\n".repeat(20_000);
    talk.ask(request("HEAD", "/h"));
    talk.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", page.len()));
    talk.answer_in_pieces(page.as_bytes().chunks(8_192));
    talk.small("/g");
    talk.close();
    expect(vec![Ex::new(1, "HEAD", "/h", 200, 0), small(2, "/g")])
}

fn head_with_chunks(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(request("HEAD", "/h"));
    talk.answer(format!("HTTP/1.1 200 OK\r\n{CHUNKED}5\r\nhello\r\n"));
    talk.answer("0\r\n\r\n");
    talk.small("/g");
    talk.small("/i");
    talk.close();
    expect(vec![Ex::new(1, "HEAD", "/h", 200, 0), small(2, "/g"), small(3, "/i")])
}

/// Old clients send a line ending after the content of a POST (RFC 9112 section 2.2).
fn line_endings(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask("POST /1 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc\r\n");
    talk.answer(ok("ok"));
    talk.ask("POST /2 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 3\r\n\r\nabc");
    talk.ask("\r\n");
    talk.answer(ok("ok"));
    talk.ask("\r\n\r\n");
    talk.ask(get("/3"));
    talk.answer(ok("ok"));
    talk.answer("\r\n");
    talk.small("/4");
    talk.close();
    expect(vec![
        Ex::new(1, "POST", "/1", 200, 2).sent(3),
        Ex::new(2, "POST", "/2", 200, 2).sent(3),
        small(3, "/3"),
        small(4, "/4"),
    ])
}

fn too_long(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(get("/1"));
    talk.answer(ok("ok") + "and some bytes more than it says");
    talk.small("/2");
    talk.ask(get("/3"));
    talk.answer(ok("ok"));
    talk.answer("and some bytes more in another packet");
    talk.small("/4");
    talk.close();
    expect((1..=4).map(|number| small(number, &format!("/{number}"))).collect())
}
