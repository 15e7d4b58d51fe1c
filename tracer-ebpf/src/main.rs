//! tracer's eBPF programs: they read, pack and hand over; every decision that can wait is left to user space.
//!
//! One file per hook family in `probes`. Only [`emit`] writes into the rings, only [`kernel`] reads kernel
//! structs. Nothing here wakes the reader: it polls.

#![no_std]
#![no_main]

mod emit;
mod kernel;
mod maps;
mod ports;
mod probes;
mod socket;

/// The helpers for tracing are for GPL-compatible programs only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: the verifier refuses programs in which this can be reached.
    unsafe { core::hint::unreachable_unchecked() }
}
