//! What was lost, repeated, reordered or not captured.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Exchanges until the engine has seen the client wait for its responses.
fn settled() -> Wire {
    let mut wire = Wire::new();
    for path in ["/1", "/2", "/3"] {
        wire.client(&get(path)).server(OK);
    }
    assert_eq!(wire.told().len(), 3);
    wire
}

fn big(body: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n")
}

#[test]
fn uncaptured_content_of_a_seen_packet_is_counted_and_not_missing() {
    let mut wire = Wire::new();
    let head = big(100_000);
    wire.client(&get("/a"))
        .packet(Received, head.as_bytes(), head.len() + 60_000)
        .packet(Received, b"xxx", 40_000);
    wire.client(&get("/b")).server(OK);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/100000", "2 GET /b 200 body 0/2"]);
}

#[test]
fn slices_of_one_packet_are_put_together_in_any_order() {
    let text =
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 3\r\n\r\nabc", "y".repeat(9000));
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let mut wire = Wire::new();
        wire.client(&get("/a"));
        for i in order {
            let from = i * 4096;
            let captured = &text.as_bytes()[from..text.len().min(from + 4096)];
            let slice = Slice {
                seq: SERVER_SEQ,
                packet_bytes: text.len() as u32,
                offset_bytes: from as u32,
                captured,
            };
            wire.slice(Received, slice);
        }
        assert_eq!(wire.told(), ["1 GET /a 200 body 0/3"], "{order:?}");
    }
}

#[test]
fn a_pipelined_response_behind_uncaptured_content_in_its_packet_is_found_when_its_slice_comes() {
    let mut wire = Wire::new();
    wire.client(&[get("/1"), get("/2")].concat());
    let text = [big(5000).as_bytes(), &[b'x'; 5000], OK.as_bytes()].concat();
    let slice = |from: usize, to: usize| Slice {
        seq: SERVER_SEQ,
        packet_bytes: text.len() as u32,
        offset_bytes: from as u32,
        captured: &text[from..to],
    };
    wire.slice(Received, slice(0, 4096));
    assert_eq!(wire.told(), ["1 GET /1 200 body 0/5000"]);
    wire.slice(Received, slice(4096, text.len()));
    assert_eq!(wire.told(), ["2 GET /2 200 body 0/2"]);
}

#[test]
fn a_hole_within_a_body_of_known_length_is_missing_and_costs_no_framing() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server(&big(10)).server("abc").lose(Received, 4).server("hij");
    assert!(wire.told().is_empty());
    wire.wait();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/6 missing 4 incomplete"]);
    wire.client(&get("/b")).server(OK);
    assert_eq!(wire.told(), ["2 GET /b 200 body 0/2"]);
    assert_eq!((wire.http.counters().holes, wire.http.counters().missing_bytes), (1, 4));
}

#[test]
fn a_hole_within_a_chunk_costs_no_framing() {
    let mut wire = Wire::new();
    wire.client(&get("/a"))
        .server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123")
        .lose(Received, 8)
        .server("cdef\r\n0\r\n\r\n");
    wire.wait();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/8 missing 8 incomplete"]);
}

#[test]
fn uncaptured_chunk_data_with_its_line_end_is_skipped() {
    let mut wire = Wire::new();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    wire.client(&get("/a"))
        .server(head)
        .packet(Received, b"1000\r\nxxx", 6 + 4096 + 2)
        .packet(Received, b"5\r\nx", 3 + 5 + 2)
        .server("0\r\n\r\n");
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/4101"]);
}

#[test]
fn uncaptured_chunk_framing_makes_the_exchange_incomplete_and_the_next_is_found() {
    let mut wire = settled();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    wire.client(&get("/a"))
        .packet(Received, head.as_bytes(), head.len() + 5000)
        .packet(Received, b"zzz", 5000);
    wire.client(&get("/b")).server(OK).wait();
    assert_eq!(
        wire.told(),
        ["4 GET /a 200 body 0/5 missing ? incomplete", "5 GET /b 200 body 0/2"]
    );
}

#[test]
fn a_retransmission_fills_a_hole() {
    let mut wire = Wire::new();
    wire.client(&get("/a"));
    let first = wire.received;
    wire.lose(Received, 19).server(&OK[19..]);
    assert!(wire.told().is_empty());
    wire.slice(
        Received,
        Slice {
            seq: first,
            packet_bytes: OK.len() as u32,
            offset_bytes: 0,
            captured: OK.as_bytes(),
        },
    );
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2"]);
    assert_eq!(wire.http.counters().holes, 0);
}

#[test]
fn old_retransmissions_change_nothing() {
    let mut wire = Wire::new();
    for path in ["/a", "/b"] {
        let (sent, received) = (wire.sent, wire.received);
        let text = get(path);
        wire.client(&text).server(OK);
        for cut in [0, 5, 30] {
            let again = |seq: u32, text: &'static str| {
                (seq.wrapping_add(cut as u32), &text.as_bytes()[cut..])
            };
            let (seq, captured) = again(received, OK);
            wire.slice(
                Received,
                Slice { seq, packet_bytes: captured.len() as u32, offset_bytes: 0, captured },
            );
        }
        wire.slice(
            Sent,
            Slice {
                seq: sent,
                packet_bytes: text.len() as u32,
                offset_bytes: 0,
                captured: text.as_bytes(),
            },
        );
    }
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2", "2 GET /b 200 body 0/2"]);
}

#[test]
fn an_old_response_sent_again_does_not_end_the_wait_for_a_request() {
    let mut wire = Wire::with(HttpConnection::new(Some(false)));
    wire.http.start(Sent, CLIENT_SEQ);
    wire.http.start(Received, SERVER_SEQ);
    let old = wire.sent;
    wire.server(&get("/1")).client(OK);
    let (first, text) = (wire.received, get("/2"));
    wire.lose(Received, 10).server(&text[10..]);
    let slice = |seq: u32, captured: &'static str| Slice {
        seq,
        packet_bytes: captured.len() as u32,
        offset_bytes: 0,
        captured: captured.as_bytes(),
    };
    wire.slice(Sent, slice(old, OK)).slice(Received, slice(first, "GET /2 HTT")).client(OK);
    assert_eq!(wire.told(), ["1 GET /1 200 body 0/2", "2 GET /2 200 body 0/2"]);
}

#[test]
fn a_hole_in_received_data_waits_longer_than_one_in_sent_data() {
    let limits = Limits::default();
    let mut wire = settled();
    wire.client(&get("/a")).lose(Received, 5).server("x");
    assert_eq!(wire.http.next_deadline(), Some(wire.now.plus_ns(limits.retransmit_wait_ns)));
    let mut wire = settled();
    wire.lose(Sent, 5).client("x");
    assert_eq!(wire.http.next_deadline(), Some(wire.now.plus_ns(limits.slice_wait_ns)));
}

#[test]
fn lost_events_end_the_wait_at_once() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server(&big(10)).lose(Received, 4).server("efghij").lost();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/6 missing 4 incomplete"]);
    assert_eq!(wire.http.next_deadline(), None);
}

#[test]
fn a_hole_found_after_lost_events_is_waited_for_only_shortly() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server(&big(10)).lost().lose(Received, 4).server("efghij");
    let deadline = wire.now.plus_ns(Limits::default().slice_wait_ns);
    assert_eq!(wire.http.next_deadline(), Some(deadline));
    wire.http.expire(deadline, &mut wire.told);
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/6 missing 4 incomplete"]);
}

#[test]
fn a_lost_request_leaves_its_response_alone_and_the_next_pair_whole() {
    let mut wire = settled();
    wire.lose(Sent, get("/x").len()).server(OK).client(&get("/5")).wait().server(OK);
    wire.client(&get("/6")).server(OK);
    assert_eq!(
        wire.told(),
        ["4 - - 200 body -/2 incomplete", "5 GET /5 200 body 0/2", "6 GET /6 200 body 0/2"]
    );
}

#[test]
fn a_lost_response_costs_only_its_own_exchange() {
    let mut wire = settled();
    wire.client(&get("/4")).lose(Received, OK.len()).client(&get("/5")).server(OK).wait();
    // The response behind the hole may answer a request that was lost too: the next shows that none was.
    assert_eq!(wire.told(), ["4 GET /4 - body 0/- incomplete"]);
    wire.client(&get("/6")).server(OK);
    assert_eq!(wire.told(), ["5 GET /5 200 body 0/2", "6 GET /6 200 body 0/2"]);
}

#[test]
fn a_response_and_the_next_request_lost_together_do_not_pair_the_ones_around_them() {
    let mut wire = settled();
    wire.client(&get("/4")).lose(Received, OK.len()).lose(Sent, get("/5").len()).server(OK).wait();
    assert_eq!(wire.told(), ["4 GET /4 - body 0/- incomplete"]);
    wire.client(&get("/6")).wait().server(OK).client(&get("/7")).server(OK);
    assert_eq!(wire.told(), ["5 GET /6 200 body 0/2", "6 GET /7 200 body 0/2"]);
}

#[test]
fn a_whole_exchange_lost_costs_no_other() {
    let mut wire = settled();
    wire.lose(Sent, get("/4").len())
        .lose(Received, OK.len())
        .client(&get("/5"))
        .wait()
        .server(OK)
        .wait();
    wire.client(&get("/6")).server(OK);
    assert_eq!(wire.told(), ["4 GET /5 200 body 0/2", "5 GET /6 200 body 0/2"]);
}

#[test]
fn a_loss_at_the_beginning_costs_only_the_exchange_that_it_hit() {
    let mut wire = Wire::new();
    wire.lose(Sent, 50).server(OK);
    for path in ["/2", "/3", "/4"] {
        wire.client(&get(path)).wait().server(OK);
    }
    assert_eq!(
        wire.told(),
        [
            "1 - - 200 body -/2 incomplete",
            "2 GET /2 200 body 0/2",
            "3 GET /3 200 body 0/2",
            "4 GET /4 200 body 0/2"
        ]
    );
}

#[test]
fn a_pipelining_client_is_never_paired_again_after_a_loss() {
    let mut wire = Wire::new();
    wire.client(&[get("/1"), get("/2")].concat()).server(OK).server(OK);
    assert_eq!(wire.told().len(), 2);
    wire.lose(Sent, 50).client(&get("/4")).wait();
    for path in ["/5", "/6", "/7", "/8"] {
        wire.server(OK).client(&get(path));
    }
    wire.close();
    assert!(
        wire.told.done.iter().all(|e| e.request.is_some() != e.response.is_some()),
        "{:?}",
        wire.told()
    );
}

#[test]
fn a_request_that_was_overtaken_at_a_late_start_leaves_the_next_one_unpaired() {
    let mut wire = Wire::in_the_middle();
    let first = get("/1");
    let seq = wire.sent;
    wire.lose(Sent, first.len()).client(&get("/2"));
    let packet_bytes = first.len() as u32;
    wire.slice(Sent, Slice { seq, packet_bytes, offset_bytes: 0, captured: first.as_bytes() });
    wire.server("HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n").close();
    assert_eq!(wire.told(), ["1 GET /2 - body 0/- incomplete"]);
}

#[test]
fn a_burst_whose_first_request_was_lost_is_not_paired_with_the_wrong_responses() {
    let mut wire = Wire::new();
    wire.lose(Sent, 50)
        .client(&get("/2"))
        .server("HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n")
        .server(OK)
        .close();
    assert_eq!(
        wire.told(),
        [
            // Not certain to be a request: content of the one that was lost reads the same.
            "1 - - 201 body -/0 incomplete",
            "2 - - 200 body -/2 incomplete"
        ]
    );
}

#[test]
fn a_hole_within_a_head_tells_the_start_line() {
    let mut wire = settled();
    wire.client("GET /a HTTP/1.1\r\nHost: h\r\nCoo")
        .lose(Sent, 10)
        .client("e\r\n\r\n")
        .server(OK)
        .wait();
    assert_eq!(wire.told(), ["4 GET /a 200 body 0/0 missing ? incomplete".replace("0/0", "0/2")]);
    wire.client(&get("/b")).server(OK).client(&get("/c")).server(OK);
    assert_eq!(wire.told(), ["5 GET /b 200 body 0/2", "6 GET /c 200 body 0/2"]);
}

#[test]
fn a_hole_from_one_response_into_the_next_ends_the_first_and_loses_the_second() {
    let mut wire = settled();
    wire.client(&get("/a")).server(&big(10)).lose(Received, 10 + 20).server("rest").wait();
    assert_eq!(wire.told(), ["4 GET /a 200 body 0/0 missing 10 incomplete"]);
    wire.client(&get("/b")).server(OK);
    assert_eq!(wire.told(), ["5 GET /b 200 body 0/2"]);
}

#[test]
fn the_answer_to_an_unseen_head_request_does_not_swallow_the_next_response() {
    let mut wire = settled();
    wire.lose(Sent, 60).server(&big(500)).client(&get("/b")).wait().server(OK);
    assert_eq!(wire.told(), ["4 - - 200 body -/0 incomplete"]);
    wire.client(&get("/c")).server(OK);
    assert_eq!(wire.told(), ["5 GET /b 200 body 0/2", "6 GET /c 200 body 0/2"]);
}

#[test]
fn a_fin_behind_a_hole_ends_the_stream_when_the_wait_is_over() {
    let mut wire = Wire::new();
    wire.client(&get("/a")).server("HTTP/1.1 200 OK\r\n\r\nab").lose(Received, 3).fin(Received);
    assert!(wire.told().is_empty());
    wire.wait();
    assert_eq!(wire.told(), ["1 GET /a 200 body 0/2 missing 3 incomplete"]);
}

/// A sender that goes on behind its own FIN, with the hole before the FIN given up for want of room.
#[test]
fn bytes_from_behind_the_end_do_not_keep_the_connection_busy() {
    let mut wire = Wire::with_limits(Limits { max_held_bytes: 1_000, ..Limits::default() });
    wire.lose(Sent, 10).fin(Sent).lose(Sent, 10);
    let beyond = "x".repeat(600);
    wire.client(&beyond).client(&beyond);
    assert_eq!(wire.http.buffered_bytes(), 0);
}

#[test]
fn what_is_held_behind_a_hole_is_bounded() {
    let limits = Limits { max_held_bytes: 10_000, ..Limits::default() };
    let mut wire = Wire::with_limits(limits);
    wire.client(&get("/a")).lose(Received, 10);
    for _ in 0..100 {
        wire.server(&"z".repeat(1000));
        assert!(wire.http.buffered_bytes() <= limits.max_held_bytes + get("/a").len());
    }
    assert!(wire.http.counters().hold_overflows > 0);
}

#[test]
fn sequence_numbers_far_apart_after_many_losses_are_followed() {
    let mut wire = settled();
    wire.lose(Received, (1 << 31) + 5)
        .client(&get("/a"))
        .server(OK)
        .wait()
        .client(&get("/b"))
        .server(OK);
    assert_eq!(wire.told().last().map(String::as_str), Some("5 GET /b 200 body 0/2"));
}
