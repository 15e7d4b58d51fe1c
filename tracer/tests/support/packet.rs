//! IPv4 packets as the wire sees them: read, and made up.

use std::net::{Ipv4Addr, SocketAddrV4};

use tracer::tcp::{flag_letters, flags};

/// A TCP segment in an IPv4 packet.
#[derive(Clone, Debug)]
pub struct Segment {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub seq: u32,
    pub ack: u32,
    /// The flags byte.
    pub flags: u8,
    pub payload_bytes: u32,
    /// The whole packet, IP header first.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// Reads a packet; `None` for anything but whole TCP over IPv4.
    pub fn parse(bytes: &[u8]) -> Option<Segment> {
        let version_and_length = *bytes.first()?;
        let ip_bytes = usize::from(version_and_length & 0xf) * 4;
        if version_and_length >> 4 != 4 || *bytes.get(9)? != libc::IPPROTO_TCP as u8 {
            return None;
        }
        let tcp = bytes.get(ip_bytes..)?;
        let tcp_bytes = usize::from(*tcp.get(12)? >> 4) * 4;
        Some(Segment {
            from: SocketAddrV4::new(address(bytes, 12)?, u16_at(tcp, 0)?),
            to: SocketAddrV4::new(address(bytes, 16)?, u16_at(tcp, 2)?),
            seq: u32_at(tcp, 4)?,
            ack: u32_at(tcp, 8)?,
            flags: *tcp.get(13)?,
            payload_bytes: u32::try_from(tcp.get(tcp_bytes..)?.len()).ok()?,
            bytes: bytes.to_vec(),
        })
    }

    /// Whether all of `bits` are set.
    pub fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }

    /// A SYN without ACK.
    pub fn is_syn(&self) -> bool {
        self.has(flags::SYN) && !self.has(flags::ACK)
    }

    /// A SYN with ACK.
    pub fn is_syn_ack(&self) -> bool {
        self.has(flags::SYN | flags::ACK)
    }

    pub fn is_fin(&self) -> bool {
        self.has(flags::FIN)
    }

    pub fn is_reset(&self) -> bool {
        self.has(flags::RST)
    }

    /// An acknowledgement that carries nothing else.
    pub fn is_pure_ack(&self) -> bool {
        let others = flags::SYN | flags::FIN | flags::RST;
        self.has(flags::ACK) && self.flags & others == 0 && self.payload_bytes == 0
    }

    /// The sequence number behind it: SYN and FIN count one each.
    pub fn end(&self) -> u32 {
        let phantom = u32::from(self.has(flags::SYN)) + u32::from(self.has(flags::FIN));
        self.seq.wrapping_add(self.payload_bytes).wrapping_add(phantom)
    }
}

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Segment { from, to, seq, ack, payload_bytes, .. } = self;
        write!(f, "{from} > {to} {} {seq} {ack} +{payload_bytes}", flag_letters(self.flags))
    }
}

/// Makes a TCP segment without options or payload.
pub fn tcp(from: SocketAddrV4, to: SocketAddrV4, bits: u8, seq: u32, ack: u32) -> Vec<u8> {
    let mut segment = vec![0; 20];
    segment[0..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    segment[8..12].copy_from_slice(&ack.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = bits;
    segment[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
    let mut summed = Vec::with_capacity(32);
    summed.extend(from.ip().octets());
    summed.extend(to.ip().octets());
    summed.extend([0, libc::IPPROTO_TCP as u8, 0, 20]);
    summed.extend(&segment);
    segment[16..18].copy_from_slice(&checksum(&summed).to_be_bytes());
    ip(libc::IPPROTO_TCP as u8, *from.ip(), *to.ip(), &segment)
}

/// Makes an ICMP "destination unreachable" by `router` about `packet`, for the packet's sender.
pub fn unreachable(router: Ipv4Addr, code: u8, packet: &Segment) -> Vec<u8> {
    let quoted = &packet.bytes[..packet.bytes.len().min(28)];
    let mut message = vec![3, code, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(libc::IPPROTO_ICMP as u8, router, *packet.from.ip(), &message)
}

fn ip(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, content: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + content.len()).expect("made-up packets are small");
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend(from.octets());
    packet.extend(to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(content);
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    u32_at(bytes, at).map(Ipv4Addr::from)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
