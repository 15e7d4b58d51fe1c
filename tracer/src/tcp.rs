//! TCP's own vocabulary: states (RFC 9293 section 3.3.2, Linux' names), flags, ends.

use serde::{Deserialize, Serialize};

/// A TCP state by Linux' name and number (include/net/tcp_states.h).
///
/// `NEW_SYN_RECV` (12), the request socket's, is told as [`TcpState::SynRecv`]: it is the RFC's SYN-RECEIVED.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum TcpState {
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    #[serde(rename = "FIN_WAIT1")]
    FinWait1 = 4,
    #[serde(rename = "FIN_WAIT2")]
    FinWait2 = 5,
    TimeWait = 6,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

impl TcpState {
    /// Every state, in the order of a connection's life.
    pub const ALL: [TcpState; 11] = [
        TcpState::Listen,
        TcpState::SynSent,
        TcpState::SynRecv,
        TcpState::Established,
        TcpState::FinWait1,
        TcpState::FinWait2,
        TcpState::Closing,
        TcpState::TimeWait,
        TcpState::CloseWait,
        TcpState::LastAck,
        TcpState::Close,
    ];

    /// The state with the kernel's number, `None` for numbers that are no state.
    #[must_use]
    pub const fn from_kernel(number: u8) -> Option<TcpState> {
        Some(match number {
            1 => TcpState::Established,
            2 => TcpState::SynSent,
            3 | 12 => TcpState::SynRecv,
            4 => TcpState::FinWait1,
            5 => TcpState::FinWait2,
            6 => TcpState::TimeWait,
            7 => TcpState::Close,
            8 => TcpState::CloseWait,
            9 => TcpState::LastAck,
            10 => TcpState::Listen,
            11 => TcpState::Closing,
            _ => return None,
        })
    }

    /// Linux' name, as in records and filters' `state:` (there in any case).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TcpState::Established => "ESTABLISHED",
            TcpState::SynSent => "SYN_SENT",
            TcpState::SynRecv => "SYN_RECV",
            TcpState::FinWait1 => "FIN_WAIT1",
            TcpState::FinWait2 => "FIN_WAIT2",
            TcpState::TimeWait => "TIME_WAIT",
            TcpState::Close => "CLOSE",
            TcpState::CloseWait => "CLOSE_WAIT",
            TcpState::LastAck => "LAST_ACK",
            TcpState::Listen => "LISTEN",
            TcpState::Closing => "CLOSING",
        }
    }

    /// Whether both ends had agreed on the connection when it was in this state.
    #[must_use]
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, TcpState::Close | TcpState::Listen | TcpState::SynSent | TcpState::SynRecv)
    }
}

impl std::fmt::Display for TcpState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Which end of the connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// It sent the first SYN.
    Client,
    /// It was accepted from a listener.
    Server,
}

impl Endpoint {
    /// As in records and filters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Endpoint::Client => "client",
            Endpoint::Server => "server",
        }
    }

    /// The other end of its connection.
    #[must_use]
    pub const fn opposite(self) -> Endpoint {
        match self {
            Endpoint::Client => Endpoint::Server,
            Endpoint::Server => Endpoint::Client,
        }
    }
}

/// The way a segment went, seen from the socket it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Out of this socket.
    Sent,
    /// To this socket.
    Received,
}

/// Bits of the TCP header's flags byte.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// The flags as letters in tcpdump's manner and the contract's order: `S`, `F`, `R`, `P`, then `A`.
#[must_use]
pub fn flag_letters(bits: u8) -> crate::record::Text {
    const LETTERS: [(u8, u8); 5] = [
        (flags::SYN, b'S'),
        (flags::FIN, b'F'),
        (flags::RST, b'R'),
        (flags::PSH, b'P'),
        (flags::ACK, b'A'),
    ];
    let mut letters = [0; LETTERS.len()];
    let mut count = 0;
    for (_, letter) in LETTERS.into_iter().filter(|(bit, _)| bits & bit != 0) {
        letters[count] = letter;
        count += 1;
    }
    std::str::from_utf8(&letters[..count]).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_written_with_linux_names_in_json() {
        for state in TcpState::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.name()));
        }
    }

    #[test]
    fn kernel_numbers_map_to_states_and_back() {
        for state in TcpState::ALL {
            assert_eq!(TcpState::from_kernel(state as u8), Some(state));
        }
        assert_eq!(TcpState::from_kernel(12), Some(TcpState::SynRecv));
        assert_eq!(TcpState::from_kernel(0), None);
        assert_eq!(TcpState::from_kernel(13), None);
    }

    #[test]
    fn syn_ack_is_written_sa() {
        assert_eq!(flag_letters(flags::SYN | flags::ACK), "SA");
        assert_eq!(flag_letters(0), "");
    }
}
