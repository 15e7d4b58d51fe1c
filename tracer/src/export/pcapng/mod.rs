//! pcapng (draft-ietf-opsawg-pcapng): packets, put together from the records, for tools that read captures.
//!
//! A recording holds no packets. Its `segment` records say what each SYN, FIN, RST and repeated segment was, its `exchange`
//! records which messages went where on the streams; from these the headers and heads are made again. Nothing else is
//! there, and the file says so (docs/exports.md).
//!
//! The writer of blocks is tracer's own: the part of the format that is needed is small.

mod blocks;
mod ends;
mod head;
mod material;
mod order;
mod packet;
#[cfg(test)]
mod tests;
mod words;

use std::io::Write;

use rustc_hash::FxHashMap;

use self::blocks::{Blocks, Interface, Packet, Section, Way};
use self::ends::{Ends, Identity};
use self::material::{Material, What};
use self::order::Order;
use self::packet::MAX_PAYLOAD_BYTES;
use self::words::{HostWords, Summary};
use super::known::End;
use super::{ExportError, Known, Records};
use crate::record::{ConnId, Connection, Exchange, Record};
use crate::tcp::{Direction, TcpState, flags};
use crate::time::Timestamp;

/// Exchanges are recorded when they are over, behind what passed in the meantime. So much is held back to put that right.
const MAX_WAITING_BYTES: usize = 32 << 20;
/// How long the other end may still tell what a connection that is done with has sent, nanoseconds.
const AFTERWORD_NS: u64 = 1_000_000_000;
/// Most packets of one message: content of 1 GiB. What is longer goes on behind a gap.
const MAX_PACKETS: u64 = 16_384;

/// Writes the packets that `records` tell of.
///
/// # Errors
/// [`ExportError`]. Where the recording cannot be read on, the file ends there, and is whole.
pub fn write(records: Records<'_>, known: &Known, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut capture = Capture::new(known, out, MAX_WAITING_BYTES);
    let mut end = Ok(());
    for record in records {
        match record {
            Ok(record) => capture.take(&record)?,
            Err(error) => {
                end = Err(error.into());
                break;
            }
        }
    }
    capture.finish()?;
    end
}

/// What happens on a connection, in the order of time.
#[derive(Debug)]
enum Step {
    Entered(TcpState),
    Passed(Box<Material>),
    Over,
}

/// A capture that is being made.
struct Capture<'a> {
    known: &'a Known,
    blocks: Blocks<'a>,
    order: Order<(ConnId, Step)>,
    ends: Ends,
    host: Option<HostWords>,
    has_begun: bool,
    /// Numbers of the interfaces, by network namespace.
    interfaces: FxHashMap<Option<u32>, u32>,
    latest: Timestamp,
    summary: Summary,
    /// Kept for its memory.
    packet: Vec<u8>,
}

impl<'a> Capture<'a> {
    fn new(known: &'a Known, out: &'a mut dyn Write, max_waiting_bytes: usize) -> Self {
        Capture {
            known,
            blocks: Blocks::new(out),
            order: Order::new(max_waiting_bytes),
            ends: Ends::default(),
            host: None,
            has_begun: false,
            interfaces: FxHashMap::default(),
            latest: Timestamp(0),
            summary: Summary::default(),
            packet: Vec::new(),
        }
    }

    fn take(&mut self, record: &Record) -> std::io::Result<()> {
        match record {
            Record::Host(host) => {
                self.host.get_or_insert_with(|| HostWords::from(&**host));
            }
            Record::Transition(transition) => {
                let step = Step::Entered(transition.to);
                self.order.push(transition.at, (transition.conn, step), 0);
            }
            Record::Segment(segment) => {
                if self.is_known(segment.conn) {
                    self.add(segment.conn, segment.at, Material::from(segment));
                }
            }
            Record::Exchange(exchange) => self.take_exchange(exchange),
            Record::Connection(connection) => self.take_end(connection),
            Record::Loss(loss) => {
                let lost = &mut self.summary.lost_events;
                *lost = lost.saturating_add(loss.lost_events());
            }
        }
        while let Some((at, (conn, step))) = self.order.pop_beyond_bound() {
            self.apply(at, conn, step)?;
        }
        Ok(())
    }

    fn is_known(&mut self, conn: ConnId) -> bool {
        let is_known = self.known.end(conn).is_some();
        self.summary.of_unknown_connections += u64::from(!is_known);
        is_known
    }

    fn take_exchange(&mut self, exchange: &Exchange) {
        if !self.is_known(exchange.conn) {
            return;
        }
        let Some(endpoint) = self.known.end(exchange.conn).and_then(|end| end.endpoint) else {
            self.summary.of_unknown_direction += 1;
            return;
        };
        let mut seen = 0;
        for (at, material) in material::of_exchange(exchange, endpoint) {
            let is_last = matches!(material.what, What::Message(message) if message.is_last);
            seen += u64::from(!is_last);
            // Without a place the other end's word on it cannot be found: the client's is taken.
            if material.seq.is_some() || !self.known.is_told_by_peer(exchange.conn) {
                self.add(exchange.conn, at, material);
            }
        }
        let told = u64::from(exchange.request.is_some()) + u64::from(exchange.response.is_some());
        self.summary.incomplete_messages += told - seen;
    }

    fn add(&mut self, conn: ConnId, at: Timestamp, material: Material) {
        let heap_bytes = size_of::<Material>() + material.captured.capacity();
        self.order.push(at, (conn, Step::Passed(Box::new(material))), heap_bytes);
    }

    /// One that was open to the last is over with its recording.
    fn take_end(&mut self, connection: &Connection) {
        let afterword = connection.closed_at.map(|at| at.plus_ns(AFTERWORD_NS));
        let at = afterword.unwrap_or(self.order.newest());
        self.order.push(at, (connection.id, Step::Over), 0);
    }

    fn apply(&mut self, at: Timestamp, conn: ConnId, step: Step) -> std::io::Result<()> {
        match step {
            Step::Entered(state) => {
                if let Some(progress) = self.ends.progress(conn) {
                    progress.state = Some(state);
                }
                Ok(())
            }
            Step::Passed(material) => self.pass(at, conn, &material),
            Step::Over => {
                self.ends.forget(conn);
                Ok(())
            }
        }
    }

    /// Writes the packets of what passed, unless the other end has told them.
    fn pass(&mut self, at: Timestamp, conn: ConnId, material: &Material) -> std::io::Result<()> {
        let known = self.known;
        let Some(end) = known.end(conn) else { return Ok(()) };
        let place = self.place(conn, material);
        if self.is_told_by_other(conn, &end, material) {
            return Ok(());
        }
        let mut pieces = Pieces::of(material);
        // A FIN mostly travels with the last bytes of a message, which have their packets.
        if place.is_payload_told {
            pieces = Pieces::without_payload(material);
        }
        let comment = words::comment(conn, &end, material, place.state, &pieces);
        // On the wire as they were: a port that is used again is another stream to who reads them.
        let (isn, other_isn) = match material.direction {
            Direction::Sent => (end.isn_sent, end.isn_received),
            Direction::Received => (end.isn_received, end.isn_sent),
        };
        let seq = place.seq.wrapping_add(isn.unwrap_or(0));
        let ack = place.ack.map(|ack| ack.wrapping_add(other_isn.unwrap_or(0)));
        let interface = self.interface(&end)?;
        let (from, to, way) = match material.direction {
            Direction::Sent => (end.local, end.remote, Way::Outbound),
            Direction::Received => (end.remote, end.local, Way::Inbound),
        };
        self.summary.late += u64::from(at < self.latest);
        self.latest = self.latest.max(at);
        for piece in pieces {
            let segment = packet::Segment {
                from,
                to,
                seq: seq.wrapping_add(piece.from as u32),
                ack: ack.unwrap_or(0),
                flags: piece.flags & if ack.is_some() { u8::MAX } else { !flags::ACK },
                payload_bytes: piece.bytes,
                captured: piece.captured,
            };
            let Some(original_bytes) = segment.build(&mut self.packet) else {
                self.summary.without_addresses += 1;
                return Ok(());
            };
            let captured = &self.packet;
            let comment = comment.as_str();
            self.blocks.packet(&Packet {
                interface,
                at,
                captured,
                original_bytes,
                way,
                comment,
            })?;
            self.summary.packets += 1;
        }
        Ok(())
    }

    /// Where on its stream it begins, how far the other one has come, and the connection's state. Notes how far it goes.
    fn place(&mut self, conn: ConnId, material: &Material) -> Place {
        let Some(progress) = self.ends.progress(conn) else {
            let seq = material.seq.unwrap_or(1);
            return Place { seq, ack: material.ack, state: None, is_payload_told: false };
        };
        let seq = material.seq.or(progress.end_of(material.direction)).unwrap_or(1);
        let ack = match material.what {
            What::Segment { .. } => material.ack,
            What::Message(_) => progress.end_of(opposite(material.direction)),
        };
        let is_new_segment = matches!(material.what, What::Segment { is_retransmit: false });
        let payload_end = seq.wrapping_add(material.payload_bytes as u32);
        let is_payload_told = is_new_segment
            && material.payload_bytes > 0
            && progress.end_of(material.direction) == Some(payload_end);
        // SYN and FIN have a sequence number each.
        let counted = [flags::SYN, flags::FIN].into_iter().filter(|bit| material.flags & bit != 0);
        let end = payload_end.wrapping_add(counted.count() as u32);
        if material.flags & flags::RST == 0 {
            progress.pass(material.direction, end);
        }
        Place { seq, ack, state: progress.state, is_payload_told }
    }

    fn is_told_by_other(&mut self, conn: ConnId, end: &End, material: &Material) -> bool {
        let Some(peer) = end.peer.filter(|peer| self.known.end(*peer).is_some()) else {
            return false;
        };
        let Some(seq) = material.seq else { return false };
        let by_sender = material.direction == Direction::Sent;
        let is_message = matches!(material.what, What::Message(_));
        let packet = Identity { seq, flags: material.flags, is_message };
        self.ends.is_told_by_other(if by_sender { conn } else { peer }, packet, by_sender)
    }

    /// The number of the interface that stands for the end's network namespace.
    fn interface(&mut self, end: &End) -> std::io::Result<u32> {
        self.begin()?;
        self.interface_of(end.netns)
    }

    fn interface_of(&mut self, netns: Option<u32>) -> std::io::Result<u32> {
        if let Some(number) = self.interfaces.get(&netns) {
            return Ok(*number);
        }
        let name = netns.map_or("netns not known".to_owned(), |inode| format!("netns {inode}"));
        let host = self.host.as_ref().map_or("a host not known", |host| host.name.as_str());
        let description = format!("What passed TCP in one network namespace of {host}");
        self.blocks.interface(&Interface { name: &name, description: &description })?;
        let number = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.interfaces.insert(netns, number);
        Ok(number)
    }

    fn begin(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        let host = self.host.as_ref();
        let comment = match host {
            Some(host) => format!("Host {}. {} {}", host.name, words::ABOUT, host.secrets),
            None => words::ABOUT.to_owned(),
        };
        self.blocks.section(&Section {
            os: host.map(|host| host.os.as_str()),
            application: host.map_or("tracer", |host| host.application.as_str()),
            comment: &comment,
        })
    }

    /// Writes what waits, and then what is missing.
    fn finish(mut self) -> std::io::Result<()> {
        while let Some((at, (conn, step))) = self.order.pop() {
            self.apply(at, conn, step)?;
        }
        self.begin()?;
        // The place for totals is an interface's statistics.
        if self.interfaces.is_empty() {
            self.interface_of(None)?;
        }
        self.blocks.statistics(0, self.latest, &self.summary.text())?;
        self.blocks.flush()
    }
}

/// Where a material stands among what was told of its connection.
struct Place {
    seq: u32,
    ack: Option<u32>,
    state: Option<TcpState>,
    /// Messages that have their packets are its payload.
    is_payload_told: bool,
}

/// What of a material goes into one packet.
struct Piece<'a> {
    /// Bytes of it before this one.
    from: u64,
    bytes: u16,
    flags: u8,
    captured: &'a [u8],
}

/// A material in packets: the first has its SYN, the last its FIN and PSH.
struct Pieces<'a> {
    material: &'a Material,
    /// Bytes of it before the first packet.
    from: u64,
    next: u64,
    count: u64,
}

impl<'a> Pieces<'a> {
    fn of(material: &'a Material) -> Self {
        let count = material.payload_bytes.div_ceil(MAX_PAYLOAD_BYTES.into()).max(1);
        Pieces { material, from: 0, next: 0, count: count.min(MAX_PACKETS) }
    }

    /// One packet, behind the payload.
    fn without_payload(material: &'a Material) -> Self {
        Pieces { material, from: material.payload_bytes, next: 0, count: 1 }
    }

    /// Bytes of the material that have other packets.
    fn told_bytes(&self) -> u64 {
        self.from
    }

    /// Bytes of the material that have no packet.
    fn untold_bytes(&self) -> u64 {
        let told = self.from + self.count * u64::from(MAX_PAYLOAD_BYTES);
        self.material.payload_bytes.saturating_sub(told)
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.next == self.count {
            return None;
        }
        let Material { payload_bytes, captured, flags, .. } = self.material;
        let from = self.from + self.next * u64::from(MAX_PAYLOAD_BYTES);
        let bytes = payload_bytes.saturating_sub(from).min(MAX_PAYLOAD_BYTES.into());
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(captured.len());
        let captured = captured.get(place(from)..place(from + bytes)).unwrap_or_default();
        let not_first = if self.next > 0 { flags::SYN } else { 0 };
        self.next += 1;
        let not_last = if self.next < self.count { flags::FIN | flags::PSH } else { 0 };
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        Some(Piece { from, bytes, flags: flags & !not_first & !not_last, captured })
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Sent => Direction::Received,
        Direction::Received => Direction::Sent,
    }
}
