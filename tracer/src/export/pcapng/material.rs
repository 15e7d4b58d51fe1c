//! What packets are made of: the parts of records that become them.

use super::head::{self, Head};
use super::packet::MAX_PAYLOAD_BYTES;
use crate::record::{Exchange, Segment};
use crate::tcp::{Direction, Endpoint, flags};
use crate::time::Timestamp;

/// One segment, or a run of them that pass at one time: what does not fit into one packet goes on in the next.
#[derive(Debug)]
pub(super) struct Material {
    pub direction: Direction,
    /// Where it begins on its stream; `None` where that is not known.
    pub seq: Option<u32>,
    /// `None` where the records do not tell it.
    pub ack: Option<u32>,
    /// As in the TCP header.
    pub flags: u8,
    /// Bytes on the stream.
    pub payload_bytes: u64,
    /// The first of them.
    pub captured: Vec<u8>,
    pub what: What,
}

/// What the packets are of.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Segment { is_retransmit: bool },
    Message(Message),
}

/// A message, or its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub is_request: bool,
    /// Of its exchange.
    pub number: u64,
    pub padding_bytes: usize,
    pub cut_bytes: usize,
    /// Where its head is as it was on the wire: how many bytes of it are masked.
    pub masked_bytes: Option<u32>,
    /// Its end was not seen: it is as long as what was seen of it, as far as that is known.
    pub is_open: bool,
    /// It has a time of its own: the end of a message of more than one packet.
    pub is_last: bool,
}

impl From<&Segment> for Material {
    fn from(segment: &Segment) -> Material {
        Material {
            direction: segment.direction,
            seq: Some(segment.seq),
            ack: segment.ack,
            flags: flag_bits(&segment.flags),
            payload_bytes: segment.payload_bytes.into(),
            captured: Vec::new(),
            what: What::Segment { is_retransmit: segment.retransmit },
        }
    }
}

/// The two halves of an exchange as its end `endpoint` tells them, each at its time: those that were seen, and whose start
/// line and time are known.
pub(super) fn of_exchange(exchange: &Exchange, endpoint: Endpoint) -> Vec<(Timestamp, Material)> {
    let mut materials = Vec::new();
    let half = |is_request| Half {
        direction: if (endpoint == Endpoint::Client) == is_request {
            Direction::Sent
        } else {
            Direction::Received
        },
        is_request,
        number: exchange.number,
    };
    if let Some(request) = &exchange.request
        && let Some(at) = request.at
        && let Some(head) = head::of_request(exchange, request)
    {
        let ended_at = exchange.timing.send_us.map(|us| at.plus_ns(us.saturating_mul(1000)));
        let extent = Extent { wire_bytes: request.wire_bytes, body_bytes: request.body_bytes };
        half(true).push(head, request.seq, extent, at, ended_at, &mut materials);
    }
    if let Some(response) = &exchange.response
        && let Some(at) = response.at
        && let Some(head) = head::of_response(exchange, response)
    {
        let ended_at = exchange.timing.receive_us.map(|us| at.plus_ns(us.saturating_mul(1000)));
        let extent = Extent { wire_bytes: response.wire_bytes, body_bytes: response.body_bytes };
        half(false).push(head, response.seq, extent, at, ended_at, &mut materials);
    }
    materials
}

/// What is known of a message's length. Where its end was not seen, the content that was is a part of it.
struct Extent {
    wire_bytes: Option<u64>,
    body_bytes: Option<u64>,
}

struct Half {
    direction: Direction,
    is_request: bool,
    number: u64,
}

impl Half {
    /// The last packet of several passed when the message ended; of those between only the earliest time is known.
    fn push(
        &self,
        head: Head,
        seq: Option<u32>,
        extent: Extent,
        at: Timestamp,
        ended_at: Option<Timestamp>,
        into: &mut Vec<(Timestamp, Material)>,
    ) {
        let message = Message {
            is_request: self.is_request,
            number: self.number,
            padding_bytes: head.padding_bytes,
            cut_bytes: head.cut_bytes,
            masked_bytes: head.masked_bytes,
            is_open: extent.wire_bytes.is_none(),
            is_last: false,
        };
        let mut captured = head.bytes;
        let all_bytes = extent.wire_bytes.unwrap_or_else(|| {
            (captured.len() as u64).saturating_add(extent.body_bytes.unwrap_or(0))
        });
        let material = |seq, payload_bytes, captured, is_last| Material {
            direction: self.direction,
            seq,
            ack: None,
            flags: flags::PSH | flags::ACK,
            payload_bytes,
            captured,
            what: What::Message(Message { is_last, ..message }),
        };
        let Some(ended_at) = ended_at.filter(|_| all_bytes > u64::from(MAX_PAYLOAD_BYTES)) else {
            into.push((at, material(seq, all_bytes, captured, false)));
            return;
        };
        let first_bytes =
            (all_bytes - 1) / u64::from(MAX_PAYLOAD_BYTES) * u64::from(MAX_PAYLOAD_BYTES);
        let split = usize::try_from(first_bytes).unwrap_or(usize::MAX).min(captured.len());
        let captured_last = captured.split_off(split);
        // Sequence numbers wrap.
        let last_seq = seq.map(|seq| seq.wrapping_add(first_bytes as u32));
        into.push((at, material(seq, first_bytes, captured, false)));
        into.push((ended_at, material(last_seq, all_bytes - first_bytes, captured_last, true)));
    }
}

fn flag_bits(letters: &str) -> u8 {
    let bit = |letter| match letter {
        'S' => flags::SYN,
        'F' => flags::FIN,
        'R' => flags::RST,
        'P' => flags::PSH,
        'A' => flags::ACK,
        _ => 0,
    };
    letters.chars().fold(0, |bits, letter| bits | bit(letter))
}
