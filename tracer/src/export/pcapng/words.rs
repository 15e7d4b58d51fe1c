//! What the file says in words: what it is, and what each packet is made of.

use super::Pieces;
use super::material::{Material, Message, What};
use crate::export::known::End;
use crate::record::{ConnId, Host};
use crate::sanitize;
use crate::tcp::{Direction, TcpState};

/// What the file is, for who opens it without having made it.
pub(super) const ABOUT: &str = "\
These packets were put together by tracer from the records of a recording, which holds no packets. There is one for each SYN, FIN, RST and \
repeated segment that was seen, and for each HTTP message. What was not recorded is not here: plain acknowledgements, content of messages, data \
that is no HTTP, TCP options. \
Sequence numbers are relative: each side's initial one is 0. For connections that are older than the tracer the segments have those of the \
wire, and the messages follow one another. \
Heads are as they were on the wire, with * for each byte of a secret unless secrets are shown; the comment of a packet says so. A head that the recording does not have so (recordings of format 1.1 and older, heads of more \
than 32 KiB, heads that were not seen whole) is made of its fields, with names in lower case, * for [redacted] where there is no room, and blanks behind the last field where it is shorter than it was. \
Original lengths are the true ones. \
The acknowledgement number of a message is how far the other side's stream had come in these packets; where none of it is known there is none. Of a message of several packets the times \
of the first and of the last are known, and those between have the first one's. \
Time to live 64, window 65535 and identification 0 are not from the records; a checksum of a packet that is not all captured is 0.";

/// The host in words.
pub(super) struct HostWords {
    pub name: String,
    pub os: String,
    pub application: String,
    pub secrets: String,
}

impl From<&Host> for HostWords {
    fn from(host: &Host) -> HostWords {
        HostWords {
            name: sanitize::printable(&host.hostname).into_owned(),
            os: format!("Linux {}", sanitize::printable(&host.kernel)),
            application: format!("tracer {}", sanitize::printable(&host.version)),
            secrets: secrets(host),
        }
    }
}

/// Whether secrets are in it, and whether it is all that there was.
fn secrets(host: &Host) -> String {
    let words = if host.show_secrets { "Secrets are shown." } else { "Secrets are redacted." };
    match &host.filter {
        None => words.to_owned(),
        Some(filter) => {
            let filter = sanitize::printable(filter);
            format!("{words} Recorded was only what this filter lets through: {filter}.")
        }
    }
}

/// What is left out of the file, and what was lost before it was made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub packets: u64,
    /// Records of connections of which nothing more is known.
    pub of_unknown_connections: u64,
    /// Exchanges of connections of which it is not known which end asks.
    pub of_unknown_direction: u64,
    /// Messages without a time or a start line.
    pub incomplete_messages: u64,
    /// Packets between addresses of two families.
    pub without_addresses: u64,
    /// Packets that stand behind later ones.
    pub late: u64,
    pub lost_events: u64,
}

impl Summary {
    pub fn text(&self) -> String {
        let parts = [
            (
                self.of_unknown_connections,
                "records of connections that the recording does not describe are left out",
            ),
            (self.of_unknown_direction, "exchanges are left out: it is not known which end asked"),
            (
                self.incomplete_messages,
                "messages whose time or start line is not known are left out",
            ),
            (self.without_addresses, "packets are left out: their addresses are not known"),
            (self.late, "packets stand behind later ones"),
            (
                self.lost_events,
                "events were lost when the recording was made: packets may be missing",
            ),
        ];
        let mut text = format!("{} packets.", self.packets);
        for (count, what) in parts {
            if count > 0 {
                text += &format!(" {count} {what}.");
            }
        }
        text
    }
}

/// The comment of a packet.
pub(super) fn comment(
    conn: ConnId,
    end: &End,
    material: &Material,
    state: Option<TcpState>,
    pieces: &Pieces<'_>,
) -> String {
    let way = match material.direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let state = state.map_or("state not known", TcpState::name);
    let mut text = format!("{conn} {way} it; {state}; {}; ", owner(end));
    match &material.what {
        What::Segment { is_retransmit } => {
            text += "headers put together from a segment record";
            if *is_retransmit {
                text += "; it had been sent before";
            }
        }
        What::Message(message) => tell_message(message, material.seq.is_some(), &mut text),
    }
    if pieces.told_bytes() > 0 {
        text +=
            &format!("; its {} bytes of payload are in the packets before it", pieces.told_bytes());
    }
    if pieces.untold_bytes() > 0 {
        text += &format!("; {} bytes of it have no packet", pieces.untold_bytes());
    }
    text
}

fn owner(end: &End) -> String {
    match (end.pid, &end.comm) {
        (Some(pid), Some(comm)) => format!("pid {pid} {}", sanitize::printable(comm)),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "owner not known".to_owned(),
    }
}

fn tell_message(message: &Message, is_placed: bool, text: &mut String) {
    let half = if message.is_request { "request" } else { "response" };
    if message.is_last {
        *text += "end of the ";
    }
    let made = match message.masked_bytes {
        Some(_) => "its head as it was on the wire",
        None => "put together from its record",
    };
    *text += &format!("{half} of exchange {}, {made}", message.number);
    if message.is_last {
        return;
    }
    if let Some(masked_bytes @ 1..) = message.masked_bytes {
        *text += &format!("; {masked_bytes} bytes of secrets in it are masked with *");
    }
    if message.padding_bytes > 0 {
        *text += &format!("; {} blanks fill up its head", message.padding_bytes);
    }
    if message.cut_bytes > 0 {
        *text += &format!("; {} bytes of its head find no room", message.cut_bytes);
    }
    if message.is_open {
        *text += "; its end was not seen, its length is that of what is known of it";
    }
    if !is_placed {
        *text += "; its place on the stream is not known";
    }
}
