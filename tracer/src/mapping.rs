//! Memory of a BPF map, shared with the kernel.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping, undone when dropped.
pub struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    /// Maps `bytes` of `map` from `offset` on, both whole pages.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new(
        map: BorrowedFd<'_>,
        offset: usize,
        bytes: usize,
        protection: ProtFlags,
    ) -> Result<Mapping, Errno> {
        // SAFETY: a new mapping at a place of the kernel's choice: no memory of this program is touched.
        let start = unsafe {
            mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, map, offset as u64)?
        };
        NonNull::new(start.cast()).map(|start| Mapping { start, bytes }).ok_or(Errno::NOMEM)
    }

    /// Where it begins.
    #[must_use]
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with these figures, and nothing borrowed from it outlives it.
        // A failure leaves address space behind, no more.
        _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
