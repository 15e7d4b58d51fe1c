//! HTTP/1 payload. A socket is classified by its first bytes; what is not HTTP/1 then costs one look-up a packet.
//!
//! After a packet that begins a message, up to `CAPTURE_BUDGET_BYTES` of that direction are captured whole;
//! beyond that only the head of each packet, with its true length: bodies are counted, not copied.

use core::mem::MaybeUninit;

use aya_ebpf::{
    helpers::generated::{bpf_skb_load_bytes, bpf_tcp_sock},
    programs::SkBuffContext,
};
use aya_log_ebpf::warn;
use tracer_common::{
    CAPTURE_BUDGET_BYTES, Endpoints, HEAD_BYTES, Hook, Kind, Payload, SENT, SLICE_BYTES,
};

use crate::{
    emit::{self, Origin},
    maps::{CLASS_HTTP, CLASS_OTHER, CLASS_UNDECIDED, SocketMemory},
    probes::packet::{self, Ends, Packet, PacketSocket},
};

/// Slices of one packet at most: 64 KiB of budget.
const MAX_SLICES: usize = CAPTURE_BUDGET_BYTES as usize / SLICE_BYTES;
/// Payload packets looked at before a new socket counts as not HTTP: the answer may come before the rest.
const TRIES_NEW: u16 = 8;
/// The same for a socket that was in the middle of something when the tracer came.
const TRIES_OLD: u16 = 4096;

/// What a packet's first bytes look like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Request,
    Connect,
    Response,
    /// `HTTP/1.x 101` or a 2xx, which ends HTTP after a CONNECT.
    Switching,
    Success,
    Middle,
}

#[inline(always)]
pub fn look(ctx: &SkBuffContext, packet: &Packet) -> Option<()> {
    let sk = PacketSocket::of(ctx)?;
    let memory = sk.memory_or_new();
    if memory.is_null() {
        emit::count_lost_event(Hook::Payload);
        if emit::may_log() {
            warn!(
                ctx,
                "no memory for a socket's storage: {} bytes not looked at", packet.payload_bytes
            );
        }
        return None;
    }
    // SAFETY: a socket's storage; races between its two directions may cost a capture, never memory.
    let memory = unsafe { &mut *memory };
    if memory.class == CLASS_OTHER {
        return None;
    }
    let start = start_of(ctx, packet);
    if memory.class == CLASS_UNDECIDED {
        if start == Start::Middle {
            spend_try(memory, sk);
            return None;
        }
        memory.class = CLASS_HTTP;
    }
    let way = usize::from(packet.direction != SENT);
    if start != Start::Middle {
        memory.budget_bytes[way & 1] = CAPTURE_BUDGET_BYTES;
    }
    capture(ctx, packet, sk, memory);
    leave_http(memory, start);
    None
}

/// After 101, and after a 2xx to CONNECT, the bytes are no HTTP any more (RFC 9110 sections 7.8 and 9.3.6).
#[inline(always)]
fn leave_http(memory: &mut SocketMemory, start: Start) {
    match start {
        Start::Connect => memory.connect_pending = 1,
        Start::Switching => memory.class = CLASS_OTHER,
        Start::Success if memory.connect_pending == 1 => memory.class = CLASS_OTHER,
        Start::Response => memory.connect_pending = 0,
        Start::Success | Start::Request | Start::Middle => {}
    }
}

#[inline(always)]
fn spend_try(memory: &mut SocketMemory, sk: PacketSocket) {
    if memory.tries_left == 0 {
        // SAFETY: the verifier knows `sk` as a full socket; the result is checked.
        let young = unsafe {
            let tcp = bpf_tcp_sock(sk.0);
            tcp.is_null() || (*tcp).data_segs_in + (*tcp).data_segs_out <= 64
        };
        memory.tries_left = if young { TRIES_NEW } else { TRIES_OLD };
    }
    memory.tries_left -= 1;
    if memory.tries_left == 0 {
        memory.class = CLASS_OTHER;
    }
}

#[inline(always)]
fn start_of(ctx: &SkBuffContext, packet: &Packet) -> Start {
    if packet.payload_bytes < 12 {
        return Start::Middle;
    }
    let mut head = MaybeUninit::<[u8; 12]>::uninit();
    // SAFETY: the helper copies 12 bytes of the packet to the stack, constant length, or clears them.
    let failed = unsafe {
        bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            packet.payload_offset as u32,
            head.as_mut_ptr().cast(),
            12,
        )
    };
    if failed != 0 {
        return Start::Middle;
    }
    // SAFETY: filled by the helper.
    let head = unsafe { head.assume_init_ref() };
    let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if word == u32::from_be_bytes(*b"HTTP") {
        return response(head);
    }
    if word == u32::from_be_bytes(*b"CONN") {
        return Start::Connect;
    }
    if is_method(word) { Start::Request } else { Start::Middle }
}

#[inline(always)]
fn response(head: &[u8; 12]) -> Start {
    if head[4] != b'/' || head[5] != b'1' {
        return Start::Middle;
    }
    match (head[9], head[10], head[11]) {
        (b'1', b'0', b'1') => Start::Switching,
        (b'2', ..) => Start::Success,
        _ => Start::Response,
    }
}

/// Whether the first four bytes begin a registered method (IANA HTTP Method Registry) that people meet.
#[inline(always)]
fn is_method(word: u32) -> bool {
    const METHODS: [[u8; 4]; 22] = [
        *b"GET ", *b"POST", *b"PUT ", *b"HEAD", *b"DELE", *b"OPTI", *b"PATC", *b"TRAC", *b"PROP",
        *b"MKCO", *b"COPY", *b"MOVE", *b"LOCK", *b"UNLO", *b"REPO", *b"SEAR", *b"PURG", *b"MKCA",
        *b"BIND", *b"CHEC", *b"MERG", *b"QUER",
    ];
    let mut known = false;
    let mut i = 0;
    while i < METHODS.len() {
        known |= word == u32::from_be_bytes(METHODS[i]);
        i += 1;
    }
    known
}

#[inline(always)]
fn capture(ctx: &SkBuffContext, packet: &Packet, sk: PacketSocket, memory: &mut SocketMemory) {
    let way = usize::from(packet.direction != SENT) & 1;
    let budget = memory.budget_bytes[way];
    let wanted = if budget >= packet.payload_bytes {
        packet.payload_bytes
    } else if budget as usize > HEAD_BYTES {
        budget
    } else if packet.payload_bytes as usize > HEAD_BYTES {
        HEAD_BYTES as u32
    } else {
        packet.payload_bytes
    };
    memory.budget_bytes[way] = budget.saturating_sub(wanted);
    let origin = Origin {
        hook: Hook::Payload,
        kind: Kind::Payload,
        cookie: packet::cookie_of(ctx),
        memory: &raw mut *memory,
    };
    let slice = Slice { ctx, packet, sk_state: sk.state(), origin: &origin };
    // Large slices bear their endpoints too: a second loop without them would double the verifier's work.
    if packet::is_nameless(slice.sk_state) || wanted > 1024 {
        slice.emit_all(wanted, &Ends::of(ctx, packet), sk.netns());
    } else if wanted <= 128 {
        slice.emit::<(), 128>(0, wanted, None);
    } else if wanted <= 256 {
        slice.emit::<(), 256>(0, wanted, None);
    } else {
        slice.emit::<(), 1024>(0, wanted, None);
    }
}

struct Slice<'a> {
    ctx: &'a SkBuffContext,
    packet: &'a Packet,
    sk_state: u8,
    origin: &'a Origin,
}

/// A payload event with room for `N` bytes, a power of two. `E` is `Endpoints` where they are told, else `()`.
#[repr(C)]
struct Room<E, const N: usize> {
    event: Payload,
    endpoints: E,
    bytes: [u8; N],
}

impl Slice<'_> {
    #[inline(always)]
    fn emit_all(&self, wanted: u32, ends: &Ends, netns: u32) {
        let mut offset = 0u32;
        for _ in 0..MAX_SLICES {
            if offset >= wanted {
                break;
            }
            let left = wanted - offset;
            let take = if left > SLICE_BYTES as u32 { SLICE_BYTES as u32 } else { left };
            self.emit::<Endpoints, SLICE_BYTES>(offset, take, Some((ends, netns)));
            offset += SLICE_BYTES as u32;
        }
    }

    #[inline(always)]
    fn emit<E: 'static, const N: usize>(
        &self,
        offset_bytes: u32,
        wanted: u32,
        named: Option<(&Ends, u32)>,
    ) -> Option<()> {
        let mut entry = emit::reserve_payload::<Room<E, N>>(self.origin)?;
        let room = entry.as_mut_ptr();
        // The verifier must see 1..=N on the very register it passes (6.1 insists on both bounds): the volatile
        // read hides from the compiler that the mask changes nothing.
        // SAFETY: reads a local.
        let hidden = unsafe { core::ptr::read_volatile(&raw const wanted) };
        let length = (hidden.wrapping_sub(1) & (N as u32 - 1)) + 1;
        // SAFETY: ring memory of this event, ours until it is submitted; the helper writes at most N bytes.
        unsafe {
            if let Some((ends, netns)) = named {
                ends.write(self.packet.direction, netns, (&raw mut (*room).endpoints).cast());
            }
            let failed = bpf_skb_load_bytes(
                self.ctx.skb.skb.cast(),
                self.packet.payload_offset as u32 + offset_bytes,
                (&raw mut (*room).bytes).cast(),
                length,
            );
            (*room).event.seq = self.packet.seq;
            (*room).event.packet_bytes = self.packet.payload_bytes;
            (*room).event.offset_bytes = offset_bytes;
            (*room).event.captured_bytes = if failed == 0 { length } else { 0 };
            (*room).event.family = self.packet.family;
            (*room).event.direction = self.packet.direction;
            (*room).event.sk_state = self.sk_state;
            (*room).event.has_endpoints = named.is_some().into();
        }
        emit::submit(entry, Hook::Payload);
        Some(())
    }
}
