//! What a client of a daemon asks for, and how it is refused.
//!
//! A client sends one line of JSON and then only reads. The answer is a recording (docs/recording-format.md), or one line of
//! JSON that says why there is none.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of what clients say; a daemon refuses others.
pub const VERSION: u32 = 1;
/// Longest request, bytes.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the client.
    pub tracer: u32,
    /// What it wants.
    #[serde(flatten)]
    pub want: Want,
}

/// What there is to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "snake_case")]
pub enum Want {
    /// Connections that are open, as notes, and from then on what happens, as it happens.
    Live {
        /// In the FILTER language; everything without one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
    },
    /// A recording of what was kept, and its end.
    History {
        /// How far back, milliseconds; everything that was kept without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_ms: Option<u64>,
    },
}

/// Why a client gets nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In a sentence.
    pub error: String,
}

/// Why there is no request.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The connection failed, or nothing came in time.
    #[error("no request came: {0}")]
    Io(#[from] io::Error),
    /// It is no line of JSON that asks for something.
    #[error("the request is none: {0}; it is one line such as {{\"tracer\":1,\"want\":\"live\"}}")]
    Malformed(serde_json::Error),
    /// Of another version.
    #[error(
        "the client speaks version {0} and this daemon version {VERSION}: use the same tracer for both"
    )]
    Version(u32),
}

/// Sends `request`.
///
/// # Errors
/// What the connection says.
pub fn send(request: &Request, out: &mut impl Write) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Reads what a client asks for.
///
/// # Errors
/// [`RequestError`].
pub fn receive(client: impl Read) -> Result<Request, RequestError> {
    /// Before anything else is understood of it.
    #[derive(Deserialize)]
    struct Version {
        tracer: u32,
    }
    let mut line = Vec::new();
    io::BufReader::with_capacity(256, client.take(MAX_REQUEST_BYTES))
        .read_until(b'\n', &mut line)?;
    let version: Version = serde_json::from_slice(&line).map_err(RequestError::Malformed)?;
    if version.tracer != VERSION {
        return Err(RequestError::Version(version.tracer));
    }
    serde_json::from_slice(&line).map_err(RequestError::Malformed)
}

/// Says why there is nothing.
pub fn refuse(error: String, out: &mut impl Write) {
    let line = serde_json::to_string(&Refusal { error }).unwrap_or_default();
    // A client that is gone already needs no reason.
    _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Want, String> {
        receive(text.as_bytes()).map(|request| request.want).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_sent_is_received() {
        let wants = [
            Want::Live { filter: None },
            Want::Live { filter: Some("port:443 \"x\"".to_owned()) },
            Want::History { last_ms: None },
            Want::History { last_ms: Some(60_000) },
        ];
        for want in wants {
            let request = Request { tracer: VERSION, want };
            let mut line = Vec::new();
            send(&request, &mut line).unwrap();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(receive(&line[..]).unwrap(), request);
        }
    }

    #[test]
    fn a_person_can_type_a_request() {
        assert_eq!(said("{\"tracer\":1,\"want\":\"live\"}\nmore"), Ok(Want::Live { filter: None }));
        assert_eq!(
            said("{\"tracer\":1,\"want\":\"history\"}"),
            Ok(Want::History { last_ms: None })
        );
    }

    #[test]
    fn what_cannot_be_answered_is_told_why() {
        assert!(said("").unwrap_err().starts_with("the request is none"));
        assert!(said("GET / HTTP/1.1\r\n").unwrap_err().contains("one line such as"));
        assert!(said("{\"tracer\":2,\"want\":\"new\"}").unwrap_err().contains("version 2"));
        assert!(said("{\"tracer\":1,\"want\":\"tea\"}").unwrap_err().contains("tea"));
        let long = format!("{{\"tracer\":1,\"want\":\"{}\"}}", "x".repeat(100_000));
        assert!(said(&long).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            if let Err(error) = receive(&bytes[..]) {
                assert!(!error.to_string().contains('\n'), "one line");
            }
        }
    }
}
