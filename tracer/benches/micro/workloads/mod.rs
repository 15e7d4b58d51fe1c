//! The hot paths, each as one piece of work of known size: timed by divan, counted by callgrind, profiled by perf.

mod core;
mod lines;
mod screen;

use std::any::Any;
use std::fmt;
use std::hint::black_box;

/// One run of a workload, everything that it needs made ready. What it returns is dropped outside of the measurement.
pub type Run = Box<dyn FnOnce() -> Box<dyn Any>>;

/// A workload of a certain size.
pub struct Prepared {
    /// How many of what one run does, in the singular; the first is what its cost is told in.
    pub amounts: Vec<(usize, &'static str)>,
    /// Makes a run ready.
    pub ready: Box<dyn Fn() -> Run>,
}

/// A hot path.
#[derive(Clone, Copy)]
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// A size that takes a second at most under callgrind, and far less without.
    pub small: usize,
    /// A size whose tables are as large as under load.
    pub large: usize,
    prepare: fn(usize) -> Prepared,
}

impl Workload {
    /// The workload with this name.
    pub fn named(name: &str) -> Option<Workload> {
        ALL.into_iter().find(|workload| workload.name == name)
    }

    /// Makes the workload ready, in a size like [`Workload::small`] and [`Workload::large`].
    pub fn prepare(&self, size: usize) -> Prepared {
        (self.prepare)(size)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All of them, along the path of an event.
pub const ALL: [Workload; 14] = [
    core::DECODE_STATES,
    core::DECODE_PAYLOADS,
    core::TRACK,
    core::TRANSITIONS,
    core::STATES,
    core::CHURN,
    core::KEEP_ALIVE,
    core::MERGED_KEEP_ALIVE,
    lines::RECORD,
    lines::JSON,
    lines::PLAIN,
    lines::FILTER,
    screen::UPDATE,
    screen::DRAW,
];

/// What callgrind counts: its collection is switched on where this function begins and off where it ends.
#[inline(never)]
pub fn measured(run: Run) -> Box<dyn Any> {
    // Never a tail call, which would end it before the work begins.
    black_box(black_box(run)())
}
