//! The life of one connection over loopback, both ends, event by event as Linux 6.18 and the programs tell it.

use tracer::tcp::{TcpState, flags};
use tracer_common::{
    Endpoints, Hook, Kind, Owner, Payload, RECEIVED, SENT, SLICE_BYTES, Segment, State, Task,
    Timer, TimerOf, TimerOp, state_flags,
};

use super::tape::{Tape, header};

const AF_INET: u16 = 2;
const NETNS: u32 = 4_026_531_840;
/// The listener's cookie, which the handshake's packets of the server end carry.
const LISTENER_COOKIE: u64 = 9;
/// Smoothed round-trip time as in the kernel, microseconds shifted left by 3.
const SRTT_US_8: u32 = 41 << 3;
/// TIME_WAIT's length by the timer wheel, nanoseconds.
const TIME_WAIT_NS: u64 = 60_460_000_000;
/// From one event to the next within the kernel's own work, nanoseconds.
const STEP_NS: u64 = 8_000;

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It connected.
    Client,
    /// It accepted.
    Server,
}

impl Side {
    const fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// What a socket is to the kernel.
pub struct Socket {
    /// Its cookie.
    pub cookie: u64,
    /// Kernel address of the full socket.
    pub skaddr: u64,
    /// Kernel address of the timewait socket that it may become.
    pub timewait_skaddr: u64,
    /// IPv4 address.
    pub ip: [u8; 4],
    /// Port.
    pub port: u16,
    /// Initial sequence number.
    pub isn: u32,
    /// The process that uses it.
    pub pid: u32,
    /// That process's name.
    pub comm: &'static str,
}

struct End {
    socket: Socket,
    state: TcpState,
    bytes_sent: u64,
    bytes_received: u64,
    fin_received: bool,
    has_owner: bool,
}

impl End {
    fn new(socket: Socket, state: TcpState) -> End {
        End {
            socket,
            state,
            bytes_sent: 0,
            bytes_received: 0,
            fin_received: false,
            has_owner: false,
        }
    }

    fn task(&self) -> Task {
        let mut comm = [0; 16];
        comm[..self.socket.comm.len()].copy_from_slice(self.socket.comm.as_bytes());
        Task { cgroup_id: 4_242, pid: self.socket.pid, tid: self.socket.pid, comm }
    }

    /// A packet of a half-open connection belongs to the listener.
    fn packet_cookie(&self) -> u64 {
        if self.state == TcpState::Listen { LISTENER_COOKIE } else { self.socket.cookie }
    }

    /// Sequence number of the next byte to send.
    fn next_seq(&self) -> u32 {
        self.socket.isn.wrapping_add(1).wrapping_add(self.bytes_sent as u32)
    }
}

const NO_TASK: Task = Task { cgroup_id: 0, pid: 0, tid: 0, comm: [0; 16] };

/// A connection whose life is being written down.
pub struct Life<'a> {
    tape: &'a mut Tape,
    at_ns: u64,
    client: End,
    server: End,
    request_skaddr: u64,
}

impl<'a> Life<'a> {
    /// Nothing has happened yet; the client connects at `at_ns`. `request_skaddr` is the request socket's address.
    pub fn new(
        tape: &'a mut Tape,
        at_ns: u64,
        client: Socket,
        server: Socket,
        request_skaddr: u64,
    ) -> Self {
        let client = End::new(client, TcpState::Close);
        let server = End::new(server, TcpState::Listen);
        Life { tape, at_ns, client, server, request_skaddr }
    }

    /// The three segments of the opening.
    pub fn open(&mut self) {
        self.change(Side::Client, TcpState::SynSent);
        self.segment(Side::Client, flags::SYN);
        self.request_timer(TimerOp::Start);
        self.segment(Side::Server, flags::SYN | flags::ACK);
        self.change(Side::Client, TcpState::Established);
        self.change(Side::Server, TcpState::SynRecv);
        self.request_timer(TimerOp::Cancel);
        self.change(Side::Server, TcpState::Established);
    }

    /// The server's process gets the connection from accept(2).
    pub fn accept(&mut self) {
        self.owner(Side::Server);
    }

    /// One message each way. The kernel tells a socket's user when the call that moved the bytes returns.
    pub fn exchange(&mut self, request: &[u8], response: &[u8]) {
        self.message(Side::Client, request);
        self.message(Side::Server, response);
    }

    /// The four segments of the closing, `closer` first, which then is in TIME_WAIT.
    pub fn close(&mut self, closer: Side) {
        let other = closer.other();
        self.change(closer, TcpState::FinWait1);
        self.segment(closer, flags::FIN | flags::ACK);
        self.end_mut(other).fin_received = true;
        self.change(other, TcpState::CloseWait);
        self.used(other);
        self.change(other, TcpState::LastAck);
        self.segment(other, flags::FIN | flags::ACK);
        self.change(closer, TcpState::FinWait2);
        self.end_mut(closer).fin_received = true;
        self.timewait_timer(closer, TimerOp::Start);
        self.change(closer, TcpState::Close);
        self.change(other, TcpState::Close);
    }

    /// `closer`'s TIME_WAIT runs to its natural end.
    pub fn end_time_wait(&mut self, closer: Side) {
        self.at_ns += TIME_WAIT_NS;
        self.timewait_timer(closer, TimerOp::Cancel);
        self.timewait_timer(closer, TimerOp::Expire);
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn next_ns(&mut self) -> u64 {
        self.at_ns += STEP_NS;
        self.at_ns
    }

    /// The four-tuple as `side` sees it.
    fn endpoints(&self, side: Side) -> Endpoints {
        let address = |ip: [u8; 4]| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip);
            bytes
        };
        let (local, remote) = (&self.end(side).socket, &self.end(side.other()).socket);
        Endpoints {
            local_addr: address(local.ip),
            remote_addr: address(remote.ip),
            local_port: local.port,
            remote_port: remote.port,
            netns: NETNS,
        }
    }

    fn change(&mut self, side: Side, to: TcpState) {
        use TcpState::{CloseWait, Established, FinWait1, LastAck, SynSent};
        let at_ns = self.next_ns();
        let mut endpoints = self.endpoints(side);
        let isns = [self.end(side).socket.isn, self.end(side.other()).socket.isn];
        let flag = |bit, is_set| if is_set { bit } else { 0 };
        let end = self.end_mut(side);
        let from = std::mem::replace(&mut end.state, to);
        if to == SynSent {
            endpoints.local_port = 0; // not bound yet
        }
        let by_owner =
            matches!((from, to), (_, SynSent) | (Established, FinWait1) | (CloseWait, LastAck));
        let has_isns = (from, to) == (TcpState::SynRecv, Established);
        let is_young = matches!(to, SynSent | TcpState::SynRecv);
        let is_orphan = !matches!(to, SynSent | TcpState::SynRecv | Established | CloseWait);
        let event = State {
            header: header(at_ns, end.socket.cookie, Kind::State, Hook::State),
            endpoints,
            task: if by_owner { end.task() } else { NO_TASK },
            skaddr: end.socket.skaddr,
            bytes_sent: end.bytes_sent,
            bytes_retrans: 0,
            // A FIN counts as a byte here.
            bytes_received: end.bytes_received + u64::from(end.fin_received),
            total_retrans: 0,
            srtt_us_8: if is_young { 0 } else { SRTT_US_8 },
            sk_err: 0,
            interface: 0,
            isn_sent: if has_isns { isns[0] } else { 0 },
            isn_received: if has_isns { isns[1] } else { 0 },
            family: AF_INET,
            old_state: from as u8,
            new_state: to as u8,
            flags: flag(state_flags::FIN_RECEIVED, end.fin_received)
                | flag(state_flags::ORPHAN, is_orphan)
                | flag(state_flags::HAS_ISNS, has_isns),
        };
        self.tape.push(at_ns, &event);
    }

    /// A segment without payload, seen at both ends.
    fn segment(&mut self, from: Side, bits: u8) {
        let is_syn = bits & flags::SYN != 0;
        let seq = if is_syn { self.end(from).socket.isn } else { self.end(from).next_seq() };
        let acked = self.end(from.other()).next_seq();
        let ack = if bits & flags::ACK != 0 { acked } else { 0 };
        for (side, direction) in [(from, SENT), (from.other(), RECEIVED)] {
            let at_ns = self.next_ns();
            let end = self.end(side);
            let event = Segment {
                header: header(at_ns, end.packet_cookie(), Kind::Segment, Hook::Segments),
                endpoints: self.endpoints(side),
                seq,
                ack,
                payload_bytes: 0,
                family: AF_INET,
                flags: bits,
                direction,
                retransmit: 0,
                sk_state: (end.state as u8).into(),
            };
            self.tape.push(at_ns, &event);
        }
    }

    /// A message in one packet, seen at both ends.
    fn message(&mut self, from: Side, bytes: &[u8]) {
        let seq = self.end(from).next_seq();
        for (side, direction) in [(from, SENT), (from.other(), RECEIVED)] {
            let at_ns = self.next_ns();
            self.payload(at_ns, side, direction, seq, bytes);
        }
        self.end_mut(from).bytes_sent += bytes.len() as u64;
        self.end_mut(from.other()).bytes_received += bytes.len() as u64;
        self.used(from);
        self.used(from.other());
    }

    fn payload(&mut self, at_ns: u64, side: Side, direction: u8, seq: u32, bytes: &[u8]) {
        let end = self.end(side);
        let mut event = Payload {
            header: header(at_ns, end.packet_cookie(), Kind::Payload, Hook::Payload),
            seq,
            packet_bytes: bytes.len() as u32,
            offset_bytes: 0,
            captured_bytes: 0,
            family: AF_INET,
            direction,
            sk_state: end.state as u8,
            // The cookie names the socket.
            has_endpoints: 0,
        };
        for slice in bytes.chunks(SLICE_BYTES) {
            event.captured_bytes = slice.len() as u32;
            self.tape.push_payload(at_ns, &event, slice);
            event.offset_bytes += event.captured_bytes;
        }
    }

    /// A process's first use of its socket is told.
    fn used(&mut self, side: Side) {
        if !std::mem::replace(&mut self.end_mut(side).has_owner, true) {
            self.owner(side);
        }
    }

    fn owner(&mut self, side: Side) {
        let at_ns = self.next_ns();
        let end = self.end(side);
        let event = Owner {
            header: header(at_ns, end.socket.cookie, Kind::Owner, Hook::Owner),
            endpoints: self.endpoints(side),
            task: end.task(),
            skaddr: end.socket.skaddr,
            in_sockmap: 0,
        };
        self.tape.push(at_ns, &event);
    }

    fn request_timer(&mut self, op: TimerOp) {
        self.timer(Side::Server, 0, self.request_skaddr, op, TimerOf::Request);
    }

    fn timewait_timer(&mut self, side: Side, op: TimerOp) {
        let socket = &self.end(side).socket;
        let (cookie, skaddr) = (socket.cookie, socket.timewait_skaddr);
        self.timer(side, cookie, skaddr, op, TimerOf::TimeWait);
    }

    fn timer(&mut self, side: Side, cookie: u64, skaddr: u64, op: TimerOp, of: TimerOf) {
        let at_ns = self.next_ns();
        let has_isns = of == TimerOf::Request && op == TimerOp::Start;
        let isn = |side| if has_isns { self.end(side).socket.isn } else { 0 };
        let event = Timer {
            header: header(at_ns, cookie, Kind::Timer, Hook::Timers),
            endpoints: self.endpoints(side),
            skaddr,
            family: AF_INET as u8,
            op: op as u8,
            of: of as u8,
            substate: if of == TimerOf::TimeWait { TcpState::TimeWait as u8 } else { 0 },
            interface: 0,
            isn_sent: isn(side),
            isn_received: isn(side.other()),
        };
        self.tape.push(at_ns, &event);
    }
}
