//! A BPF ring buffer as it lies in memory (kernel/bpf/ringbuf.c), read in place.
//!
//! aya's reader hands out one event at a time and tells the kernel after each, which costs both sides a cache miss:
//! every reserve reads that position. Here the position moves once a look, and events are read where they are.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::MapData;
use rustix::mm::ProtFlags;
use thiserror::Error;
use tracer_common::State;

use super::{Scan, Source};
use crate::mapping::Mapping;
use crate::prefetch::prefetch;

/// BPF_RINGBUF_BUSY_BIT: reserved, not submitted yet.
const BUSY: u32 = 1 << 31;
/// BPF_RINGBUF_DISCARD_BIT: reserved and given up.
const DISCARDED: u32 = 1 << 30;
/// BPF_RINGBUF_HDR_SZ
const HEADER_BYTES: usize = 8;

/// How much of an event is asked for ahead: a state change is the longest that is not payload.
const EXPECTED_BYTES: usize = HEADER_BYTES + size_of::<State>();

/// Why a ring cannot be read.
#[derive(Debug, Error)]
pub enum MapError {
    /// mmap(2) failed.
    #[error("cannot map the memory of a ring of {ring_bytes} bytes: {source}")]
    Mmap {
        /// Its size.
        ring_bytes: usize,
        /// What the kernel said.
        source: rustix::io::Errno,
    },
    /// The size is none that a ring can have.
    #[error("a ring of {0} bytes: its size must be a power of two and whole pages")]
    Size(usize),
}

/// A ring in memory shared with the kernel.
pub struct SharedRing {
    /// One page, writable: how far this side has read.
    consumer: Mapping,
    /// One page, how far the kernel has written, then the data twice in a row, so that nothing is ever cut.
    producer: Mapping,
    page_bytes: usize,
    ring_bytes: usize,
    /// How far this side has looked.
    scanned: u64,
    /// Keeps the map.
    map: MapData,
}

// SAFETY: the mappings are owned, and every access to memory that the kernel changes is atomic.
unsafe impl Send for SharedRing {}

impl SharedRing {
    /// Maps a ring buffer map of `ring_bytes`.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn new(map: MapData, ring_bytes: usize) -> Result<SharedRing, MapError> {
        let page_bytes = rustix::param::page_size();
        if !ring_bytes.is_power_of_two() || !ring_bytes.is_multiple_of(page_bytes) {
            return Err(MapError::Size(ring_bytes));
        }
        let failed = |source| MapError::Mmap { ring_bytes, source };
        let fd = map.fd().as_fd();
        let both = ProtFlags::READ | ProtFlags::WRITE;
        let consumer = Mapping::new(fd, 0, page_bytes, both).map_err(failed)?;
        let data_bytes = page_bytes + 2 * ring_bytes;
        let producer = Mapping::new(fd, page_bytes, data_bytes, ProtFlags::READ).map_err(failed)?;
        let mut ring = SharedRing { consumer, producer, page_bytes, ring_bytes, scanned: 0, map };
        ring.scanned = ring.consumed().load(Ordering::Relaxed);
        Ok(ring)
    }

    fn consumed(&self) -> &AtomicU64 {
        // SAFETY: the first eight bytes of a mapped page, changed by this side only.
        unsafe { self.consumer.start().cast().as_ref() }
    }

    /// How far the kernel has written. It stores with release after the record's header (`__bpf_ringbuf_reserve`).
    fn written(&self) -> u64 {
        // SAFETY: the first eight bytes of a mapped page.
        let position: &AtomicU64 = unsafe { self.producer.start().cast().as_ref() };
        position.load(Ordering::Acquire)
    }

    fn offset(&self, position: u64) -> usize {
        position as usize & (self.ring_bytes - 1)
    }

    /// The length word of the record at `position`, which lies between consumed and written.
    fn header(&self, position: u64) -> u32 {
        let offset = self.page_bytes + self.offset(position);
        // SAFETY: within the data pages, and records begin at multiples of eight. The kernel ends a record with a
        // fully ordered exchange: with acquire here its bytes are seen.
        let header: &AtomicU32 = unsafe { self.producer.start().add(offset).cast().as_ref() };
        header.load(Ordering::Acquire)
    }

    /// The bytes of the record at `position`, whose length word is `header`.
    fn record(&self, position: u64, header: u32) -> &[u8] {
        let length = length(header).min(self.ring_bytes - HEADER_BYTES);
        let offset = self.page_bytes + self.offset(position) + HEADER_BYTES;
        // SAFETY: at most a ring's length from a place within the first copy of the data, so within the second.
        // The kernel does not write to a submitted record before it is released, which takes this borrow's end.
        unsafe { std::slice::from_raw_parts(self.producer.start().add(offset).as_ptr(), length) }
    }

    /// How many bytes of records it holds.
    pub(super) const fn ring_bytes(&self) -> usize {
        self.ring_bytes
    }

    /// The pages of the consumer's and the producer's position once more, to be read only.
    pub(super) fn map_positions(&self) -> Result<(Mapping, Mapping), MapError> {
        let failed = |source| MapError::Mmap { ring_bytes: self.ring_bytes, source };
        let page = |offset| {
            Mapping::new(self.map.fd().as_fd(), offset, self.page_bytes, ProtFlags::READ)
                .map_err(failed)
        };
        Ok((page(0)?, page(self.page_bytes)?))
    }

    /// Hands over every event that is there, and releases it.
    pub fn drain(&mut self, each: &mut dyn FnMut(&[u8])) {
        self.scan(usize::MAX, &mut |_, event| each(event));
        self.release(None);
    }
}

const fn length(header: u32) -> usize {
    (header & !(BUSY | DISCARDED)) as usize
}

impl Source for SharedRing {
    fn scan(&mut self, most: usize, each: &mut dyn FnMut(u64, &[u8])) -> Scan {
        let written = self.written();
        let mut found = 0;
        while self.scanned < written {
            let position = self.scanned;
            let header = self.header(position);
            if header & BUSY != 0 {
                return Scan::Blocked;
            }
            if found == most {
                return Scan::Full;
            }
            if header & DISCARDED == 0 {
                found += 1;
                each(position, self.record(position, header));
            }
            self.scanned += (length(header) + HEADER_BYTES).next_multiple_of(HEADER_BYTES) as u64;
        }
        Scan::Whole
    }

    fn event(&self, place: u64) -> &[u8] {
        let held = self.consumed().load(Ordering::Relaxed)..self.scanned;
        if !held.contains(&place) || !place.is_multiple_of(HEADER_BYTES as u64) {
            return &[];
        }
        self.record(place, self.header(place))
    }

    fn expect(&self, place: u64) {
        let offset = self.page_bytes + self.offset(place);
        prefetch(self.producer.start().as_ptr().wrapping_add(offset), EXPECTED_BYTES);
    }

    fn release(&mut self, place: Option<u64>) {
        let place = place.unwrap_or(self.scanned).min(self.scanned);
        // Release: what was read is read before the kernel may write there again.
        self.consumed().store(place, Ordering::Release);
    }
}
