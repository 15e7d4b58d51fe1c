//! One sock_diag answer (`struct inet_diag_msg` and its attributes) as a [`SocketSnapshot`].
//!
//! The request is netlink-packet-sock-diag's. Its answer type is not used: it leaves out `idiag_expires` of
//! TIME_WAIT sockets, which is how long they still have, and makes a dozen allocations for each socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::NlasIterator;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, INET_DIAG_INFO};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{SocketKind, SocketSnapshot};
use crate::record::{Family, SocketAddress};
use crate::tcp::TcpState;

const TIMER_NONE: u8 = 0;
const TIMER_TIME_WAIT: u8 = 3;

/// `struct inet_diag_msg` (include/uapi/linux/inet_diag.h).
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct InetDiagMsg {
    family: u8,
    state: u8,
    timer: u8,
    retrans: u8,
    local_port: U16,
    remote_port: U16,
    local_addr: [u8; 16],
    remote_addr: [u8; 16],
    interface: u32,
    cookie_low: u32,
    cookie_high: u32,
    expires_ms: u32,
    recv_queue: u32,
    send_queue: u32,
    uid: u32,
    inode: u32,
}

/// The socket that an answer's payload tells of; `None` when it is cut short or of no family or state we know.
#[must_use]
pub fn parse(netns: u32, payload: &[u8]) -> Option<SocketSnapshot> {
    let (message, attributes) = InetDiagMsg::read_from_prefix(payload).ok()?;
    let info = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == INET_DIAG_INFO);
    let info = info.as_ref().map(|attribute| TcpInfo(attribute.value()));
    let state = TcpState::from_kernel(message.state)?;
    let (family, local, remote) = ends(&message)?;
    let kind = kind_of(&message, info.is_some());
    let full = kind == SocketKind::Full;
    Some(SocketSnapshot {
        cookie: u64::from(message.cookie_high) << 32 | u64::from(message.cookie_low),
        netns,
        interface: message.interface,
        kind,
        state,
        family,
        local,
        remote,
        inode: (message.inode != 0).then_some(u64::from(message.inode)),
        uid: full.then_some(message.uid),
        timer_expires_ms: (message.timer != TIMER_NONE).then_some(message.expires_ms),
        bytes_sent: info.as_ref().and_then(TcpInfo::bytes_sent_once),
        bytes_received: info.as_ref().and_then(TcpInfo::payload_bytes_received),
        segments_retransmitted: match kind {
            SocketKind::Full => info.as_ref().and_then(TcpInfo::total_retrans),
            SocketKind::Request => Some(u64::from(message.retrans)),
            SocketKind::TimeWait => None,
        },
        srtt_us: info.as_ref().and_then(TcpInfo::srtt_us),
    })
}

/// The kernel gives tcp_info for every full socket when asked, and never for the two small kinds.
const fn kind_of(message: &InetDiagMsg, has_info: bool) -> SocketKind {
    match (has_info, message.timer) {
        (true, _) => SocketKind::Full,
        (false, TIMER_TIME_WAIT) => SocketKind::TimeWait,
        (false, _) if message.state == TcpState::SynRecv as u8 => SocketKind::Request,
        (false, _) => SocketKind::Full,
    }
}

fn ends(message: &InetDiagMsg) -> Option<(Family, SocketAddress, SocketAddress)> {
    let local = address(message.family, &message.local_addr)?;
    let remote = address(message.family, &message.remote_addr)?;
    let family = if local.is_ipv4() && remote.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let local = SocketAddress { ip: local, port: message.local_port.get() };
    Some((family, local, SocketAddress { ip: remote, port: message.remote_port.get() }))
}

fn address(family: u8, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        AF_INET6 => Some(Ipv6Addr::from(*bytes).to_canonical()),
        _ => None,
    }
}

/// `struct tcp_info` (include/uapi/linux/tcp.h); it grows with kernels, so each field may be missing.
struct TcpInfo<'a>(&'a [u8]);

impl TcpInfo<'_> {
    const STATE: usize = 0;
    const RTT_US: usize = 68;
    const TOTAL_RETRANS: usize = 100;
    const BYTES_RECEIVED: usize = 128;
    const BYTES_SENT: usize = 200;
    const BYTES_RETRANS: usize = 208;

    fn u32_at(&self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        self.0.get(at..)?.first_chunk().map(|b| u64::from_ne_bytes(*b))
    }

    fn total_retrans(&self) -> Option<u64> {
        self.u32_at(Self::TOTAL_RETRANS).map(u64::from)
    }

    /// `tcpi_rtt` is the smoothed one; 0 before the first sample.
    fn srtt_us(&self) -> Option<u64> {
        self.u32_at(Self::RTT_US).filter(|us| *us != 0).map(u64::from)
    }

    fn bytes_sent_once(&self) -> Option<u64> {
        Some(self.u64_at(Self::BYTES_SENT)?.saturating_sub(self.u64_at(Self::BYTES_RETRANS)?))
    }

    /// The kernel adds what rcv_nxt advances by, and a FIN takes a sequence number (RFC 9293 section 3.4): in
    /// the states after one the count is 1 too high (tests/`a_received_fin_is_not_counted_as_payload`).
    fn payload_bytes_received(&self) -> Option<u64> {
        let state = TcpState::from_kernel(*self.0.get(Self::STATE)?)?;
        let fin = matches!(state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
        Some(self.u64_at(Self::BYTES_RECEIVED)?.saturating_sub(u64::from(fin)))
    }
}
