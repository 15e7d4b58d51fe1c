//! How a connection ended and who began it. docs/schema/README.md says it in words.

use super::Connection;
use crate::record::{ClosedBy, Outcome};
use crate::tcp::TcpState;

/// Errno numbers as in sk_err (include/uapi/asm-generic/errno*.h).
mod errno {
    pub const EPIPE: i16 = 32;
    pub const ENETDOWN: i16 = 100;
    pub const ENETUNREACH: i16 = 101;
    pub const ECONNABORTED: i16 = 103;
    pub const ECONNRESET: i16 = 104;
    pub const ETIMEDOUT: i16 = 110;
    pub const ECONNREFUSED: i16 = 111;
    pub const EHOSTDOWN: i16 = 112;
    pub const EHOSTUNREACH: i16 = 113;
}

impl Connection {
    /// How it ended; `Open` while that is not settled.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.life.has_been(TcpState::TimeWait) {
            return Outcome::Graceful; // both FINs were acknowledged; how long it is held is no matter
        }
        if !self.is_closed() {
            return Outcome::Open;
        }
        if self.evidence.end_unseen || self.evidence.taken_out {
            return Outcome::Unknown;
        }
        match self.last_before_close() {
            Some(TcpState::SynSent) => self.unanswered(),
            Some(TcpState::SynRecv) => self.half_open(),
            _ if self.is_timewait() => self.orphan(),
            last => self.stood(last),
        }
    }

    /// Who sent the first FIN or reset; `None` when it never stood or nobody did.
    #[must_use]
    pub fn closed_by(&self) -> Option<ClosedBy> {
        if self.life.has_been(TcpState::Closing) {
            return Some(ClosedBy::Both);
        }
        let outcome = self.outcome();
        if outcome == Outcome::TimedOut || !self.has_stood() {
            return None;
        }
        if self.life.has_been(TcpState::FinWait1) || self.life.has_been(TcpState::FinWait2) {
            return Some(ClosedBy::Local);
        }
        if self.life.has_been(TcpState::CloseWait) || self.life.has_been(TcpState::LastAck) {
            return Some(ClosedBy::Remote);
        }
        match outcome {
            Outcome::ResetByLocal => Some(ClosedBy::Local),
            Outcome::ResetByRemote => Some(ClosedBy::Remote),
            _ => None,
        }
    }

    fn has_stood(&self) -> bool {
        self.life.iter().any(|entry| entry.state.is_synchronized())
    }

    fn last_before_close(&self) -> Option<TcpState> {
        self.life.iter().rev().map(|entry| entry.state).find(|state| *state != TcpState::Close)
    }

    /// `SYN_SENT -> CLOSE`: the socket's error tells the four stories apart.
    fn unanswered(&self) -> Outcome {
        match self.evidence.errno {
            errno::ECONNREFUSED | errno::ECONNRESET => Outcome::Refused,
            errno::ETIMEDOUT => Outcome::TimedOut,
            errno::ENETDOWN | errno::ENETUNREACH | errno::EHOSTDOWN | errno::EHOSTUNREACH => {
                Outcome::Unreachable
            }
            // The program may have read the error by now. Where there is another, TCP did not take the reset.
            _ if self.evidence.seen_received.reset => Outcome::Refused,
            _ => Outcome::Aborted,
        }
    }

    /// `SYN_RECV -> CLOSE`: a request that never stood, or a child of a Fast Open.
    fn half_open(&self) -> Outcome {
        if self.evidence.timer_expired && !self.evidence.listener_closed {
            Outcome::TimedOut // a reset that came was none that TCP took
        } else if self.evidence.seen_received.reset {
            Outcome::ResetByRemote
        } else if self.evidence.listener_closed {
            Outcome::Aborted
        } else if self.evidence.errno == errno::ETIMEDOUT {
            Outcome::TimedOut
        } else if self.evidence.seen_sent.reset {
            Outcome::ResetByLocal
        } else {
            Outcome::Aborted
        }
    }

    /// An orphan's FIN_WAIT2 that ended in its timewait socket: its FIN never came.
    fn orphan(&self) -> Outcome {
        if self.evidence.timer_expired {
            Outcome::TimedOut
        } else if self.evidence.seen_sent.reset {
            Outcome::ResetByLocal // data came for a socket that nobody holds
        } else {
            Outcome::ResetByRemote
        }
    }

    fn stood(&self, last: Option<TcpState>) -> Outcome {
        match self.evidence.errno {
            0 => self.ended_without_error(last),
            errno::ETIMEDOUT => Outcome::TimedOut,
            errno::ENETDOWN | errno::ENETUNREACH | errno::EHOSTDOWN | errno::EHOSTUNREACH => {
                Outcome::Unreachable
            }
            errno::ECONNABORTED => Outcome::ResetByLocal,
            errno::ECONNRESET | errno::EPIPE | errno::ECONNREFUSED => self.reset_by(),
            _ if self.evidence.seen_received.reset => Outcome::ResetByRemote,
            _ => Outcome::ResetByLocal,
        }
    }

    /// tcp_reset() ran: over a reset that came, or over data that came for a socket nobody reads any more,
    /// which TCP answers with a reset of its own.
    fn reset_by(&self) -> Outcome {
        if !self.evidence.seen_received.reset && self.evidence.seen_sent.reset {
            Outcome::ResetByLocal
        } else {
            Outcome::ResetByRemote
        }
    }

    fn ended_without_error(&self, last: Option<TcpState>) -> Outcome {
        match last {
            Some(TcpState::LastAck | TcpState::Closing) => Outcome::Graceful,
            // No timewait socket was made: tcp_max_tw_buckets was reached.
            Some(TcpState::FinWait1 | TcpState::FinWait2) if self.evidence.fin_received => {
                Outcome::Graceful
            }
            _ if self.evidence.seen_sent.reset => Outcome::ResetByLocal,
            // The program has read the error before the socket closed (SO_ERROR needs no lock).
            _ if self.evidence.seen_received.reset => Outcome::ResetByRemote,
            // Its timewait socket (`tcp_time_wait`) was not seen, or there was no room for one.
            Some(TcpState::FinWait1 | TcpState::FinWait2) => Outcome::Unknown,
            // linger 0, unread data, a listener closed with children nobody accepted.
            _ => Outcome::ResetByLocal,
        }
    }
}
