//! The program's JSON lines as a user of them would read them: by the names in the contract, not by the
//! program's own types.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use tracer::tcp::TcpState;
use tracer::time::Timestamp;

/// A line of the output.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    Host(Host),
    Transition(Transition),
    Segment(Segment),
    Exchange(Box<Exchange>),
    Connection(Box<Life>),
    Loss(Loss),
}

#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    pub schema: u32,
    pub kernel: String,
    pub hooks: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Transition {
    pub conn: String,
    pub at: Timestamp,
    pub endpoint: Option<String>,
    pub from: TcpState,
    pub to: TcpState,
    pub in_from_us: Option<u64>,
    pub source: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Segment {
    pub conn: String,
    pub at: Timestamp,
    pub direction: String,
    pub flags: String,
    pub seq: u32,
    pub ack: Option<u32>,
    pub payload_bytes: u32,
    pub retransmit: bool,
}

/// A `connection` line: the whole life of one end.
#[derive(Clone, Debug, Deserialize)]
pub struct Life {
    pub id: String,
    pub endpoint: Option<String>,
    pub family: String,
    pub local: Address,
    pub remote: Address,
    pub peer: Option<String>,
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
    pub cgroup: Option<String>,
    pub netns: Option<u32>,
    pub opened_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub older_than_tracer: bool,
    pub states: Vec<Step>,
    /// `None` where its end was lost.
    pub outcome: Option<String>,
    pub closed_by: Option<String>,
    pub bytes_sent: Option<u64>,
    pub bytes_received: Option<u64>,
    pub segments_retransmitted: Option<u64>,
    pub srtt_us: Option<u64>,
    pub exchanges: u64,
    pub lost_events: u64,
    pub isn_sent: Option<u32>,
    pub isn_received: Option<u32>,
    pub bypasses_tcp: bool,
    /// The client that a proxy speaks for.
    #[serde(default)]
    pub proxied_for: Option<Address>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Address {
    pub ip: IpAddr,
    pub port: u16,
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> SocketAddr {
        SocketAddr::new(address.ip, address.port)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Step {
    pub state: TcpState,
    pub at: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Exchange {
    pub conn: String,
    pub number: u64,
    pub protocol: Option<String>,
    pub method: Option<String>,
    pub scheme: Option<String>,
    pub authority: Option<String>,
    pub target: Option<String>,
    pub status: Option<u16>,
    pub reason: Option<String>,
    pub request: Option<Message>,
    pub response: Option<Message>,
    pub timing: Timing,
    pub reused_connection: Option<bool>,
    pub complete: bool,
    pub missing_bytes: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    pub at: Option<Timestamp>,
    pub seq: Option<u32>,
    pub wire_bytes: Option<u64>,
    pub headers: Vec<(String, String)>,
    pub body_bytes: Option<u64>,
    pub media_type: Option<String>,
    pub from_cache: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Timing {
    pub connect_us: Option<u64>,
    pub send_us: Option<u64>,
    pub wait_us: Option<u64>,
    pub receive_us: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Loss {
    pub hook: String,
    pub events: u64,
}

impl Life {
    pub fn local(&self) -> SocketAddr {
        self.local.into()
    }

    pub fn remote(&self) -> SocketAddr {
        self.remote.into()
    }

    /// Whether it began to stand under the tracer, without a handshake.
    pub fn is_restored(&self) -> bool {
        !self.older_than_tracer
            && self.opened_at.is_none()
            && self.states.first().is_some_and(|step| step.state == TcpState::Established)
    }

    /// The states alone.
    pub fn path(&self) -> Vec<TcpState> {
        self.states.iter().map(|step| step.state).collect()
    }

    /// When it entered a state first.
    pub fn entered(&self, state: TcpState) -> Option<Timestamp> {
        self.states.iter().find(|step| step.state == state).and_then(|step| step.at)
    }

    /// Microseconds from entering one state to entering another.
    pub fn between_us(&self, from: TcpState, to: TcpState) -> Option<u64> {
        Some(self.entered(to)?.since_us(self.entered(from)?))
    }

    /// Whether its last kernel object is done with.
    pub fn is_over(&self) -> bool {
        self.states.last().is_some_and(|step| step.state == TcpState::Close)
    }
}
