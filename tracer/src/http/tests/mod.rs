//! The engine from outside: packets in, exchanges out.

mod cases;
mod damage;
mod losses;
mod noise;
mod properties;
mod records;

use super::{Exchange, Exchanges, HttpConnection, Limits, Message, Protocol, Slice};
use crate::tcp::Direction::{self, Received, Sent};
use crate::time::Timestamp;

/// First sequence numbers, near the wrap.
const CLIENT_SEQ: u32 = u32::MAX - 20;
const SERVER_SEQ: u32 = 5;
/// Time between two packets, nanoseconds.
const STEP_NS: u64 = 1_000;

/// A connection seen at its client: what the client sends is `Sent`.
struct Wire {
    http: HttpConnection,
    told: Exchanges,
    now: Timestamp,
    sent: u32,
    received: u32,
}

impl Wire {
    fn new() -> Self {
        let mut wire = Wire::in_the_middle();
        wire.http.start(Sent, CLIENT_SEQ);
        wire.http.start(Received, SERVER_SEQ);
        wire
    }

    /// The handshake was not seen.
    fn in_the_middle() -> Self {
        Wire::with(HttpConnection::new(Some(true)))
    }

    fn with_limits(limits: Limits) -> Self {
        let mut wire = Wire::with(HttpConnection::with_limits(Some(true), limits));
        wire.http.start(Sent, CLIENT_SEQ);
        wire.http.start(Received, SERVER_SEQ);
        wire
    }

    fn with(http: HttpConnection) -> Self {
        Wire {
            http,
            told: Exchanges::default(),
            now: Timestamp(1_000_000),
            sent: CLIENT_SEQ,
            received: SERVER_SEQ,
        }
    }

    fn seq(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Sent => &mut self.sent,
            Received => &mut self.received,
        }
    }

    /// A packet with `captured` at its beginning and `packet_bytes` in all.
    fn packet(&mut self, direction: Direction, captured: &[u8], packet_bytes: usize) -> &mut Self {
        let packet_bytes = u32::try_from(packet_bytes).unwrap();
        let seq = *self.seq(direction);
        self.slice(direction, Slice { seq, packet_bytes, offset_bytes: 0, captured });
        *self.seq(direction) = seq.wrapping_add(packet_bytes);
        self
    }

    fn slice(&mut self, direction: Direction, slice: Slice<'_>) -> &mut Self {
        self.now = self.now.plus_ns(STEP_NS);
        self.http.data(direction, self.now, slice, &mut self.told);
        self
    }

    fn client(&mut self, text: &str) -> &mut Self {
        self.packet(Sent, text.as_bytes(), text.len())
    }

    fn server(&mut self, text: &str) -> &mut Self {
        self.packet(Received, text.as_bytes(), text.len())
    }

    /// Packets that nobody saw.
    fn lose(&mut self, direction: Direction, bytes: usize) -> &mut Self {
        let seq = self.seq(direction);
        *seq = seq.wrapping_add(u32::try_from(bytes).unwrap());
        self
    }

    fn fin(&mut self, direction: Direction) -> &mut Self {
        self.now = self.now.plus_ns(STEP_NS);
        let seq = *self.seq(direction);
        self.http.fin(direction, self.now, seq, &mut self.told);
        self
    }

    fn lost(&mut self) -> &mut Self {
        self.http.lost(self.now, &mut self.told);
        self
    }

    /// Both ends close.
    fn end(&mut self) -> &mut Self {
        self.fin(Sent).fin(Received).close()
    }

    fn close(&mut self) -> &mut Self {
        self.now = self.now.plus_ns(STEP_NS);
        self.http.close(self.now, &mut self.told);
        self
    }

    /// Lets time pass until nothing is waited for any more.
    fn wait(&mut self) -> &mut Self {
        while let Some(deadline) = self.http.next_deadline() {
            self.now = deadline;
            self.http.expire(deadline, &mut self.told);
        }
        self
    }

    /// The exchanges told since the last call, in short.
    fn told(&mut self) -> Vec<String> {
        self.told.done.drain(..).map(|e| brief(&e)).collect()
    }
}

/// `1 GET /a 200 body 0/5`, then ` missing 7` (`?` where unknown) and ` incomplete` where it is; `-` for an unknown half.
fn brief(e: &Exchange) -> String {
    let body =
        |half: &Option<Message>| half.as_ref().map_or("-".to_owned(), |m| m.body_bytes.to_string());
    let mut text = format!(
        "{} {} {} {} body {}/{}",
        e.number,
        e.method().unwrap_or("-"),
        e.target().unwrap_or("-"),
        e.status().map_or("-".to_owned(), |s| s.to_string()),
        body(&e.request),
        body(&e.response)
    );
    match e.missing_bytes() {
        Some(0) => {}
        Some(bytes) => text.push_str(&format!(" missing {bytes}")),
        None if e.request.is_none() || e.response.is_none() => {}
        None => text.push_str(" missing ?"),
    }
    if !e.complete() {
        text.push_str(" incomplete");
    }
    text
}
