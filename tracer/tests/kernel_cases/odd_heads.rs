//! Heads that are long, or that break the grammar in ways that programs live with.

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::records::Message;
use crate::support::table::Case;
use crate::talk::{Talk, at_both_ends, expect, get, ok, small};

pub const CASES: &[Case] = &[
    Case::scripted("many_fields_are_recorded", many_fields),
    Case::scripted("bytes_that_are_no_utf_8_cost_no_exchange", no_utf_8),
    Case::scripted("a_line_without_colon_costs_no_exchange", no_colon),
    Case::scripted("a_blank_before_the_colon_costs_no_exchange", blank_before_colon),
    Case::scripted("lines_that_end_without_carriage_return_cost_no_exchange", bare_line_feeds),
    Case::scripted("a_request_head_of_100_kib_costs_no_other_exchange", long_request_head),
    Case::scripted("a_response_head_of_100_kib_costs_no_other_exchange", long_response_head),
    Case::scripted("a_head_of_900_kib_costs_no_other_exchange", very_long_head),
];

fn request_with(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")
}

fn ok_with(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok")
}

/// In both directions; every field is in the record.
fn many_fields(place: &mut Place) -> Vec<Check> {
    const FIELDS: usize = 1_200;
    let fields: String = (0..FIELDS).map(|i| format!("x-field-{i}: value {i}\r\n")).collect();
    let talk = Talk::new(place);
    talk.ask(get("/response"));
    talk.answer(ok_with(&fields));
    talk.ask(request_with("/request", &fields));
    talk.answer(ok("ok"));
    talk.small("/next");
    talk.close();
    let mut checks = expect(vec![small(1, "/response"), small(2, "/request"), small(3, "/next")]);
    let fields = |message: &Option<Message>| message.as_ref().map(|m| m.headers.len());
    checks.push(at_both_ends(move |_, exchanges| {
        let [first, second, _] = exchanges else { return Err("not three exchanges".into()) };
        match (fields(&first.response), fields(&second.request)) {
            (Some(response), Some(request)) if response == FIELDS + 1 && request == FIELDS + 1 => {
                Ok(())
            }
            other => Err(format!("{other:?} fields")),
        }
    }));
    checks
}

fn no_utf_8(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let head = b"GET /latin HTTP/1.1\r\nhost: a.test\r\nx-name: M\xfcller \xff\xfe\r\n\r\n";
    talk.ask(head);
    talk.answer(b"HTTP/1.1 200 OK\r\nx-place: K\xf6ln\r\ncontent-length: 2\r\n\r\nok");
    talk.ask(get("/reason"));
    talk.answer(b"HTTP/1.1 200 Gr\xfc\xdfe\r\ncontent-length: 2\r\n\r\nok");
    talk.small("/next");
    talk.close();
    expect(vec![small(1, "/latin"), small(2, "/reason"), small(3, "/next")])
}

fn no_colon(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(get("/response"));
    talk.answer(ok_with("this line has no colon\r\n"));
    talk.ask(request_with("/request", "neither has this one\r\n"));
    talk.answer(ok("ok"));
    talk.small("/next");
    talk.close();
    expect(vec![small(1, "/response"), small(2, "/request"), small(3, "/next")])
}

fn blank_before_colon(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(get("/response"));
    talk.answer(ok_with("x-blank : 1\r\n"));
    talk.ask(request_with("/request", "x-blank : 1\r\n"));
    talk.answer(ok("ok"));
    talk.small("/next");
    talk.close();
    expect(vec![small(1, "/response"), small(2, "/request"), small(3, "/next")])
}

/// RFC 9112 section 2.2: a recipient may take a single LF as the end of a line.
fn bare_line_feeds(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask("GET /1 HTTP/1.1\nhost: a.test\n\n");
    talk.answer("HTTP/1.1 200 OK\ncontent-length: 2\n\nok");
    talk.small("/2");
    talk.close();
    expect(vec![small(1, "/1"), small(2, "/2")])
}

/// Whether a head of this size was recorded whole or not: its message took so many bytes, and is
/// paired.
fn long_head(
    place: &mut Place,
    request: &str,
    response: &str,
    bytes_of: fn(&crate::support::records::Exchange) -> Option<u64>,
    expected_bytes: usize,
) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask_in_pieces(request.as_bytes().chunks(16_384));
    talk.answer_in_pieces(response.as_bytes().chunks(16_384));
    talk.small("/2");
    talk.small("/3");
    talk.close();
    vec![at_both_ends(move |_, exchanges| {
        let [first, rest @ ..] = exchanges else { return Err("no exchange".into()) };
        let rest: Vec<Ex> = rest.iter().map(Ex::from).collect();
        if rest != [small(2, "/2"), small(3, "/3")] {
            return Err("the other exchanges are wrong".into());
        }
        let is_paired = first.target.as_deref() == Some("/1") && first.status == Some(200);
        match bytes_of(first) {
            Some(bytes) if is_paired && bytes == expected_bytes as u64 => Ok(()),
            bytes => Err(format!("a message of {bytes:?} bytes, not {expected_bytes}")),
        }
    })]
}

fn long_field(bytes: usize) -> String {
    format!("x-long: {}\r\n", "y".repeat(bytes))
}

fn long_request_head(place: &mut Place) -> Vec<Check> {
    let request = request_with("/1", &long_field(100 << 10));
    long_head(place, &request, &ok("ok"), |e| e.request.as_ref()?.wire_bytes, request.len())
}

fn long_response_head(place: &mut Place) -> Vec<Check> {
    let response = ok_with(&long_field(100 << 10));
    long_head(place, &get("/1"), &response, |e| e.response.as_ref()?.wire_bytes, response.len())
}

/// In many fields, as cookies and tokens make them.
fn very_long_head(place: &mut Place) -> Vec<Check> {
    let response = ok_with(&long_field(9 << 10).repeat(100));
    long_head(place, &get("/1"), &response, |e| e.response.as_ref()?.wire_bytes, response.len())
}
