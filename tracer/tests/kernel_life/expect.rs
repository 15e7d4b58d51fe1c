//! What a scenario expects to be told: the exact life of each end.

use std::net::{IpAddr, SocketAddr};

use tracer::tcp::TcpState;

use crate::support::actor::{Actor, Conn};
use crate::support::records::Life;

/// Which end, or for one older than the tracer: this one or unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Client,
    Server,
}

/// What is expected of the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This process.
    Process { pid: u32, comm: String },
    /// This process; it ended at once, and its binary may have gone with it.
    ShortLived { pid: u32, comm: String },
    /// Nobody ever held it.
    Nobody,
}

/// An outcome that nobody can know.
pub const UNKNOWN: &str = "unknown";

/// The expected life of one end.
#[derive(Clone, Debug)]
pub struct Expected {
    pub netns: u32,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub endpoint: Endpoint,
    pub path: Vec<TcpState>,
    pub outcome: &'static str,
    pub closed_by: Option<&'static str>,
    pub owner: Owner,
    /// There before the tracer: what cannot be known may then be null, but never wrong.
    pub older: bool,
    /// Made in repair mode: it has no opener, no SYN and no time at which it opened.
    pub restored: bool,
    /// SYN, FIN, RST and repeated segments in order, e.g. `sent S`, `received SA`, `sent S again`.
    pub segments: Option<Vec<String>>,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// At least so many segments were sent again.
    pub retransmitted: u64,
    /// Index of the other end among the scenario's lives.
    pub peer: Option<usize>,
}

impl Expected {
    pub fn new(
        actor: &Actor,
        (local, remote): (SocketAddr, SocketAddr),
        endpoint: Endpoint,
        path: &[TcpState],
    ) -> Expected {
        Expected {
            netns: actor.netns,
            local,
            remote,
            endpoint,
            path: path.to_vec(),
            outcome: "open",
            closed_by: None,
            owner: Owner::Process { pid: actor.pid, comm: actor.comm.clone() },
            older: false,
            restored: false,
            segments: None,
            bytes_sent: 0,
            bytes_received: 0,
            retransmitted: 0,
            peer: None,
        }
    }

    /// An end that no process ever accepted.
    pub fn unaccepted(
        actor: &Actor,
        ends: (SocketAddr, SocketAddr),
        path: &[TcpState],
    ) -> Expected {
        Expected { owner: Owner::Nobody, ..Expected::new(actor, ends, Endpoint::Server, path) }
    }

    pub fn outcome(self, outcome: &'static str) -> Expected {
        Expected { outcome, ..self }
    }

    pub fn closed_by(self, who: &'static str) -> Expected {
        Expected { closed_by: Some(who), ..self }
    }

    /// Both FINs, all acknowledged; `who` sent the first.
    pub fn graceful(self, who: &'static str) -> Expected {
        self.outcome("graceful").closed_by(who)
    }

    pub fn bytes(self, bytes_sent: u64, bytes_received: u64) -> Expected {
        Expected { bytes_sent, bytes_received, ..self }
    }

    pub fn retransmitted(self, at_least: u64) -> Expected {
        Expected { retransmitted: at_least, ..self }
    }

    pub fn segments(self, segments: &[&'static str]) -> Expected {
        Expected { segments: Some(segments.iter().map(|&s| s.to_owned()).collect()), ..self }
    }

    /// Further segments behind the expected ones.
    pub fn and_segments(mut self, segment: &str, times: usize) -> Expected {
        let list = self.segments.get_or_insert_default();
        list.extend(std::iter::repeat_n(segment.to_owned(), times));
        self
    }

    pub fn owner(self, actor: &Actor) -> Expected {
        Expected { owner: Owner::Process { pid: actor.pid, comm: actor.comm.clone() }, ..self }
    }

    pub fn short_lived_owner(self, actor: &Actor) -> Expected {
        Expected { owner: Owner::ShortLived { pid: actor.pid, comm: actor.comm.clone() }, ..self }
    }

    pub fn owned_by_nobody(self) -> Expected {
        Expected { owner: Owner::Nobody, ..self }
    }

    pub fn older(self) -> Expected {
        Expected { older: true, ..self }
    }

    pub fn restored(self) -> Expected {
        Expected { restored: true, ..self }
    }

    pub fn family(&self) -> &'static str {
        match self.local.ip() {
            IpAddr::V4(_) => "ipv4",
            IpAddr::V6(_) => "ipv6",
        }
    }

    /// Whether it ends within the test.
    pub fn ends(&self) -> bool {
        self.path.last() == Some(&TcpState::Close)
    }

    /// What `inet_sock_set_state` tells of this life: it calls the swap for a timewait socket `-> CLOSE`, and
    /// has no word for that socket's end nor for a request socket, and `LISTEN -> SYN_RECV` is left out: older
    /// kernels tell it before the addresses are there.
    pub fn visible(&self) -> Vec<(TcpState, TcpState)> {
        let begins_at_close = self.endpoint == Endpoint::Client && !self.older;
        if self.restored {
            // connect(2) in repair mode goes through SYN_SENT without a SYN.
            let path: Vec<TcpState> =
                std::iter::once(TcpState::SynSent).chain(self.path.iter().copied()).collect();
            return visible(begins_at_close, &path);
        }
        visible(begins_at_close, &self.path)
    }
}

/// See [`Expected::visible`].
pub fn visible(begins_at_close: bool, path: &[TcpState]) -> Vec<(TcpState, TcpState)> {
    use TcpState::{Close, SynRecv, TimeWait};
    if path == [SynRecv, Close] {
        return Vec::new();
    }
    let first = begins_at_close.then_some(Close);
    let states: Vec<TcpState> = first.into_iter().chain(path.iter().copied()).collect();
    states
        .windows(2)
        .filter(|pair| pair[0] != TimeWait)
        .map(|pair| (pair[0], if pair[1] == TimeWait { Close } else { pair[1] }))
        .collect()
}

/// An end's life by its connection.
pub trait Lived {
    fn client(&self, path: &[TcpState]) -> Expected;
    fn server(&self, path: &[TcpState]) -> Expected;
}

impl Lived for Conn<'_> {
    fn client(&self, path: &[TcpState]) -> Expected {
        Expected::new(self.actor, (self.local, self.remote), Endpoint::Client, path)
    }

    fn server(&self, path: &[TcpState]) -> Expected {
        Expected::new(self.actor, (self.local, self.remote), Endpoint::Server, path)
    }
}

type Check = Box<dyn Fn(&[Life]) -> Result<(), String> + Send + Sync>;

/// The lives that a scenario expects, on the same end in the order in which they began.
#[derive(Default)]
pub struct Lives {
    pub all: Vec<Expected>,
    /// Further conditions over the lives as seen, in this list's order.
    pub checks: Vec<Check>,
}

impl Lives {
    pub fn new() -> Lives {
        Lives::default()
    }

    /// A life whose other end is not on this host, or had none.
    pub fn alone(mut self, life: Expected) -> Lives {
        self.all.push(life);
        self
    }

    /// Both ends of one connection.
    pub fn pair(mut self, one: Expected, other: Expected) -> Lives {
        let at = self.all.len();
        self.all.push(Expected { peer: Some(at + 1), ..one });
        self.all.push(Expected { peer: Some(at), ..other });
        self
    }

    pub fn check(
        mut self,
        check: impl Fn(&[Life]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Lives {
        self.checks.push(Box::new(check));
        self
    }
}
