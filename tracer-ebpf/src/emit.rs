//! The one place that writes into the rings. A reserve that fails is counted per hook and per socket.

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    maps::ring_buf::RingBufEntry,
};
use tracer_common::{Header, Hook, HookCounters, Kind};

use crate::maps::{COUNTERS, EVENTS, LAST_DIAGNOSTIC, PAYLOADS, SocketMemory};

/// What every event of one hook run has in common.
pub struct Origin {
    pub hook: Hook,
    pub kind: Kind,
    pub cookie: u64,
    /// The socket's memory, or null.
    pub memory: *mut SocketMemory,
}

/// Room for a `T` in the ring of states, its header filled; `None`, counted, where the ring is full.
#[inline(always)]
pub fn reserve<T: 'static>(origin: &Origin) -> Option<RingBufEntry<T>> {
    begin(EVENTS.reserve_untyped::<T>(0), origin)
}

/// The same in the ring of payload.
#[inline(always)]
pub fn reserve_payload<T: 'static>(origin: &Origin) -> Option<RingBufEntry<T>> {
    begin(PAYLOADS.reserve_untyped::<T>(0), origin)
}

#[inline(always)]
fn begin<T: 'static>(room: Option<RingBufEntry<T>>, origin: &Origin) -> Option<RingBufEntry<T>> {
    match room {
        Some(mut entry) => {
            write_header(entry.as_mut_ptr().cast(), origin);
            Some(entry)
        }
        None => {
            count_lost(origin);
            None
        }
    }
}

/// Hands an event over. The reader polls: a wake-up costs more than the event.
#[inline(always)]
pub fn submit<T: 'static>(entry: RingBufEntry<T>, hook: Hook) {
    entry.submit(BPF_RB_NO_WAKEUP.into());
    if let Some(counters) = counters_of(hook) {
        // SAFETY: this CPU's place; nothing else writes it while this program runs on this CPU.
        unsafe { (*counters).emitted += 1 };
    }
}

/// Gives up an event whose room was only needed for reading.
#[inline(always)]
pub fn discard<T: 'static>(entry: RingBufEntry<T>) {
    entry.discard(BPF_RB_NO_WAKEUP.into());
}

/// This CPU's counters of a hook.
#[inline(always)]
fn counters_of(hook: Hook) -> Option<*mut HookCounters> {
    // SAFETY: a helper without arguments.
    let cpu = COUNTERS.get_ptr_mut(unsafe { bpf_get_smp_processor_id() })?;
    // SAFETY: the pointer is the verifier's map value, and every hook has its place in it.
    Some(unsafe { &raw mut (*cpu).hooks[hook as usize] })
}

#[inline(always)]
fn write_header(header: *mut Header, origin: &Origin) {
    // SAFETY: every event begins with a header, and the ring memory is ours until it is submitted.
    unsafe {
        (*header).at_ns = bpf_ktime_get_ns();
        (*header).cookie = origin.cookie;
        (*header).socket_lost = if origin.memory.is_null() { 0 } else { (*origin.memory).lost };
        (*header).kind = origin.kind as u8;
        (*header).hook = origin.hook as u8;
        (*header).cpu = bpf_get_smp_processor_id() as u16;
    }
}

#[inline(always)]
fn count_lost(origin: &Origin) {
    count_lost_event(origin.hook);
    count_lost_of_socket(origin.memory);
}

/// Counts one lost event of a hook.
#[inline(always)]
pub fn count_lost_event(hook: Hook) {
    if let Some(counters) = counters_of(hook) {
        // SAFETY: as in `submit`.
        unsafe { (*counters).lost += 1 };
    }
}

/// Counts one lost event with its socket, where that has memory.
#[inline(always)]
pub fn count_lost_of_socket(memory: *mut SocketMemory) {
    if !memory.is_null() {
        // SAFETY: the pointer is the verifier's map value; a racing CPU may cost one count, never memory.
        unsafe { (*memory).lost += 1 };
    }
}

/// Whether a diagnostic line may be written now: one a second and CPU, so that a flood of trouble costs nothing.
#[inline(always)]
pub fn may_log() -> bool {
    const EVERY_NS: u64 = 1_000_000_000;
    let Some(last) = LAST_DIAGNOSTIC.get_ptr_mut(0) else { return false };
    // SAFETY: a helper without arguments; a per-CPU slot.
    unsafe {
        let now = bpf_ktime_get_ns();
        if now - *last < EVERY_NS {
            return false;
        }
        *last = now;
    }
    true
}
