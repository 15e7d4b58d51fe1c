//! What one connection may cost, and what was counted when a bound was hit.

/// Bounds of one [`HttpConnection`](super::HttpConnection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message head that are kept; of a longer one the lines behind are dropped, except
    /// those that say where the message ends. A start line longer than this is no HTTP.
    pub max_head_bytes: usize,
    /// Bytes per direction that wait behind a hole, bookkeeping included.
    pub max_held_bytes: usize,
    /// How long a hole in received data waits for the peer's retransmission, nanoseconds.
    pub retransmit_wait_ns: u64,
    /// How long the rest of a packet, or a hole in sent data, is waited for, nanoseconds: those can only
    /// have been overtaken on the way from the kernel.
    pub slice_wait_ns: u64,
    /// Requests that may wait for their response at once.
    pub max_outstanding: usize,
    /// Bytes of heads that such requests may hold together.
    pub max_outstanding_bytes: usize,
    /// Bytes looked through for the first message of a connection caught in the middle.
    pub max_seek_bytes: u64,
    /// Malformed messages with no good one between them before a connection is given up as not HTTP.
    pub max_malformed: u32,
}

impl Limits {
    /// Those of the program.
    pub const DEFAULT: Limits = Limits {
        max_head_bytes: 1024 * 1024,
        // A few packets of 64 KiB that overtook another one.
        max_held_bytes: 1024 * 1024,
        retransmit_wait_ns: 5_000_000_000,
        slice_wait_ns: 50_000_000,
        max_outstanding: 1024,
        max_outstanding_bytes: 2 * 1024 * 1024,
        max_seek_bytes: 4 * 1024 * 1024,
        max_malformed: 16,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

/// What happened on a connection beside its exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Head bytes that were seen but not kept ([`Limits::max_head_bytes`]).
    pub head_bytes_cut: u64,
    /// Times that [`Limits::max_held_bytes`] made a hole be given up early.
    pub hold_overflows: u64,
    /// Requests told without a response because [`Limits::max_outstanding`] or
    /// [`Limits::max_outstanding_bytes`] was reached.
    pub outstanding_overflows: u64,
    /// Holes that were never filled.
    pub holes: u64,
    /// Bytes in them, in or between messages, that no packet covered.
    pub missing_bytes: u64,
    /// Times the framing was lost: what followed was not known to belong to which message.
    pub framing_losses: u64,
    /// Messages that broke the grammar.
    pub malformed: u64,
    /// Bytes in either direction after CONNECT or 101: no HTTP any more.
    pub tunnel_bytes: u64,
    /// Bytes that were seen and belong to no message: content where none is allowed, and what passed
    /// where the place in the stream was lost.
    pub stray_bytes: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.head_bytes_cut += other.head_bytes_cut;
        self.hold_overflows += other.hold_overflows;
        self.outstanding_overflows += other.outstanding_overflows;
        self.holes += other.holes;
        self.missing_bytes += other.missing_bytes;
        self.framing_losses += other.framing_losses;
        self.malformed += other.malformed;
        self.tunnel_bytes += other.tunnel_bytes;
        self.stray_bytes += other.stray_bytes;
    }
}
