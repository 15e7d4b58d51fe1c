//! A message head byte for byte as it was on the wire, without its secrets.
//!
//! [`Headers`](super::Headers) say what a head means: names in lower case, values without the blanks around them, text
//! only. What was sent is this: case, blanks, order, lines that are no field, bytes that are no text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::redact::{self, REDACTED};

/// Stands for a byte of a secret.
const MASK: u8 = b'*';
/// A longer head is not kept. Such heads are rare, and a record has a bound.
pub const MAX_WIRE_HEAD_BYTES: usize = 32 * 1024;

/// Start line, field lines and the blank line. In JSON it is nothing at all; what packs a message has it beside the
/// message, as it has [`Headers`](super::Headers).
#[derive(Clone, PartialEq, Eq)]
pub struct WireHead {
    bytes: Arc<[u8]>,
    masked_bytes: u32,
}

impl WireHead {
    /// A head that has no secrets, or whose secrets may be shown.
    #[must_use]
    pub const fn whole(bytes: Arc<[u8]>) -> WireHead {
        WireHead { bytes, masked_bytes: 0 }
    }

    /// A head whose secrets are masked byte by byte: its length stays. What [`redact`] finds in a target or in a value
    /// is masked from there to the end of that target or value. So are lines that nothing can judge: without a name, or
    /// with one that is none.
    #[must_use]
    pub fn redacted(bytes: &Arc<[u8]>) -> WireHead {
        let secrets = secrets(bytes);
        if secrets.is_empty() {
            return WireHead::whole(Arc::clone(bytes));
        }
        let mut masked = bytes.to_vec();
        let mut masked_bytes = 0;
        for secret in secrets {
            // Folded values keep their lines.
            for byte in masked[secret].iter_mut().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
                *byte = MASK;
                masked_bytes += 1;
            }
        }
        WireHead { bytes: masked.into(), masked_bytes }
    }

    /// One that was packed.
    #[must_use]
    pub const fn from_parts(bytes: Arc<[u8]>, masked_bytes: u32) -> WireHead {
        WireHead { bytes, masked_bytes }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many of the bytes stand for bytes of secrets.
    #[must_use]
    pub const fn masked_bytes(&self) -> u32 {
        self.masked_bytes
    }
}

impl fmt::Debug for WireHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({} masked)", String::from_utf8_lossy(&self.bytes), self.masked_bytes)
    }
}

type Ranges = SmallVec<[Range<usize>; 4]>;

/// Where the secrets of a head are.
fn secrets(head: &[u8]) -> Ranges {
    let mut found = Ranges::new();
    let mut lines = lines(head).filter(|line| !line.is_empty()).peekable();
    found.extend(lines.next().and_then(|line| secret_of_start_line(head, line)));
    while let Some(mut line) = lines.next() {
        // RFC 9112 section 5.2: a line that begins with a blank goes on with the value before it.
        while let Some(more) = lines.next_if(|more| matches!(head[more.start], b' ' | b'\t')) {
            line.end = more.end;
        }
        found.extend(secret_of_field(head, line));
    }
    found
}

/// Lines without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = head.get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).map_or(head.len(), |at| start + at);
        let line = start..end - usize::from(end > start && head[end - 1] == b'\r');
        start = end + 1;
        Some(line)
    })
}

fn secret_of_start_line(head: &[u8], line: Range<usize>) -> Option<Range<usize>> {
    let text = &head[line.clone()];
    if text.starts_with(b"HTTP/") {
        return None;
    }
    let begin = memchr::memchr(b' ', text)? + 1;
    let end = memchr::memrchr(b' ', text).filter(|end| *end > begin).unwrap_or(text.len());
    let target = line.start + begin..line.start + end;
    secret_in(head, target, redact::target)
}

fn secret_of_field(head: &[u8], line: Range<usize>) -> Option<Range<usize>> {
    let text = &head[line.clone()];
    let Some(colon) = memchr::memchr(b':', text) else { return Some(line) };
    let name = text[..colon].trim_ascii().to_ascii_lowercase();
    let value = trimmed(head, line.start + colon + 1..line.end);
    let is_token = |name: &[u8]| !name.is_empty() && name.iter().all(|b| is_token_byte(*b));
    let Some(name) = std::str::from_utf8(&name).ok().filter(|name| is_token(name.as_bytes()))
    else {
        return Some(value);
    };
    if !redact::may_hold_secret(name.as_bytes()) {
        return None;
    }
    secret_in(head, value, |text| redact::field(name, text))
}

/// Where `redact` finds the first secret of a part of the head, up to the end of that part.
fn secret_in(
    head: &[u8],
    part: Range<usize>,
    redact: impl Fn(&str) -> Cow<'_, str>,
) -> Option<Range<usize>> {
    let bytes = &head[part.clone()];
    let is_folded = bytes.contains(&b'\n');
    // As `Headers` have it: what is no text is replaced, and a fold is a blank.
    let text = String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ");
    let shown = redact(&text);
    if shown == text {
        return None;
    }
    let first = shown.find(REDACTED).unwrap_or(0);
    let is_kept = !is_folded && bytes.get(..first) == shown.as_bytes().get(..first);
    Some(part.start + if is_kept { first } else { 0 }..part.end)
}

fn trimmed(head: &[u8], range: Range<usize>) -> Range<usize> {
    let text = &head[range.clone()];
    let start = text.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(text.len());
    range.start + start..range.start + start + text.trim_ascii().len()
}

/// RFC 9110 section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
        || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(head: &[u8]) -> (String, u32) {
        let redacted = WireHead::redacted(&head.into());
        assert_eq!(redacted.bytes().len(), head.len());
        let text = String::from_utf8_lossy(redacted.bytes()).into_owned();
        (text, redacted.masked_bytes())
    }

    #[test]
    fn a_head_without_secrets_stays_as_it_is_whatever_it_looks_like() {
        for head in [
            &b"GET /a?b=1 HTTP/1.1\r\nHOST:x\r\nx-Odd :  \t1 \r\nX: \xff\xfe\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\nA: one\n two\n\n",
            b"\r\nGET  /  HTTP/1.1\r\n\r\n",
            b"",
            b"HTTP/1.1 204\r\n\r\n",
        ] {
            let bytes: Arc<[u8]> = head.into();
            let redacted = WireHead::redacted(&bytes);
            assert!(Arc::ptr_eq(&redacted.bytes, &bytes), "{redacted:?}");
        }
    }

    #[test]
    fn secrets_are_masked_and_nothing_moves() {
        for (head, expected, masked_bytes) in [
            (
                &b"GET / HTTP/1.1\r\nCookie:  sid=ab \r\n\r\n"[..],
                "GET / HTTP/1.1\r\nCookie:  sid=** \r\n\r\n",
                2,
            ),
            (
                b"GET / HTTP/1.1\r\nAUTHORIZATION: Bearer abc\r\nA: b\r\n\r\n",
                "GET / HTTP/1.1\r\nAUTHORIZATION: Bearer ***\r\nA: b\r\n\r\n",
                3,
            ),
            (b"GET /a?token=abc&b=1 HTTP/1.1\r\n\r\n", "GET /a?token=******* HTTP/1.1\r\n\r\n", 7),
            (b"GET http://u:p@x/ HTTP/1.1\r\n\r\n", "GET http://****** HTTP/1.1\r\n\r\n", 6),
            (
                b"GET / HTTP/1.1\r\nAuthorization : Basic x\r\n\r\n",
                "GET / HTTP/1.1\r\nAuthorization : Basic *\r\n\r\n",
                1,
            ),
            (
                b"GET / HTTP/1.1\r\nX-Api-Key: a\r\n b\r\n\r\n",
                "GET / HTTP/1.1\r\nX-Api-Key: *\r\n**\r\n\r\n",
                3,
            ),
            (
                b"GET / HTTP/1.1\r\nno field\r\nb{d: x\r\n\r\n",
                "GET / HTTP/1.1\r\n********\r\nb{d: *\r\n\r\n",
                9,
            ),
            (
                b"HTTP/1.1 200 OK\r\nSet-Cookie: \xffa=b; Path=/\r\n\r\n",
                "HTTP/1.1 200 OK\r\nSet-Cookie: ************\r\n\r\n",
                12,
            ),
        ] {
            assert_eq!(redacted(head), (expected.to_owned(), masked_bytes));
        }
    }

    proptest! {
        #[test]
        fn a_secret_never_stays_and_no_bytes_panic(
            before in proptest::collection::vec("[A-Za-z-]{1,10}: [ -~]{0,20}", 0..4),
            name in "(?i)authorization|cookie|set-cookie|x-api-key|proxy-authorization",
            blanks in "[ \t]{0,3}",
            noise in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let secret = "s3cr3tVALUE";
            let value = format!("a={secret}");
            let head = format!(
                "GET /x?password={secret} HTTP/1.1\r\n{}\r\n{name}:{blanks}{value}\r\n\r\n",
                before.join("\r\n"),
            );
            let (text, _) = redacted(head.as_bytes());
            prop_assert!(!text.contains(secret), "{text}");
            redacted(&noise);
        }
    }
}
