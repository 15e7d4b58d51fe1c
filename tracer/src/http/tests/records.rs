//! Records of exchanges.

use super::super::RecordContext;
use super::*;
use crate::record::{self, ConnId, SocketAddress};

fn context(show_secrets: bool) -> RecordContext<'static> {
    RecordContext {
        conn: ConnId(7),
        scheme: "http",
        connect_us: Some(120),
        tls_us: None,
        server: Some(SocketAddress { ip: [127, 0, 0, 1].into(), port: 8080 }),
        client_isn: Some(CLIENT_SEQ - 1),
        server_isn: Some(SERVER_SEQ - 1),
        show_secrets,
    }
}

fn records(client: &[&str], server: &[&str]) -> Vec<record::Exchange> {
    let mut wire = Wire::new();
    for (request, response) in client.iter().zip(server) {
        wire.client(request).server(response);
    }
    wire.told.done.iter().map(|e| e.to_record(&context(false))).collect()
}

fn cached(fields: &str) -> Option<bool> {
    let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    records(&["GET / HTTP/1.1\r\n\r\n"], &[&response])[0].response.as_ref().unwrap().from_cache
}

#[test]
fn a_record_tells_all_of_the_exchange() {
    let record = records(
        &["POST /a?token=t HTTP/1.1\r\nHost: h:81\r\nAuthorization: Bearer b\r\nContent-Length: 1\r\n\r\nx"],
        &["HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=utf-8\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"],
    )
    .remove(0);
    assert_eq!((record.conn, record.number, record.status), (ConnId(7), 1, Some(200)));
    assert_eq!(record.protocol.as_deref(), Some("HTTP/1.1"));
    assert_eq!(
        (record.scheme.as_deref(), record.authority.as_deref()),
        (Some("http"), Some("h:81"))
    );
    assert_eq!(record.target.as_deref(), Some("/a?token=[redacted]"));
    assert_eq!(record.reason.as_deref(), Some("OK"));
    let (request, response) = (record.request.unwrap(), record.response.unwrap());
    assert_eq!(request.headers.iter().nth(1), Some(("authorization", "Bearer [redacted]")));
    assert_eq!((request.body_bytes, response.body_bytes), (Some(1), Some(2)));
    assert_eq!(response.media_type.as_deref(), Some("text/html"));
    assert_eq!(response.headers.iter().nth(1), Some(("set-cookie", "a=[redacted]")));
    assert_eq!(response.from_cache, Some(false));
    assert!(record.complete && record.missing_bytes == Some(0));
}

#[test]
fn secrets_are_shown_when_asked_for() {
    let mut wire = Wire::new();
    wire.client("GET /a?token=t HTTP/1.1\r\nCookie: a=b\r\n\r\n").server("HTTP/1.1 204 x\r\n\r\n");
    let record = wire.told.done[0].to_record(&context(true));
    assert_eq!(record.target.as_deref(), Some("/a?token=t"));
    assert_eq!(record.request.unwrap().headers.get("cookie"), Some("a=b"));
}

#[test]
fn connecting_is_told_on_the_first_exchange_only() {
    let (request, response) = ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 204 x\r\n\r\n");
    let records = records(&[request, request], &[response, response]);
    assert_eq!(records.iter().map(|r| r.timing.connect_us).collect::<Vec<_>>(), [Some(120), None]);
    assert_eq!(
        records.iter().map(|r| r.reused_connection).collect::<Vec<_>>(),
        [Some(false), Some(true)]
    );
}

#[test]
fn times_are_in_microseconds_between_the_bytes_that_bound_them() {
    let mut wire = Wire::new();
    wire.client("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na").client("b");
    wire.server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").server("o").server("k");
    let timing = wire.told.done[0].to_record(&context(false)).timing;
    let step_us = STEP_NS / 1000;
    assert_eq!(
        (timing.send_us, timing.wait_us, timing.receive_us),
        (Some(step_us), Some(step_us), Some(2 * step_us))
    );
}

#[test]
fn what_was_not_seen_to_its_end_has_no_duration() {
    let mut wire = Wire::new();
    wire.client("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .close();
    let timing = wire.told.done[0].to_record(&context(false)).timing;
    assert_eq!((timing.send_us, timing.wait_us, timing.receive_us), (None, None, None));
}

#[test]
fn a_request_without_host_is_for_the_servers_address() {
    let record =
        records(&["GET / HTTP/1.0\r\n\r\n"], &["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"])
            .remove(0);
    assert_eq!(record.authority.as_deref(), Some("127.0.0.1:8080"));
}

#[test]
fn caches_are_known_by_what_they_say() {
    for fields in [
        "Age: 3\r\n",
        "X-Cache: HIT\r\n",
        "X-Cache: MISS, Hit from x\r\n",
        "CF-Cache-Status: HIT\r\n",
        "X-Varnish: 1 2\r\n",
        "Cache-Status: a; fwd=miss, b; hit\r\n",
    ] {
        assert_eq!(cached(fields), Some(true), "{fields}");
    }
    for fields in [
        "",
        "Age: 0\r\n",
        "X-Cache: MISS\r\n",
        "X-Cache: HIT, MISS\r\n",
        "X-Varnish: 1\r\n",
        "Cache-Status: a; fwd=miss\r\n",
    ] {
        assert_eq!(cached(fields), Some(false), "{fields}");
    }
    let not_modified = records(&["GET / HTTP/1.1\r\n\r\n"], &["HTTP/1.1 304 x\r\n\r\n"]);
    assert_eq!(not_modified[0].response.as_ref().unwrap().from_cache, Some(true));
}

#[test]
fn a_message_has_its_place_on_its_stream() {
    let (request, response) = (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 204 x\r\n\r\n",
    );
    let records = records(&[request, request], &[response, response]);
    let places = |record: &record::Exchange| {
        let (request, response) = (record.request.as_ref(), record.response.as_ref());
        let (request, response) = (request.unwrap(), response.unwrap());
        [(request.seq, request.wire_bytes), (response.seq, response.wire_bytes)]
    };
    let (sent, received) = (request.len() as u32, response.len() as u32);
    let lengths = [sent, received].map(|bytes| Some(u64::from(bytes)));
    assert_eq!(places(&records[0]), [(Some(1), lengths[0]), (Some(1), lengths[1])]);
    let second = [(Some(1 + sent), lengths[0]), (Some(1 + received), lengths[1])];
    assert_eq!(places(&records[1]), second);
}

#[test]
fn a_place_or_length_that_is_not_known_is_null() {
    let mut wire = Wire::in_the_middle();
    wire.client("GET / HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        .close();
    let unknown = RecordContext { client_isn: None, server_isn: None, ..context(false) };
    let record = wire.told.done[0].to_record(&unknown);
    let (request, response) = (record.request.unwrap(), record.response.unwrap());
    assert_eq!((request.seq, request.wire_bytes), (None, Some(18)));
    assert_eq!((response.seq, response.wire_bytes), (None, None));
}

#[test]
fn bytes_that_were_lost_in_content_of_known_length_count() {
    let mut wire = Wire::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    wire.client("GET / HTTP/1.1\r\n\r\n").server(head).lose(Received, 5).server("rest");
    wire.wait();
    let record = wire.told.done[0].to_record(&context(false));
    assert_eq!(record.missing_bytes, Some(5));
    assert_eq!(record.response.unwrap().wire_bytes, Some(head.len() as u64 + 9));
}

#[test]
fn an_unknown_half_is_null() {
    let mut wire = Wire::new();
    wire.lose(Sent, 20)
        .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .client("GET / HTTP/1.1\r\n\r\n")
        .close();
    let records: Vec<_> = wire.told.done.iter().map(|e| e.to_record(&context(false))).collect();
    assert!(
        records[0].request.is_none()
            && records[0].method.is_none()
            && records[0].authority.is_none()
    );
    assert!(records[1].response.is_none() && records[1].status.is_none());
    assert_eq!(records[0].reused_connection, Some(false));
    assert!(records.iter().all(|r| !r.complete));
}
