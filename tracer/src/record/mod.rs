//! The records that leave the program: the contract's JSON lines, field by field (docs/schema/).
//!
//! One set of types serves every way out: `watch --json`, recordings, exports, the view. Unknown is `None`
//! (JSON `null`), never 0 or "". Secrets are already redacted when a record exists.

mod headers;
pub mod json;
mod loss;
pub mod peers;
pub mod redact;
mod wire_head;

use std::net::IpAddr;
use std::sync::Arc;

pub use headers::{Headers, HeadersBuilder};
pub use loss::LossUnit;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use wire_head::{MAX_WIRE_HEAD_BYTES, WireHead};

use crate::tcp::{Direction, Endpoint, TcpState};
use crate::time::Timestamp;

/// Version of the records' schema; goes up when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// Identity of a connection end within one run or recording. In JSON a string: `"c17"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl std::fmt::Display for ConnId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl Serialize for ConnId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for ConnId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return u64::deserialize(d).map(ConnId);
        }
        let text = String::deserialize(d)?;
        text.strip_prefix('c').and_then(|n| n.parse().ok()).map(ConnId).ok_or_else(|| {
            serde::de::Error::custom(format!("connection id {text:?} is not c<number>"))
        })
    }
}

/// One line of output. In JSON an object with `type` first.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The run: host, version, hooks.
    Host(Arc<Host>),
    /// A state change.
    Transition(Transition),
    /// A SYN, FIN, RST or repeated segment.
    Segment(Segment),
    /// An HTTP request with its response.
    Exchange(Arc<Exchange>),
    /// A connection end, whole: written once, when it has ended or the run has.
    Connection(Arc<Connection>),
    /// Events that were lost.
    Loss(Loss),
}

impl Record {
    /// The connection that it is about.
    #[must_use]
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            Record::Host(_) | Record::Loss(_) => None,
            Record::Transition(transition) => Some(transition.conn),
            Record::Segment(segment) => Some(segment.conn),
            Record::Exchange(exchange) => Some(exchange.conn),
            Record::Connection(connection) => Some(connection.id),
        }
    }
}

/// `type: host`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema: u32,
    /// Version of tracer.
    pub version: String,
    /// The host's name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// When tracing began.
    pub started_at: Timestamp,
    /// Per hook `attached`, or why not and what is lost without it; sorted by name.
    pub hooks: std::collections::BTreeMap<String, String>,
    /// Present and true when secrets were not redacted.
    #[serde(default)]
    pub show_secrets: bool,
    /// Present when the run had a filter: what it did not let through is not there.
    #[serde(default)]
    pub filter: Option<String>,
}

/// Whether the kernel told of a change or it follows from other evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A hook fired for it.
    Observed,
    /// It follows from what was observed (see docs/schema).
    Inferred,
}

/// `type: transition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// The connection end.
    pub conn: ConnId,
    /// When it happened.
    pub at: Timestamp,
    /// Which end; `None` for a connection older than the tracer whose opener is unknown.
    pub endpoint: Option<Endpoint>,
    /// State before.
    pub from: TcpState,
    /// State after.
    pub to: TcpState,
    /// Time spent in `from`, microseconds; `None` where its begin was not seen.
    pub in_from_us: Option<u64>,
    /// Observed or inferred.
    pub source: Source,
}

/// `type: segment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// The connection end that sent or received it.
    pub conn: ConnId,
    /// When it passed.
    pub at: Timestamp,
    /// Sent or received by this end.
    pub direction: Direction,
    /// Flag letters, e.g. `SA`, `F`, `FA`, `R`.
    pub flags: Text,
    /// Sequence number relative to the initial one of its sender (its SYN has 0); absolute where that is unknown.
    pub seq: u32,
    /// Acknowledgement number relative to the other side's initial one; `None` without ACK.
    pub ack: Option<u32>,
    /// Payload bytes in it.
    pub payload_bytes: u32,
    /// Whether it had been sent before.
    pub retransmit: bool,
}

/// A text of an [`Exchange`]; most are short enough to need no allocation.
pub type Text = compact_str::CompactString;

/// The request half of an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Request {
    /// When its first byte passed.
    pub at: Option<Timestamp>,
    /// Sequence number of its first byte relative to the initial one of its sender, as in [`Segment::seq`]; `None` where
    /// that is unknown.
    pub seq: Option<u32>,
    /// Bytes it took on the stream: head, framing and content; `None` where its end was not seen.
    pub wire_bytes: Option<u64>,
    /// Header fields in order, names in lower case, secrets redacted.
    pub headers: Headers,
    /// The head as it was on the wire; `None` where it was not seen whole, is too long, or was not recorded. Not in JSON.
    #[serde(skip)]
    pub wire_head: Option<WireHead>,
    /// Content bytes (chunk framing not counted); `None` where unknown.
    pub body_bytes: Option<u64>,
}

/// The response half of an [`Exchange`].
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Response {
    /// When its first byte passed.
    pub at: Option<Timestamp>,
    /// Sequence number of its first byte relative to the initial one of its sender, as in [`Segment::seq`]; `None` where
    /// that is unknown.
    pub seq: Option<u32>,
    /// Bytes it took on the stream: head, framing and content; `None` where its end was not seen.
    pub wire_bytes: Option<u64>,
    /// Header fields in order, names in lower case, secrets redacted.
    pub headers: Headers,
    /// The head as it was on the wire; `None` where it was not seen whole, is too long, or was not recorded. Not in JSON.
    #[serde(skip)]
    pub wire_head: Option<WireHead>,
    /// Content bytes (chunk framing not counted); `None` where unknown.
    pub body_bytes: Option<u64>,
    /// `content-type` without parameters, lower case.
    pub media_type: Option<Text>,
    /// True for 304, or when `age` or a cache's own header says that a cache answered.
    pub from_cache: Option<bool>,
}

/// Where the time of an exchange went, microseconds each.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// SYN to ESTABLISHED, on the first exchange of a connection; `None` on later ones and where unseen.
    pub connect_us: Option<u64>,
    /// TLS handshake.
    pub tls_us: Option<u64>,
    /// First to last byte of the request.
    pub send_us: Option<u64>,
    /// Last byte of the request to first byte of the response.
    pub wait_us: Option<u64>,
    /// First to last byte of the response.
    pub receive_us: Option<u64>,
}

/// `type: exchange`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The connection end that took part.
    pub conn: ConnId,
    /// Its number on the connection, from 1; counts from the tracer's start on older connections.
    pub number: u64,
    /// `HTTP/1.0` or `HTTP/1.1`.
    pub protocol: Option<Text>,
    /// Request method.
    pub method: Option<Text>,
    /// `http` or `https`.
    pub scheme: Option<Text>,
    /// Host and port the request was for.
    pub authority: Option<Text>,
    /// Request target as sent, secrets in the query redacted.
    pub target: Option<Text>,
    /// Status code.
    pub status: Option<u16>,
    /// Reason phrase; `None` where empty.
    pub reason: Option<Text>,
    /// Request half; `None` where its head was not seen.
    pub request: Option<Request>,
    /// Response half; `None` where its head was not seen.
    pub response: Option<Response>,
    /// Timing.
    pub timing: Timing,
    /// Whether an exchange came before it on the same connection; `None` on older connections' first.
    pub reused_connection: Option<bool>,
    /// Whether both messages were seen to their end with nothing missing.
    pub complete: bool,
    /// Bytes of the messages that were not seen; `None` where it is not known how many: one of the
    /// messages was not seen, or its framing was lost.
    #[serde(with = "unknown_count")]
    pub missing_bytes: Option<u64>,
}

/// An address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SocketAddress {
    /// IPv4-mapped addresses are written as IPv4.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&std::net::SocketAddr::new(self.ip, self.port), f)
    }
}

/// Address family of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the meaning")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// One step of a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// The state entered.
    pub state: TcpState,
    /// When; `None` where it was entered before the tracer started.
    pub at: Option<Timestamp>,
}

/// How a connection ended (docs/schema says how each is told).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Both sides sent FIN and all was acknowledged.
    Graceful,
    /// This end sent a reset.
    ResetByLocal,
    /// The other end sent a reset.
    ResetByRemote,
    /// The SYN was answered by a reset.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The network said that there is no way.
    Unreachable,
    /// Given up by its own side before it stood.
    Aborted,
    /// Not ended yet.
    Open,
    /// It has ended, but the events that told how were lost. In JSON `null`.
    Unknown,
}

impl Outcome {
    /// As in records and filters; `None` where it is unknown.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Outcome::Graceful => "graceful",
            Outcome::ResetByLocal => "reset_by_local",
            Outcome::ResetByRemote => "reset_by_remote",
            Outcome::Refused => "refused",
            Outcome::TimedOut => "timed_out",
            Outcome::Unreachable => "unreachable",
            Outcome::Aborted => "aborted",
            Outcome::Open => "open",
            Outcome::Unknown => return None,
        })
    }
}

/// `outcome` in JSON, where unknown is `null`.
mod outcome {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Outcome;

    pub fn serialize<S: Serializer>(outcome: &Outcome, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() && *outcome == Outcome::Unknown {
            s.serialize_none()
        } else {
            outcome.serialize(s)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Outcome, D::Error> {
        if d.is_human_readable() {
            Option::<Outcome>::deserialize(d).map(|found| found.unwrap_or(Outcome::Unknown))
        } else {
            Outcome::deserialize(d)
        }
    }
}

/// A count that may be unknown: `null` in JSON. In a recording the largest number stands for unknown, so
/// that counts of older ones read as they did.
mod unknown_count {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const UNKNOWN: u64 = u64::MAX;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
    pub fn serialize<S: Serializer>(count: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            count.serialize(s)
        } else {
            count.unwrap_or(UNKNOWN).serialize(s)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
        if d.is_human_readable() {
            Option::deserialize(d)
        } else {
            u64::deserialize(d).map(|count| (count != UNKNOWN).then_some(count))
        }
    }
}

/// Who sent the first FIN or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are the meaning")]
pub enum ClosedBy {
    Local,
    Remote,
    Both,
}

/// `type: connection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: ConnId,
    /// Which end this is; `None` where unknown (older than the tracer).
    pub endpoint: Option<Endpoint>,
    /// Address family; an IPv4-mapped IPv6 socket is `ipv4`.
    pub family: Family,
    /// This end's address; port 0 where it never was bound.
    pub local: SocketAddress,
    /// The other end's address.
    pub remote: SocketAddress,
    /// The other end's id, when it is on this host.
    pub peer: Option<ConnId>,
    /// Process that uses the socket.
    pub pid: Option<u32>,
    /// Its name.
    pub comm: Option<Text>,
    /// Its binary.
    pub exe: Option<Arc<str>>,
    /// Its cgroup v2 path.
    pub cgroup: Option<Arc<str>>,
    /// Container id found in the cgroup path.
    pub container: Option<Arc<str>>,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// When it opened (client: SYN_SENT; server: the SYN's arrival); `None` where older than the tracer.
    pub opened_at: Option<Timestamp>,
    /// When its last kernel object was done with; `None` while it lasts.
    pub closed_at: Option<Timestamp>,
    /// Whether it was there before the tracer.
    pub older_than_tracer: bool,
    /// Its life in order.
    pub states: Vec<StateEntry>,
    /// Verdict.
    #[serde(with = "outcome")]
    pub outcome: Outcome,
    /// Who closed first.
    pub closed_by: Option<ClosedBy>,
    /// Payload bytes sent, each once.
    pub bytes_sent: Option<u64>,
    /// Payload bytes received, each once.
    pub bytes_received: Option<u64>,
    /// Segments sent again.
    pub segments_retransmitted: Option<u64>,
    /// Smoothed round-trip time, microseconds.
    pub srtt_us: Option<u64>,
    /// Exchanges seen on it.
    pub exchanges: u64,
    /// Events about it that are known to be lost.
    pub lost_events: u64,
    /// Initial sequence number of this end, where it is known.
    pub isn_sent: Option<u32>,
    /// Of the other end.
    pub isn_received: Option<u32>,
    /// Its socket was in a BPF sockmap: data may have gone from socket to socket past TCP.
    pub bypasses_tcp: bool,
    /// The client for which a proxy speaks, where a PROXY protocol header names it.
    pub proxied_for: Option<SocketAddress>,
}

/// `type: loss`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was noticed.
    pub at: Timestamp,
    /// The hook whose events found no room, or the table whose bound was hit.
    pub hook: String,
    /// How many since the last `loss` of this hook, in its [unit](Loss::unit).
    pub events: u64,
}
