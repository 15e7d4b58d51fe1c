//! Memory shared with user space, and what the programs remember per socket.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, PerCpuArray, RingBuf, SkStorage},
    macros::btf_map,
};
use tracer_common::{CpuCounters, KernelLayout, WATCHED_PORT_WORDS};

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

/// Per-socket memory of the programs; all zero when nothing is known of the socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SocketMemory {
    /// Events about this socket that found no room in a ring.
    pub lost: u32,
    /// Process last told as the socket's user; 0 none yet.
    pub owner_pid: u32,
    /// Bytes that may still be captured in full, sent and received.
    pub budget_bytes: [u32; 2],
    /// Payload packets to look at before an undecided socket counts as [`CLASS_OTHER`].
    pub tries_left: u16,
    /// One of the `CLASS_` values.
    pub class: u8,
    /// 1 after a CONNECT request: a 2xx answer ends HTTP on this socket.
    pub connect_pending: u8,
    /// 1 when it was told of though it may turn out not to be watched: it did not have both ports yet.
    pub is_undecided: u32,
    /// 1 when the socket was reported as being in a BPF sockmap.
    pub in_sockmap: u32,
}

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
            (*memory).budget_bytes = [0; 2];
            (*memory).tries_left = 0;
            (*memory).class = CLASS_UNDECIDED;
            (*memory).connect_pending = 0;
            (*memory).in_sockmap = 0;
        }
    }
}
