//! Message heads: start line and fields, over `httparse`.

use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::sync::Arc;

use memchr::{memchr, memrchr};

use super::Flow;
use super::fields::Subjects;
use super::framing::{self, Framing};
use crate::record::{Headers, HeadersBuilder, MAX_WIRE_HEAD_BYTES, Text, WireHead, redact};

/// Field lines that are parsed without an allocation for them.
const USUAL_FIELDS: usize = 64;

/// Start line and fields of a message.
#[derive(Clone)]
pub struct Head {
    /// 0 or 1: of `HTTP/1.x`.
    pub minor_version: u8,
    /// Status code; 0 for a request.
    pub status: u16,
    pub(super) framing: Framing,
    pub(super) subjects: Subjects,
    /// Method of a request, reason of a response.
    pub(super) word: Text,
    pub(super) target: Text,
    pub(super) fields: Headers,
    /// The head on the wire, where it was read from there as it is.
    wire: Option<Arc<[u8]>>,
    /// Fields and head without secrets, where they were made before ([`Head::with_shown`]).
    shown: Option<Headers>,
    shown_wire: Option<WireHead>,
    /// It broke the strict grammar: it may have lines that are not among the fields.
    is_lenient: bool,
}

impl Head {
    /// Request method; empty for a response.
    #[must_use]
    pub fn method(&self) -> &str {
        if self.status == 0 { &self.word } else { "" }
    }

    /// Request target; empty for a response.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Reason phrase; empty for a request.
    #[must_use]
    pub fn reason(&self) -> &str {
        if self.status == 0 { "" } else { &self.word }
    }

    /// The fields in order: name in lower case and value, bytes that are no UTF-8 replaced by U+FFFD.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter()
    }

    /// Number of fields.
    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The first value of a field, `name` in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let of_text = |text: &Text| if text.is_heap_allocated() { text.capacity() } else { 0 };
        let of_wire = self.wire.as_ref().map_or(0, |wire| wire.len());
        self.fields.heap_bytes() + of_wire + of_text(&self.word) + of_text(&self.target)
    }

    fn new(minor_version: Option<u8>, status: u16, word: Option<&str>, target: &str) -> Self {
        Head {
            minor_version: minor_version.unwrap_or(1),
            status,
            framing: Framing::default(),
            subjects: Subjects::default(),
            word: word.unwrap_or("").into(),
            target: target.into(),
            fields: Headers::default(),
            wire: None,
            shown: None,
            shown_wire: None,
            is_lenient: false,
        }
    }

    /// Makes what may be shown of the fields, for a head that will be asked for it more than once.
    pub(super) fn with_shown(mut self) -> Self {
        self.shown = Some(self.to_shown());
        self.shown_wire = self.to_shown_wire();
        self
    }

    /// The head as it was on the wire, with or without its secrets.
    pub(super) fn wire_head(&self, show_secrets: bool) -> Option<WireHead> {
        if show_secrets {
            return self.wire.clone().map(WireHead::whole);
        }
        self.shown_wire.clone().or_else(|| self.to_shown_wire())
    }

    fn to_shown_wire(&self) -> Option<WireHead> {
        let wire = self.wire.as_ref()?;
        let has_no_secret = !self.is_lenient
            && !self.subjects.has(Subjects::SECRET)
            && matches!(redact::target(&self.target), Cow::Borrowed(_));
        Some(if has_no_secret {
            WireHead::whole(Arc::clone(wire))
        } else {
            WireHead::redacted(wire)
        })
    }

    fn with_wire(mut self, bytes: &[u8]) -> Self {
        self.wire = (bytes.len() <= MAX_WIRE_HEAD_BYTES).then(|| bytes.into());
        self
    }

    /// The fields without secrets.
    pub(super) fn into_shown(self) -> Headers {
        match self.shown {
            Some(shown) => shown,
            None => self.to_shown(),
        }
    }

    fn to_shown(&self) -> Headers {
        if !self.subjects.has(Subjects::SECRET) {
            return self.fields.clone();
        }
        let mut shown = HeadersBuilder::with_capacity(self.fields.heap_bytes());
        for (name, value) in &self.fields {
            shown.push(name.as_bytes(), redact::field(name, value).as_bytes());
        }
        shown.finish()
    }

    fn with_fields(mut self, fields: &[httparse::Header<'_>]) -> Self {
        let bytes = fields.iter().map(|f| HeadersBuilder::field_bytes(f.name.len(), f.value.len()));
        let mut builder = HeadersBuilder::with_capacity(bytes.sum());
        for field in fields {
            let name = builder.push_lowered(field.name.as_bytes(), field.value);
            self.framing.add(name, field.value);
            self.subjects.add(name);
        }
        self.fields = builder.finish();
        self
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        // What is shown follows from the rest.
        let rest = |head: &Head| (head.minor_version, head.status, head.framing, head.subjects);
        rest(self) == rest(other)
            && (&self.word, &self.target, &self.fields)
                == (&other.word, &other.target, &other.fields)
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Head { minor_version, status, word, target, fields, .. } = self;
        write!(f, "HTTP/1.{minor_version} {status} {word:?} {target:?} {fields:?}")
    }
}

/// The bytes are no message head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A whole head and how many bytes it took, or `None` for the beginning of one.
pub(super) type Parsed = Result<Option<(Head, usize)>, Malformed>;

/// Parses a head at the beginning of `bytes`. Where the strict grammar refuses a head that is all there,
/// what servers and clients of the field let pass is let pass too: folded field lines (RFC 9112
/// section 5.2), invalid field lines (left out), a target that is no UTF-8.
pub(super) fn parse(flow: Flow, bytes: &[u8]) -> Parsed {
    let mut few = [const { MaybeUninit::uninit() }; USUAL_FIELDS];
    match parse_into(flow, bytes, &strict(), &mut few) {
        Ok(parsed) => Ok(parsed.map(|(head, used)| (head.with_wire(&bytes[..used]), used))),
        Err(error) => parse_lenient(flow, bytes, error),
    }
}

fn strict() -> httparse::ParserConfig {
    httparse::ParserConfig::default()
}

fn lenient() -> httparse::ParserConfig {
    let mut config = httparse::ParserConfig::default();
    config
        .ignore_invalid_headers_in_requests(true)
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_multiple_spaces_in_request_line_delimiters(true)
        .allow_multiple_spaces_in_response_status_delimiters(true);
    config
}

fn parse_lenient(flow: Flow, bytes: &[u8], error: httparse::Error) -> Parsed {
    if matches!(error, httparse::Error::Version) || !start_line_may_be(flow, bytes) {
        return Err(Malformed);
    }
    let Some(length) = super::lines::BlankLine::default().find(bytes) else {
        // Whether the rest mends it (a folded line's next byte) shows when the head is all there.
        return Ok(None);
    };
    let text = unfold(&String::from_utf8_lossy(&bytes[..length]));
    let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count();
    let mut fields = vec![MaybeUninit::uninit(); lines];
    match parse_into(flow, text.as_bytes(), &lenient(), &mut fields) {
        Ok(Some((mut head, _))) => {
            // RFC 9112 section 5.1: some recipients take `Content-Length : 5`, others refuse the message.
            if framing_lines(&text) != head.fields().filter(|(n, _)| framing::is_framing(n)).count()
            {
                head.framing = Framing::faulty();
            }
            head.is_lenient = true;
            Ok(Some((head.with_wire(&bytes[..length]), length)))
        }
        _ => Err(Malformed),
    }
}

/// Lines that say where the message ends, those with an invalid name or value too.
fn framing_lines(text: &str) -> usize {
    let names = text.lines().skip(1).filter_map(|line| line.split_once(':'));
    names.filter(|(name, _)| framing::is_framing(&name.trim().to_ascii_lowercase())).count()
}

/// Each line break that a blank follows becomes a space, as RFC 9112 section 5.2 has it.
fn unfold(text: &str) -> String {
    if !text.contains("\n ") && !text.contains("\n\t") {
        return text.to_owned();
    }
    text.replace("\r\n ", "  ").replace("\r\n\t", "  ").replace("\n ", " ").replace("\n\t", " ")
}

/// Whether the first line, as far as it is there, is that of a message, and holds no control bytes.
fn start_line_may_be(flow: Flow, bytes: &[u8]) -> bool {
    let end = memchr(b'\n', bytes);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let begins = match flow {
        Flow::Response => line.starts_with(b"HTTP/1."),
        Flow::Request => match memchr(b' ', line) {
            Some(method) => method > 0 && line[..method].iter().all(|&b| is_token(b)),
            None => end.is_none() && line.iter().all(|&b| is_token(b)),
        },
    };
    let ends = flow == Flow::Response
        || end.is_none()
        || [&b" HTTP/1.0"[..], b" HTTP/1.1"].iter().any(|v| line.ends_with(v));
    begins && ends && !line.iter().any(|&b| b < b' ' && b != b'\t' || b == 0x7f)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn parse_into<'b>(
    flow: Flow,
    bytes: &'b [u8],
    config: &httparse::ParserConfig,
    fields: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<(Head, usize)>, httparse::Error> {
    match flow {
        Flow::Request => {
            let mut request = httparse::Request::new(&mut []);
            let status = config.parse_request_with_uninit_headers(&mut request, bytes, fields)?;
            let httparse::Status::Complete(used) = status else { return Ok(None) };
            let target = request.path.unwrap_or("");
            let head = Head::new(request.version, 0, request.method, target);
            Ok(Some((head.with_fields(request.headers), used)))
        }
        Flow::Response => {
            let mut response = httparse::Response::new(&mut []);
            let status = config.parse_response_with_uninit_headers(&mut response, bytes, fields)?;
            let httparse::Status::Complete(used) = status else { return Ok(None) };
            let Some(code @ 100..=999) = response.code else { return Err(httparse::Error::Status) };
            let head = Head::new(response.version, code, response.reason, "");
            Ok(Some((head.with_fields(response.headers), used)))
        }
    }
}

/// What can still be said of a head that breaks off: its start line and the field lines that are whole.
/// `None` where the start line is not whole.
pub(super) fn parse_cut(flow: Flow, bytes: &[u8]) -> Option<Head> {
    let whole_lines = &bytes[..=memrchr(b'\n', bytes)?];
    let mut text = whole_lines.to_vec();
    text.extend_from_slice(b"\r\n");
    let (mut head, _) = parse(flow, &text).ok().flatten()?;
    head.wire = None;
    Some(head)
}

/// Whether `bytes` may begin a response: a status line's version and code, as far as they are there.
pub(super) fn begins_response(bytes: &[u8]) -> bool {
    let fits = |(i, &byte): (usize, &u8)| match i {
        7 => matches!(byte, b'0' | b'1'),
        9..12 => byte.is_ascii_digit(),
        _ => b"HTTP/1.x "[i] == byte,
    };
    !bytes.is_empty() && bytes.iter().take(12).enumerate().all(fits)
}

/// Whether the first bytes of a head may go on to a message's start line.
pub(super) fn may_go_on(flow: Flow, bytes: &[u8]) -> bool {
    match flow {
        Flow::Response => begins_response(bytes),
        Flow::Request => start_line_may_be(flow, bytes),
    }
}

/// Methods that are known behind bytes without values: IANA's registry and PURGE. Any token would do too
/// well there: the end of a method that was cut (`OST /a`) is a token as well.
const KNOWN_METHODS: [&str; 41] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "LABEL",
    "LINK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "ORDERPATCH",
    "PURGE",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
    "SUBSCRIBE",
];

/// Longest method whose first bytes alone may begin a request, for a reader that has lost its place.
const METHOD_BYTES: usize = 24;

/// Whether a packet that begins with `bytes` may begin a request, for a reader that has lost its place.
/// `may_be_cut`: the bytes before have no values.
pub(super) fn begins_request(bytes: &[u8], may_be_cut: bool) -> bool {
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let bytes = &bytes[blank..];
    let method_end = bytes.iter().take(METHOD_BYTES).position(|&b| b == b' ');
    let method_may_be = match method_end {
        Some(end) if may_be_cut => KNOWN_METHODS.iter().any(|m| m.as_bytes() == &bytes[..end]),
        Some(end) => end > 0,
        None if may_be_cut => KNOWN_METHODS.iter().any(|m| m.as_bytes().starts_with(bytes)),
        None => bytes.len() < METHOD_BYTES,
    };
    !bytes.is_empty() && method_may_be && parse(Flow::Request, bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(flow: Flow, text: &[u8]) -> Head {
        match parse(flow, text) {
            Ok(Some((head, used))) => {
                assert_eq!(used, text.len());
                head
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_head_keeps_the_order_of_its_fields_and_lowers_their_names() {
        let head =
            whole(Flow::Request, b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-A:  1 \r\nx-a: 2\r\n\r\n");
        assert_eq!((head.method(), head.target(), head.minor_version), ("GET", "/a?b", 1));
        assert_eq!(head.fields().collect::<Vec<_>>(), [("host", "x"), ("x-a", "1"), ("x-a", "2")]);
        assert_eq!(head.field_count(), 3);
    }

    #[test]
    fn a_response_head_has_status_and_reason() {
        let head = whole(Flow::Response, b"HTTP/1.0 404 Not Found\r\n\r\n");
        assert_eq!((head.status, head.reason(), head.minor_version), (404, "Not Found", 0));
        assert_eq!((head.method(), head.target()), ("", ""));
        assert_eq!(whole(Flow::Response, b"HTTP/1.1 204\r\n\r\n").reason(), "");
    }

    #[test]
    fn bare_line_feeds_end_lines() {
        let head = whole(Flow::Request, b"GET / HTTP/1.1\nHost: x\n\n");
        assert_eq!(head.field("host"), Some("x"));
    }

    #[test]
    fn folded_lines_are_one_value() {
        let request =
            whole(Flow::Request, b"GET / HTTP/1.1\r\nA: one\r\n  two\r\n\tthree\r\nB: x\r\n\r\n");
        assert_eq!(
            request.field("a").unwrap().split_whitespace().collect::<Vec<_>>(),
            ["one", "two", "three"]
        );
        assert_eq!(request.field("b"), Some("x"));
        let response = whole(Flow::Response, b"HTTP/1.1 200 OK\nA: one\n two\n\n");
        assert_eq!(response.field("a"), Some("one two"));
    }

    #[test]
    fn invalid_field_lines_are_left_out_and_the_others_stay() {
        let head = whole(Flow::Request, b"GET / HTTP/1.1\r\nbad line\r\nHost: x\r\n\r\n");
        assert_eq!(head.fields().collect::<Vec<_>>(), [("host", "x")]);
    }

    #[test]
    fn values_that_are_no_utf8_are_shown_with_replacement_characters() {
        let head = whole(Flow::Response, b"HTTP/1.1 200 OK\r\nA: \xff\xfe\r\n\r\n");
        assert_eq!(head.field("a"), Some("\u{fffd}\u{fffd}"));
        let head = whole(Flow::Request, b"GET /\xff HTTP/1.1\r\n\r\n");
        assert_eq!(head.target(), "/\u{fffd}");
    }

    #[test]
    fn more_fields_than_usual_are_all_kept() {
        let mut text = b"GET / HTTP/1.1\r\n".to_vec();
        for i in 0..500 {
            text.extend_from_slice(format!("f{i}: {i}\r\n").as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        assert_eq!(whole(Flow::Request, &text).field_count(), 500);
    }

    #[test]
    fn a_head_cut_anywhere_is_partial() {
        let text = b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(parse(Flow::Request, &text[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_http_is_malformed() {
        for text in [
            &b"\x16\x03\x01\x02\x00\x01"[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"\0\0\0\0",
            b"PRI * HTTP/2.0\r\n\r\n",
        ] {
            assert_eq!(parse(Flow::Request, text), Err(Malformed), "{text:?}");
        }
        for text in [
            &b"SSH-2.0-OpenSSH\r\n"[..],
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 20\0\r\n\r\n",
            b"HTTP/1.1 099 x\r\n\r\n",
        ] {
            assert_eq!(parse(Flow::Response, text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_cut_head_still_tells_its_start_line_and_whole_field_lines() {
        let head = parse_cut(Flow::Request, b"GET /x HTTP/1.1\r\nHost: x\r\nAccept: tex").unwrap();
        assert_eq!((head.target(), head.field_count()), ("/x", 1));
        assert_eq!(parse_cut(Flow::Request, b"GET /x HT"), None);
    }

    #[test]
    fn a_packet_that_begins_a_message_is_recognised() {
        for text in [&b"HTTP/1.1 200 OK\r\n"[..], b"HTTP/1.0 4", b"HTTP/", b"H"] {
            assert!(begins_response(text), "{text:?}");
        }
        for text in
            [&b"HTTP/1.1 2xx"[..], b"HTTP/3 200", b"HTTP/1.2", b"RTSP/1.0 200 OK\r\n", b"h", b""]
        {
            assert!(!begins_response(text), "{text:?}");
        }
        for text in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\r\nOPTIONS * HTTP/1.1\r\n",
            b"CONNECT [::1]:443 HTTP/1.1\r\nHo",
        ] {
            assert!(begins_request(text, true), "{text:?}");
        }
        for text in [&b"M-SEARCH * HTTP/1.1\r\n"[..], b"x / HTTP/1.0\r\n", b"OST / HTTP/1.1\r\n"] {
            assert!(begins_request(text, false) && !begins_request(text, true), "{text:?}");
        }
        for text in [&b"G"[..], b"PROPFI", b"GET /a", b"GET /a HTTP/1."] {
            assert!(begins_request(text, true), "{text:?}");
        }
        for text in [
            &b"GET /x\r\n"[..],
            b"AAA BBB CCC\r\n",
            b"OPTIONS * RTSP/1.0\r\n",
            b"INVITE sip:x SIP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n",
            b" / HTTP/1.1\r\n",
            b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            b"",
        ] {
            assert!(!begins_request(text, false), "{text:?}");
        }
    }
}
