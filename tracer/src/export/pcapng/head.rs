//! HTTP heads: as they were on the wire where the recording has them so, else put together again from the fields.

use super::packet::MAX_PAYLOAD_BYTES;
use crate::record::redact::REDACTED;
use crate::record::{Exchange, Headers, Request, Response, WireHead};

/// A message's head, as it is written, and how it fits the message's place on the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Start line and header fields, never longer than the message was.
    pub bytes: Vec<u8>,
    /// Spaces that were put behind the last field, so that the head is as long as it was.
    pub padding_bytes: usize,
    /// Bytes of the head that had no room.
    pub cut_bytes: usize,
    /// Where the head is as it was on the wire: how many of its bytes are masked.
    pub masked_bytes: Option<u32>,
}

/// What of the message's length is known.
#[derive(Clone, Copy, Debug)]
struct Extent {
    wire_bytes: Option<u64>,
    /// Content, where it stands on the stream as it is and all of it was seen.
    plain_body_bytes: Option<u64>,
}

impl Extent {
    fn new(
        exchange: &Exchange,
        headers: &Headers,
        wire_bytes: Option<u64>,
        body_bytes: Option<u64>,
    ) -> Extent {
        let is_plain =
            headers.get("transfer-encoding").is_none() && exchange.missing_bytes == Some(0);
        Extent { wire_bytes, plain_body_bytes: body_bytes.filter(|_| is_plain) }
    }

    /// How long the head was.
    fn head_bytes(self) -> Option<u64> {
        self.wire_bytes?.checked_sub(self.plain_body_bytes?)
    }
}

/// A head as it was on the wire.
fn exact(wire: &WireHead) -> Head {
    Head {
        bytes: wire.bytes().to_vec(),
        padding_bytes: 0,
        cut_bytes: 0,
        masked_bytes: Some(wire.masked_bytes()),
    }
}

/// The request's; `None` where its start line is not known.
pub(super) fn of_request(exchange: &Exchange, request: &Request) -> Option<Head> {
    if let Some(wire) = &request.wire_head {
        return Some(exact(wire));
    }
    let (method, target) = (exchange.method.as_deref()?, exchange.target.as_deref()?);
    let start_line = [method, target, exchange.protocol.as_deref()?].join(" ");
    let extent = Extent::new(exchange, &request.headers, request.wire_bytes, request.body_bytes);
    Some(fitted(&start_line, &request.headers, extent))
}

/// The response's, likewise.
pub(super) fn of_response(exchange: &Exchange, response: &Response) -> Option<Head> {
    if let Some(wire) = &response.wire_head {
        return Some(exact(wire));
    }
    let (protocol, status) = (exchange.protocol.as_deref()?, exchange.status?);
    let start_line = format!("{protocol} {status:03} {}", exchange.reason.as_deref().unwrap_or(""));
    let extent = Extent::new(exchange, &response.headers, response.wire_bytes, response.body_bytes);
    Some(fitted(&start_line, &response.headers, extent))
}

/// Redaction and blanks change a head's length. Blanks behind a field's value mean nothing (RFC 9112 section 5.1), so they
/// fill up what is too short. Of what is too long the marks of redaction are made short, and what is still too long is cut.
fn fitted(start_line: &str, headers: &Headers, extent: Extent) -> Head {
    let room = extent.head_bytes().or(extent.wire_bytes);
    let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX);
    let mut bytes = lines(start_line, headers, Marks::AsRecorded);
    // The blank line is to come.
    if bytes.len() + 2 > room {
        bytes = lines(start_line, headers, Marks::Short);
    }
    let padding_bytes = padding(bytes.len() + 2, headers, extent);
    if padding_bytes > 0 {
        bytes.truncate(bytes.len() - 2);
        bytes.resize(bytes.len() + padding_bytes, b' ');
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    let cut_bytes = bytes.len().saturating_sub(room);
    bytes.truncate(room);
    Head { bytes, padding_bytes, cut_bytes, masked_bytes: None }
}

/// How what stands for a secret is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    AsRecorded,
    /// One character, as no secret is shorter, and no blanks before values.
    Short,
}

fn lines(start_line: &str, headers: &Headers, marks: Marks) -> Vec<u8> {
    let mut bytes = Vec::new();
    let short = |text: &str| text.replace(REDACTED, "*");
    match marks {
        Marks::AsRecorded => {
            push_line(&mut bytes, &[start_line]);
            headers.iter().for_each(|(name, value)| push_line(&mut bytes, &[name, ": ", value]));
        }
        Marks::Short => {
            push_line(&mut bytes, &[&short(start_line)]);
            for (name, value) in headers {
                push_line(&mut bytes, &[name, ":", &short(value)]);
            }
        }
    }
    bytes
}

fn padding(rebuilt_bytes: usize, headers: &Headers, extent: Extent) -> usize {
    let was = extent.head_bytes().filter(|bytes| *bytes <= u64::from(MAX_PAYLOAD_BYTES));
    let was = was.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
    if headers.is_empty() { 0 } else { was.saturating_sub(rebuilt_bytes) }
}

/// A line break inside of a part, which no head has, would make two lines of one.
fn push_line(bytes: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        bytes.extend(part.bytes().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
    }
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::examples;
    use crate::record::Record;

    fn exchange() -> Exchange {
        let exchange = examples().into_iter().flatten().find_map(|record| match record {
            Record::Exchange(exchange) => Some(exchange),
            _ => None,
        });
        (*exchange.unwrap()).clone()
    }

    fn request_of(wire_bytes: Option<u64>, body_bytes: u64) -> Head {
        let exchange = exchange();
        let request = exchange.request.clone().unwrap();
        let request = Request { wire_bytes, body_bytes: Some(body_bytes), ..request };
        of_request(&exchange, &request).unwrap()
    }

    const LINES: &str = "GET /a?b=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\ncookie: [redacted]";

    #[test]
    fn a_head_is_as_long_as_it_was() {
        let rebuilt = LINES.len() as u64 + 4;
        let exact = request_of(Some(rebuilt), 0);
        assert_eq!(exact.bytes, format!("{LINES}\r\n\r\n").into_bytes());
        assert_eq!((exact.padding_bytes, exact.cut_bytes), (0, 0));

        let longer = request_of(Some(rebuilt + 3 + 10), 10);
        assert_eq!(longer.bytes, format!("{LINES}   \r\n\r\n").into_bytes());
        assert_eq!(longer.padding_bytes, 3);

        let shorter = request_of(Some(rebuilt - 5), 0);
        let short = "GET /a?b=1 HTTP/1.1\r\nhost:127.0.0.1:8080\r\ncookie:*      \r\n\r\n";
        assert_eq!(shorter.bytes, short.as_bytes());
        assert_eq!((shorter.padding_bytes, shorter.cut_bytes), (6, 0));

        let cut = request_of(Some(20), 0);
        assert_eq!(cut.bytes, &short.as_bytes()[..20]);
        assert!(cut.cut_bytes > 0);
    }

    #[test]
    fn a_head_that_was_recorded_as_it_was_stays_so() {
        let exchange = exchange();
        let wire =
            b"GET /a?b=1 HTTP/1.1\r\nHOST:127.0.0.1:8080\r\nX:  \xff \r\nCookie: a=b\r\n\r\n";
        let request = Request {
            wire_head: Some(WireHead::redacted(&wire[..].into())),
            wire_bytes: Some(wire.len() as u64),
            ..exchange.request.clone().unwrap()
        };
        let head = of_request(&exchange, &request).unwrap();
        let expected =
            b"GET /a?b=1 HTTP/1.1\r\nHOST:127.0.0.1:8080\r\nX:  \xff \r\nCookie: a=*\r\n\r\n";
        assert_eq!(head.bytes, expected);
        assert_eq!((head.padding_bytes, head.cut_bytes, head.masked_bytes), (0, 0, Some(1)));
    }

    #[test]
    fn a_head_whose_length_is_not_known_is_as_long_as_what_is_known_of_it() {
        assert_eq!(request_of(None, 0).bytes.len(), LINES.len() + 4);
        let mut exchange = exchange();
        let mut request = exchange.request.take().unwrap();
        request.wire_bytes = Some(1000);
        request.headers = [("transfer-encoding", "chunked")].into_iter().collect();
        assert_eq!(of_request(&exchange, &request).unwrap().padding_bytes, 0);
    }

    #[test]
    fn a_response_says_its_status_and_a_line_stays_one_line() {
        let mut exchange = exchange();
        let mut response = exchange.response.take().unwrap();
        response.wire_bytes = None;
        response.headers = [("x", "a\r\nset-cookie: b")].into_iter().collect();
        let head = of_response(&exchange, &response).unwrap();
        assert_eq!(head.bytes, b"HTTP/1.1 200 OK\r\nx: a  set-cookie: b\r\n\r\n");
        exchange.status = None;
        assert_eq!(of_response(&exchange, &response), None);
    }
}
