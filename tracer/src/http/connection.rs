//! One end of a TCP connection: two streams, two readers, one pairing.

use super::exchange::Exchange;
use super::heads::Heads;
use super::limits::{Counters, Limits};
use super::moment::Moment;
use super::pair::Pairing;
use super::reader::{Context, Reader};
use super::stream::{Next, Slice, Stream};
use super::{Flow, Protocol};
use crate::record::SocketAddress;
use crate::tcp::Direction;
use crate::time::Timestamp;

/// Holes that may be given up in one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GiveUp {
    /// Those whose time is over.
    Overdue,
    /// The first, whatever its age.
    First,
    /// All.
    All,
}

#[derive(Debug)]
struct Side {
    stream: Stream,
    reader: Reader,
    deadline: Option<Timestamp>,
    /// It began with its first byte.
    from_the_start: bool,
    /// Events were lost: a hole is more likely a lost event than a packet to come.
    after_loss: bool,
}

/// Exchanges that are done, and what the connections of an engine share.
#[derive(Debug, Default)]
pub struct Exchanges {
    /// In the order in which they ended.
    pub done: Vec<Exchange>,
    heads: Heads,
}

/// The HTTP/1 engine of one end of a TCP connection.
///
/// It is told what passed in either direction and appends the exchanges that are over to `out`. Calls come
/// in the order of their times, give or take what overtook on the way from the kernel; sequence numbers
/// decide.
#[derive(Debug)]
pub struct HttpConnection {
    sent: Side,
    received: Side,
    pairing: Pairing,
    /// `None`: the default ones, which a million connections need not hold each.
    limits: Option<Box<Limits>>,
    counters: Counters,
    protocol: Protocol,
}

impl HttpConnection {
    /// An engine with the default [`Limits`]. `client_is_local`: whether this end opened the connection;
    /// where that is unknown the first message tells.
    #[must_use]
    pub fn new(client_is_local: Option<bool>) -> Self {
        Self::with_limits(client_is_local, Limits::default())
    }

    /// An engine with limits of one's own.
    #[must_use]
    pub fn with_limits(client_is_local: Option<bool>, limits: Limits) -> Self {
        let side = |client: Option<bool>| Side {
            stream: Stream::default(),
            reader: Reader::new(
                client.map(|client| if client { Flow::Request } else { Flow::Response }),
            ),
            deadline: None,
            from_the_start: false,
            after_loss: false,
        };
        let mut pairing = Pairing::default();
        pairing.begin(false);
        HttpConnection {
            sent: side(client_is_local),
            received: side(client_is_local.map(|local| !local)),
            pairing,
            limits: (limits != Limits::DEFAULT).then(|| Box::new(limits)),
            counters: Counters::default(),
            protocol: Protocol::Undecided,
        }
    }

    /// The sequence number of the direction's first byte (ISN + 1) is known from its SYN. Without this call
    /// the first slice seen begins the stream in the middle.
    pub fn start(&mut self, direction: Direction, first_seq: u32) {
        let side = self.side(direction);
        if side.stream.has_begun() {
            return;
        }
        side.stream.begin(first_seq);
        side.reader.begin_in_step();
        side.from_the_start = true;
        let sides = [&self.sent, &self.received];
        if sides.iter().all(|side| side.from_the_start && !side.after_loss) {
            self.pairing.begin(true);
        }
    }

    /// A slice of a packet's payload.
    pub fn data(
        &mut self,
        direction: Direction,
        at: Timestamp,
        slice: Slice<'_>,
        out: &mut Exchanges,
    ) {
        if self.protocol == Protocol::NotHttp {
            return;
        }
        let end = slice.seq.wrapping_add(slice.packet_bytes);
        self.let_the_request_come_first(direction, at, end, out);
        if self.side(direction).stream.is_before_first(slice.seq) {
            self.pairing.events_lost();
        }
        let now = self.moment(direction, at);
        let side = self.side(direction);
        let was_clear = side.stream.is_clear();
        let content_ahead = side.reader.content_ahead();
        if let Some((bytes, begins_packet)) = side.stream.offer(now, &slice, content_ahead) {
            self.read(direction, now, begins_packet, bytes, out);
        }
        let side = self.side(direction);
        if was_clear && side.stream.is_clear() {
            side.after_loss = false;
        } else {
            self.pump(direction, at, GiveUp::Overdue, out);
            while self.side(direction).stream.held_bytes() > self.limits().max_held_bytes {
                self.counters.hold_overflows += 1;
                self.pump(direction, at, GiveUp::First, out);
            }
        }
        self.settle(at, out);
    }

    /// A FIN; `seq` is its own sequence number, the end of the stream.
    pub fn fin(&mut self, direction: Direction, at: Timestamp, seq: u32, out: &mut Exchanges) {
        if self.protocol == Protocol::NotHttp {
            return;
        }
        self.let_the_request_come_first(direction, at, seq.wrapping_add(1), out);
        self.side(direction).stream.end_at(seq, at);
        self.pump(direction, at, GiveUp::Overdue, out);
        self.settle(at, out);
    }

    /// Events of this socket were lost on the way from the kernel: what is missing now will never come,
    /// and neither will, most likely, what is found missing at the next event.
    pub fn lost(&mut self, at: Timestamp, out: &mut Exchanges) {
        self.pairing.events_lost();
        for direction in self.requests_first() {
            let side = self.side(direction);
            side.after_loss = true;
            self.pump(direction, at, GiveUp::All, out);
        }
        self.settle(at, out);
    }

    /// When [`HttpConnection::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.sent.deadline, self.received.deadline].into_iter().flatten().min()
    }

    /// Gives up the holes that were waited for long enough.
    pub fn expire(&mut self, now: Timestamp, out: &mut Exchanges) {
        for direction in self.requests_first() {
            if self.side(direction).deadline.is_some_and(|deadline| deadline <= now) {
                self.pump(direction, now, GiveUp::Overdue, out);
            }
        }
        self.settle(now, out);
    }

    /// The connection ended, by reset or otherwise: tells all that is pending, the unfinished as such.
    pub fn close(&mut self, at: Timestamp, out: &mut Exchanges) {
        for direction in self.requests_first() {
            self.pump(direction, at, GiveUp::All, out);
        }
        self.abandon(at, out);
    }

    /// What the connection speaks, as far as known.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// False once the connection was given up: its data need not be passed on any more.
    #[must_use]
    pub fn is_http(&self) -> bool {
        self.protocol != Protocol::NotHttp
    }

    /// The client that a PROXY protocol header in front of the first request names, once.
    pub fn take_proxied_for(&mut self) -> Option<Box<SocketAddress>> {
        let (sent, received) = (&mut self.sent.reader, &mut self.received.reader);
        sent.proxied_for.take().or_else(|| received.proxied_for.take())
    }

    /// What was counted so far, or since the last [`HttpConnection::take_counters`].
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether anything was counted since then.
    #[must_use]
    pub fn has_counted(&self) -> bool {
        self.counters != Counters::default()
    }

    /// Hands out what was counted; counting begins anew.
    pub fn take_counters(&mut self) -> Counters {
        let counters = std::mem::take(&mut self.counters);
        // Where no message was seen there was none to lose.
        let is_http = matches!(self.protocol, Protocol::Http | Protocol::Upgraded);
        if is_http { counters } else { Counters::default() }
    }

    /// Bytes kept at the moment: held out of order, in unfinished heads, in requests without a response.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let of_side = |side: &Side| side.stream.held_bytes() + side.reader.buffered_bytes();
        of_side(&self.sent) + of_side(&self.received) + self.pairing.buffered_bytes()
    }

    fn limits(&self) -> &Limits {
        self.limits.as_deref().unwrap_or(&Limits::DEFAULT)
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    /// A packet of this direction passes.
    fn moment(&self, direction: Direction, at: Timestamp) -> Moment {
        let opposite = match direction {
            Direction::Sent => &self.received,
            Direction::Received => &self.sent,
        };
        Moment { at, opposite_end: opposite.stream.seen_end() }
    }

    fn requests_first(&self) -> [Direction; 2] {
        match self.received.reader.flow {
            Some(Flow::Request) => [Direction::Received, Direction::Sent],
            _ => [Direction::Sent, Direction::Received],
        }
    }

    /// A response proves that its request has passed: what the request stream still waits for was lost.
    /// One that is sent again proves nothing; `end`: sequence number behind what passes.
    fn let_the_request_come_first(
        &mut self,
        direction: Direction,
        at: Timestamp,
        end: u32,
        out: &mut Exchanges,
    ) {
        if self.wants_request(direction) && self.side(direction).stream.is_ahead(end) {
            self.pump(opposite(direction), at, GiveUp::All, out);
        }
    }

    /// Whether a response that begins now would find no request, and one may wait behind a hole.
    fn wants_request(&mut self, direction: Direction) -> bool {
        let reader = &self.side(direction).reader;
        reader.flow == Some(Flow::Response)
            && reader.may_begin_message()
            && self.pairing.expects_nothing()
            && self.side(opposite(direction)).stream.is_blocked()
    }

    fn read(
        &mut self,
        direction: Direction,
        now: Moment,
        begins_packet: bool,
        bytes: &[u8],
        out: &mut Exchanges,
    ) {
        self.with_reader(direction, out, |reader, context| {
            reader.bytes(now, begins_packet, bytes, context)
        });
    }

    fn with_reader(
        &mut self,
        direction: Direction,
        out: &mut Exchanges,
        act: impl FnOnce(&mut Reader, &mut Context<'_>),
    ) {
        let (side, other) = match direction {
            Direction::Sent => (&mut self.sent, &mut self.received),
            Direction::Received => (&mut self.received, &mut self.sent),
        };
        let mut context = Context {
            pairing: &mut self.pairing,
            limits: self.limits.as_deref().unwrap_or(&Limits::DEFAULT),
            counters: &mut self.counters,
            heads: &mut out.heads,
            out: &mut out.done,
            stream_end: side.stream.position(),
            opposite_first: other.stream.first(),
        };
        act(&mut side.reader, &mut context);
        if other.reader.flow.is_none() {
            other.reader.flow = side.reader.flow.map(Flow::opposite);
        }
        if side.reader.upgraded {
            other.reader.become_tunnel();
        }
        if !self.pairing.awaits_tunnel() {
            side.reader.leave_connect();
            other.reader.leave_connect();
        }
    }

    /// Hands on all that is in order; passes over holes as far as `give_up` lets it.
    fn pump(
        &mut self,
        direction: Direction,
        now: Timestamp,
        mut give_up: GiveUp,
        out: &mut Exchanges,
    ) {
        self.side(direction).deadline = None;
        loop {
            match self.side(direction).stream.look() {
                Next::Bytes { at, begins_packet, bytes, from } => {
                    if self.wants_request(direction) {
                        self.pump(opposite(direction), now, GiveUp::All, out);
                    }
                    self.read(
                        direction,
                        at,
                        begins_packet,
                        bytes.get(from..).unwrap_or_default(),
                        out,
                    );
                }
                Next::Seen { bytes, at, wait_from } => {
                    let skippable = bytes.min(self.side(direction).reader.skippable());
                    if skippable > 0 {
                        self.pass(direction, at, skippable, true, out);
                        continue;
                    }
                    let Some(from) = wait_from else { return };
                    if self.waits(direction, from, self.limits().slice_wait_ns, now, &mut give_up) {
                        return;
                    }
                    self.give_up(direction, at, bytes, true, out);
                }
                Next::Hole { bytes, wait_from } => {
                    let wait_ns = self.hole_wait_ns(direction);
                    if self.waits(direction, wait_from, wait_ns, now, &mut give_up) {
                        return;
                    }
                    self.counters.holes += 1;
                    let skippable = bytes.min(self.side(direction).reader.skippable());
                    let behind = Moment { at: wait_from, opposite_end: 0 };
                    self.pass(direction, behind, skippable, false, out);
                    self.give_up(direction, behind, bytes - skippable, false, out);
                }
                Next::End => {
                    self.with_reader(direction, out, |reader, context| reader.end(now, context));
                    return;
                }
                Next::Nothing => {
                    self.side(direction).after_loss &= give_up == GiveUp::All;
                    return;
                }
            }
        }
    }

    /// Whether what comes next is still waited for; notes until when.
    fn waits(
        &mut self,
        direction: Direction,
        from: Timestamp,
        wait_ns: u64,
        now: Timestamp,
        give_up: &mut GiveUp,
    ) -> bool {
        let deadline = from.plus_ns(wait_ns);
        let forced = *give_up != GiveUp::Overdue;
        if *give_up == GiveUp::First {
            *give_up = GiveUp::Overdue;
        }
        if forced || deadline <= now {
            return false;
        }
        self.side(direction).deadline = Some(deadline);
        true
    }

    /// What is missing in received data may come again; what this host sent passed here or was lost.
    fn hole_wait_ns(&mut self, direction: Direction) -> u64 {
        if direction == Direction::Sent || self.side(direction).after_loss {
            self.limits().slice_wait_ns
        } else {
            self.limits().retransmit_wait_ns
        }
    }

    /// The stream goes on behind `bytes` that its reader can do without.
    fn pass(
        &mut self,
        direction: Direction,
        now: Moment,
        bytes: u64,
        seen: bool,
        out: &mut Exchanges,
    ) {
        self.advance(direction, bytes, out, |reader, context| {
            reader.skip(now, bytes, seen, context);
        });
    }

    /// The stream goes on behind `bytes` that its reader would have needed.
    fn give_up(
        &mut self,
        direction: Direction,
        now: Moment,
        bytes: u64,
        seen: bool,
        out: &mut Exchanges,
    ) {
        self.advance(direction, bytes, out, |reader, context| {
            reader.gap(now, bytes, seen, context);
        });
    }

    fn advance(
        &mut self,
        direction: Direction,
        bytes: u64,
        out: &mut Exchanges,
        tell: impl FnOnce(&mut Reader, &mut Context<'_>),
    ) {
        self.side(direction).stream.pass(bytes);
        if bytes > 0 {
            self.with_reader(direction, out, tell);
        }
    }

    /// Draws the conclusions from what was read.
    fn settle(&mut self, at: Timestamp, out: &mut Exchanges) {
        if self.sent.reader.alien || self.received.reader.alien {
            self.abandon(at, out);
            self.protocol = Protocol::NotHttp;
        } else if self.sent.reader.upgraded || self.received.reader.upgraded {
            self.protocol = Protocol::Upgraded;
        } else if self.protocol == Protocol::Undecided
            && self.sent.reader.has_begun() | self.received.reader.has_begun()
        {
            self.protocol = Protocol::Http;
        }
    }

    fn abandon(&mut self, at: Timestamp, out: &mut Exchanges) {
        for direction in self.requests_first() {
            self.with_reader(direction, out, |reader, context| reader.abort(at, context));
            let side = self.side(direction);
            side.stream = Stream::default();
            side.deadline = None;
        }
        self.pairing.close(&mut out.done);
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Sent => Direction::Received,
        Direction::Received => Direction::Sent,
    }
}
