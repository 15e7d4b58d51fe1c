//! What is no HTTP, or too much of it.

use super::*;

#[test]
fn other_protocols_are_given_up_at_their_first_bytes() {
    for (client, server) in [
        ("", "SSH-2.0-OpenSSH_9\r\n"),
        ("\u{16}\u{3}\u{1}", ""),
        ("EHLO x\r\n", ""),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
    ] {
        for hint in [Some(true), None] {
            let mut wire = Wire::with(HttpConnection::new(hint));
            wire.http.start(Sent, CLIENT_SEQ);
            wire.http.start(Received, SERVER_SEQ);
            wire.client(client).server(server);
            assert!(!wire.http.is_http(), "{client:?} {server:?}");
            assert!(wire.client("GET / HTTP/1.1\r\n\r\n").told().is_empty());
        }
    }
}

#[test]
fn a_connection_caught_in_the_middle_of_something_else_is_given_up_after_a_bounded_effort() {
    let limits = Limits { max_seek_bytes: 10_000, ..Limits::default() };
    let mut wire = Wire::with(HttpConnection::with_limits(None, limits));
    for _ in 0..10 {
        wire.client(&"\0".repeat(1000));
        assert!(wire.http.is_http());
    }
    wire.client("\0");
    assert_eq!(wire.http.protocol(), Protocol::NotHttp);
}

#[test]
fn a_request_answered_by_something_else_is_told_incomplete() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\n\r\n").server("220 mail ESMTP\r\n");
    assert_eq!(wire.told(), ["1 GET /a - body 0/- incomplete"]);
    assert!(!wire.http.is_http());
}

/// A request head with so many field lines of a kilobyte, in packets of one each.
fn long_head(wire: &mut Wire, lines: usize) {
    let line = format!("Cookie: {}\r\n", "c".repeat(1014));
    wire.client("POST /a HTTP/1.1\r\nHost: h\r\n");
    for _ in 0..lines {
        wire.client(&line);
    }
    wire.client("Content-Length: 3\r\n\r\nabc")
        .server("HTTP/1.1 431 x\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn a_head_of_a_mebibyte_is_read_whole() {
    let mut wire = Wire::new();
    long_head(&mut wire, 1023);
    assert_eq!(wire.told.done[0].request.as_ref().unwrap().head.field_count(), 1025);
    assert_eq!(wire.told(), ["1 POST /a 431 body 3/0"]);
}

#[test]
fn a_longer_head_is_cut_and_still_framed() {
    let mut wire = Wire::new();
    long_head(&mut wire, 3000);
    let exchange = wire.told.done.remove(0);
    let request = exchange.request.as_ref().unwrap();
    assert_eq!((exchange.authority(), request.body_bytes, request.ended), (Some("h"), 3, true));
    assert!(!exchange.complete());
    assert_eq!(exchange.missing_bytes(), Some(wire.http.counters().head_bytes_cut));
    assert!(request.head.heap_bytes() < 2 * Limits::default().max_head_bytes);
    wire.client("GET /b HTTP/1.1\r\n\r\n").server("HTTP/1.1 204 x\r\n\r\n");
    assert_eq!(wire.told(), ["2 GET /b 204 body 0/0"]);
}

#[test]
fn of_a_long_head_that_breaks_off_the_bytes_that_were_not_kept_are_missing() {
    let mut wire = Wire::with_limits(Limits { max_head_bytes: 100, ..Limits::default() });
    let line = format!("X: {}\r\n", "x".repeat(200));
    wire.client("GET /a HTTP/1.1\r\n").client(&line).client("Y").close();
    let request = wire.told.done[0].request.as_ref().unwrap();
    assert_eq!(request.missing_bytes, Some(line.len() as u64));
    assert_eq!(wire.told(), ["1 GET /a - body 0/- incomplete"]);
    assert_eq!(wire.http.counters().head_bytes_cut, line.len() as u64);
}

#[test]
fn a_target_of_a_mebibyte_is_no_message_and_its_answer_is_told_alone() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\n\r\n").server("HTTP/1.1 204 x\r\n\r\n").client("GET /");
    for _ in 0..1025 {
        wire.client(&"x".repeat(1024));
    }
    wire.client(" HTTP/1.1\r\n\r\n").server("HTTP/1.1 414 x\r\nContent-Length: 0\r\n\r\n").close();
    assert_eq!(wire.told(), ["1 GET /a 204 body 0/0", "2 - - 414 body -/0 incomplete"]);
    assert_eq!(wire.http.counters().malformed, 1);
}

#[test]
fn a_connection_that_keeps_breaking_the_grammar_is_given_up() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\n\r\n").server("HTTP/1.1 204 x\r\n\r\n");
    for _ in 0..100 {
        wire.client("GET /a HTTP/1.1\r\n\r\n\0\0\0\0").server("HTTP/1.1 204 x\r\n\r\n\0\0\0\0\r\n");
    }
    assert!(wire.http.is_http(), "good messages come between");
    for _ in 0..100 {
        wire.client(&"\0\0\0\0\r\n".repeat(100));
    }
    wire.client("GET /a HTTP/1.1\r\n\r\n").close();
    assert!(wire.http.counters().malformed > 0);
}

#[test]
fn requests_without_responses_are_bounded() {
    let limits = Limits { max_outstanding: 10, ..Limits::default() };
    let mut wire = Wire::with_limits(limits);
    for _ in 0..100 {
        wire.client("GET /a HTTP/1.1\r\n\r\n");
    }
    assert!(wire.told.done.len() >= 90);
    assert_eq!(wire.http.counters().outstanding_overflows, 1);
    wire.close();
    assert_eq!(wire.told.done.len(), 100);
}

#[test]
fn heads_of_requests_without_responses_are_bounded_in_bytes() {
    let limits = Limits { max_outstanding_bytes: 100_000, ..Limits::default() };
    let mut wire = Wire::with_limits(limits);
    let request = format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    for _ in 0..100 {
        wire.client(&request);
    }
    assert!(wire.told.done.len() >= 90);
}
