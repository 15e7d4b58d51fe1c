//! What is said between a test and a process that acts for it: one JSON line each way.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Number of a socket within its process.
pub type Slot = u32;

/// What a socket is made with.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Options {
    /// Address to bind before connecting.
    pub bind: Option<SocketAddr>,
    /// An MPTCP socket.
    pub mptcp: bool,
    /// `TCP_FASTOPEN`, on a listener: the queue's length.
    pub fast_open: Option<i32>,
    /// `TCP_DEFER_ACCEPT`, seconds, on a listener.
    pub defer_accept_s: Option<i32>,
    /// `TCP_USER_TIMEOUT`, milliseconds.
    pub user_timeout_ms: Option<i32>,
    /// `SO_BINDTOIFINDEX`: the index of the network interface to bind to.
    pub interface: Option<i32>,
}

/// A command; all but `ConnectStart` and `Kill` wait until it is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    Listen {
        at: SocketAddr,
        backlog: i32,
        options: Options,
    },
    Connect {
        to: SocketAddr,
        options: Options,
    },
    /// Connects with data in the SYN.
    ConnectFast {
        to: SocketAddr,
        bytes: usize,
    },
    /// Sends the SYN and comes back; [`Op::ConnectEnd`] tells how it went.
    ConnectStart {
        to: SocketAddr,
        options: Options,
    },
    ConnectEnd {
        slot: Slot,
    },
    /// Connects a socket that has lived before.
    ConnectAgain {
        slot: Slot,
        to: SocketAddr,
    },
    /// `connect` to `AF_UNSPEC`: ends the connection, keeps the socket.
    Disconnect {
        slot: Slot,
    },
    Accept {
        slot: Slot,
    },
    Send {
        slot: Slot,
        bytes: usize,
    },
    /// Sends these very bytes.
    Write {
        slot: Slot,
        text: String,
    },
    /// Reads exactly so many.
    Receive {
        slot: Slot,
        bytes: usize,
    },
    /// Reads to the end; how many came before it.
    ReceiveEnd {
        slot: Slot,
    },
    /// Shuts the sending half.
    Shutdown {
        slot: Slot,
    },
    /// Sets linger to zero seconds, so that closing resets.
    LingerZero {
        slot: Slot,
    },
    Close {
        slot: Slot,
    },
    /// Makes a socket that stands, in repair mode (TCP_REPAIR), and leaves that mode. The numbers
    /// are the next one to send and the next one to receive.
    Restore {
        local: SocketAddr,
        remote: SocketAddr,
        seqs: [u32; 2],
    },
    /// Asks for the next sequence numbers to send and to receive, in repair mode, which stays.
    NextSeqs {
        slot: Slot,
    },
    /// Closes the socket in repair mode.
    TakeOut {
        slot: Slot,
    },
    /// Puts the socket into a BPF sockmap of its own.
    ToSockmap {
        slot: Slot,
    },
    /// Forks; the child, under a name of its own, has the same sockets under the same numbers.
    Fork {
        comm: String,
    },
}

/// The answer to an [`Op`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// The socket made, if one was.
    pub slot: Slot,
    /// Its own address.
    pub local: Option<SocketAddr>,
    /// Its peer's.
    pub remote: Option<SocketAddr>,
    /// Bytes sent or received.
    pub bytes: usize,
    /// The answer to [`Op::NextSeqs`].
    pub seqs: [u32; 2],
    /// The system call's error.
    pub errno: Option<i32>,
}

/// The first line of a process that acts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    pub pid: u32,
}
