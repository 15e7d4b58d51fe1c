//! Where a message's content ends: RFC 9112 section 6.3.

use super::body::Body;
use super::head::Head;

/// What is known of the request that a response answers, as far as it changes the response's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// HEAD: no content whatever the fields say.
    Head,
    /// CONNECT: a tunnel after 2xx.
    Connect,
    /// Any other method.
    Other,
    /// Not known which request it was.
    Unknown,
}

impl Asked {
    pub fn by(method: Option<&str>) -> Self {
        match method {
            Some("HEAD") => Asked::Head,
            Some("CONNECT") => Asked::Connect,
            Some(_) => Asked::Other,
            None => Asked::Unknown,
        }
    }
}

/// What follows a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing: the message is over.
    None,
    /// Nothing, whatever the fields announce. Some senders send it nevertheless.
    Stray(Body),
    /// Content.
    Body(Body),
    /// No HTTP any more, in either direction.
    Tunnel,
    /// The fields contradict each other or the protocol version: no recipient can tell.
    Faulty,
}

/// What the fields that frame a message say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Framing {
    /// Whether the final transfer coding is chunked; `None` without `transfer-encoding`.
    chunked: Option<bool>,
    length: Length,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Length {
    #[default]
    Absent,
    Valid(u64),
    Invalid,
}

impl Framing {
    /// Takes a field in; others than those that frame change nothing. `name` in lower case.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"transfer-encoding" => {
                let chunked = ends_chunked(&String::from_utf8_lossy(value)).or(self.chunked);
                self.chunked = Some(chunked.unwrap_or(false));
            }
            b"content-length" => {
                let members = String::from_utf8_lossy(value);
                self.length = members.split(',').fold(self.length, Length::and);
            }
            _ => {}
        }
    }

    /// What fields say that recipients read in different ways: the message's end is not known.
    pub const fn faulty() -> Self {
        Framing { chunked: None, length: Length::Invalid }
    }
}

/// Whether a field of this name, in lower case, says where the message ends.
pub(super) fn is_framing(name: &str) -> bool {
    matches!(name, "transfer-encoding" | "content-length")
}

impl Length {
    /// The one length that all `content-length` fields and list members agree on (RFC 9110 section 8.6).
    fn and(self, member: &str) -> Self {
        match (decimal(member.trim()), self) {
            (Some(n), Length::Absent) => Length::Valid(n),
            (Some(n), Length::Valid(before)) if n == before => self,
            _ => Length::Invalid,
        }
    }
}

/// Framing of a request's content. Behind CONNECT comes what the tunnel carries, if there will be one
/// (RFC 9110 section 9.3.6).
pub(super) fn of_request(head: &Head) -> Content {
    let framing = head.framing;
    if head.method() == "CONNECT" {
        return Content::Tunnel;
    }
    match framing.chunked {
        // 6.3 item 4.3: a request whose final coding is not chunked has no end; 6.1: in HTTP/1.0 it is faulty.
        Some(chunked) if !chunked || head.minor_version == 0 => Content::Faulty,
        Some(_) => Content::Body(Body::chunked()),
        None => match framing.length {
            Length::Invalid => Content::Faulty,
            Length::Absent | Length::Valid(0) => Content::None,
            Length::Valid(length) => Content::Body(Body::Length(length)),
        },
    }
}

/// Framing of a final response's content by its fields alone.
pub(super) fn of_response(head: &Head) -> Content {
    let framing = head.framing;
    match framing.chunked {
        Some(true) if head.minor_version == 1 => Content::Body(Body::chunked()),
        Some(_) => Content::Body(Body::UntilClose),
        None => match framing.length {
            Length::Invalid => Content::Faulty,
            Length::Absent => Content::Body(Body::UntilClose),
            Length::Valid(0) => Content::None,
            Length::Valid(length) => Content::Body(Body::Length(length)),
        },
    }
}

/// Framing of a final response's content, given what it answers; `by_fields` is [`of_response`].
pub(super) fn of_answer(status: u16, asked: Asked, by_fields: Content) -> Content {
    if status == 101 || asked == Asked::Connect && (200..300).contains(&status) {
        return Content::Tunnel;
    }
    if asked != Asked::Head && !matches!(status, 204 | 304) {
        return by_fields;
    }
    match by_fields {
        // Without fields nothing is announced, and nothing tells where it would end.
        Content::Body(Body::UntilClose) => Content::None,
        Content::Body(body) => Content::Stray(body),
        _ => Content::None,
    }
}

/// `None` where no coding is named: empty members do not count (RFC 9110 section 5.6.1.2).
fn ends_chunked(codings: &str) -> Option<bool> {
    let last = codings.rsplit(',').map(str::trim).find(|coding| !coding.is_empty())?;
    Some(last.eq_ignore_ascii_case("chunked"))
}

/// 1*DIGIT and nothing else: `str::parse` would take a sign.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::{Flow, head};
    use super::*;

    fn request(fields: &str) -> Content {
        let text = format!("POST / HTTP/1.1\r\n{fields}\r\n");
        of_request(&head::parse(Flow::Request, text.as_bytes()).unwrap().unwrap().0)
    }

    fn response(asked: Asked, start: &str, fields: &str) -> Content {
        let text = format!("{start}\r\n{fields}\r\n");
        let head = head::parse(Flow::Response, text.as_bytes()).unwrap().unwrap().0;
        of_answer(head.status, asked, of_response(&head))
    }

    #[test]
    fn a_request_without_length_has_no_content() {
        assert_eq!(request(""), Content::None);
        assert_eq!(request("Content-Length: 0\r\n"), Content::None);
        assert_eq!(request("Content-Length: 7\r\n"), Content::Body(Body::Length(7)));
    }

    #[test]
    fn equal_lengths_are_one_and_different_ones_are_faulty() {
        assert_eq!(
            request("Content-Length: 7\r\nContent-Length: 7\r\n"),
            Content::Body(Body::Length(7))
        );
        assert_eq!(request("Content-Length: 7, 7\r\n"), Content::Body(Body::Length(7)));
        for fields in [
            "7\r\nContent-Length: 8",
            "7, 8",
            "+7",
            "-1",
            "0x7",
            "",
            "7 7",
            "99999999999999999999999",
        ] {
            let fields = format!("Content-Length: {fields}\r\n");
            assert_eq!(request(&fields), Content::Faulty, "{fields}");
            assert_eq!(
                response(Asked::Other, "HTTP/1.1 200 OK", &fields),
                Content::Faulty,
                "{fields}"
            );
        }
    }

    #[test]
    fn transfer_encoding_goes_before_content_length() {
        assert_eq!(
            request("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n"),
            Content::Body(Body::chunked())
        );
        assert_eq!(request("Transfer-Encoding: gzip, Chunked\r\n"), Content::Body(Body::chunked()));
        assert_eq!(
            request("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
            Content::Body(Body::chunked())
        );
    }

    #[test]
    fn empty_members_of_the_list_of_codings_do_not_count() {
        for fields in ["chunked,", "chunked , ,", ", chunked", "chunked\r\nTransfer-Encoding:"] {
            let fields = format!("Transfer-Encoding: {fields}\r\n");
            assert_eq!(request(&fields), Content::Body(Body::chunked()), "{fields}");
        }
        assert_eq!(request("Transfer-Encoding:\r\n"), Content::Faulty);
    }

    #[test]
    fn a_final_coding_other_than_chunked_is_faulty_in_requests_and_ends_with_the_connection_in_responses()
     {
        assert_eq!(request("Transfer-Encoding: gzip\r\n"), Content::Faulty);
        assert_eq!(request("Transfer-Encoding: chunked, gzip\r\n"), Content::Faulty);
        assert_eq!(
            response(Asked::Other, "HTTP/1.1 200 OK", "Transfer-Encoding: gzip\r\n"),
            Content::Body(Body::UntilClose)
        );
        assert_eq!(
            response(Asked::Other, "HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n"),
            Content::Body(Body::UntilClose)
        );
    }

    #[test]
    fn responses_to_head_and_204_and_304_have_no_content_whatever_they_say() {
        let fields = "Content-Length: 7\r\n";
        let announced = || Content::Stray(Body::Length(7));
        assert_eq!(response(Asked::Head, "HTTP/1.1 200 OK", fields), announced());
        assert_eq!(response(Asked::Other, "HTTP/1.1 204 x", fields), announced());
        assert_eq!(response(Asked::Other, "HTTP/1.1 304 x", fields), announced());
        assert_eq!(response(Asked::Head, "HTTP/1.1 200 OK", ""), Content::None);
        assert_eq!(
            response(Asked::Other, "HTTP/1.1 200 x", fields),
            Content::Body(Body::Length(7))
        );
        assert_eq!(response(Asked::Other, "HTTP/1.1 200 x", ""), Content::Body(Body::UntilClose));
    }

    #[test]
    fn connect_with_2xx_and_101_make_a_tunnel() {
        assert_eq!(
            response(Asked::Connect, "HTTP/1.1 200 OK", "Content-Length: 7\r\n"),
            Content::Tunnel
        );
        assert_eq!(
            response(Asked::Connect, "HTTP/1.1 407 x", "Content-Length: 7\r\n"),
            Content::Body(Body::Length(7))
        );
        assert_eq!(response(Asked::Other, "HTTP/1.1 101 x", ""), Content::Tunnel);
    }
}
