//! What the run itself costs and amounts to.

use std::time::Instant;

use nix::time::{ClockId, clock_gettime};

use crate::load::health::GroupHealth;
use crate::load::programs::Group;
use crate::pipeline::Pipeline;
use crate::view_update::Stats;

/// How often the figures about the run are told.
const STATS_EVERY_S: f64 = 1.0;

/// Figures about the run, taken once a second.
#[derive(Default)]
pub(super) struct Usage {
    last: Option<(Instant, u64, u64)>,
    told: Option<Stats>,
}

impl Usage {
    /// The last figures once more, with another recording.
    pub fn again(&mut self, recording: Option<String>) -> Option<Stats> {
        let told = self.told.as_mut()?;
        told.recording = recording;
        Some(told.clone())
    }

    /// The figures, where it is time for them.
    pub fn stats(
        &mut self,
        pipeline: &Pipeline,
        updates_dropped: u64,
        recording: Option<String>,
    ) -> Option<Stats> {
        let totals = pipeline.totals();
        let cpu_ns = process_cpu_ns();
        let now = Instant::now();
        let (before, seen_before, cpu_before) = self.last.unwrap_or((now, totals.seen, cpu_ns));
        let seconds = now.duration_since(before).as_secs_f64();
        // The first figures come at once, though no rate is known yet: hooks and memory are.
        if self.last.is_some() && seconds < STATS_EVERY_S {
            return None;
        }
        let seconds = seconds.max(STATS_EVERY_S);
        self.last = Some((now, totals.seen, cpu_ns));
        let attached = |group: &&Group| pipeline.health().group(**group) == GroupHealth::Attached;
        let stats = Stats {
            events_per_s: (totals.seen - seen_before) as f64 / seconds,
            seen: totals.seen,
            lost: totals.lost,
            tracked: totals.tracked as u64,
            cpu_percent: (cpu_ns - cpu_before) as f64 / seconds / 1e7,
            rss_bytes: resident_bytes(),
            recording,
            hooks_attached: u32::try_from(Group::ALL.iter().filter(attached).count()).unwrap_or(0),
            hooks_total: u32::try_from(Group::ALL.len()).unwrap_or(0),
            updates_dropped,
        };
        self.told = Some(stats.clone());
        Some(stats)
    }
}

pub(super) fn process_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
    })
}

/// Resident memory from /proc/self/statm; 0 where that cannot be read.
pub(super) fn resident_bytes() -> u64 {
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    let page_bytes = page_bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096);
    pages.unwrap_or(0) * page_bytes
}
