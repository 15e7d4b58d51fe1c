//! What the hooks emitted and lost, read in memory shared with the programs.

use std::os::fd::AsFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::maps::MapData;
use rustix::mm::ProtFlags;
use tracer_common::{CpuCounters, Hook, HookCounters};

use crate::mapping::Mapping;

/// Counters of every CPU.
pub struct Counters {
    memory: Mapping,
    cpus: usize,
}

// SAFETY: the mapping is owned, and its counters are only loaded, atomically.
unsafe impl Send for Counters {}

impl Counters {
    /// Maps an array of [`CpuCounters`] with a place for each of `cpus`.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub(super) fn new(map: &MapData, cpus: u32) -> Result<Counters, rustix::io::Errno> {
        let cpus = cpus as usize;
        let bytes = (cpus * size_of::<CpuCounters>()).next_multiple_of(rustix::param::page_size());
        let memory = Mapping::new(map.fd().as_fd(), 0, bytes, ProtFlags::READ)?;
        Ok(Counters { memory, cpus })
    }

    /// What a hook emitted and lost since the start, over all CPUs.
    #[must_use]
    pub fn read(&self, hook: Hook) -> HookCounters {
        let all: NonNull<CpuCounters> = self.memory.start().cast();
        (0..self.cpus).fold(HookCounters::default(), |sum, cpu| {
            // SAFETY: there is a place for each CPU and hook in the mapping, which the kernel keeps aligned.
            let counters = unsafe { &raw const (*all.add(cpu).as_ptr()).hooks[hook as usize] };
            // SAFETY: as before; only the programs write there, a whole word at a time.
            let [emitted, lost] = unsafe {
                [&raw const (*counters).emitted, &raw const (*counters).lost]
                    .map(|count| (*count.cast::<AtomicU64>()).load(Ordering::Relaxed))
            };
            HookCounters { emitted: sum.emitted + emitted, lost: sum.lost + lost }
        })
    }
}
