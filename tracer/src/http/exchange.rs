//! A request with its response, as the engine tells it.

use smallvec::SmallVec;

use super::head::Head;
use crate::time::Timestamp;

/// One message of an exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Start line and fields.
    pub head: Head,
    /// Sequence number of its first byte, as on the wire.
    pub seq: u32,
    /// When its first byte passed.
    pub first_at: Timestamp,
    /// When the last byte of it that was seen passed.
    pub last_at: Timestamp,
    /// Content bytes that were seen, captured or not; chunk framing is not counted.
    pub body_bytes: u64,
    /// Bytes that no packet covered, and head bytes that were not captured or not kept; `None` where its
    /// framing was lost, so that how many is not known.
    pub missing_bytes: Option<u64>,
    /// Whether its end is known and was reached. A hole inside content of known length does not change that.
    pub ended: bool,
    /// Bytes it took on the stream: head, framing and content; `None` where its end is not known.
    pub wire_bytes: Option<u64>,
}

impl Message {
    pub(super) fn new(head: Head, seq: u32, first_at: Timestamp, last_at: Timestamp) -> Self {
        Message {
            head,
            seq,
            first_at,
            last_at,
            body_bytes: 0,
            missing_bytes: Some(0),
            ended: false,
            wire_bytes: None,
        }
    }

    /// Whether it was seen from its first byte to its last.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.ended && self.missing_bytes == Some(0)
    }

    pub(super) fn end_with(&mut self, end: &Ending) {
        self.last_at = end.last_at;
        self.body_bytes = end.body_bytes;
        self.missing_bytes = end.missing_bytes;
        self.ended = end.ended;
        self.wire_bytes = end.ended.then_some(end.wire_bytes);
    }
}

/// How the reading of a message came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub last_at: Timestamp,
    pub body_bytes: u64,
    /// `None` where it is not known how many.
    pub missing_bytes: Option<u64>,
    pub ended: bool,
    /// From the message's first byte to where its reading ended.
    pub wire_bytes: u64,
}

impl Ending {
    /// Of a message whose content begins now.
    pub(super) const fn to_come(last_at: Timestamp, missing_bytes: u64) -> Self {
        let missing_bytes = Some(missing_bytes);
        Ending { last_at, body_bytes: 0, missing_bytes, ended: false, wire_bytes: 0 }
    }

    /// More bytes were not seen.
    pub fn miss(&mut self, bytes: u64) {
        self.missing_bytes = self.missing_bytes.map(|before| before.saturating_add(bytes));
    }
}

/// An HTTP/1 request and its response on one connection; either half may be unknown, never both.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// From 1, in the order in which requests (or responses without one) began on the connection.
    pub number: u64,
    /// `None` where its head was not seen, or where it is not certain which request was answered.
    pub request: Option<Message>,
    /// `None` where its head was not seen, or where it is not certain which response was the answer.
    pub response: Option<Message>,
    /// Status codes of the interim responses (1xx) before the response, at most [`MAX_INTERIM`].
    pub interim: SmallVec<[u16; 2]>,
    /// Whether another exchange came before it; `None` for the first one seen on a connection whose
    /// beginning was not seen.
    pub reused_connection: Option<bool>,
}

/// Interim responses that are remembered for one exchange.
pub const MAX_INTERIM: usize = 16;

impl Exchange {
    /// Whether both messages were seen to their end with nothing missing.
    #[must_use]
    pub fn complete(&self) -> bool {
        let whole = |half: &Option<Message>| half.as_ref().is_some_and(Message::is_whole);
        whole(&self.request) && whole(&self.response)
    }

    /// Bytes of the two messages that were not seen; `None` where it is not known how many.
    #[must_use]
    pub fn missing_bytes(&self) -> Option<u64> {
        let missing = |half: &Option<Message>| half.as_ref()?.missing_bytes;
        missing(&self.request)?.checked_add(missing(&self.response)?)
    }

    /// `HTTP/1.0` or `HTTP/1.1`: the lower of the two messages' versions, which is what both ends speak.
    #[must_use]
    pub fn protocol(&self) -> Option<&'static str> {
        let minor = [&self.request, &self.response]
            .into_iter()
            .flatten()
            .map(|m| m.head.minor_version)
            .min()?;
        Some(if minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" })
    }

    /// Request method.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.request.as_ref().map(|m| m.head.method())
    }

    /// Request target as sent, nothing redacted.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.request.as_ref().map(|m| m.head.target())
    }

    /// Host and port the request was for: of the target where it names them (RFC 9112 section 3.2.2), else
    /// of the `host` field. Userinfo is left out.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        let head = &self.request.as_ref()?.head;
        target_authority(head).or_else(|| head.field("host")).filter(|a| !a.is_empty())
    }

    /// Status code of the final response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|m| m.head.status)
    }

    /// Reason phrase, `None` where empty.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.response.as_ref().map(|m| m.head.reason()).filter(|r| !r.is_empty())
    }
}

fn target_authority(head: &Head) -> Option<&str> {
    let target = head.target();
    let authority = if head.method() == "CONNECT" {
        target
    } else if target.starts_with('/') {
        return None;
    } else {
        let (_, rest) = target.split_once("://")?;
        rest.split(['/', '?', '#']).next().unwrap_or(rest)
    };
    Some(authority.rsplit_once('@').map_or(authority, |(_, host)| host))
}
