//! IP and TCP headers, put together from what the records say.

use std::net::IpAddr;

use crate::record::SocketAddress;

/// Most payload of one packet: what an IPv4 packet of 65,535 bytes holds behind two headers of 20 bytes.
pub(super) const MAX_PAYLOAD_BYTES: u32 = 65_495;

const TCP_HEADER_BYTES: u16 = 20;
const IPV4_HEADER_BYTES: u16 = 20;
const IPV6_HEADER_BYTES: u16 = 40;
const TCP: u8 = 6;
/// The records do not tell the time to live: the usual one for packets that leave a host.
const TTL: u8 = 64;
/// Nor the window: 0 would say that the receiver has no room.
const WINDOW: u16 = u16::MAX;
const DO_NOT_FRAGMENT: u16 = 0x4000;

/// One TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub from: SocketAddress,
    pub to: SocketAddress,
    pub seq: u32,
    /// Acknowledgement number; it counts where the flags have ACK.
    pub ack: u32,
    /// As in the TCP header.
    pub flags: u8,
    /// At most [`MAX_PAYLOAD_BYTES`].
    pub payload_bytes: u16,
    /// The payload's first bytes.
    pub captured: &'a [u8],
}

impl Segment<'_> {
    /// Puts the packet's captured bytes into `packet` and gives its length on the network. `None` where the two addresses
    /// are of different families, which no packet has.
    pub fn build(&self, packet: &mut Vec<u8>) -> Option<u32> {
        packet.clear();
        let tcp_bytes = TCP_HEADER_BYTES.saturating_add(self.payload_bytes);
        let (ip_bytes, pseudo) = match (self.from.ip, self.to.ip) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let (from, to) = (from.octets(), to.octets());
                push_ipv4(packet, tcp_bytes, from, to);
                (IPV4_HEADER_BYTES, sum(&from) + sum(&to))
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let (from, to) = (from.octets(), to.octets());
                push_ipv6(packet, tcp_bytes, from, to);
                (IPV6_HEADER_BYTES, sum(&from) + sum(&to))
            }
            _ => return None,
        };
        let tcp_at = packet.len();
        self.push_tcp(packet);
        // A checksum is over all of the payload: of one that is not all there it is not known, and 0 stands there.
        if self.captured.len() == usize::from(self.payload_bytes) {
            let tcp = packet.get(tcp_at..).unwrap_or_default();
            let total = pseudo + u32::from(TCP) + u32::from(tcp_bytes) + sum(tcp);
            put_u16(packet, tcp_at + 16, folded(total));
        }
        Some(u32::from(ip_bytes) + u32::from(tcp_bytes))
    }

    fn push_tcp(&self, packet: &mut Vec<u8>) {
        packet.extend_from_slice(&self.from.port.to_be_bytes());
        packet.extend_from_slice(&self.to.port.to_be_bytes());
        packet.extend_from_slice(&self.seq.to_be_bytes());
        packet.extend_from_slice(&self.ack.to_be_bytes());
        // Header length in words of four bytes.
        packet.push(((TCP_HEADER_BYTES / 4) as u8) << 4);
        packet.push(self.flags);
        packet.extend_from_slice(&WINDOW.to_be_bytes());
        // Checksum, urgent pointer.
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(self.captured);
    }
}

fn push_ipv4(packet: &mut Vec<u8>, tcp_bytes: u16, from: [u8; 4], to: [u8; 4]) {
    // Version 4, header of five words; no class of service.
    packet.extend_from_slice(&[0x45, 0]);
    packet.extend_from_slice(&IPV4_HEADER_BYTES.saturating_add(tcp_bytes).to_be_bytes());
    packet.extend_from_slice(&0u16.to_be_bytes());
    packet.extend_from_slice(&DO_NOT_FRAGMENT.to_be_bytes());
    packet.extend_from_slice(&[TTL, TCP, 0, 0]);
    packet.extend_from_slice(&from);
    packet.extend_from_slice(&to);
    let checksum = folded(sum(packet));
    put_u16(packet, 10, checksum);
}

fn push_ipv6(packet: &mut Vec<u8>, tcp_bytes: u16, from: [u8; 16], to: [u8; 16]) {
    packet.extend_from_slice(&[0x60, 0, 0, 0]);
    packet.extend_from_slice(&tcp_bytes.to_be_bytes());
    packet.extend_from_slice(&[TCP, TTL]);
    packet.extend_from_slice(&from);
    packet.extend_from_slice(&to);
}

/// Sum of the big-endian words, an odd last byte being the upper half of one (RFC 1071). 65,535 bytes do not overflow it.
fn sum(bytes: &[u8]) -> u32 {
    let mut words = bytes.chunks_exact(2);
    let whole: u32 = words.by_ref().map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    whole + words.remainder().first().map_or(0, |last| u32::from(*last) << 8)
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn put_u16(packet: &mut [u8], at: usize, number: u16) {
    if let Some(place) = packet.get_mut(at..at + 2) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::flags;

    fn address(ip: &str, port: u16) -> SocketAddress {
        SocketAddress { ip: ip.parse().unwrap(), port }
    }

    fn segment<'a>(from: &str, to: &str, captured: &'a [u8]) -> Segment<'a> {
        Segment {
            from: address(from, 0x1234),
            to: address(to, 80),
            seq: 1,
            ack: 2,
            flags: flags::PSH | flags::ACK,
            payload_bytes: captured.len() as u16,
            captured,
        }
    }

    /// Over the TCP segment and its pseudo header, checksum included: 0 where that is right.
    fn left_over(packet: &[u8], addresses: std::ops::Range<usize>, tcp_at: usize) -> u16 {
        let tcp = &packet[tcp_at..];
        folded(sum(&packet[addresses]) + 6 + tcp.len() as u32 + sum(tcp))
    }

    #[test]
    fn an_ipv4_packet_has_its_lengths_and_checksums() {
        let mut packet = Vec::new();
        let on_the_network = segment("10.0.0.1", "10.0.0.2", b"abc").build(&mut packet).unwrap();
        assert_eq!((on_the_network, packet.len()), (43, 43));
        assert_eq!(packet[..4], [0x45, 0, 0, 43]);
        assert_eq!(folded(sum(&packet[..20])), 0);
        assert_eq!(left_over(&packet, 12..20, 20), 0);
        assert_eq!(packet[20..24], [0x12, 0x34, 0, 80]);
        assert_eq!(packet[33], 0x18);
        assert_eq!(packet[40..], *b"abc");
    }

    #[test]
    fn an_ipv6_packet_likewise() {
        let mut packet = Vec::new();
        let on_the_network =
            segment("2001:db8::1", "2001:db8::2", b"ab").build(&mut packet).unwrap();
        assert_eq!((on_the_network, packet.len()), (62, 62));
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 22, 6, 64]);
        assert_eq!(left_over(&packet, 8..40, 40), 0);
    }

    #[test]
    fn a_packet_whose_payload_is_not_all_there_says_its_length_and_no_checksum() {
        let mut packet = Vec::new();
        let cut = Segment {
            payload_bytes: MAX_PAYLOAD_BYTES as u16,
            ..segment("10.0.0.1", "10.0.0.2", b"abc")
        };
        assert_eq!(cut.build(&mut packet), Some(65_535));
        assert_eq!(packet.len(), 43);
        assert_eq!(packet[2..4], [0xff, 0xff]);
        assert_eq!(packet[36..38], [0, 0]);
    }

    #[test]
    fn addresses_of_two_families_make_no_packet() {
        assert_eq!(segment("0.0.0.0", "2001:db8::2", b"").build(&mut Vec::new()), None);
    }
}
