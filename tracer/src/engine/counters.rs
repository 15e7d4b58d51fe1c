//! What the core could not assign, keep or understand, since the start.

use crate::conn::TrackerCounters;
use crate::http;

/// Counters of an engine. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Of the tracker.
    pub tracker: TrackerCounters,
    /// Of the HTTP engine, over all connections.
    pub http: http::Counters,
    /// Captured parts of packets whose connection is not tracked.
    pub unattributed_payloads: u64,
}

/// How many counters are losses.
pub const LOSSES: usize = 10;

impl EngineCounters {
    /// What users do not see because of it, each with the name of its `loss` records (docs/schema).
    ///
    /// [`http::Counters::holes`] is left out: it has the same cause as `missing_bytes`. So is
    /// [`http::Counters::tunnel_bytes`]: bytes that are no HTTP are no loss.
    #[must_use]
    pub const fn losses(&self) -> [(&'static str, u64); LOSSES] {
        let EngineCounters { tracker, http, unattributed_payloads } = self;
        [
            ("connections", tracker.connections_refused),
            ("pending", tracker.pending_dropped),
            ("unattributed", tracker.unattributed),
            ("unattributed_payload", *unattributed_payloads),
            ("http_missing_bytes", http.missing_bytes),
            ("http_head_bytes", http.head_bytes_cut),
            ("http_held", http.hold_overflows),
            ("http_outstanding", http.outstanding_overflows),
            ("http_framing", http.framing_losses),
            ("http_malformed", http.malformed),
        ]
    }
}
