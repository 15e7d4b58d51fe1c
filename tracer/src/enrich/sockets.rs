//! The TCP sockets of this host as sock_diag (sock_diag(7)) tells them: those that are older than the tracer,
//! and orphaned FIN_WAIT2s whose way into TIME_WAIT no event tells.

use std::collections::hash_map::Entry;
use std::io;
use std::num::NonZeroU32;
use std::ops::ControlFlow;

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader,
    NetlinkMessage,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use rustc_hash::FxHashMap;

use super::netns::{EnterError, Namespaces};
use crate::ports::PortSet;
use crate::record::{Family, SocketAddress};
use crate::tcp::TcpState;

pub mod message;

/// Bound on sockets in one snapshot; what is beyond it is counted in [`Snapshot::left_out`].
pub const MAX_SOCKETS: usize = 1_000_000;
/// The kernel fills no more than 32 KiB at a time (netlink_recvmsg).
const RECEIVE_BYTES: usize = 32 * 1024;
const NLMSG_ALIGN: usize = 4;

/// Which of the kernel's three kinds of TCP socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A `tcp_sock`.
    Full,
    /// A `request_sock`: SYN_RECV of a connection that its listener has not got yet.
    Request,
    /// An `inet_timewait_sock`: TIME_WAIT, or an orphan's FIN_WAIT2 (its substate is in `state`).
    TimeWait,
}

/// One socket at the moment the kernel was asked. `None` is what the kernel does not keep for this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSnapshot {
    /// The socket's cookie, never 0: asking makes one.
    pub cookie: u64,
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Index of the network interface that it is bound to, 0: none.
    pub interface: u32,
    /// Kind of socket.
    pub kind: SocketKind,
    /// Its state; of a timewait socket the substate.
    pub state: TcpState,
    /// An IPv4-mapped IPv6 socket is `Ipv4`.
    pub family: Family,
    /// This end.
    pub local: SocketAddress,
    /// The other end.
    pub remote: SocketAddress,
    /// Inode number of the file behind it; `None` for orphans and for what nobody has accepted yet.
    pub inode: Option<u64>,
    /// User id of its owner.
    pub uid: Option<u32>,
    /// Milliseconds until the pending timer fires; for TIME_WAIT its remaining time.
    pub timer_expires_ms: Option<u32>,
    /// Payload bytes sent, each once.
    pub bytes_sent: Option<u64>,
    /// Payload bytes received in order, each once.
    pub bytes_received: Option<u64>,
    /// Segments sent again; of a request socket the SYN+ACKs.
    pub segments_retransmitted: Option<u64>,
    /// Smoothed round-trip time, microseconds; `None` before the first sample.
    pub srtt_us: Option<u64>,
}

/// A set of TCP states to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMask(u32);

impl StateMask {
    /// Every state of a connection: all but LISTEN and CLOSE.
    pub const CONNECTIONS: StateMask = StateMask::of(&[
        TcpState::SynSent,
        TcpState::SynRecv,
        TcpState::Established,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::Closing,
        TcpState::TimeWait,
        TcpState::CloseWait,
        TcpState::LastAck,
    ]);

    /// The set of these states. FIN_WAIT2 includes those of timewait sockets, SYN_RECV request sockets.
    #[must_use]
    pub const fn of(states: &[TcpState]) -> StateMask {
        let (mut bits, mut i) = (0, 0);
        while i < states.len() {
            bits |= 1 << states[i] as u32;
            i += 1;
        }
        StateMask(bits)
    }
}

/// A namespace whose sockets could not be had.
#[derive(Debug)]
pub struct Failure {
    /// Its inode number.
    pub netns: u32,
    /// Why.
    pub error: DumpError,
}

/// Why a dump failed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// The netlink exchange failed.
    #[error(
        "sock_diag dump failed: {0}; the kernel must have CONFIG_INET_DIAG (`modprobe tcp_diag`)"
    )]
    Netlink(#[from] io::Error),
    /// The kernel's answer was not in the form that it documents.
    #[error("sock_diag sent a message that is not in netlink's form: {0}")]
    Malformed(#[from] DecodeError),
}

/// What a dump found.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The sockets, each once.
    pub sockets: Vec<SocketSnapshot>,
    /// Namespaces that were looked into whole.
    pub visited: Vec<u32>,
    /// Namespaces that could not be looked into; those that ended meanwhile are not among them.
    pub failures: Vec<Failure>,
    /// Sockets and namespaces beyond the bounds, and answers that could not be read.
    pub left_out: u64,
}

/// Takes snapshots; remembers the way into namespaces between them.
#[derive(Debug, Default)]
pub struct SocketDumper {
    namespaces: Namespaces,
    ports: PortSet,
}

impl SocketDumper {
    /// A dumper that knows no namespace yet. Connections that have none of `ports` at either end are left out.
    #[must_use]
    pub fn new(ports: PortSet) -> SocketDumper {
        SocketDumper { namespaces: Namespaces::default(), ports }
    }

    /// Every connection in every network namespace of the host. Gives cookies to sockets that had none.
    pub fn dump_all(&mut self) -> Snapshot {
        self.namespaces = Namespaces::enumerate();
        let inodes: Vec<_> = self.namespaces.inodes().collect();
        let mut snapshot = self.dump(&inodes, StateMask::CONNECTIONS);
        snapshot.left_out += self.namespaces.left_out();
        without_the_gone(snapshot)
    }

    /// A process that was in a namespace: likely the quickest way there, if none is known yet.
    pub fn remember(&mut self, netns: u32, pid: NonZeroU32) {
        self.namespaces.remember(netns, pid);
    }

    /// The sockets of some namespaces that are in one of `states`.
    ///
    /// Costs a walk through the kernel's hash of connections for each namespace and family.
    pub fn dump_states(&mut self, netns: &[u32], states: StateMask) -> Snapshot {
        let snapshot = self.dump(netns, states);
        if !snapshot.failures.iter().any(Failure::is_gone) {
            return snapshot;
        }
        // Not known yet, or what led into it has ended while others are still in it.
        self.namespaces = Namespaces::enumerate();
        without_the_gone(self.dump(netns, states))
    }

    fn dump(&self, netns: &[u32], states: StateMask) -> Snapshot {
        let mut collector = Collector::of(&self.ports);
        let visits = self.namespaces.visit(netns, |inode| collector.dump_here(inode, states));
        let mut snapshot = collector.snapshot;
        match visits {
            Ok(visits) => {
                for (netns, result) in visits {
                    match result.map_err(DumpError::from).and_then(|dumped| dumped) {
                        Ok(()) => snapshot.visited.push(netns),
                        Err(error) => snapshot.failures.push(Failure { netns, error }),
                    }
                }
            }
            Err(e) => snapshot.failures.push(Failure { netns: 0, error: e.into() }),
        }
        snapshot
    }
}

impl Failure {
    const fn is_gone(&self) -> bool {
        matches!(self.error, DumpError::Enter(EnterError::Gone))
    }
}

/// A namespace that has ended has no sockets: that is an answer, not a failure.
fn without_the_gone(mut snapshot: Snapshot) -> Snapshot {
    snapshot.failures.retain(|failure| !failure.is_gone());
    snapshot
}

/// Gathers the sockets of one namespace after the other.
struct Collector<'a> {
    ports: &'a PortSet,
    snapshot: Snapshot,
    /// Where each socket is in the snapshot: one that changes its kind between two reads comes twice, with
    /// its cookie, and the later word holds. A socket that was used again while its life before is in TIME_WAIT has that
    /// one's cookie, but other ports.
    by_cookie: FxHashMap<(u32, u64, [u16; 2]), usize>,
}

impl<'a> Collector<'a> {
    fn of(ports: &'a PortSet) -> Self {
        Collector { ports, snapshot: Snapshot::default(), by_cookie: FxHashMap::default() }
    }

    /// Asks the namespace that this thread is in.
    fn dump_here(&mut self, netns: u32, states: StateMask) -> Result<(), DumpError> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel takes one address family at a time.
        for socket_id in [SocketId::new_v4(), SocketId::new_v6()] {
            socket.send(&request(socket_id, states), 0)?;
            self.receive(&socket, netns)?;
        }
        Ok(())
    }

    fn receive(&mut self, socket: &Socket, netns: u32) -> Result<(), DumpError> {
        let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
        loop {
            buffer.clear();
            socket.recv(&mut buffer, 0)?;
            if self.take(netns, &buffer)?.is_break() {
                return Ok(());
            }
        }
    }

    /// Takes the messages of one read; breaks after the dump's last.
    fn take(&mut self, netns: u32, mut bytes: &[u8]) -> Result<ControlFlow<()>, DumpError> {
        while !bytes.is_empty() {
            let message = NetlinkBuffer::new_checked(bytes)?;
            match message.message_type() {
                NLMSG_DONE | NLMSG_ERROR => {
                    return Ok(ControlFlow::Break(status(message.payload())?));
                }
                SOCK_DIAG_BY_FAMILY => self.add(message::parse(netns, message.payload())),
                _ => {}
            }
            let length = (message.length() as usize).next_multiple_of(NLMSG_ALIGN);
            bytes = bytes.get(length..).unwrap_or_default();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn add(&mut self, socket: Option<SocketSnapshot>) {
        let Some(socket) = socket else {
            self.snapshot.left_out += 1;
            return;
        };
        if ![socket.local, socket.remote].iter().any(|end| self.ports.contains(end.port)) {
            return;
        }
        let sockets = &mut self.snapshot.sockets;
        let ports = [socket.local.port, socket.remote.port];
        match self.by_cookie.entry((socket.netns, socket.cookie, ports)) {
            Entry::Occupied(known) => sockets[*known.get()] = socket,
            Entry::Vacant(_) if sockets.len() == MAX_SOCKETS => self.snapshot.left_out += 1,
            Entry::Vacant(new) => {
                new.insert(sockets.len());
                sockets.push(socket);
            }
        }
    }
}

/// DONE and ERROR carry a negative errno, or 0.
fn status(payload: &[u8]) -> Result<(), DumpError> {
    match payload.first_chunk().map(|b| i32::from_ne_bytes(*b)) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(errno.saturating_neg()).into()),
        None => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
    }
}

fn request(socket_id: SocketId, states: StateMask) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family: if socket_id.source_address.is_ipv4() { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::from_bits_retain(states.0),
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
