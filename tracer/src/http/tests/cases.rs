//! The protocol's cases on whole streams.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn a_request_and_its_response_are_one_exchange() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server(OK);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
    assert_eq!(wire.http.protocol(), Protocol::Http);
    assert_eq!(wire.http.counters(), super::super::Counters::default());
}

#[test]
fn keep_alive_exchanges_are_numbered() {
    let mut wire = Wire::new();
    for path in ["/1", "/2", "/3"] {
        wire.client(&get(path)).server(OK);
    }
    assert_eq!(
        wire.told(),
        ["1 GET /1 200 body 0/2", "2 GET /2 200 body 0/2", "3 GET /3 200 body 0/2"]
    );
}

#[test]
fn the_first_exchange_does_not_reuse_the_connection_and_later_ones_do() {
    let mut wire = Wire::new();
    wire.client(&get("/1")).server(OK).client(&get("/2")).server(OK);
    let reused: Vec<_> = wire.told.done.iter().map(|e| e.reused_connection).collect();
    assert_eq!(reused, [Some(false), Some(true)]);

    let mut wire = Wire::in_the_middle();
    wire.client(&get("/1")).server(OK).client(&get("/2")).server(OK);
    let reused: Vec<_> = wire.told.done.iter().map(|e| e.reused_connection).collect();
    assert_eq!(reused, [None, Some(true)]);
}

#[test]
fn times_are_those_of_the_first_and_last_bytes() {
    let mut wire = Wire::new();
    wire.client("POST / HTTP/1.1\r\nContent-").client("Length: 3\r\n\r\na").client("bc");
    wire.server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").server("o").server("k");
    let start = wire.now.0 - 5 * STEP_NS;
    let exchange = &wire.told.done[0];
    let times = |m: &Option<Message>| {
        m.as_ref().map(|m| (m.first_at.0 - start, m.last_at.0 - start)).unwrap()
    };
    assert_eq!(times(&exchange.request), (0, 2 * STEP_NS));
    assert_eq!(times(&exchange.response), (3 * STEP_NS, 5 * STEP_NS));
}

#[test]
fn pipelined_requests_in_one_packet_are_answered_in_order() {
    let mut wire = Wire::new();
    wire.client(&[get("/1"), get("/2"), get("/3")].concat());
    wire.server("HTTP/1.1 201 a\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 202 b\r\nContent-Length: 0\r\n\r\nHTTP/1.1 203 c\r\n");
    wire.server("Content-Length: 3\r\n\r\nabc");
    assert_eq!(
        wire.told(),
        ["1 GET /1 201 body 0/1", "2 GET /2 202 body 0/0", "3 GET /3 203 body 0/3"]
    );
}

#[test]
fn heads_split_at_any_byte_are_put_together() {
    let request = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for cut in 1..request.len() {
        let mut wire = Wire::new();
        wire.client(&request[..cut]).client(&request[cut..]).server(response);
        assert_eq!(wire.told(), ["1 POST /p 200 body 3/2"], "request cut at {cut}");
    }
    for cut in 1..response.len() {
        let mut wire = Wire::new();
        wire.client(request).server(&response[..cut]).server(&response[cut..]);
        assert_eq!(wire.told(), ["1 POST /p 200 body 3/2"], "response cut at {cut}");
    }
}

#[test]
fn a_head_response_has_no_body_whatever_its_length_says() {
    let mut wire = Wire::new();
    wire.client("HEAD /a HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    wire.client("HEAD /b HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    wire.client(&get("/c")).server(OK);
    assert_eq!(
        wire.told(),
        ["1 HEAD /a 200 body 0/0", "2 HEAD /b 200 body 0/0", "3 GET /c 200 body 0/2"]
    );
}

#[test]
fn responses_204_and_304_have_no_body() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n");
    wire.client(&get("/b")).server("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n");
    wire.client(&get("/c")).server(OK);
    assert_eq!(
        wire.told(),
        ["1 GET /a 204 body 0/0", "2 GET /b 304 body 0/0", "3 GET /c 200 body 0/2"]
    );
}

#[test]
fn interim_responses_are_remembered_and_do_not_answer() {
    let mut wire = Wire::new();
    wire.client("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    wire.server("HTTP/1.1 100 Continue\r\n\r\n").client("abc");
    wire.server("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(wire.told.done[0].interim.to_vec(), [100, 103]);
    assert_eq!(wire.told(), ["1 POST /a 200 body 3/2"]);
}

#[test]
fn chunked_bodies_with_extensions_and_trailers_are_counted_without_their_framing() {
    let mut wire = Wire::new();
    wire.client("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=\"y\"\r\nabcd\r\n10\r\n0123456789abcdef\r\n0\r\nSum: 1\r\n\r\n");
    wire.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n1\r\na\r\n0;e\r\nSum: 2\r\nX: y\r\n\r\n");
    wire.client(&get("/b")).server(OK);
    assert_eq!(wire.told(), ["1 PUT /a 200 body 20/1", "2 GET /b 200 body 0/2"]);
}

#[test]
fn equal_lengths_are_taken_and_conflicting_ones_make_the_exchange_incomplete() {
    let mut wire = Wire::new();
    wire.client(&get("/a"))
        .server("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
    wire.client(&get("/b"))
        .server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok");
    assert_eq!(wire.told(), ["2 GET /b 200 body 0/0 missing ? incomplete"]);
    assert_eq!(wire.http.counters().framing_losses, 1);
}

#[test]
fn a_request_with_conflicting_lengths_is_still_answered_by_its_response() {
    let mut wire = Wire::new();
    wire.client("POST /a HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc");
    wire.server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(wire.told(), ["1 POST /a 400 body 0/0 missing ? incomplete"]);
}

#[test]
fn transfer_encoding_goes_before_a_length() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.1 200 OK\r\nContent-Length: 500\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/1"]);
}

#[test]
fn a_body_without_length_goes_on_to_the_fin() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.1 200 OK\r\n\r\nab").server("cd");
    assert!(wire.told().is_empty());
    wire.fin(Received);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/4"]);
}

#[test]
fn a_body_without_length_that_a_reset_ends_is_incomplete() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.1 200 OK\r\n\r\nab").close();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2 incomplete"]);
}

#[test]
fn http_1_0_without_keep_alive_is_one_exchange_to_the_fin() {
    let mut wire = Wire::new();
    wire.client("GET / HTTP/1.0\r\n\r\n")
        .server("HTTP/1.0 200 OK\r\nServer: x\r\n\r\n<html>")
        .fin(Received)
        .fin(Sent)
        .close();
    assert_eq!(wire.told.done[0].protocol(), Some("HTTP/1.0"));
    assert_eq!(wire.told(), ["1 GET / 200 body 0/6"]);
}

#[test]
fn the_protocol_is_the_lower_of_both_versions() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(wire.told.done[0].protocol(), Some("HTTP/1.0"));
}

#[test]
fn connect_with_2xx_makes_a_tunnel_whose_bytes_are_counted_and_not_parsed() {
    let mut wire = Wire::new();
    wire.client("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n")
        .server("HTTP/1.1 200 Connected\r\n\r\n");
    assert_eq!(wire.told.done[0].authority(), Some("h:443"));
    assert_eq!(wire.told(), ["1 CONNECT h:443 200 body 0/0"]);
    wire.client(&get("/inner")).server(OK).fin(Sent).close();
    assert!(wire.told().is_empty());
    assert_eq!(wire.http.protocol(), Protocol::Upgraded);
    assert_eq!(wire.http.counters().tunnel_bytes, (get("/inner").len() + OK.len()) as u64);
}

#[test]
fn connect_that_is_refused_stays_http() {
    let mut wire = Wire::new();
    wire.client("CONNECT h:443 HTTP/1.1\r\n\r\n")
        .server("HTTP/1.1 407 x\r\nContent-Length: 2\r\n\r\nno");
    wire.client(&get("/a")).server(OK);
    assert_eq!(wire.told(), ["1 CONNECT h:443 407 body 0/2", "2 GET /a 200 body 0/2"]);
}

#[test]
fn after_101_the_bytes_are_no_http() {
    let mut wire = Wire::new();
    wire.client("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    wire.server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{1}\u{2}ab")
        .client("\u{1}\u{2}cde");
    assert_eq!(wire.told(), ["1 GET /ws 101 body 0/0"]);
    assert_eq!(wire.http.protocol(), Protocol::Upgraded);
    assert_eq!(wire.http.counters().tunnel_bytes, 9);
}

#[test]
fn content_that_passes_after_101_still_belongs_to_its_request() {
    let mut wire = Wire::new();
    wire.client("POST /up HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 6\r\n\r\nabc")
        .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
        .client("defgh");
    assert_eq!(wire.told(), ["1 POST /up 101 body 6/0"]);
    assert_eq!(wire.http.counters().tunnel_bytes, 2);
}

#[test]
fn a_101_whose_head_breaks_off_is_told_with_its_status() {
    let mut wire = Wire::new();
    wire.client("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n")
        .server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: ")
        .close();
    assert_eq!(wire.told(), ["1 GET /ws 101 body 0/0 incomplete"]);
}

#[test]
fn content_that_a_final_answer_made_needless_is_not_looked_for_in_the_next_request() {
    for framing in ["Content-Length: 6", "Transfer-Encoding: chunked"] {
        let mut wire = Wire::new();
        wire.client(&format!("POST /a HTTP/1.1\r\nExpect: 100-continue\r\n{framing}\r\n\r\n"))
            .server("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
        wire.client(&get("/b")).server(OK);
        assert_eq!(
            wire.told(),
            ["1 POST /a 417 body 0/0 incomplete", "2 GET /b 200 body 0/2"],
            "{framing}"
        );
    }
}

#[test]
fn content_that_was_asked_for_may_look_like_a_request() {
    let mut wire = Wire::new();
    let content = get("/b");
    wire.client(&format!(
        "POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        content.len()
    ));
    wire.server("HTTP/1.1 100 Continue\r\n\r\n").server(OK).client(&content);
    assert_eq!(wire.told(), [format!("1 POST /a 200 body {}/2", content.len())]);
}

#[test]
fn a_dropped_field_line_that_says_where_the_message_ends_makes_the_exchange_incomplete() {
    for line in ["Content-Length : 5", "Transfer-Encoding: \u{b}chunked"] {
        let mut wire = Wire::new();
        wire.client(&format!("POST /a HTTP/1.1\r\n{line}\r\n\r\n"))
            .server("HTTP/1.1 400 x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(wire.told(), ["1 POST /a 400 body 0/0 missing ? incomplete"], "{line}");
    }
}

#[test]
fn an_answer_before_the_request_has_ended_waits_for_its_end() {
    let mut wire = Wire::new();
    wire.client("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc")
        .server("HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n");
    assert!(wire.told().is_empty());
    wire.client("def");
    assert_eq!(wire.told(), ["1 POST /a 413 body 6/0"]);
    wire.client(&get("/b")).server(OK);
    assert_eq!(wire.told(), ["2 GET /b 200 body 0/2"]);
}

#[test]
fn an_answer_whose_request_never_ends_is_incomplete() {
    let mut wire = Wire::new();
    wire.client("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc")
        .server("HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n");
    wire.fin(Received).close();
    assert_eq!(wire.told(), ["1 POST /a 413 body 3/0 incomplete"]);
}

#[test]
fn an_answer_before_the_request_head_has_ended_is_its_answer() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\nCookie: ")
        .server("HTTP/1.1 431 x\r\nContent-Length: 0\r\n\r\n")
        .fin(Received)
        .close();
    assert_eq!(wire.told(), ["1 GET /a 431 body 0/0 incomplete"]);
    let mut wire = Wire::new();
    wire.client("GET /a HT").server("HTTP/1.1 408 x\r\nContent-Length: 0\r\n\r\n").end();
    assert_eq!(wire.told(), ["1 - - 408 body -/0 incomplete"]);
}

#[test]
fn a_request_aborted_in_its_body_is_told_incomplete() {
    let mut wire = Wire::new();
    wire.client("POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\nabc").close();
    assert_eq!(wire.told(), ["1 POST /a - body 3/- incomplete"]);
}

#[test]
fn a_request_aborted_in_its_head_is_told_as_far_as_its_lines_are_whole() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\nHost: h\r\nAcc").close();
    assert_eq!(wire.told.done[0].authority(), Some("h"));
    assert_eq!(wire.told(), ["1 GET /a - body 0/- incomplete"]);
}

#[test]
fn a_response_aborted_in_its_body_is_told_incomplete() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").fin(Received);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/3 incomplete"]);
    let mut wire = Wire::new();
    wire.client(&get("/a"))
        .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        .close();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/3 incomplete"]);
}

#[test]
fn requests_that_nobody_answers_are_told_when_the_server_closes() {
    let mut wire = Wire::new();
    wire.client(&[get("/1"), get("/2")].concat()).server(OK).fin(Received);
    assert_eq!(wire.told(), ["1 GET /1 200 body 0/2", "2 GET /2 - body 0/- incomplete"]);
}

#[test]
fn a_half_closed_client_still_gets_its_response() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).fin(Sent).server(OK).fin(Received).close();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
}

#[test]
fn empty_lines_before_a_request_are_ignored() {
    let mut wire = Wire::new();
    wire.client(&format!("\r\n\n{}\r\n", get("/a")))
        .server(OK)
        .client("\r")
        .client(&format!("\n{}", get("/b")))
        .server(OK);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2", "2 GET /b 200 body 0/2"]);
}

#[test]
fn folded_field_lines_are_one_value() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\r\nX: one\r\n two\r\n\r\n")
        .server("HTTP/1.1 200 OK\r\nY: a\r\n\tb\r\nContent-Length: 0\r\n\r\n");
    let exchange = &wire.told.done[0];
    let words = |m: &Option<Message>, name| {
        m.as_ref()
            .unwrap()
            .head
            .field(name)
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join("+")
    };
    assert_eq!(
        (words(&exchange.request, "x"), words(&exchange.response, "y")),
        ("one+two".into(), "a+b".into())
    );
}

#[test]
fn lines_that_end_with_a_bare_line_feed_are_lines() {
    let mut wire = Wire::new();
    wire.client("GET /a HTTP/1.1\nHost: h\n\n")
        .server("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n");
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
}

#[test]
fn targets_of_all_forms_name_their_authority() {
    for (start, authority) in [
        ("GET /a HTTP/1.1", Some("h")),
        ("GET http://x:81/a?b HTTP/1.1", Some("x:81")),
        ("GET http://u:p@x HTTP/1.1", Some("x")),
        ("CONNECT y:443 HTTP/1.1", Some("y:443")),
        ("OPTIONS * HTTP/1.1", Some("h")),
    ] {
        let mut wire = Wire::new();
        wire.client(&format!("{start}\r\nHost: h\r\n\r\n")).close();
        assert_eq!(wire.told.done[0].authority(), authority, "{start}");
    }
}

#[test]
fn an_unknown_opener_is_told_by_the_first_message_either_way() {
    for client in [Sent, Received] {
        let server = if client == Sent { Received } else { Sent };
        for known_start in [true, false] {
            let mut wire = Wire::with(HttpConnection::new(None));
            if known_start {
                wire.http.start(Sent, CLIENT_SEQ);
                wire.http.start(Received, SERVER_SEQ);
            }
            wire.packet(client, get("/a").as_bytes(), get("/a").len()).packet(
                server,
                OK.as_bytes(),
                OK.len(),
            );
            if !known_start {
                // More responses than requests would show that earlier requests were still open.
                assert!(wire.told().is_empty());
                wire.end();
            }
            assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"], "{client:?} {known_start}");
        }
    }
}

#[test]
fn an_unknown_opener_whose_first_bytes_come_one_by_one_is_told_too() {
    let mut wire = Wire::with(HttpConnection::new(None));
    wire.http.start(Sent, CLIENT_SEQ);
    wire.http.start(Received, SERVER_SEQ);
    for byte in get("/a").chars() {
        wire.client(&byte.to_string());
    }
    for byte in OK.chars() {
        wire.server(&byte.to_string());
    }
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
}

#[test]
fn a_connection_caught_in_the_middle_starts_at_its_next_message() {
    let mut wire = Wire::in_the_middle();
    wire.server("rest of a body").server("more of it").client(&get("/a")).server(OK).end();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
    // A response whose request was not seen may as well be text in content.
    let mut wire = Wire::in_the_middle();
    wire.server(OK).client(&get("/a")).server(OK).end();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
}

#[test]
fn a_response_that_nobody_asked_for_is_told_alone() {
    let mut wire = Wire::new();
    wire.client(&get("/a"))
        .server(OK)
        .server("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        .fin(Received);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2", "2 - - 408 body -/0 incomplete"]);
}

#[test]
fn a_body_of_more_than_four_gibibytes_is_counted() {
    let length = (5u64 << 30) + 3;
    let mut wire = Wire::new();
    wire.client(&get("/big"))
        .server(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    let packet = 1 << 27;
    for _ in 0..(length / packet) {
        wire.packet(Received, b"x", packet as usize);
    }
    wire.packet(Received, b"x", (length % packet) as usize).client(&get("/b")).server(OK);
    assert_eq!(
        wire.told(),
        [format!("1 GET /big 200 body 0/{length}"), "2 GET /b 200 body 0/2".into()]
    );
}

#[test]
fn a_proxy_header_before_the_first_request_names_the_client_however_it_is_cut() {
    let headers = [
        &b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 80\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\xdc\x04\0\x50",
    ];
    for header in headers {
        let text = [header, get("/1").as_bytes()].concat();
        for size in 1..=text.len() {
            let mut wire = Wire::new();
            text.chunks(size).for_each(|part| _ = wire.packet(Sent, part, part.len()));
            wire.server(OK).client(&get("/2")).server(OK);
            let client = wire.http.take_proxied_for().expect("its address");
            assert_eq!(client.to_string(), "192.0.2.7:56324");
            let place =
                u64::from(wire.told.done[0].request.as_ref().unwrap().seq.wrapping_sub(CLIENT_SEQ));
            assert_eq!(place, header.len() as u64);
            assert_eq!(wire.told(), ["1 GET /1 200 body 0/2", "2 GET /2 200 body 0/2"]);
        }
    }
}

#[test]
fn a_proxy_header_that_names_nobody_is_passed_over_and_one_before_other_protocols_is_read() {
    let mut wire = Wire::new();
    wire.client("PROXY UNKNOWN\r\n").client(&get("/1")).server(OK);
    assert_eq!(wire.http.take_proxied_for(), None);
    assert_eq!(wire.told(), ["1 GET /1 200 body 0/2"]);
    let mut wire = Wire::new();
    wire.client("PROXY TCP6 ::1 ::2 1 2\r\n\u{16}\u{3}\u{1}");
    assert!(!wire.http.is_http());
    assert_eq!(wire.http.take_proxied_for().expect("its address").to_string(), "[::1]:1");
}

#[test]
fn requests_that_begin_like_a_proxy_header_are_requests() {
    for text in
        ["PUT /1 HTTP/1.1\r\n\r\n", "PROXY-X /1 HTTP/1.1\r\n\r\n", "PROXY /1 HTTP/1.1\r\n\r\n"]
    {
        for size in 1..=text.len() {
            let mut wire = Wire::new();
            text.as_bytes().chunks(size).for_each(|part| _ = wire.packet(Sent, part, part.len()));
            wire.server(OK);
            assert_eq!(wire.told().len(), 1, "{text:?} in parts of {size}");
        }
    }
}
