//! How full rings are, for a thread that does not read them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::{MapError, SharedRing};
use crate::mapping::Mapping;

/// How full a ring is, as a part of its size.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fill(f32);

impl Fill {
    /// So many parts of a hundred.
    #[must_use]
    pub const fn percent(percent: u8) -> Fill {
        Fill(percent as f32 / 100.0)
    }
}

/// Both positions of one ring, mapped once more.
struct Positions {
    consumer: Mapping,
    producer: Mapping,
    ring_bytes: usize,
}

// SAFETY: the mappings are owned, and their positions are only loaded, atomically.
unsafe impl Send for Positions {}

/// Tells how full rings are.
pub struct Gauge(Vec<Positions>);

impl Gauge {
    /// Of these rings.
    ///
    /// # Errors
    /// [`MapError::Mmap`].
    pub fn of(rings: &[&SharedRing]) -> Result<Gauge, MapError> {
        let positions = rings.iter().map(|ring| {
            let (consumer, producer) = ring.map_positions()?;
            Ok(Positions { consumer, producer, ring_bytes: ring.ring_bytes() })
        });
        Ok(Gauge(positions.collect::<Result<_, _>>()?))
    }

    /// How full the fullest of them is.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let fills = self.0.iter().map(|ring| {
            // The consumer's first: it never overtakes the other.
            let consumed = position(&ring.consumer);
            position(&ring.producer).saturating_sub(consumed) as f32 / ring.ring_bytes as f32
        });
        Fill(fills.fold(0.0, f32::max))
    }
}

/// Both pages begin with the position (kernel/bpf/ringbuf.c).
fn position(page: &Mapping) -> u64 {
    // SAFETY: the first eight bytes of a mapped page.
    let position: &AtomicU64 = unsafe { page.start().cast().as_ref() };
    position.load(Ordering::Relaxed)
}
