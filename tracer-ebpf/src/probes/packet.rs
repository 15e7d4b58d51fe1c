//! cgroup_skb: every TCP packet of every full socket of the host, both ways.
//!
//! A pure ACK, the most frequent packet, leaves after the fewest loads. SYN, FIN and RST become segment
//! events; payload goes on to `payload`. Nothing is ever dropped or changed: the verdict is always "pass".

use aya_ebpf::{
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use tracer_common::{Endpoints, Hook, Kind, RECEIVED, SENT, Segment};

use crate::{
    emit::{self, Origin},
    kernel::{self, AF_INET, AF_INET6, Sock},
    probes::payload,
};

const PASS: i32 = 1;
const PROTOCOL_TCP: u8 = 6;
const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const TCP_HEADER_BYTES: usize = 20;
const FIN_SYN_RST: u8 = 0x07;
const FLAG_ACK: u8 = 0x10;

/// To a socket of this host.
#[cgroup_skb]
pub fn cgroup_ingress(ctx: SkBuffContext) -> i32 {
    look(&ctx, RECEIVED);
    PASS
}

/// From a socket of this host.
#[cgroup_skb]
pub fn cgroup_egress(ctx: SkBuffContext) -> i32 {
    look(&ctx, SENT);
    PASS
}

/// What the headers of a TCP packet say.
#[derive(Clone, Copy)]
pub struct Packet {
    pub direction: u8,
    pub family: u16,
    pub flags: u8,
    /// Where the TCP header starts, bytes from the IP header.
    tcp_offset: usize,
    /// Where the payload starts.
    pub payload_offset: usize,
    pub payload_bytes: u32,
    pub seq: u32,
}

#[inline(always)]
fn look(ctx: &SkBuffContext, direction: u8) -> Option<()> {
    let packet = parse(ctx, direction)?;
    let flagged = packet.flags & FIN_SYN_RST != 0;
    if packet.payload_bytes == 0 && !flagged {
        return None;
    }
    if flagged {
        tell_segment(ctx, &packet);
    }
    if packet.payload_bytes != 0 {
        payload::look(ctx, &packet);
    }
    None
}

/// A `T` at `offset` of the packet: directly where it is in the linear part, else copied out by the kernel.
#[inline(always)]
fn load<T: Copy>(ctx: &SkBuffContext, offset: usize) -> Option<T> {
    // SAFETY: `data` and `data_end` bound the linear part, which the comparison proves to the verifier. The
    // target reads unaligned integers.
    unsafe {
        let data = (*ctx.skb.skb).data as usize;
        let end = (*ctx.skb.skb).data_end as usize;
        if data + offset + size_of::<T>() <= end {
            return Some(*((data + offset) as *const T));
        }
    }
    ctx.skb.load::<T>(offset).ok()
}

#[inline(always)]
fn parse(ctx: &SkBuffContext, direction: u8) -> Option<Packet> {
    let first: u8 = load(ctx, 0)?;
    let (family, protocol, tcp_offset) = match first >> 4 {
        4 => (AF_INET, load::<u8>(ctx, 9)?, usize::from(first & 0x0f) * 4),
        6 => (AF_INET6, load::<u8>(ctx, 6)?, IPV6_HEADER_BYTES),
        _ => return None,
    };
    if protocol != PROTOCOL_TCP {
        return None;
    }
    match tcp_offset {
        IPV4_HEADER_BYTES => parse_tcp::<IPV4_HEADER_BYTES>(ctx, direction, family),
        IPV6_HEADER_BYTES => parse_tcp::<IPV6_HEADER_BYTES>(ctx, direction, family),
        // IPv4 options: rare enough for the slow way.
        other => parse_tcp_at(ctx, direction, family, other),
    }
}

/// The TCP header at an offset that is a constant, which the verifier likes best.
#[inline(always)]
fn parse_tcp<const OFFSET: usize>(ctx: &SkBuffContext, direction: u8, family: u16) -> Option<Packet> {
    parse_tcp_at(ctx, direction, family, OFFSET)
}

#[inline(always)]
fn parse_tcp_at(ctx: &SkBuffContext, direction: u8, family: u16, tcp_offset: usize) -> Option<Packet> {
    let header_words = load::<u8>(ctx, tcp_offset + 12)? >> 4;
    let header_bytes = usize::from(header_words) * 4;
    if header_bytes < TCP_HEADER_BYTES {
        return None;
    }
    let payload_offset = tcp_offset + header_bytes;
    // The skb's own length, not the IP header's: that is 0 for a GSO packet beyond 64 KiB.
    let payload_bytes = ctx.skb.len().checked_sub(payload_offset as u32)?;
    let flags = load::<u8>(ctx, tcp_offset + 13)?;
    if payload_bytes == 0 && flags & FIN_SYN_RST == 0 {
        return None;
    }
    let seq = u32::from_be(load(ctx, tcp_offset + 4)?);
    Some(Packet { direction, family, flags, tcp_offset, payload_offset, payload_bytes, seq })
}

/// Addresses and ports as the socket sees them: local is the destination of what is received.
#[inline(always)]
pub fn endpoints(ctx: &SkBuffContext, packet: &Packet, out: *mut Endpoints) -> Option<()> {
    let (source, destination) = if packet.family == AF_INET6 {
        (load::<[u8; 16]>(ctx, 8)?, load::<[u8; 16]>(ctx, 24)?)
    } else {
        (widen(load(ctx, 12)?), widen(load(ctx, 16)?))
    };
    let source_port = u16::from_be(load(ctx, packet.tcp_offset)?);
    let destination_port = u16::from_be(load(ctx, packet.tcp_offset + 2)?);
    // SAFETY: ring memory of the caller's event.
    unsafe {
        if packet.direction == SENT {
            (*out).local_addr = source;
            (*out).remote_addr = destination;
            (*out).local_port = source_port;
            (*out).remote_port = destination_port;
        } else {
            (*out).local_addr = destination;
            (*out).remote_addr = source;
            (*out).local_port = destination_port;
            (*out).remote_port = source_port;
        }
    }
    Some(())
}

#[inline(always)]
fn widen(address: [u8; 4]) -> [u8; 16] {
    let mut wide = [0; 16];
    wide[..4].copy_from_slice(&address);
    wide
}

/// Namespace and state of the packet's socket. State 10 is a listener: the connection is the tuple's.
#[inline(always)]
pub fn socket_of(ctx: &SkBuffContext) -> Option<Sock> {
    // SAFETY: the context's `sk` is checked for null before the helper takes it, and its result too.
    unsafe {
        let sk = (*ctx.skb.skb).__bindgen_anon_2.sk;
        if sk.is_null() {
            return None;
        }
        let full = bpf_sk_fullsock(sk);
        if full.is_null() { None } else { Some(Sock(full.cast())) }
    }
}

/// The cookie of the packet's socket.
#[inline(always)]
pub fn cookie_of(ctx: &SkBuffContext) -> u64 {
    // SAFETY: the helper takes this program's own context.
    unsafe { bpf_get_socket_cookie(ctx.skb.skb.cast()) }
}

#[inline(always)]
fn tell_segment(ctx: &SkBuffContext, packet: &Packet) -> Option<()> {
    let sk = socket_of(ctx)?;
    // SAFETY: the verifier knows `sk` as a socket.
    let memory = unsafe { kernel::storage(sk.0.cast_mut().cast(), core::ptr::null_mut(), 0) };
    let origin = Origin {
        hook: Hook::Segments,
        kind: Kind::Segment,
        cookie: cookie_of(ctx),
        memory,
    };
    let mut entry = emit::reserve::<Segment>(&origin)?;
    let event = entry.as_mut_ptr();
    // SAFETY: ring memory of this event, ours until it is submitted. The header fields were loaded before,
    // so these loads succeed; should one fail, the field stays zero.
    unsafe {
        (*event).endpoints = core::mem::zeroed();
        let _ = endpoints(ctx, packet, &raw mut (*event).endpoints);
        (*event).endpoints.netns = sk.netns();
        (*event).seq = packet.seq;
        let ack = load::<u32>(ctx, packet.tcp_offset + 8).unwrap_or(0);
        (*event).ack = if packet.flags & FLAG_ACK != 0 { u32::from_be(ack) } else { 0 };
        (*event).payload_bytes = packet.payload_bytes;
        (*event).family = packet.family;
        (*event).flags = packet.flags;
        (*event).direction = packet.direction;
        (*event).retransmit = 0;
        (*event).sk_state = sk.state();
        (*event).reserved = [0; 6];
    }
    emit::submit(entry, Hook::Segments);
    Some(())
}
