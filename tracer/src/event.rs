//! What the kernel told, decoded: the input of the tracker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use tracer_common::{Hook, TimerOf, TimerOp};

use crate::record::{Family, SocketAddress};
use crate::tcp::{Direction, TcpState};
use crate::time::Timestamp;

/// One event of the kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event<'a> {
    /// When the hook ran.
    pub at: Timestamp,
    /// The socket's cookie; `None` where it has none (yet).
    pub cookie: Option<u64>,
    /// Events about this socket that found no room in the ring so far.
    pub socket_lost: u32,
    /// The hook that told.
    pub hook: Hook,
    /// What happened.
    pub body: Body<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body<'a> {
    /// A full socket changed its state.
    State(State),
    /// A timewait or request socket's timer did something.
    Timer(Timer),
    /// A SYN, FIN, RST or repeated segment passed.
    Segment(Segment),
    /// HTTP payload passed.
    Payload(Payload<'a>),
    /// A process used a socket.
    Owner(Owner),
    /// TCP sent or took in a reset.
    Reset(Reset),
    /// A program was executed.
    Exec(Exec<'a>),
    /// A process was made by another.
    Fork(Fork),
}

/// The four-tuple of a socket in its network namespace, seen from that socket. IPv4-mapped addresses are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Inode number of the namespace; 0 where it was not read.
    pub netns: u32,
    /// The network interface that the socket is bound to. The kernel allows one four-tuple once for
    /// each.
    pub interface: Interface,
    /// This end.
    pub local: SocketAddress,
    /// The other end.
    pub remote: SocketAddress,
}

/// The network interface that a socket is bound to (SO_BINDTODEVICE, VRF).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interface(u32);

impl Interface {
    /// Bound to no interface.
    pub const NONE: Interface = Interface(0);
    /// Not known: a packet carries no such thing.
    pub const UNKNOWN: Interface = Interface(u32::MAX);

    /// The interface with this index (ifindex); 0: none.
    #[must_use]
    pub const fn with_index(index: u32) -> Interface {
        Interface(index)
    }

    /// Whether both can be of one socket: an unknown interface agrees with any.
    #[must_use]
    pub const fn agrees(self, other: Interface) -> bool {
        self.0 == other.0 || self.0 == Interface::UNKNOWN.0 || other.0 == Interface::UNKNOWN.0
    }
}

impl Tuple {
    /// Nothing is known: it agrees with every tuple and finds none.
    pub const UNKNOWN: Tuple = Tuple {
        netns: 0,
        interface: Interface::UNKNOWN,
        local: SocketAddress { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 },
        remote: SocketAddress { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 },
    };

    /// The tuple of a socket that is bound to no interface.
    #[must_use]
    pub const fn new(netns: u32, local: SocketAddress, remote: SocketAddress) -> Tuple {
        Tuple { netns, interface: Interface::NONE, local, remote }
    }

    /// The same connection seen from the other end.
    #[must_use]
    pub const fn mirrored(self) -> Tuple {
        Tuple { local: self.remote, remote: self.local, ..self }
    }

    /// The same on an interface that is not known, as packets have it.
    #[must_use]
    pub const fn on_any_interface(self) -> Tuple {
        Tuple { interface: Interface::UNKNOWN, ..self }
    }

    /// Whether both ports are known: a connecting socket is unbound at first.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.local.port != 0 && self.remote.port != 0
    }

    /// `ipv4` for IPv4 and for IPv4-mapped IPv6.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.remote.ip {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// The address in wire bytes of `family` (2 AF_INET, 10 AF_INET6), IPv4-mapped ones as IPv4.
#[must_use]
pub fn address(bytes: [u8; 16], family: u16) -> IpAddr {
    const AF_INET6: u16 = 10;
    if family == AF_INET6 {
        return Ipv6Addr::from(bytes).to_canonical();
    }
    IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
}

/// The task that was current when a hook ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// cgroup v2 id.
    pub cgroup_id: u64,
    /// Thread name, NUL-padded.
    pub comm: [u8; 16],
}

/// A state change of a full socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    /// The four-tuple as far as it is filled.
    pub tuple: Tuple,
    /// Kernel address of the socket.
    pub skaddr: u64,
    /// State before.
    pub from: TcpState,
    /// State after.
    pub to: TcpState,
    /// The task that was current; the owner only in some transitions.
    pub task: Task,
    /// sk_err, a positive errno or 0.
    pub errno: i32,
    /// Whether the other end's FIN was received.
    pub fin_received: bool,
    /// Whether no process holds the socket any more.
    pub orphan: bool,
    /// Whether the socket was told of before it had both ports, and neither is watched: nothing more comes of it.
    pub unwatched: bool,
    /// Whether the socket is in repair mode: a process set its state, and no segment was sent for
    /// it.
    pub repair: bool,
    /// Whether the socket is in a BPF sockmap.
    pub in_sockmap: bool,
    /// Initial sequence numbers, where the event carries them: a server's socket that becomes
    /// ESTABLISHED.
    pub isns: Option<Isns>,
    /// Counters at that moment.
    pub counters: Counters,
}

/// The initial sequence numbers of a connection, seen from one of its ends. Address translation
/// keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Isns {
    /// This end's.
    pub sent: u32,
    /// The other end's.
    pub received: u32,
}

impl Isns {
    /// The same, seen from the other end.
    #[must_use]
    pub const fn mirrored(self) -> Isns {
        Isns { sent: self.received, received: self.sent }
    }
}

/// A socket's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Payload bytes sent, each once.
    pub bytes_sent: u64,
    /// Payload bytes received in order, each once.
    pub bytes_received: u64,
    /// Segments sent again.
    pub segments_retransmitted: u32,
    /// Smoothed round-trip time in microseconds; `None` before the first sample.
    pub srtt_us: Option<NonZeroU32>,
}

/// A timer of a timewait or request socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The four-tuple.
    pub tuple: Tuple,
    /// Kernel address of the small socket.
    pub skaddr: u64,
    /// What happened.
    pub op: TimerOp,
    /// Whose timer.
    pub of: TimerOf,
    /// FIN_WAIT2 or TIME_WAIT of a timewait socket; SYN_RECV of a request socket.
    pub state: TcpState,
    /// Initial sequence numbers of a request socket, where its timer starts.
    pub isns: Option<Isns>,
}

/// A segment with SYN, FIN or RST, or one sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The four-tuple.
    pub tuple: Tuple,
    /// Sent or received.
    pub direction: Direction,
    /// Flags byte.
    pub flags: u8,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, without ACK `None`.
    pub ack: Option<u32>,
    /// Payload bytes.
    pub payload_bytes: u32,
    /// Told by a retransmit tracepoint.
    pub retransmit: bool,
    /// The packet's socket is a listener or a control socket: the connection is the tuple's.
    pub by_tuple: bool,
}

/// A slice of a packet's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The four-tuple; [`Tuple::UNKNOWN`] where the cookie is the connection's own.
    pub tuple: Tuple,
    /// Sent or received.
    pub direction: Direction,
    /// Sequence number of the packet: that of its first payload byte, or of the SYN before it.
    pub seq: u32,
    /// Payload bytes of the whole packet.
    pub packet_bytes: u32,
    /// Where this slice starts in it.
    pub offset_bytes: u32,
    /// The slice.
    pub captured: &'a [u8],
    /// As in [`Segment`].
    pub by_tuple: bool,
}

/// A process that uses a socket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owner {
    /// The four-tuple.
    pub tuple: Tuple,
    /// The process.
    pub task: Task,
    /// Whether the socket is in a BPF sockmap.
    pub in_sockmap: bool,
}

/// A reset as TCP tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The four-tuple.
    pub tuple: Tuple,
    /// Sent or taken in.
    pub direction: Direction,
}

/// An executed program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exec<'a> {
    /// The process.
    pub pid: u32,
    /// The names in the binary's path, the last one first, a NUL after each; empty where the path
    /// is not known.
    pub names: &'a [u8],
    /// Whether the file is in no directory (memfd_create).
    pub is_pathless: bool,
}

impl Exec<'_> {
    /// The binary's path as /proc/PID/exe has it; `None` where it is not known. Bytes that are no
    /// UTF-8 are replaced.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let names = self.names.strip_suffix(b"\0")?;
        if self.is_pathless {
            // fs/d_path.c, simple_dname(): such a file counts as deleted from the start.
            let is_one_name = !names.contains(&0);
            return is_one_name.then(|| format!("/{} (deleted)", String::from_utf8_lossy(names)));
        }
        let mut path = Vec::with_capacity(self.names.len());
        for name in names.split(|byte| *byte == 0).rev() {
            path.push(b'/');
            path.extend(name);
        }
        Some(String::from_utf8_lossy(&path).into_owned())
    }
}

/// A process made by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The new process.
    pub pid: u32,
    /// The one that made it.
    pub parent_pid: u32,
}
