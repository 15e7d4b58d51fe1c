//! HTTP/1.0 and 1.1: from slices of TCP packets to exchanges.
//!
//! ```text
//! Slice -> stream (order, holes) -> reader (head, framing, body) -> pair -> Exchange -> record
//! ```
//!
//! [`HttpConnection`] is a value: data and time go in, exchanges come out. No content is kept, only
//! counted. Packets may be lost, repeated, overlapping, reordered or captured in part; what could not be
//! known because of that is told as unknown (RFC 9110 and 9112 are the protocol, RFC 9293 the transport).

mod body;
mod connection;
mod exchange;
mod fields;
mod framing;
mod head;
mod head_buffer;
mod heads;
mod limits;
mod lines;
mod moment;
mod pair;
mod proxy;
mod ranges;
mod reader;
mod record;
mod stream;
#[cfg(test)]
mod tests;

pub use connection::{Exchanges, HttpConnection};
pub use exchange::{Exchange, MAX_INTERIM, Message};
pub use head::Head;
pub use limits::{Counters, Limits};
pub use record::RecordContext;
pub use stream::Slice;

/// What a direction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Client to server.
    Request,
    /// Server to client.
    Response,
}

impl Flow {
    const fn opposite(self) -> Self {
        match self {
            Flow::Request => Flow::Response,
            Flow::Response => Flow::Request,
        }
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// No message was seen yet.
    Undecided,
    /// HTTP/1.
    Http,
    /// HTTP/1 up to CONNECT or 101, something else since.
    Upgraded,
    /// Something else: given up.
    NotHttp,
}
