//! The writer from outside: records in, blocks out.

use super::*;
use crate::export::fixture::{EXAMPLES, examples, known};
use crate::recording::ReadError;

/// Initial sequence numbers of the example's two sides.
const CLIENT_ISN: u32 = 0xaabb_ccdd;
const SERVER_ISN: u32 = 0x1234_5678;

/// A block read back.
#[derive(Clone, Debug, Default)]
struct Block {
    kind: u32,
    body: Vec<u8>,
}

impl Block {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.body[at..at + 4].try_into().unwrap())
    }

    /// Options from `at` on.
    fn options(&self, mut at: usize) -> Vec<(u16, Vec<u8>)> {
        let mut options = Vec::new();
        loop {
            let word = self.u32(at);
            let (code, bytes) = (word as u16, (word >> 16) as usize);
            if code == 0 {
                return options;
            }
            options.push((code, self.body[at + 4..at + 4 + bytes].to_vec()));
            at += 4 + bytes.next_multiple_of(4);
        }
    }

    fn comment(&self) -> String {
        let at = match self.kind {
            0x0a0d_0d0a => 16,
            5 => 12,
            _ => 20 + (self.u32(12) as usize).next_multiple_of(4),
        };
        let comment = self.options(at).into_iter().find(|(code, _)| *code == 1);
        String::from_utf8(comment.unwrap().1).unwrap()
    }
}

/// A packet over IPv4, read back.
#[derive(Debug, PartialEq)]
struct Sent {
    at: u64,
    from_port: u16,
    flags: String,
    seq: u32,
    ack: u32,
    payload_bytes: u32,
    captured: String,
}

fn sent(block: &Block) -> Sent {
    let packet = &block.body[20..20 + block.u32(12) as usize];
    let u16_at = |at: usize| u16::from_be_bytes(packet[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
    assert_eq!(packet[0], 0x45);
    assert_eq!(u32::from(u16_at(2)), block.u32(16));
    Sent {
        at: u64::from(block.u32(4)) << 32 | u64::from(block.u32(8)),
        from_port: u16_at(20),
        flags: crate::tcp::flag_letters(packet[33]).into(),
        seq: u32_at(24),
        ack: u32_at(28),
        payload_bytes: block.u32(16) - 40,
        captured: String::from_utf8(packet[40..].to_vec()).unwrap(),
    }
}

fn blocks(mut bytes: &[u8]) -> Vec<Block> {
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (kind, total) = (word(0), word(4) as usize);
        assert_eq!(word(total - 4) as usize, total);
        blocks.push(Block { kind, body: bytes[8..total - 4].to_vec() });
        bytes = &bytes[total..];
    }
    blocks
}

fn file(records: Vec<Result<Record, ReadError>>) -> Vec<Block> {
    let known = known(&records);
    let mut out = Vec::new();
    _ = write(&mut records.into_iter(), &known, &mut out);
    blocks(&out)
}

fn packets(blocks: &[Block]) -> Vec<&Block> {
    blocks.iter().filter(|block| block.kind == 6).collect()
}

fn record(line: &str) -> Record {
    Record::from_json(line).unwrap()
}

fn example(start: &str) -> String {
    EXAMPLES.lines().find(|line| line.starts_with(start)).unwrap().to_owned()
}

/// The connection of the examples, and its other end, which is on this host too.
fn two_ends() -> Vec<Record> {
    let client = example(r#"{"type":"connection","id":"c1""#);
    let Record::Connection(one) = record(&client) else { unreachable!() };
    let server = Connection {
        id: ConnId(2),
        endpoint: Some(crate::tcp::Endpoint::Server),
        local: one.remote,
        remote: one.local,
        peer: Some(ConnId(1)),
        ..(*one).clone()
    };
    vec![record(&client), Record::Connection(server.into())]
}

fn segment(conn: u64, at: u64, direction: Direction, flags: &str, seq: u32) -> Record {
    let ack = flags.contains('A').then_some(1);
    let (payload_bytes, retransmit) = (0, false);
    let (conn, at, flags) = (ConnId(conn), Timestamp(at), flags.into());
    Record::Segment(crate::record::Segment {
        conn,
        at,
        direction,
        flags,
        seq,
        ack,
        payload_bytes,
        retransmit,
    })
}

/// The examples' exchange, as one end tells it.
fn exchange(conn: u64, request_at: u64, response_at: u64) -> Exchange {
    let Record::Exchange(exchange) = record(&example(r#"{"type":"exchange","conn":"c1""#)) else {
        unreachable!()
    };
    let mut exchange = (*exchange).clone();
    exchange.conn = ConnId(conn);
    let (request, response) = (exchange.request.as_mut(), exchange.response.as_mut());
    let (request, response) = (request.unwrap(), response.unwrap());
    (request.at, request.seq) = (Some(Timestamp(request_at)), Some(1));
    (response.at, response.seq) = (Some(Timestamp(response_at)), Some(1));
    exchange
}

fn of(records: Vec<Record>) -> Vec<Block> {
    file(records.into_iter().map(Ok).collect())
}

#[test]
fn the_examples_make_a_file_that_says_what_it_is() {
    let blocks = file(examples());
    let kinds: Vec<u32> = blocks.iter().map(|block| block.kind).collect();
    assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6, 6, 5]);
    let section = blocks[0].options(16);
    assert!(blocks[0].comment().starts_with("Host web-1. These packets were put together"));
    assert!(section.contains(&(3, b"Linux 6.18.44".to_vec())));
    assert!(section.contains(&(4, b"tracer 0.1.0".to_vec())));
    assert_eq!(blocks[1].u32(0), 101);
    let interface = blocks[1].options(8);
    assert_eq!(interface[0], (2, b"netns 4026531840".to_vec()));
    assert_eq!(interface[2], (9, vec![9]));
    let summary = blocks[5].comment();
    assert!(summary.starts_with("3 packets. 1 records of connections that the recording does not"));
    assert!(summary.contains("1 exchanges are left out: it is not known which end asked."));
    assert!(
        summary
            .ends_with("12 events were lost when the recording was made: packets may be missing.")
    );
}

#[test]
fn a_message_is_its_head_and_its_true_length() {
    let blocks = file(examples());
    let packets = packets(&blocks);
    let syn = sent(packets[0]);
    assert_eq!((syn.flags.as_str(), syn.seq, syn.payload_bytes), ("S", CLIENT_ISN, 0));
    assert_eq!(syn.at, 1_772_366_401_000_000_200);
    let (request, response) = (sent(packets[1]), sent(packets[2]));
    let from_client = (request.from_port, request.flags.as_str(), request.seq);
    assert_eq!(from_client, (41234, "P", CLIENT_ISN + 113));
    assert_eq!(request.payload_bytes, 70);
    let head = "GET /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncookie: [redacted]     \r\n\r\n";
    assert_eq!(request.captured, head);
    let from_server = (response.from_port, response.seq, response.ack);
    assert_eq!(from_server, (8080, SERVER_ISN + 325, CLIENT_ISN + 113 + 70));
    // 12 bytes of content.
    assert_eq!((response.payload_bytes, response.captured.len()), (75, 63));
    assert_eq!(
        packets[1].comment(),
        "c1 sent it; SYN_SENT; pid 812 curl; request of exchange 3, put together from its record; 5 blanks fill up its head"
    );
}

#[test]
fn what_both_ends_tell_is_one_packet_the_senders() {
    use Direction::{Received, Sent as Out};
    let mut records = vec![
        segment(1, 10, Out, "S", 0),
        segment(2, 11, Received, "S", 0),
        // Only one end tells these.
        segment(2, 12, Out, "SA", 0),
        segment(1, 40, Received, "RA", 76),
        Record::Exchange(exchange(1, 20, 31).into()),
        Record::Exchange(exchange(2, 21, 30).into()),
    ];
    records.extend(two_ends());
    let blocks = of(records);
    let told: Vec<(u64, String)> = packets(&blocks)
        .iter()
        .map(|packet| (sent(packet).at, packet.comment().split(';').next().unwrap().to_owned()))
        .collect();
    let expected = [
        (10, "c1 sent it"),
        (12, "c2 sent it"),
        (20, "c1 sent it"),
        (30, "c2 sent it"),
        (40, "c1 received it"),
    ];
    assert_eq!(told, expected.map(|(at, text)| (at, text.to_owned())));
}

#[test]
fn the_packets_are_in_order_of_time_though_exchanges_are_recorded_late() {
    let mut records = vec![
        segment(1, 10, Direction::Sent, "S", 0),
        segment(1, 40, Direction::Sent, "FA", 71),
        Record::Exchange(exchange(1, 20, 30).into()),
    ];
    records.extend(two_ends());
    let blocks = of(records);
    let times: Vec<u64> = packets(&blocks).iter().map(|packet| sent(packet).at).collect();
    assert_eq!(times, [10, 20, 30, 40]);
}

#[test]
fn a_long_message_is_several_packets_without_a_gap() {
    let mut long = exchange(1, 20, 1000);
    long.response.as_mut().unwrap().wire_bytes = Some(200_000);
    long.response.as_mut().unwrap().body_bytes = Some(200_000 - 44);
    long.timing.receive_us = Some(7);
    let mut records = vec![Record::Exchange(long.into())];
    records.extend(two_ends());
    let blocks = of(records);
    let packets: Vec<Sent> = packets(&blocks).iter().map(|packet| sent(packet)).skip(1).collect();
    let places: Vec<_> =
        packets.iter().map(|p| (p.at, p.seq - SERVER_ISN, p.payload_bytes)).collect();
    let full = MAX_PAYLOAD_BYTES;
    assert_eq!(
        places,
        [
            (1000, 1, full),
            (1000, 1 + full, full),
            (1000, 1 + 2 * full, full),
            (8000, 1 + 3 * full, 200_000 - 3 * full)
        ]
    );
    assert_eq!(packets[0].captured.len(), 44);
    assert!(packets[1..].iter().all(|packet| packet.captured.is_empty()));
    let flags: Vec<&str> = packets.iter().map(|packet| packet.flags.as_str()).collect();
    assert_eq!(flags, ["A", "A", "PA", "PA"]);
}

#[test]
fn a_message_that_claims_any_length_takes_a_bounded_number_of_packets_and_says_so() {
    let mut endless = exchange(1, 20, 1000);
    endless.response.as_mut().unwrap().wire_bytes = Some(u64::MAX);
    endless.timing.receive_us = None;
    let mut records = vec![Record::Exchange(endless.into())];
    records.extend(two_ends());
    let blocks = of(records);
    let packets = packets(&blocks);
    assert_eq!(packets.len() as u64, 1 + MAX_PACKETS);
    assert!(packets[1].comment().ends_with(" bytes of it have no packet"));
}

#[test]
fn a_fin_with_the_last_bytes_of_a_message_does_not_repeat_them() {
    let Record::Segment(mut fin) = segment(1, 25, Direction::Sent, "FA", 1) else { unreachable!() };
    fin.payload_bytes = 70;
    let mut records = vec![Record::Segment(fin), Record::Exchange(exchange(1, 20, 30).into())];
    records.extend(two_ends());
    let blocks = of(records);
    let fin = sent(packets(&blocks)[1]);
    assert_eq!((fin.flags.as_str(), fin.seq, fin.payload_bytes), ("FA", CLIENT_ISN + 71, 0));
}

#[test]
fn messages_whose_place_is_not_known_follow_one_another_and_say_so() {
    let mut records = Vec::new();
    for at in [20, 40] {
        let mut exchange = exchange(1, at, at + 10);
        exchange.request.as_mut().unwrap().seq = None;
        exchange.response.as_mut().unwrap().seq = None;
        records.push(Record::Exchange(exchange.clone().into()));
        exchange.conn = ConnId(2);
        records.push(Record::Exchange(exchange.into()));
    }
    records.extend(two_ends());
    let blocks = of(records);
    let packets = packets(&blocks);
    let places: Vec<(u16, u32)> =
        packets.iter().map(|packet| (sent(packet).from_port, sent(packet).seq)).collect();
    let (client, server) = (CLIENT_ISN, SERVER_ISN);
    let expected =
        [(41234, client + 1), (8080, server + 1), (41234, client + 71), (8080, server + 76)];
    assert_eq!(places, expected);
    assert!(packets[2].comment().ends_with("; its place on the stream is not known"));
}

#[test]
fn a_message_that_was_not_seen_to_its_end_says_so() {
    let mut cut = exchange(1, 20, 30);
    cut.response.as_mut().unwrap().wire_bytes = None;
    let mut records = vec![Record::Exchange(cut.into())];
    records.extend(two_ends());
    let blocks = of(records);
    let response = packets(&blocks)[1];
    // 12 bytes of content were seen.
    assert_eq!(sent(response).payload_bytes as usize, sent(response).captured.len() + 12);
    assert!(response.comment().contains("; its end was not seen, its length is that"));
}

#[test]
fn a_recording_that_breaks_off_is_a_whole_file_of_what_was_there() {
    let mut records = examples();
    let source = std::io::Error::other("the disk is gone");
    records.insert(7, Err(ReadError::Io { offset: 7, source }));
    let blocks = file(records);
    assert_eq!(packets(&blocks).len(), 1);
    assert!(blocks.last().unwrap().comment().starts_with("1 packets."));
}

#[test]
fn names_from_outside_do_nothing_to_a_terminal() {
    let mut records = vec![segment(1, 10, Direction::Sent, "S", 0)];
    let Record::Connection(connection) = two_ends().remove(0) else { unreachable!() };
    let comm = Some("\u{1b}[31mx".into());
    records.push(Record::Connection(Connection { comm, ..(*connection).clone() }.into()));
    let blocks = of(records);
    let comment = packets(&blocks)[0].comment();
    assert!(comment.contains("[31mx") && !comment.contains('\u{1b}'), "{comment}");
}

#[test]
fn what_comes_too_late_for_its_place_is_told() {
    let mut records: Vec<Record> =
        (10..20).map(|at| segment(1, at, Direction::Sent, "S", 0)).collect();
    records.push(segment(1, 5, Direction::Sent, "S", 0));
    records.extend(two_ends());
    let records: Vec<_> = records.into_iter().map(Ok).collect();
    let known = known(&records);
    let mut out = Vec::new();
    let mut capture = Capture::new(&known, &mut out, 200);
    records.iter().flatten().for_each(|record| capture.take(record).unwrap());
    capture.finish().unwrap();
    let blocks = blocks(&out);
    assert_eq!(packets(&blocks).len(), 11);
    assert_eq!(blocks.last().unwrap().comment(), "11 packets. 1 packets stand behind later ones.");
}
