//! HTTP/1 payload. A socket is classified by its first bytes; what is not HTTP/1 then costs one look-up
//! a packet.
//!
//! Of HTTP, small packets are captured whole. Of larger ones `follow` captures what tells where messages
//! end; content is counted, not copied.

use core::{mem::MaybeUninit, ptr};

use aya_ebpf::{
    helpers::generated::{bpf_skb_load_bytes, bpf_tcp_sock},
    programs::SkBuffContext,
};
use aya_log_ebpf::warn;
use tracer_common::{
    HEAD_BYTES, Hook, SENT, SMALL_PACKET_BYTES,
    framing::{Cursor, FirstBytes, START_BYTES, Start, asked, flag, hide, place, take},
};

use crate::{
    emit,
    maps::{CLASS_HTTP, CLASS_LIKELY, CLASS_OTHER, CLASS_UNDECIDED, SocketMemory},
    probes::{
        follow,
        packet::{self, Packet, PacketSocket},
        slice::Slice,
    },
};

/// Payload packets looked at before a new socket counts as not HTTP: the answer may come before the rest.
const TRIES_NEW: u16 = 8;
/// The same for a socket that was in the middle of something when the tracer came.
const TRIES_OLD: u16 = 4096;

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
    let way = way(packet);
    follow::claim_place(&mut memory.cursors[way & 1]);
    let first = first_bytes(ctx, packet.payload_offset as u32, packet.payload_bytes);
    memory.cursors[way & 1].start = first.start() as u8;
    // Read back where it was written: a verifier that knows what lies there follows every kind of start to the end.
    let cursor = settle(&raw mut memory.cursors[way & 1]);
    if memory.class == CLASS_UNDECIDED && !classify(ctx, packet, sk, memory) {
        follow::free_place(cursor);
        return None;
    }
    if packet::is_nameless(sk.state()) {
        // Its socket may be another's, whose place in a stream is not this packet's.
        follow::free_place(cursor);
        follow::capture(ctx, packet);
        return None;
    }
    let is_ours = follow::holds_place(cursor);
    if is_ours {
        cursor.meet(packet.seq, packet.payload_bytes);
    } else {
        cursor.take = take::WHOLE;
    }
    let cursor = settle(cursor);
    let is_small = packet.payload_bytes <= SMALL_PACKET_BYTES;
    let wanted = if is_small {
        packet.payload_bytes
    } else if cursor.take == take::HEAD {
        HEAD_BYTES as u32
    } else {
        0
    };
    if wanted != 0 || cursor.take == take::NOTHING {
        Slice::new(ctx, packet, sk, memory).emit_first(wanted);
    }
    if cursor.take == take::READ {
        let begins = cursor.from == 0
            && cursor.place == place::START
            && packet.payload_bytes >= START_BYTES
            && Start::is_whole_line(cursor.start);
        if begins {
            cursor.begin_head(cursor.start, memory.asked);
            conclude(memory, way);
            if memory.class == CLASS_OTHER {
                return None;
            }
        }
        let cursor = settle(&raw mut memory.cursors[way & 1]);
        if begins && is_whole_request(ctx, packet, cursor) {
            cursor.place = place::BODY;
            follow::free_place(cursor);
            return None;
        }
        let from = cursor.from;
        follow::begin(ctx, packet, cursor, from, is_small);
    } else {
        if is_ours {
            follow::free_place(cursor);
        }
        if cursor.take == take::WHOLE && !is_small {
            follow::capture(ctx, packet);
        }
    }
    None
}

/// The cursor, of which the compiler and the verifier forget what they know.
#[inline(always)]
fn settle<'a>(cursor: *mut Cursor) -> &'a mut Cursor {
    // SAFETY: the caller's cursor, in a socket's storage.
    unsafe {
        let cursor = ptr::read_volatile(&raw const cursor);
        &mut *cursor
    }
}

/// Whether a request without content ends with its packet: nothing else of it matters.
#[inline(always)]
fn is_whole_request(ctx: &SkBuffContext, packet: &Packet, cursor: &Cursor) -> bool {
    (cursor.start == Start::Request as u8 || cursor.start == Start::Head as u8)
        && packet.payload_bytes <= SMALL_PACKET_BYTES
        && ends_with_empty_line(ctx, packet)
}

/// Index of the packet's direction.
#[inline(always)]
pub fn way(packet: &Packet) -> usize {
    usize::from(packet.direction != SENT) & 1
}

/// Decides by a packet whether an undecided socket carries HTTP; false: its bytes are not looked at.
#[inline(always)]
fn classify(
    ctx: &SkBuffContext,
    packet: &Packet,
    sk: PacketSocket,
    memory: &mut SocketMemory,
) -> bool {
    let way = way(packet);
    let start = memory.cursors[way & 1].start;
    let age = Age::of(sk, packet);
    if memory.tries_left == 0 {
        memory.tries_left = if age == Age::New { TRIES_NEW } else { TRIES_OLD };
    }
    let may_begin = memory.tries_left == TRIES_NEW || age == Age::Begun;
    if !Start::is_message(start) && !(may_begin && Start::may_be_message(start)) {
        memory.tries_left -= 1;
        if memory.tries_left == 0 {
            memory.class = CLASS_OTHER;
        }
        return false;
    }
    let is_certain = Start::is_message(start) && start < Start::ProxyLine as u8;
    memory.class = if is_certain { CLASS_HTTP } else { CLASS_LIKELY };
    memory.cursors[way & 1].begin(packet.seq, 0);
    if age == Age::Begun && !is_certain {
        memory.cursors[way & 1].place = place::BODY;
    }
    // The other direction is where this one acknowledges it.
    let other = &mut memory.cursors[(way ^ 1) & 1];
    if other.frontier == 0 {
        other.begin(packet.ack(ctx), 0);
        if has_sent_before(sk, way ^ 1) {
            // A request that came with the handshake: its content is next, or another message.
            other.place = place::BODY;
        }
    }
    true
}

/// Whether segments with data went this way.
#[inline(always)]
fn has_sent_before(sk: PacketSocket, way: usize) -> bool {
    // SAFETY: the verifier knows `sk` as a full socket; the result is checked.
    unsafe {
        let tcp = bpf_tcp_sock(sk.0);
        if tcp.is_null() {
            return false;
        }
        // Both are read: the verifier allows no arithmetic on this pointer.
        let (sent, received) = (hide((*tcp).data_segs_out), hide((*tcp).data_segs_in));
        (if way == 0 { sent } else { received }) != 0
    }
}

/// How much of a socket's stream was there before the first packet that could be seen of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// Nothing.
    New,
    /// What came with the handshake: with TCP_DEFER_ACCEPT and Fast Open the first data arrives at the listener.
    Begun,
    /// More than can be known.
    Old,
}

impl Age {
    #[inline(always)]
    fn of(sk: PacketSocket, packet: &Packet) -> Age {
        // SAFETY: the verifier knows `sk` as a full socket; the result is checked.
        unsafe {
            let tcp = bpf_tcp_sock(sk.0);
            if tcp.is_null() {
                return Age::New;
            }
            let segments = (*tcp).data_segs_in + (*tcp).data_segs_out;
            if packet.direction != SENT && (*tcp).data_segs_in == 1 && (*tcp).data_segs_out <= 1 {
                return Age::Begun;
            }
            if segments <= 64 { Age::New } else { Age::Old }
        }
    }
}

/// What reading a packet showed of its socket.
#[inline(always)]
pub fn conclude(memory: &mut SocketMemory, way: usize) {
    if memory.cursors[way & 1].started != asked::NOTHING {
        memory.asked = memory.cursors[way & 1].started;
        memory.cursors[way & 1].started = asked::NOTHING;
        memory.cursors[(way ^ 1) & 1].hear_other();
    }
    let cursor = &mut memory.cursors[way & 1];
    let flags = cursor.flags;
    cursor.flags = flags & !(flag::ALIEN | flag::LEFT);
    let is_likely = memory.class == CLASS_LIKELY;
    if flags & flag::LEFT != 0 || is_likely && flags & flag::ALIEN != 0 {
        memory.class = CLASS_OTHER;
    } else if is_likely && cursor.place == place::BODY {
        memory.class = CLASS_HTTP;
    }
}

/// The first of the packet's bytes from `offset` on, of `length`.
#[inline(always)]
pub fn first_bytes(ctx: &SkBuffContext, offset: u32, length: u32) -> FirstBytes {
    let mut words = [0u64; 2];
    if length >= START_BYTES {
        // SAFETY: the helper copies 16 bytes of the packet to the stack, constant length, or clears them.
        unsafe {
            bpf_skb_load_bytes(ctx.skb.skb.cast(), offset, words.as_mut_ptr().cast(), START_BYTES);
        }
    } else {
        // The verifier must see 1..=16: see `slice`.
        let known = (hide(length).wrapping_sub(1) & (START_BYTES - 1)) + 1;
        // SAFETY: at most 16 bytes are copied to the stack.
        unsafe {
            bpf_skb_load_bytes(ctx.skb.skb.cast(), offset, words.as_mut_ptr().cast(), known);
        }
    }
    FirstBytes { words: words.map(u64::from_le), length }
}

/// Whether the packet's last bytes are an empty line.
#[inline(always)]
fn ends_with_empty_line(ctx: &SkBuffContext, packet: &Packet) -> bool {
    if packet.payload_bytes < 4 {
        return false;
    }
    let mut end = MaybeUninit::<[u8; 4]>::uninit();
    // SAFETY: the helper copies 4 bytes of the packet to the stack, constant length, or clears them.
    unsafe {
        bpf_skb_load_bytes(
            ctx.skb.skb.cast(),
            packet.payload_offset as u32 + packet.payload_bytes - 4,
            end.as_mut_ptr().cast(),
            4,
        );
        end.assume_init() == *b"\r\n\r\n"
    }
}
