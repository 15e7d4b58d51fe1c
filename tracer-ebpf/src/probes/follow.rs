//! Follows HTTP framing through a packet, step by step: each step is a run of a program that the one before tail-calls.
//!
//! One step reads at one place ([`tracer_common::framing`]). Were the steps a loop in one program, a verifier would have to
//! follow all of them at once. What a step needs to know of its packet travels in the packet's control block, which
//! the kernel keeps for the programs of one run: a step of another packet on the same CPU cannot change it.

use aya_ebpf::{
    helpers::generated::{bpf_get_smp_processor_id, bpf_skb_load_bytes},
    macros::cgroup_skb,
    programs::SkBuffContext,
};
use tracer_common::{
    Endpoints,
    framing::{
        self, Cursor, Follower, LENGTH_BYTES, LENGTH_WORDS, REST_BYTES, WHOLE_BYTES, Window, hide,
        take,
    },
};

use crate::{
    maps::{CLASS_OTHER, FOLLOW, SocketMemory},
    probes::{
        packet::{Packet, PacketSocket},
        payload::{conclude, first_bytes, way},
        slice::Slice,
    },
};

const PASS: i32 = 1;
/// Bytes that a step reads of a head.
const HEAD_BYTES: usize = 512;
/// Bytes that it reads of lines that lie close together.
const LINES_BYTES: usize = 1024;
/// Bytes that it reads of one line.
const LINE_BYTES: usize = 64;
/// Lines that lie far apart and are read in one run: packets have up to 512 KiB (BIG TCP).
const LINES_AT_ONCE: u32 = 3;
/// In the word that travels with a packet: how many steps were taken.
const STEPS: u32 = 0xff;
/// In the same word: the packet is captured whole already.
const QUIET: u32 = 0x100;
/// In the same word: the packet is captured whole once it was read.
const THEN_WHOLE: u32 = 0x200;

/// Reads from byte `from` of a packet on, and captures what is read unless the packet `is_captured`.
#[inline(always)]
pub fn begin(
    ctx: &SkBuffContext,
    packet: &Packet,
    cursor: &mut Cursor,
    from: u32,
    is_captured: bool,
) {
    let word = if is_captured {
        QUIET
    } else if cursor.is_in_doubt() {
        QUIET | THEN_WHOLE
    } else {
        0
    };
    go(ctx, packet, cursor, from, word);
}

/// Captures a packet whole, without the place in its stream.
#[inline(always)]
pub fn capture(ctx: &SkBuffContext, packet: &Packet) {
    packet.save(ctx, 0, 0);
    // SAFETY: as in `go`.
    unsafe { FOLLOW.tail_call(ctx, Follower::Whole as u32) };
}

/// What a cursor's `busy` says where nobody reads there.
const FREE: u32 = 0;
/// In `busy`: the CPU's number plus one. Above it: how often others found it there.
const CPU: u32 = 0xffff;
/// After so many packets what is found there was left there.
const MOST_FOUND: u32 = 32 << 16;

/// Claims the place for this CPU: packets of one connection may arrive on two at once. [`holds_place`] says later whether the
/// other one did so in the same moment.
#[inline(always)]
pub fn claim_place(cursor: &mut Cursor) {
    let busy = cursor.busy;
    if busy == FREE || busy & CPU == cpu() || busy >= MOST_FOUND {
        set_busy(cursor, cpu());
    } else {
        set_busy(cursor, busy.wrapping_add(1 << 16));
    }
}

/// Whether the place is this CPU's. Without an atomic exchange, which kernels before 5.12 do not have: of two claims in one moment the
/// later one stands, and by now both see it.
#[inline(always)]
pub fn holds_place(cursor: &Cursor) -> bool {
    // SAFETY: the caller's cursor.
    unsafe { core::ptr::read_volatile(&raw const cursor.busy) & CPU == cpu() }
}

/// Gives the place back.
#[inline(always)]
pub fn free_place(cursor: &mut Cursor) {
    set_busy(cursor, FREE);
}

#[inline(always)]
fn set_busy(cursor: &mut Cursor, busy: u32) {
    // SAFETY: the caller's cursor.
    unsafe { core::ptr::write_volatile(&raw mut cursor.busy, busy) };
}

/// This CPU's number plus one, as far as it fits.
#[inline(always)]
fn cpu() -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { (bpf_get_smp_processor_id() & (CPU >> 1)) + 1 }
}

/// Calls the program that takes the step.
#[inline(always)]
fn go(ctx: &SkBuffContext, packet: &Packet, cursor: &mut Cursor, from: u32, word: u32) {
    let is_captured_later = word & THEN_WHOLE != 0;
    let captured = if is_captured_later { 0 } else { from };
    let left = packet.payload_bytes.wrapping_sub(captured);
    let mut follower = cursor.follower();
    let mut from = from;
    if framing::must_capture(word & STEPS, left) {
        cursor.run_out();
        free_place(cursor);
        if word & QUIET != 0 && !is_captured_later {
            return;
        }
        from = captured;
        follower = Follower::Whole as u32;
    }
    packet.save(ctx, from, word);
    // SAFETY: the map holds programs of this kind; what they need is in the control block. The kernel bounds the calls.
    unsafe { FOLLOW.tail_call(ctx, follower) };
}

/// The first bytes of a message, or of what follows a head. What is read here is captured by the step that goes on.
#[cgroup_skb]
pub fn follow_start(ctx: SkBuffContext) -> i32 {
    if let Some(mut step) = Step::of(&ctx) {
        let offset = step.packet.payload_offset as u32 + step.offset;
        let first = first_bytes(&ctx, offset, step.left());
        let asked = step.memory.asked;
        let used = step.cursor().read_start(first, asked);
        step.capture_start(used);
        step.finish(used);
    }
    PASS
}

/// The lines of heads and trailers.
#[cgroup_skb]
pub fn follow_head(ctx: SkBuffContext) -> i32 {
    take::<(), HEAD_BYTES>(&ctx, |cursor, window| cursor.read_lines(&window))
}

/// Chunk-size lines, one at a time, as long as they are far apart.
#[cgroup_skb]
pub fn follow_line(ctx: SkBuffContext) -> i32 {
    let Some(mut step) = Step::of(&ctx) else { return PASS };
    for _ in 1..LINES_AT_ONCE {
        let used = step.emit::<(), LINE_BYTES>(|cursor, window| cursor.read_chunk_lines(&window));
        let payload_bytes = step.packet.payload_bytes;
        let offset = step.offset;
        let cursor = step.cursor();
        let Some(used) = used else {
            cursor.lose();
            free_place(cursor);
            return PASS;
        };
        cursor.step(offset, used, payload_bytes);
        let (from, follower) = (cursor.from, cursor.follower());
        if cursor.take != take::READ || follower != Follower::Line as u32 {
            step.go_on();
            return PASS;
        }
        step.offset = from;
    }
    step.take::<(), LINE_BYTES>(|cursor, window| cursor.read_chunk_lines(&window));
    PASS
}

/// Chunk-size lines that lie close together.
#[cgroup_skb]
pub fn follow_lines(ctx: SkBuffContext) -> i32 {
    take::<(), LINES_BYTES>(&ctx, |cursor, window| cursor.read_chunk_lines(&window))
}

/// What cannot be read, as long as the packet lasts.
#[cgroup_skb]
pub fn follow_whole(ctx: SkBuffContext) -> i32 {
    if let Some(mut step) = Step::of(&ctx) {
        step.word = 0;
        let used = if step.left() > REST_BYTES {
            step.emit::<Endpoints, { WHOLE_BYTES as usize }>(|_, window| window.length())
        } else {
            step.emit::<Endpoints, { REST_BYTES as usize }>(|_, window| window.length())
        };
        let from = step.offset + used.unwrap_or(WHOLE_BYTES);
        if from < step.packet.payload_bytes {
            step.packet.save(&ctx, from, 0);
            // SAFETY: as in `go`. The kernel bounds the calls.
            unsafe { FOLLOW.tail_call(&ctx, Follower::Whole as u32) };
        }
    }
    PASS
}

/// What is searched for a place.
#[cgroup_skb]
pub fn follow_rest(ctx: SkBuffContext) -> i32 {
    take::<Endpoints, { REST_BYTES as usize }>(&ctx, |cursor, window| cursor.read_rest(&window))
}

/// The value of a `content-length`. Its bytes are captured already.
#[cgroup_skb]
pub fn follow_length(ctx: SkBuffContext) -> i32 {
    if let Some(mut step) = Step::of(&ctx) {
        let offset = step.packet.payload_offset as u32 + step.offset;
        let (words, there) = length_bytes(&ctx, offset, step.left());
        let from = step.offset;
        let cursor = step.cursor();
        let offset = cursor.go_on_behind_length(from);
        cursor.read_length(words, there);
        step.offset = offset;
        step.finish(0);
    }
    PASS
}

/// The packet's bytes from `offset` on, of which there are `left`; and how many were loaded.
#[inline(always)]
fn length_bytes(ctx: &SkBuffContext, offset: u32, left: u32) -> ([u64; LENGTH_WORDS], u32) {
    /// A power of two, as the mask needs.
    const ROOM_WORDS: usize = 8;
    let wanted = if left > LENGTH_BYTES { LENGTH_BYTES } else { left };
    let length = (hide(wanted).wrapping_sub(1) & (8 * ROOM_WORDS as u32 - 1)) + 1;
    let mut words = [0u64; ROOM_WORDS];
    // SAFETY: at most 64 bytes are copied to the stack.
    unsafe {
        bpf_skb_load_bytes(ctx.skb.skb.cast(), offset, words.as_mut_ptr().cast(), length);
    }
    let [a, b, c, d, e, ..] = words;
    ([a, b, c, d, e].map(u64::from_le), wanted)
}

/// Takes a step: emits up to `N` bytes, as far as they are read.
#[inline(always)]
fn take<E: 'static, const N: usize>(
    ctx: &SkBuffContext,
    read: impl FnOnce(&mut Cursor, Window<N>) -> u32,
) -> i32 {
    if let Some(step) = Step::of(ctx) {
        step.take::<E, N>(read);
    }
    PASS
}

/// A packet, and where in it a step reads.
struct Step<'a> {
    ctx: &'a SkBuffContext,
    packet: Packet,
    sk: PacketSocket,
    memory: &'a mut SocketMemory,
    offset: u32,
    word: u32,
}

impl<'a> Step<'a> {
    /// The step that the program before has asked for.
    #[inline(always)]
    fn of(ctx: &'a SkBuffContext) -> Option<Self> {
        let (packet, offset, word) = Packet::saved(ctx);
        let sk = PacketSocket::of(ctx)?;
        let memory = sk.memory();
        if memory.is_null() || offset >= packet.payload_bytes {
            return None;
        }
        // SAFETY: checked for null; a socket's storage, as in `payload::look`.
        let memory = unsafe { &mut *memory };
        Some(Step { ctx, packet, sk, memory, offset, word })
    }

    /// Bytes of the packet from the step's first on.
    #[inline(always)]
    fn left(&self) -> u32 {
        self.packet.payload_bytes - self.offset
    }

    #[inline(always)]
    fn is_quiet(&self) -> bool {
        self.word & QUIET != 0
    }

    #[inline(always)]
    fn cursor(&mut self) -> &mut Cursor {
        &mut self.memory.cursors[way(&self.packet)]
    }

    /// Emits up to `N` bytes, as far as they are read; gives how many that were, `None` where there was no room.
    #[inline(always)]
    fn emit<E: 'static, const N: usize>(
        &mut self,
        read: impl FnOnce(&mut Cursor, Window<N>) -> u32,
    ) -> Option<u32> {
        let left = self.left();
        let wanted = if left > N as u32 { N as u32 } else { left };
        let (offset, is_quiet) = (self.offset, self.is_quiet());
        let slice = Slice::new(self.ctx, &self.packet, self.sk, self.memory);
        let cursor = &mut self.memory.cursors[way(&self.packet)];
        let used = slice.emit::<E, N>(offset, wanted, is_quiet, |bytes, length| {
            // SAFETY: the room for N bytes and its slack.
            read(cursor, unsafe { Window::new(bytes, length) })
        });
        used.filter(|used| *used != 0)
    }

    /// Takes the step.
    #[inline(always)]
    fn take<E: 'static, const N: usize>(
        mut self,
        read: impl FnOnce(&mut Cursor, Window<N>) -> u32,
    ) {
        match self.emit::<E, N>(read) {
            Some(used) => self.finish(used),
            // The bytes are lost, and the place with them.
            None => {
                self.cursor().lose();
                free_place(self.cursor());
                if self.word & THEN_WHOLE != 0 {
                    capture(self.ctx, &self.packet);
                }
            }
        }
    }

    /// Emits the first bytes of a message that no other step reads: few, and rarely.
    #[inline(always)]
    fn capture_start(&mut self, used: u32) {
        if used != 0 && !self.is_quiet() {
            let slice = Slice::new(self.ctx, &self.packet, self.sk, self.memory);
            slice.emit::<(), LINE_BYTES>(self.offset, used, false, |_, length| length);
        }
    }

    /// Draws the conclusions from what was read, and goes on to the next step.
    #[inline(always)]
    fn finish(mut self, used: u32) {
        let way = way(&self.packet);
        conclude(self.memory, way);
        if self.memory.class == CLASS_OTHER {
            return;
        }
        let (offset, payload_bytes) = (self.offset, self.packet.payload_bytes);
        self.cursor().step(offset, used, payload_bytes);
        self.go_on();
    }

    /// Goes on to the next step, where there is more to read.
    #[inline(always)]
    fn go_on(mut self) {
        let way = way(&self.packet);
        let from = self.cursor().from;
        if self.cursor().take == take::READ {
            let word = self.word + 1;
            go(self.ctx, &self.packet, &mut self.memory.cursors[way & 1], from, word);
        }
        free_place(self.cursor());
        if self.word & THEN_WHOLE != 0 {
            capture(self.ctx, &self.packet);
        }
    }
}
