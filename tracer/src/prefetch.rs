//! Memory asked for before it is needed.

/// Bytes that a processor fetches at once.
const LINE_BYTES: usize = 64;

/// Asks for the cache lines of `length` bytes from `start` on, which will be read soon: to wait for memory may cost more than
/// what is done with it.
#[inline]
pub fn prefetch(start: *const u8, length: usize) {
    let into_line = start.addr() % LINE_BYTES;
    for line in (0..into_line + length).step_by(LINE_BYTES) {
        prefetch_line(start.wrapping_sub(into_line).wrapping_add(line));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which neither reads nor faults wherever the address lies.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_address: *const u8) {}
