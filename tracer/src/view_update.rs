//! What the pipeline tells a live view: batches of [`Update`]s over a bounded channel.
//!
//! The view must never hold the pipeline up. Where the channel is full the pipeline drops the batch, counts
//! it in [`Stats::updates_dropped`], and sends [`Update::Resync`] as soon as there is room again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{Connection, Record};
use crate::time::Timestamp;

/// One thing that changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A record as it leaves the program.
    Record(Record),
    /// A connection as it is now: sent when it opens, gains an owner or a peer, or ends.
    Connection(Arc<Connection>),
    /// Figures about the run.
    Stats(Stats),
    /// What became of something that a person asked for.
    Notice(Notice),
    /// Where the recording that is played stands.
    Play(PlayStatus),
    /// Records in each of as many equal parts of the time that the recording covers.
    TimeLine(Vec<u64>),
    /// Whether who tells all this has gone: until it is back, what is shown is as it was then.
    Away(bool),
    /// What was told holds no more: a recording is played from its begin again, or another run is told of.
    Restart(Timestamp),
    /// Every connection as it is now. What the view holds and this does not name is gone.
    Resync(Vec<Arc<Connection>>),
}

/// Where the player of a recording stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlayStatus {
    /// The time that is shown.
    pub at: Timestamp,
    /// The time of the first record.
    pub begin: Timestamp,
    /// The time of the last one.
    pub end: Timestamp,
    /// How many times as fast as it was; `None`: as fast as it can.
    pub speed: Option<f64>,
    /// Whether it stands still.
    pub is_paused: bool,
    /// Whether everything was told.
    pub has_ended: bool,
    /// Events that were lost up to there.
    pub lost: u64,
}

/// A sentence for the person at the view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The sentence.
    pub text: String,
    /// Whether it did not work.
    pub is_failure: bool,
}

/// Figures about the run itself, sent about once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Kernel events taken in per second, over the last second or so.
    pub events_per_s: f64,
    /// Events taken in since the start.
    pub seen: u64,
    /// Events known to be lost since the start; `seen + lost` is what happened.
    pub lost: u64,
    /// Connections the tracker holds.
    pub tracked: u64,
    /// Processor time of this process, percent of one core.
    pub cpu_percent: f64,
    /// Resident memory of this process, bytes.
    pub rss_bytes: u64,
    /// Path of the recording that is being written.
    pub recording: Option<String>,
    /// Hooks that are attached.
    pub hooks_attached: u32,
    /// Hooks there are.
    pub hooks_total: u32,
    /// Updates that found no room in the channel to the view.
    pub updates_dropped: u64,
}
