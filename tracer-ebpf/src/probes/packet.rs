//! cgroup_skb: every TCP packet of every full socket of the host, both ways.
//!
//! A pure ACK, the most frequent packet, leaves after the fewest loads. SYN, FIN and RST become segment
//! events; payload goes on to `payload`. Nothing is ever dropped or changed: the verdict is always "pass".

use aya_ebpf::{
    bindings::bpf_sock,
    helpers::generated::{bpf_get_socket_cookie, bpf_sk_fullsock},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use tracer_common::{Endpoints, Hook, Kind, RECEIVED, SENT, Segment};

use crate::{
    emit::{self, Origin},
    kernel,
    maps::SocketMemory,
    ports,
    probes::payload,
    socket::{self, AF_INET, AF_INET6, TcpSock},
};

const PASS: i32 = 1;
const PROTOCOL_TCP: u8 = 6;
/// Version 4, five words of header.
const IPV4_WITHOUT_OPTIONS: u8 = 0x45;
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

impl Packet {
    /// The acknowledgement number; 0 where it cannot be loaded.
    #[inline(always)]
    pub fn ack(&self, ctx: &SkBuffContext) -> u32 {
        u32::from_be(ctx.skb.load(self.tcp_offset + 8).unwrap_or_default())
    }

    /// Writes into the packet's control block what [`Packet::saved`] reads in a program that this one tail-calls.
    #[inline(always)]
    pub fn save(&self, ctx: &SkBuffContext, offset: u32, word: u32) {
        let family = u32::from(self.family) << 8;
        let flags = u32::from(self.flags) << 16;
        let places = self.payload_offset as u32 | (self.tcp_offset as u32) << 16;
        // SAFETY: the context's own words, which are this run's until it ends.
        unsafe {
            let block = &raw mut (*ctx.skb.skb).cb;
            let block = block.cast::<u32>();
            block.write_volatile(self.seq);
            block.add(1).write_volatile(places);
            block.add(2).write_volatile(u32::from(self.direction) | family | flags);
            block.add(3).write_volatile(offset);
            block.add(4).write_volatile(word);
        }
    }

    /// The packet, and the two words that were saved with it.
    #[inline(always)]
    pub fn saved(ctx: &SkBuffContext) -> (Packet, u32, u32) {
        // SAFETY: as in `save`.
        let [seq, places, kind, offset, word] = unsafe {
            let block = (&raw const (*ctx.skb.skb).cb).cast::<u32>();
            [
                block.read_volatile(),
                block.add(1).read_volatile(),
                block.add(2).read_volatile(),
                block.add(3).read_volatile(),
                block.add(4).read_volatile(),
            ]
        };
        let payload_offset = (places & 0xffff) as usize;
        let packet = Packet {
            direction: kind as u8,
            family: (kind >> 8 & 0xff) as u16,
            flags: (kind >> 16) as u8,
            tcp_offset: (places >> 16) as usize,
            payload_offset,
            payload_bytes: ctx.skb.len().saturating_sub(payload_offset as u32),
            seq,
        };
        (packet, offset, word)
    }
}

#[inline(always)]
fn look(ctx: &SkBuffContext, direction: u8) -> Option<()> {
    parse(ctx, direction)?.save(ctx, 0, 0);
    // Read back: a verifier that knows where each kind of packet has its headers follows each to the end.
    let (packet, ..) = Packet::saved(ctx);
    let flagged = packet.flags & FIN_SYN_RST != 0;
    if packet.payload_bytes == 0 && !flagged {
        return None;
    }
    if !ports::are_all_watched() && !is_watched(ctx, &packet)? {
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

/// Whether the packet's connection is watched; `None` for a packet without a full socket. Its socket knows best: NAT
/// may have changed the packet, but a packet may come before it has a socket of its own.
#[inline(always)]
fn is_watched(ctx: &SkBuffContext, packet: &Packet) -> Option<bool> {
    let sk = PacketSocket::of(ctx)?;
    let (local, remote) = sk.ports();
    let ports: [u16; 2] = ctx.skb.load(packet.tcp_offset).unwrap_or_default();
    let [source, destination] = ports.map(u16::from_be);
    let by_packet = is_nameless(sk.state()) && ports::is_watched(source, destination);
    Some(by_packet || ports::is_watched(local, remote))
}

/// Whether the socket of a packet in this state may be another than the connection's own, so that its cookie names
/// nothing: a listener, a control socket, or one that is still being born.
#[inline(always)]
pub fn is_nameless(sk_state: u8) -> bool {
    const ESTABLISHED: u8 = 1;
    const FIN_WAIT1: u8 = 4;
    const FIN_WAIT2: u8 = 5;
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    const CLOSING: u8 = 11;
    !matches!(sk_state, ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT | LAST_ACK | CLOSING)
}

/// What the headers say, or `None` for what is not TCP, not well-formed, or a pure ACK.
#[inline(always)]
fn parse(ctx: &SkBuffContext, direction: u8) -> Option<Packet> {
    // SAFETY: the context's own fields; what lies between them is only read behind a comparison with `end`.
    let (data, end) = unsafe { ((*ctx.skb.skb).data as usize, (*ctx.skb.skb).data_end as usize) };
    if data + IPV4_HEADER_BYTES + TCP_HEADER_BYTES > end {
        return parse_slowly(ctx, direction);
    }
    // SAFETY: 40 bytes were compared with `end`; these are the first of them.
    let (first, protocol_v4, protocol_v6) =
        unsafe { (*(data as *const u8), *((data + 9) as *const u8), *((data + 6) as *const u8)) };
    if first == IPV4_WITHOUT_OPTIONS {
        if protocol_v4 != PROTOCOL_TCP {
            return None;
        }
        // SAFETY: the TCP header's fixed part lies within the 40 bytes compared with `end`.
        let tcp = unsafe { TcpFields::read((data + IPV4_HEADER_BYTES) as *const u8) };
        return packet_of(ctx, direction, AF_INET, IPV4_HEADER_BYTES, tcp);
    }
    if first >> 4 == 6 && protocol_v6 == PROTOCOL_TCP {
        if data + IPV6_HEADER_BYTES + TCP_HEADER_BYTES > end {
            return parse_slowly(ctx, direction);
        }
        // SAFETY: 60 bytes were compared with `end`.
        let tcp = unsafe { TcpFields::read((data + IPV6_HEADER_BYTES) as *const u8) };
        return packet_of(ctx, direction, AF_INET6, IPV6_HEADER_BYTES, tcp);
    }
    parse_slowly(ctx, direction)
}

/// The fields of the TCP header that decide what a packet is.
#[derive(Clone, Copy)]
struct TcpFields {
    seq: u32,
    header_words: u8,
    flags: u8,
}

impl TcpFields {
    /// # Safety
    /// 20 bytes must be readable at `header`, proven to the verifier.
    #[inline(always)]
    unsafe fn read(header: *const u8) -> TcpFields {
        // SAFETY: the caller's promise. IP headers and so TCP headers are 4-byte aligned.
        unsafe {
            TcpFields {
                seq: u32::from_be(*header.add(4).cast::<u32>()),
                header_words: *header.add(12) >> 4,
                flags: *header.add(13),
            }
        }
    }
}

/// IPv4 options, headers outside of the linear part, IPv6 with something before TCP: rare, so copied field by field.
#[inline(always)]
fn parse_slowly(ctx: &SkBuffContext, direction: u8) -> Option<Packet> {
    let first: u8 = ctx.skb.load(0).ok()?;
    let (family, tcp_offset) = match first >> 4 {
        4 if ctx.skb.load::<u8>(9).ok()? == PROTOCOL_TCP => {
            (AF_INET, usize::from(first & 0x0f) * 4)
        }
        6 => (AF_INET6, tcp_behind_extensions(ctx)?),
        _ => return None,
    };
    let seq: u32 = ctx.skb.load(tcp_offset + 4).ok()?;
    let [words, flags]: [u8; 2] = ctx.skb.load(tcp_offset + 12).ok()?;
    let tcp = TcpFields { seq: u32::from_be(seq), header_words: words >> 4, flags };
    packet_of(ctx, direction, family, tcp_offset, tcp)
}

/// Where the TCP header starts behind IPv6 extension headers (RFC 8200 section 4).
#[inline(always)]
fn tcp_behind_extensions(ctx: &SkBuffContext) -> Option<usize> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;
    const MOBILITY: u8 = 135;
    const FRAGMENT_BYTES: usize = 8;
    /// More than any sender puts into a packet.
    const MAX_EXTENSIONS: usize = 8;
    let mut next: u8 = ctx.skb.load(6).ok()?;
    let mut offset = IPV6_HEADER_BYTES;
    for _ in 0..MAX_EXTENSIONS {
        if next == PROTOCOL_TCP {
            return Some(offset);
        }
        let [following, units]: [u8; 2] = ctx.skb.load(offset).ok()?;
        offset += match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY => (usize::from(units) + 1) * 8,
            // The TCP header is in the first fragment; sockets get packets that are whole again.
            FRAGMENT => FRAGMENT_BYTES,
            // RFC 4302 section 2.2: in words of 4 bytes, less 2.
            AUTHENTICATION => (usize::from(units) + 2) * 4,
            _ => return None,
        };
        next = following;
    }
    None
}

#[inline(always)]
fn packet_of(
    ctx: &SkBuffContext,
    direction: u8,
    family: u16,
    tcp_offset: usize,
    tcp: TcpFields,
) -> Option<Packet> {
    let header_bytes = usize::from(tcp.header_words) * 4;
    let payload_offset = tcp_offset + header_bytes;
    // The skb's own length, not the IP header's: that is 0 for a GSO packet beyond 64 KiB.
    let payload_bytes = ctx.skb.len().checked_sub(payload_offset as u32)?;
    if header_bytes < TCP_HEADER_BYTES || (payload_bytes == 0 && tcp.flags & FIN_SYN_RST == 0) {
        return None;
    }
    let flags = tcp.flags;
    Some(Packet {
        direction,
        family,
        flags,
        tcp_offset,
        payload_offset,
        payload_bytes,
        seq: tcp.seq,
    })
}

/// Addresses, ports and acknowledgement number as they are in a packet, in network byte order.
#[derive(Clone, Copy, Default)]
pub struct Ends {
    source: [u32; 4],
    destination: [u32; 4],
    ports: [u16; 2],
    ack: u32,
}

impl Ends {
    /// What cannot be loaded is zero.
    #[inline(always)]
    pub fn of(ctx: &SkBuffContext, packet: &Packet) -> Ends {
        // SAFETY: the context's own fields; what lies between them is only read behind a comparison with `end`.
        let (data, end) =
            unsafe { ((*ctx.skb.skb).data as usize, (*ctx.skb.skb).data_end as usize) };
        let is_plain_v4 = packet.family == AF_INET && packet.tcp_offset == IPV4_HEADER_BYTES;
        if is_plain_v4 && data + IPV4_HEADER_BYTES + TCP_HEADER_BYTES <= end {
            // SAFETY: 40 bytes were compared with `end`.
            return unsafe { Ends::v4(data as *const u32) };
        }
        let is_plain_v6 = packet.family == AF_INET6 && packet.tcp_offset == IPV6_HEADER_BYTES;
        if is_plain_v6 && data + IPV6_HEADER_BYTES + TCP_HEADER_BYTES <= end {
            // SAFETY: 60 bytes were compared with `end`.
            return unsafe { Ends::v6(data as *const u32) };
        }
        Ends::copied(ctx, packet)
    }

    /// # Safety
    /// 40 bytes must be readable at `words`, proven to the verifier: an IPv4 header without options and a TCP header.
    #[inline(always)]
    unsafe fn v4(words: *const u32) -> Ends {
        // SAFETY: the caller's promise. IP headers are 4-byte aligned.
        unsafe {
            Ends {
                source: [*words.add(3), 0, 0, 0],
                destination: [*words.add(4), 0, 0, 0],
                ports: *words.add(5).cast(),
                ack: *words.add(7),
            }
        }
    }

    /// # Safety
    /// 60 bytes must be readable at `words`, proven to the verifier: an IPv6 header and a TCP header.
    #[inline(always)]
    unsafe fn v6(words: *const u32) -> Ends {
        // SAFETY: the caller's promise. IP headers are 4-byte aligned.
        unsafe {
            Ends {
                source: *words.add(2).cast(),
                destination: *words.add(6).cast(),
                ports: *words.add(10).cast(),
                ack: *words.add(12),
            }
        }
    }

    /// Where the headers are not as nearly always: by helper calls.
    #[inline(always)]
    fn copied(ctx: &SkBuffContext, packet: &Packet) -> Ends {
        let [source, destination]: [[u32; 4]; 2] = if packet.family == AF_INET6 {
            ctx.skb.load(8).unwrap_or_default()
        } else {
            let [source, destination]: [u32; 2] = ctx.skb.load(12).unwrap_or_default();
            [[source, 0, 0, 0], [destination, 0, 0, 0]]
        };
        Ends {
            source,
            destination,
            ports: ctx.skb.load(packet.tcp_offset).unwrap_or_default(),
            ack: ctx.skb.load(packet.tcp_offset + 8).unwrap_or_default(),
        }
    }

    /// Writes addresses and ports as the socket sees them: local is the destination of what is received.
    #[inline(always)]
    pub fn write(&self, direction: u8, netns: u32, out: *mut Endpoints) {
        let [source_port, destination_port] = self.ports.map(u16::from_be);
        // SAFETY: ring memory of the caller's event.
        unsafe {
            if direction == SENT {
                socket::set_addresses(out, self.source, self.destination);
                (*out).local_port = source_port;
                (*out).remote_port = destination_port;
            } else {
                socket::set_addresses(out, self.destination, self.source);
                (*out).local_port = destination_port;
                (*out).remote_port = source_port;
            }
            (*out).netns = netns;
        }
    }
}

/// The full socket that a packet belongs to, as the verifier knows it: its fields are read by name only.
#[derive(Clone, Copy)]
pub struct PacketSocket(pub *mut bpf_sock);

impl PacketSocket {
    /// The packet's socket; `None` for a packet of a request or timewait socket, or of none.
    #[inline(always)]
    pub fn of(ctx: &SkBuffContext) -> Option<PacketSocket> {
        // SAFETY: the context's `sk` is checked for null before the helper takes it, and its result too.
        unsafe {
            let sk = (*ctx.skb.skb).__bindgen_anon_2.sk;
            if sk.is_null() {
                return None;
            }
            let full = bpf_sk_fullsock(sk);
            if full.is_null() { None } else { Some(PacketSocket(full)) }
        }
    }

    /// sk_state. State 10 is a listener: the connection is the tuple's.
    #[inline(always)]
    pub fn state(self) -> u8 {
        // SAFETY: not null, checked in `of`.
        unsafe { (*self.0).state as u8 }
    }

    /// Local and remote port.
    #[inline(always)]
    fn ports(self) -> (u16, u16) {
        // SAFETY: as in `state`.
        unsafe { ((*self.0).src_port as u16, u16::from_be((*self.0).dst_port)) }
    }

    /// Inode number of the socket's namespace; 0 for the kernel's control sockets, which newer kernels do not take for
    /// `tcp_sock`s. See `netns_of_any`.
    #[inline(always)]
    pub fn netns(self) -> u32 {
        // SAFETY: the verifier knows `self.0` as a socket.
        unsafe { socket::as_tcp(self.0.cast()) }.map_or(0, TcpSock::netns)
    }

    /// The same, of control sockets too. `scratch` is ring memory of the event in the making, overwritten later: the
    /// verifier forbids arithmetic on this kind of pointer, and read back from memory it is a number.
    #[inline(always)]
    fn netns_of_any(self, scratch: *mut u64) -> u32 {
        // SAFETY: as in `netns`.
        if let Some(tcp) = unsafe { socket::as_tcp(self.0.cast()) } {
            return tcp.netns();
        }
        // SAFETY: the caller's ring memory, exclusively ours.
        let address = unsafe {
            scratch.write_volatile(self.0 as u64);
            scratch.read_volatile()
        };
        socket::netns_at(address as *const u8)
    }

    /// What is remembered of the socket, or null.
    #[inline(always)]
    pub fn memory(self) -> *mut SocketMemory {
        // SAFETY: the verifier knows `self.0` as a socket.
        unsafe { kernel::memory(self.0.cast()) }
    }

    /// The same, made if need be; null where the kernel has no memory for it.
    #[inline(always)]
    pub fn memory_or_new(self) -> *mut SocketMemory {
        // SAFETY: as above.
        unsafe { kernel::memory_or_new(self.0.cast()) }
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
    let sk = PacketSocket::of(ctx)?;
    // A loss is told with the socket's next state or payload: its memory is looked up only to note one.
    let origin = Origin {
        hook: Hook::Segments,
        kind: Kind::Segment,
        cookie: cookie_of(ctx),
        memory: core::ptr::null_mut(),
    };
    let Some(mut entry) = emit::reserve::<Segment>(&origin) else {
        emit::count_lost_of_socket(sk.memory());
        return None;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        let netns = sk.netns_of_any((&raw mut (*event).endpoints).cast());
        let ends = Ends::of(ctx, packet);
        ends.write(packet.direction, netns, &raw mut (*event).endpoints);
        (*event).seq = packet.seq;
        (*event).ack = if packet.flags & FLAG_ACK != 0 { u32::from_be(ends.ack) } else { 0 };
        (*event).payload_bytes = packet.payload_bytes;
        (*event).family = packet.family;
        (*event).flags = packet.flags;
        (*event).direction = packet.direction;
        (*event).retransmit = 0;
        (*event).sk_state = sk.state().into();
    }
    emit::submit(entry, Hook::Segments);
    Some(())
}
