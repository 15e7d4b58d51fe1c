//! Memory shared with user space, and what the programs remember per socket.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, PerCpuArray, ProgramArray, RingBuf, SkStorage},
    macros::btf_map,
};
use tracer_common::{
    CpuCounters, KernelLayout, WATCHED_PORT_WORDS,
    framing::{Cursor, Follower},
};

/// States, timers, segments, owners, resets: what a connection's life is told from.
/// Its size is a default; user space sets the real one at load.
#[btf_map]
pub static EVENTS: RingBuf<[u8; 8], { 8 << 20 }> = RingBuf::new();

/// HTTP payload, apart from [`EVENTS`] so that a flood of bytes never costs a state.
#[btf_map]
pub static PAYLOADS: RingBuf<[u8; 8], { 16 << 20 }> = RingBuf::new();

/// What the hooks emitted and lost, a place for each CPU; user space sets their number at load. Not a per-CPU array: user
/// space reads this one in its own memory, without a system call, during which the kernel runs no tracing program on that CPU
/// (`bpf_disable_instrumentation`).
#[btf_map]
pub static COUNTERS: Array<CpuCounters, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What is remembered of a socket; the kernel frees it with the socket.
#[btf_map]
pub static SOCKETS: SkStorage<SocketMemory> = SkStorage::new();

/// When each CPU last wrote a diagnostic line (CLOCK_MONOTONIC, ns).
#[btf_map]
pub static LAST_DIAGNOSTIC: PerCpuArray<u64, 1> = PerCpuArray::new();

/// The programs that follow HTTP framing through a packet, indexed by [`Follower`]; set at load.
#[btf_map]
pub static FOLLOW: ProgramArray<{ Follower::ALL.len() }> = ProgramArray::new();

/// Offsets of this kernel's structs, set at load.
#[unsafe(no_mangle)]
// SAFETY: a struct of integers, for which zeroes are valid.
pub static LAYOUT: KernelLayout = unsafe { core::mem::zeroed() };

/// 1 where only connections with a port of [`WATCHED_PORTS`] at either end are told of, set at load.
#[unsafe(no_mangle)]
pub static PORTS_ARE_CHOSEN: u8 = 0;

/// A bit for each port, set at load: port `p` is bit `p % 64` of word `p / 64`.
#[unsafe(no_mangle)]
pub static WATCHED_PORTS: [u64; WATCHED_PORT_WORDS] = [0; WATCHED_PORT_WORDS];

/// What its first payload said a socket carries.
pub const CLASS_UNDECIDED: u8 = 0;
/// HTTP/1: payload is forwarded.
pub const CLASS_HTTP: u8 = 1;
/// Something else: nothing more is looked at.
pub const CLASS_OTHER: u8 = 2;
/// HTTP/1 by the first bytes; the end of the start line has to prove it. Payload is forwarded.
pub const CLASS_LIKELY: u8 = 3;

/// Per-socket memory of the programs; all zero when nothing is known of the socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketMemory {
    /// Events about this socket that found no room in a ring.
    pub lost: u32,
    /// Process last told as the socket's user; 0 none yet.
    pub owner_pid: u32,
    /// The place in the stream, sent and received.
    pub cursors: [Cursor; 2],
    /// Payload packets to look at before an undecided socket counts as [`CLASS_OTHER`].
    pub tries_left: u16,
    /// One of the `CLASS_` values.
    pub class: u8,
    /// What the last request was, one of [`tracer_common::framing::asked`].
    pub asked: u8,
    /// 1 when it was told of though it may turn out not to be watched: it did not have both ports yet.
    pub is_undecided: u32,
    /// 1 when the socket was reported as being in a BPF sockmap.
    pub in_sockmap: u32,
}

/// A place that is not known.
const EMPTY: Cursor = Cursor {
    skip_bytes: 0,
    number: 0,
    frontier: 0,
    budget_bytes: 0,
    place: 0,
    flags: 0,
    last: 0,
    before_last: 0,
    matched: 0,
    started: 0,
    start: 0,
    take: 0,
    first_word: 0,
    from: 0,
    length: 0,
    index: 0,
    line: 0,
    value: 0,
    hole_from: 0,
    hole_to: 0,
    busy: 0,
    doubt: 0,
};

impl SocketMemory {
    /// Forgets what is of the socket's life before.
    ///
    /// # Safety
    /// `memory` must be a socket's storage.
    #[inline(always)]
    pub unsafe fn begin_life(memory: *mut SocketMemory) {
        // SAFETY: the caller's promise.
        unsafe {
            (*memory).lost = 0;
            (*memory).cursors = [EMPTY; 2];
            (*memory).tries_left = 0;
            (*memory).class = CLASS_UNDECIDED;
            (*memory).asked = 0;
            (*memory).in_sockmap = 0;
        }
    }
}
