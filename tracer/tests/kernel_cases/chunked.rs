//! Messages whose length nobody states: chunks of many sizes, whose size lines lie anywhere in
//! packets, far beyond what is captured whole of a message.

use crate::support::expect::{Check, Ex};
use crate::support::place::Place;
use crate::support::table::Case;
use crate::talk::{Talk, expect, get, small};

pub const CASES: &[Case] = &[
    Case::scripted("large_chunked_responses_are_whole_on_a_kept_connection", kept),
    Case::scripted("large_chunked_uploads_are_whole_on_a_kept_connection", uploads),
    Case::scripted("chunk_lines_that_packets_cut_are_read", cut_lines),
    Case::scripted("chunks_of_one_byte_are_counted", one_byte),
    Case::scripted("chunks_of_many_sizes_are_counted_in_any_packets", many_sizes),
    Case::scripted("a_chunk_of_many_megabytes_is_counted", one_large_chunk),
    Case::scripted("sizes_are_read_however_they_are_written", spellings),
    Case::scripted("trailers_end_a_large_response", trailers),
    Case::scripted("a_response_that_ends_about_the_capture_budget_is_whole", about_the_budget),
    Case::scripted("chunked_both_ways_at_the_same_time_is_whole", both_ways),
    Case::scripted("pipelined_large_chunked_responses_find_their_requests", pipelined),
];

const RESPONSE: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

/// Content that a reader which has lost its place takes for chunks and messages.
fn content(bytes: usize) -> impl Iterator<Item = u8> {
    b"7\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nGET /false HTTP/1.1\r\n\r\n"
        .iter()
        .copied()
        .cycle()
        .take(bytes)
}

/// Chunks of these sizes; the last chunk is not among them.
fn chunks(sizes: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for size in sizes {
        bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        bytes.extend(content(size));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// A whole message: `head`, chunks of these sizes, the last chunk.
fn message(head: &str, sizes: impl IntoIterator<Item = usize>) -> Vec<u8> {
    [head.as_bytes(), &chunks(sizes), LAST_CHUNK.as_bytes()].concat()
}

fn upload(path: &str) -> String {
    format!("PUT {path} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n")
}

const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";

/// Sizes from 1 to 9999 without a pattern that packets could follow, together `total`.
fn mixed(total: usize) -> Vec<usize> {
    let (mut sizes, mut left, mut state) = (Vec::new(), total, 12_345_usize);
    while left > 0 {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
        let size = (1 + state % 9_999).min(left);
        sizes.push(size);
        left -= size;
    }
    sizes
}

fn kept(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let response = message(RESPONSE, [4_000; 100]);
    for number in 1..=5 {
        talk.ask(get(&format!("/c{number}")));
        talk.answer_in_pieces([&response[..]].into_iter());
    }
    talk.small("/small");
    talk.close();
    let large = |number| Ex::new(number, "GET", &format!("/c{number}"), 200, 400_000);
    expect((1..=5).map(large).chain([small(6, "/small")]).collect())
}

fn uploads(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    for number in 1..=3 {
        let request = message(&upload(&format!("/u{number}")), mixed(500_000));
        talk.ask_in_pieces(request.chunks(16_384));
        talk.answer(CREATED);
    }
    talk.small("/small");
    talk.close();
    let put = |number| Ex::new(number, "PUT", &format!("/u{number}"), 201, 0).sent(500_000);
    expect((1..=3).map(put).chain([small(4, "/small")]).collect())
}

/// Every packet ends within a size line or within the line ending around it.
fn cut_lines(place: &mut Place) -> Vec<Check> {
    const SIZE: usize = 4_096;
    let talk = Talk::new(place);
    for cut in 1..8 {
        talk.ask(get(&format!("/{cut}")));
        talk.answer(RESPONSE);
        // A chunk takes its content, `1000`, and two line endings.
        let body = [&chunks([SIZE; 40])[..], LAST_CHUNK.as_bytes()].concat();
        let (first, rest) = body.split_at(cut);
        talk.answer_in_pieces([first].into_iter().chain(rest.chunks(SIZE + 8)));
    }
    talk.small("/small");
    talk.close();
    let bytes = 40 * SIZE as u64;
    let large = |number| Ex::new(number, "GET", &format!("/{number}"), 200, bytes);
    expect((1..8).map(large).chain([small(8, "/small")]).collect())
}

fn one_byte(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let response = message(RESPONSE, [1; 30_000]);
    let request = message(&upload("/up"), [1; 30_000]);
    talk.ask(get("/one-write"));
    talk.answer_in_pieces([&response[..]].into_iter());
    talk.ask(get("/many-writes"));
    talk.answer_in_pieces(response.chunks(997));
    talk.ask_in_pieces(request.chunks(5_003));
    talk.answer(CREATED);
    talk.small("/small");
    talk.close();
    expect(vec![
        Ex::new(1, "GET", "/one-write", 200, 30_000),
        Ex::new(2, "GET", "/many-writes", 200, 30_000),
        Ex::new(3, "PUT", "/up", 201, 0).sent(30_000),
        small(4, "/small"),
    ])
}

fn many_sizes(place: &mut Place) -> Vec<Check> {
    const WRITES: [usize; 6] = [511, 1_448, 4_097, 16_384, 65_483, 1_000_000];
    let talk = Talk::new(place);
    let response = message(RESPONSE, mixed(300_000));
    for bytes in WRITES {
        talk.ask(get(&format!("/{bytes}")));
        talk.answer_in_pieces(response.chunks(bytes));
    }
    talk.close();
    let exchanges = (1..).zip(WRITES);
    expect(exchanges.map(|(n, b)| Ex::new(n, "GET", &format!("/{b}"), 200, 300_000)).collect())
}

fn one_large_chunk(place: &mut Place) -> Vec<Check> {
    const BYTES: usize = 5 << 20;
    let talk = Talk::new(place);
    talk.ask(get("/down"));
    talk.answer_in_pieces([&message(RESPONSE, [BYTES])[..]].into_iter());
    talk.ask_in_pieces([&message(&upload("/up"), [BYTES, 1, BYTES])[..]].into_iter());
    talk.answer(CREATED);
    talk.small("/small");
    talk.close();
    expect(vec![
        Ex::new(1, "GET", "/down", 200, BYTES as u64),
        Ex::new(2, "PUT", "/up", 201, 0).sent(2 * BYTES as u64 + 1),
        small(3, "/small"),
    ])
}

/// Capitals, leading zeros and extensions (RFC 9112 section 7.1), behind what is captured whole.
fn spellings(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let before = chunks([50_000, 50_000]);
    let lines = ["FA0\r\n", "000fa0\r\n", "fA0;name\r\n", "fa0;a=1;b=\"0\"\r\n", "fa0 ; c\r\n"];
    for (number, line) in lines.iter().enumerate() {
        talk.ask(get(&format!("/{number}")));
        let content: Vec<u8> = content(4_000).collect();
        let chunk = [line.as_bytes(), &content, b"\r\n"].concat();
        let all = [RESPONSE.as_bytes(), &before, &chunk, &chunk, b"000;last\r\n\r\n"].concat();
        talk.answer_in_pieces(all.chunks(30_000));
    }
    talk.close();
    let exchange = |i: u64| Ex::new(i + 1, "GET", &format!("/{i}"), 200, 108_000);
    expect((0..lines.len() as u64).map(exchange).collect())
}

fn trailers(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let body = [RESPONSE.as_bytes(), &chunks([9_999; 20]), b"0\r\nsum: 1\r\nlong: "].concat();
    talk.ask(get("/trailers"));
    talk.answer_in_pieces(body.chunks(20_000));
    talk.answer("x".repeat(1_000));
    talk.answer("\r\n");
    talk.answer("\r\n");
    talk.small("/small");
    talk.close();
    expect(vec![Ex::new(1, "GET", "/trailers", 200, 199_980), small(2, "/small")])
}

/// The last chunk lies before, on and after the byte at which the budget ends.
fn about_the_budget(place: &mut Place) -> Vec<Check> {
    const BUDGET_BYTES: usize = 64 * 1024;
    let talk = Talk::new(place);
    let mut expected = Vec::new();
    for (number, over) in (1..).zip(0..24_usize) {
        let bytes = BUDGET_BYTES - RESPONSE.len() - 16 + over;
        talk.ask(get(&format!("/{over}")));
        talk.answer(RESPONSE);
        talk.answer_in_pieces(message("", [bytes]).chunks(32_000));
        expected.push(Ex::new(number, "GET", &format!("/{over}"), 200, bytes as u64));
    }
    talk.close();
    expect(expected)
}

/// A server that echoes: it answers while the request still comes.
fn both_ways(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    talk.ask(upload("/echo"));
    talk.answer(RESPONSE);
    for _ in 0..40 {
        talk.ask(chunks([5_000]));
        talk.answer(chunks([5_000]));
    }
    talk.ask(LAST_CHUNK);
    talk.answer(LAST_CHUNK);
    talk.small("/small");
    talk.close();
    expect(vec![Ex::new(1, "PUT", "/echo", 200, 200_000).sent(200_000), small(2, "/small")])
}

fn pipelined(place: &mut Place) -> Vec<Check> {
    let talk = Talk::new(place);
    let paths = ["/1", "/2", "/3", "/4"];
    talk.ask(paths.map(get).concat());
    let responses = [70_000, 200_000, 10, 150_000].map(|bytes| message(RESPONSE, mixed(bytes)));
    talk.answer_in_pieces(responses.concat().chunks(40_000));
    talk.small("/5");
    talk.close();
    expect(vec![
        Ex::new(1, "GET", "/1", 200, 70_000),
        Ex::new(2, "GET", "/2", 200, 200_000),
        Ex::new(3, "GET", "/3", 200, 10),
        Ex::new(4, "GET", "/4", 200, 150_000),
        small(5, "/5"),
    ])
}
