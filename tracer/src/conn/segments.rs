//! SYN, FIN, RST and repeated segments: told as records, kept as evidence for verdicts.

use super::connection::IsnFrom;
use super::moment::Moment;
use super::tables::Key;
use super::tracker::{Change, PendingSyn, Tracker, agrees};
use crate::event::{Event, Isns, Reset, Segment, Tuple};
use crate::record;
use crate::tcp::{Direction, TcpState, flag_letters, flags};
use crate::time::Timestamp;

/// How long a SYN that arrived waits for its request socket, nanoseconds. A dropped SYN has none.
const PENDING_SYN_NS: u64 = 1_000_000_000;

impl Tracker {
    pub(super) fn apply_segment(&mut self, event: &Event<'_>, segment: &Segment) {
        if segment.retransmit
            && self.sees_segments
            && segment.flags & (flags::SYN | flags::FIN) != 0
        {
            return; // seen as a packet too
        }
        let is_first_syn = segment.flags & (flags::SYN | flags::ACK) == flags::SYN;
        if is_first_syn && segment.direction == Direction::Received && segment.by_tuple {
            self.syn_at_listener(event.at, segment);
            return;
        }
        if self.is_answer_of_pending(segment) {
            let tuple = segment.tuple.on_any_interface();
            if let Some(syn) = self.pending_syns.get_mut(&tuple) {
                syn.answer.get_or_insert((event.at, *segment));
            }
            return;
        }
        let found = match answers(segment) {
            Some(isns) => self.find_answering(&segment.tuple, isns),
            None => self.find(event.cookie, &segment.tuple),
        };
        let Some(id) = found else {
            // A packet without a full socket may belong to no connection: the RST that answers a refused SYN.
            let is_anothers = segment.by_tuple && !self.tables.is_ambiguous(&segment.tuple);
            self.counters.unattributed += u64::from(!is_anothers);
            return;
        };
        if let Some(connection) = self.tables.get(id)
            && completes(&connection.tuple, &segment.tuple)
        {
            let interface = connection.tuple.interface;
            self.tables.set_tuple(id, Tuple { interface, ..segment.tuple });
        }
        if let Some(connection) = self.tables.get_mut(id) {
            connection.note_kernel_lost(event.socket_lost);
        }
        self.tell_segment(id, event.at, segment);
    }

    /// A SYN comes before its request socket; a repeated one belongs to the connection that is there.
    fn syn_at_listener(&mut self, at: Timestamp, segment: &Segment) {
        if let Some(id) = self.half_open(&segment.tuple) {
            self.tell_segment(id, at, segment);
            return;
        }
        if self.pending_syns.len() >= self.limits.pending {
            self.counters.pending_dropped += 1;
            return;
        }
        let pending = PendingSyn { at, segment: *segment, answer: None };
        let tuple = segment.tuple.on_any_interface();
        self.pending_syns.insert(tuple, pending);
        self.pending_syn_order.push_back((at, tuple));
    }

    /// The SYN that arrived for this server end before it was there, and that has the initial
    /// sequence number which the end is known to answer.
    pub(super) fn pending_syn(&self, tuple: &Tuple, isns: Option<Isns>) -> Option<PendingSyn> {
        let syn = self.pending_syns.get(&tuple.on_any_interface())?;
        isns.is_none_or(|isns| isns.received == syn.segment.seq).then_some(*syn)
    }

    /// Reports the SYN that opened this server end, and its answer where that came before the end.
    pub(super) fn claim_pending_syn(&mut self, id: Key, syn: &PendingSyn) {
        self.pending_syns.remove(&syn.segment.tuple.on_any_interface());
        self.tell_segment(id, syn.at, &syn.segment);
        if let Some((at, answer)) = syn.answer {
            self.tell_segment(id, at, &answer);
        }
    }

    /// The SYN+ACK of a SYN cookie belongs to no socket (`tcp_make_synack`, TCP_SYNACK_COOKIE), so
    /// it passes no hook. It must have been sent, for its number was acknowledged: at once when its
    /// SYN arrived.
    pub(super) fn infer_syn_cookie(&mut self, id: Key) {
        let Some(connection) = self.tables.get(id) else { return };
        let evidence = &connection.evidence;
        let (Some(isns), Some(opened_at)) = (connection.isns(), connection.opened_at()) else {
            return;
        };
        let is_cookie = evidence.seen_received.has_syn()
            && !evidence.seen_sent.has_syn()
            && !evidence.was_request;
        if !is_cookie {
            return;
        }
        let answer = Segment {
            tuple: connection.tuple,
            direction: Direction::Sent,
            flags: flags::SYN | flags::ACK,
            seq: isns.sent,
            ack: Some(isns.received.wrapping_add(1)),
            payload_bytes: 0,
            retransmit: false,
            by_tuple: false,
        };
        self.tell_segment(id, opened_at, &answer);
    }

    /// A listener's SYN+ACK with no half-open connection yet: SYN cookies keep none.
    fn is_answer_of_pending(&self, segment: &Segment) -> bool {
        segment.by_tuple
            && segment.direction == Direction::Sent
            && segment.flags & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK
            && self.pending_syns.contains_key(&segment.tuple.on_any_interface())
    }

    pub(super) fn expire_pending(&mut self, now: Timestamp) {
        while let Some((at, tuple)) = self.pending_syn_order.front().copied() {
            if now.since_ns(at) < PENDING_SYN_NS {
                break;
            }
            self.pending_syn_order.pop_front();
            if self.pending_syns.get(&tuple).is_some_and(|syn| syn.at == at) {
                self.pending_syns.remove(&tuple);
            }
        }
        if !self.pending_children.is_empty() {
            self.pending_children.retain(|_, at| now.since_ns(*at) < PENDING_SYN_NS);
        }
    }

    fn tell_segment(&mut self, id: Key, at: Timestamp, segment: &Segment) {
        let Some(connection) = self.tables.get_mut(id) else { return };
        let repeated = segment.retransmit || is_repeat(connection, segment);
        note(connection, at, segment, repeated);
        let base = connection.isn(segment.direction).unwrap_or(0);
        let other = connection.isn(opposite(segment.direction)).unwrap_or(0);
        let record = record::Segment {
            conn: connection.id,
            at,
            direction: segment.direction,
            flags: flag_letters(segment.flags),
            seq: segment.seq.wrapping_sub(base),
            ack: segment.ack.map(|ack| ack.wrapping_sub(other)),
            payload_bytes: segment.payload_bytes,
            retransmit: repeated,
        };
        self.changes.push(Change::Segment(record));
        if segment.flags & flags::SYN != 0 {
            self.pair_up(id, at);
        }
    }

    pub(super) fn apply_reset(&mut self, event: &Event<'_>, reset: &Reset) {
        let Some(id) = self.find_socket(event.cookie, &reset.tuple) else { return };
        let sees_segments = self.sees_segments;
        let Some(connection) = self.tables.get_mut(id) else { return };
        // `tcp_receive_reset` also fires where TCP resets itself over data it refuses: packets know better.
        if reset.direction == Direction::Sent || !sees_segments {
            connection.evidence.seen(reset.direction).reset = true;
        }
    }
}

/// Whether a packet tells the port that a socket did not know yet: one with another address was translated.
fn completes(known: &Tuple, seen: &Tuple) -> bool {
    !known.is_whole() && seen.is_whole() && known.local.ip == seen.local.ip && agrees(known, seen)
}

/// The initial sequence numbers of the connection whose SYN+ACK a listener sends, seen from the
/// listener's side.
fn answers(segment: &Segment) -> Option<Isns> {
    let is_answer = segment.by_tuple
        && segment.direction == Direction::Sent
        && segment.flags & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK;
    let received = segment.ack.filter(|_| is_answer)?.wrapping_sub(1);
    Some(Isns { sent: segment.seq, received })
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Sent => Direction::Received,
        Direction::Received => Direction::Sent,
    }
}

fn is_repeat(connection: &super::Connection, segment: &Segment) -> bool {
    let (way, seen) = match segment.direction {
        Direction::Sent => (&connection.evidence.sent, connection.evidence.seen_sent),
        Direction::Received => (&connection.evidence.received, connection.evidence.seen_received),
    };
    let same_syn = segment.flags & flags::SYN != 0 && seen.has_syn() && way.isn == segment.seq;
    let end = segment.seq.wrapping_add(segment.payload_bytes);
    let same_fin = segment.flags & flags::FIN != 0 && way.fin_at.is_known() && way.fin_seq == end;
    same_syn || same_fin
}

fn note(connection: &mut super::Connection, at: Timestamp, segment: &Segment, repeated: bool) {
    let stands = connection.state != TcpState::Close;
    if repeated && segment.direction == Direction::Sent {
        let repeats = &mut connection.evidence.repeats_sent;
        *repeats = repeats.saturating_add(1);
    }
    let seen = connection.evidence.seen(segment.direction);
    if segment.flags & flags::SYN != 0 {
        seen.isn = IsnFrom::Syn;
    }
    // What is received behind the end changed nothing.
    seen.reset |=
        segment.flags & flags::RST != 0 && (stands || segment.direction == Direction::Sent);
    let way = connection.evidence.way(segment.direction);
    if segment.flags & flags::SYN != 0 {
        way.isn = segment.seq;
    }
    if segment.flags & flags::FIN != 0 {
        way.fin_seq = segment.seq.wrapping_add(segment.payload_bytes);
        way.fin_at = Moment::at(at);
    }
}
