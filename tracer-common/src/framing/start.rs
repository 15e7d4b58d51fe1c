//! How a message begins: the first bytes of a start line (RFC 9112 sections 3 and 4), or a PROXY
//! protocol header in front of the first one.

use super::head::repeat;
use super::{Cursor, HEAD_BUDGET_BYTES, asked, flag, head, place};

/// Bytes of a packet that decide how it begins.
pub const START_BYTES: u32 = 16;
/// From the start of a status line to the end of its code.
const STATUS_LINE_BYTES: u32 = 12;
/// Bytes of a start line of an unknown method that are read before it is none.
const UNPROVEN_BUDGET_BYTES: u32 = 16 * 1024;
/// Bytes of a binary PROXY protocol header before its addresses.
const PROXY_BINARY_BYTES: u32 = 16;

/// What some bytes begin like.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing of what follows.
    Other = 0,
    /// Empty lines.
    Blank = 1,
    /// Something that may be a request of any other method.
    Token = 2,
    /// A request of a method that is in common use.
    Request = 3,
    /// A HEAD request: its response has no content.
    Head = 4,
    /// A CONNECT request: a 2xx response ends HTTP.
    Connect = 5,
    /// `HTTP/1.`, with a status that changes nothing.
    Response = 6,
    /// 2xx.
    Success = 7,
    /// 1xx, 204 or 304: a response without content.
    Empty = 8,
    /// 101: HTTP ends.
    Switching = 9,
    /// A PROXY protocol header: version 1, a line.
    ProxyLine = 10,
    /// Likewise version 2, binary.
    ProxyBinary = 11,
}

impl Start {
    /// Whether a message begins here for certain enough to believe it anywhere in a stream.
    #[inline(always)]
    #[must_use]
    pub const fn is_message(start: u8) -> bool {
        start >= Start::Request as u8
    }

    /// Whether a message may begin here if the place is one where a message has to begin.
    #[inline(always)]
    #[must_use]
    pub const fn may_be_message(start: u8) -> bool {
        start >= Start::Blank as u8
    }

    /// Whether it is the start line of a message, all of whose bytes that matter are there.
    #[inline(always)]
    #[must_use]
    pub const fn is_whole_line(start: u8) -> bool {
        start >= Start::Token as u8 && start <= Start::Switching as u8
    }
}

/// The first bytes of a packet, or of a part of it, the very first lowest; zero behind its end.
#[derive(Clone, Copy, Debug)]
pub struct FirstBytes {
    /// Two words of eight bytes.
    pub words: [u64; 2],
    /// How many bytes there are, in all: may be more than [`START_BYTES`].
    pub length: u32,
}

impl FirstBytes {
    /// Byte `index`, below [`START_BYTES`].
    #[inline(always)]
    const fn byte(self, index: u32) -> u8 {
        (self.words[(index / 8) as usize] >> (8 * (index % 8))) as u8
    }

    /// What they begin like.
    #[inline(always)]
    #[must_use]
    pub fn start(self) -> Start {
        let word = self.words[0] as u32;
        if word == u32::from_le_bytes(*b"HTTP") {
            return self.response();
        }
        if is_method(word) {
            return Start::Request;
        }
        if word == u32::from_le_bytes(*b"CONN") {
            return Start::Connect;
        }
        if word == u32::from_le_bytes(*b"HEAD") {
            return Start::Head;
        }
        if word == u32::from_le_bytes(*b"PROX") {
            return Start::ProxyLine;
        }
        let first = self.byte(0);
        if first == b'\r' || first == b'\n' {
            let is_proxy = self.words[0] == u64::from_le_bytes(*b"\r\n\r\n\0\r\nQ")
                && self.words[1] as u32 == u32::from_le_bytes(*b"UIT\n");
            return if is_proxy { Start::ProxyBinary } else { Start::Blank };
        }
        if is_token(first) && !self.has_controls() { Start::Token } else { Start::Other }
    }

    #[inline(always)]
    fn response(self) -> Start {
        const CODE_SHIFT: u32 = 8;
        let code = (self.words[1] >> CODE_SHIFT) as u32 & 0x00ff_ffff;
        if (self.words[0] >> 32) as u16 != u16::from_le_bytes(*b"/1") {
            return Start::Other;
        }
        if code == u32::from_le_bytes(*b"101\0") {
            return Start::Switching;
        }
        if code == u32::from_le_bytes(*b"204\0")
            || code == u32::from_le_bytes(*b"304\0")
            || code as u8 == b'1'
        {
            return Start::Empty;
        }
        if code as u8 == b'2' { Start::Success } else { Start::Response }
    }

    /// Whether there are control characters other than line ends, or bytes beyond ASCII. Without a branch: the verifier
    /// would follow both sides of each.
    #[inline(always)]
    fn has_controls(self) -> bool {
        let mut found = 0;
        let mut i = 0;
        while i < 2 {
            let word = self.words[i];
            let low = word & repeat(0x7f);
            let below_blank = !(low + repeat(0x60)) & !word & repeat(0x80);
            let line_ends =
                head::zero_bytes(word ^ repeat(b'\r')) | head::zero_bytes(word ^ repeat(b'\n'));
            let missing = head::zero_bytes(word) & behind(self.length, 8 * i as u32);
            found |= (below_blank & !line_ends & !missing) | (word & repeat(0x80));
            i += 1;
        }
        found != 0
    }
}

/// All bits of the bytes of a word that lie behind the end of a packet; the word begins at `index`.
#[inline(always)]
const fn behind(length: u32, index: u32) -> u64 {
    let there = length.saturating_sub(index);
    if there >= 8 { 0 } else { u64::MAX << (8 * there) }
}

/// Whether the first four bytes begin a registered method (IANA HTTP Method Registry) that is in common use.
#[inline(always)]
fn is_method(word: u32) -> bool {
    const METHODS: [[u8; 4]; 20] = [
        *b"GET ", *b"POST", *b"PUT ", *b"DELE", *b"OPTI", *b"PATC", *b"TRAC", *b"PROP", *b"MKCO",
        *b"COPY", *b"MOVE", *b"LOCK", *b"UNLO", *b"REPO", *b"SEAR", *b"PURG", *b"MKCA", *b"BIND",
        *b"CHEC", *b"MERG",
    ];
    let mut known = false;
    let mut i = 0;
    while i < METHODS.len() {
        known |= word == u32::from_le_bytes(METHODS[i]);
        i += 1;
    }
    known
}

/// tchar of RFC 9110 section 5.6.2, as a set of bits.
#[inline(always)]
const fn is_token(byte: u8) -> bool {
    const fn set() -> [u64; 2] {
        let mut set = [0u64; 2];
        let chars =
            b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut i = 0;
        while i < chars.len() {
            set[(chars[i] >> 6) as usize] |= 1 << (chars[i] & 63);
            i += 1;
        }
        set
    }
    const SET: [u64; 2] = set();
    // Not an index into the set: that would be a table in memory.
    let word = if byte & 0x40 == 0 { SET[0] } else { SET[1] };
    byte < 0x80 && word >> (byte & 63) & 1 == 1
}

impl Cursor {
    /// Reads the first bytes of a message, or of what follows a head; gives how many it used. `asked`: what the connection's
    /// last request was. Where it used none, the place is one at which another reader goes on.
    #[inline(always)]
    pub fn read_start(&mut self, first: FirstBytes, asked: u8) -> u32 {
        self.started = asked::NOTHING;
        if self.place == place::BODY {
            self.number = 0;
            if first.may_be_chunk_size() {
                self.place = place::SIZE;
                return 0;
            }
            self.place = place::START;
        }
        if self.place == place::START {
            let start = first.start();
            self.last = 0;
            self.before_last = 0;
            self.number = 0;
            self.matched = 0;
            self.budget_bytes = HEAD_BUDGET_BYTES;
            match start {
                Start::Blank => return first.blank_bytes(),
                Start::ProxyBinary => return self.pass_proxy_binary(first),
                // Its line is read like the start line of a head, and ends this head at once.
                Start::ProxyLine => {
                    self.begin_head(Start::ProxyLine as u8, asked);
                    return 0;
                }
                Start::Other if !is_token(first.byte(0)) || first.length >= STATUS_LINE_BYTES => {
                    self.give_up();
                    return if first.length < START_BYTES { first.length } else { START_BYTES };
                }
                _ => {}
            }
            if first.length >= STATUS_LINE_BYTES {
                self.begin_head(start as u8, asked);
                return 0;
            }
            self.place = place::START_PART;
        }
        self.collect_start(first, asked)
    }

    /// What a start line says of the message's framing.
    #[inline(always)]
    pub fn begin_head(&mut self, start: u8, asked: u8) {
        const fn bit(start: Start) -> u32 {
            1 << start as u8
        }
        const REQUESTS: u32 = bit(Start::Request) | bit(Start::Token);
        const ANSWERS: u32 = bit(Start::Success) | bit(Start::Response);
        let is = 1u32 << (start & 15);
        self.place = place::HEAD;
        self.number = 0;
        self.matched = head::NO_NAME;
        self.last = 0;
        self.before_last = 0;
        self.budget_bytes = HEAD_BUDGET_BYTES;
        self.started = asked::NOTHING;
        let mut flags = self.flags & !(flag::UNPROVEN | flag::CODED);
        if is & REQUESTS != 0 {
            self.started = asked::OTHER;
        }
        if is & bit(Start::Head) != 0 {
            self.started = asked::HEAD;
        }
        if is & bit(Start::Connect) != 0 {
            self.started = asked::CONNECT;
        }
        if is & bit(Start::Token) != 0 {
            flags |= flag::UNPROVEN;
            self.budget_bytes = UNPROVEN_BUDGET_BYTES;
        }
        if is & bit(Start::ProxyLine) != 0 {
            flags |= flag::PROXY;
        }
        let leaves = is & bit(Start::Switching) != 0
            || is & bit(Start::Success) != 0 && asked == asked::CONNECT;
        if leaves {
            flags |= flag::LEAVES;
        }
        if leaves || is & bit(Start::Empty) != 0 || is & ANSWERS != 0 && asked == asked::HEAD {
            flags |= flag::NO_CONTENT;
        }
        self.flags = flags;
    }

    /// Keeps the bytes of a start line that comes in small packets until they say what it is.
    #[inline(always)]
    fn collect_start(&mut self, first: FirstBytes, asked: u8) -> u32 {
        let mut used = 0;
        let mut words = first.words;
        for _ in 0..STATUS_LINE_BYTES {
            if used >= first.length || u32::from(self.matched) >= STATUS_LINE_BYTES {
                break;
            }
            let byte = words[0] as u8;
            words = [words[0] >> 8 | words[1] << 56, words[1] >> 8];
            if self.matched < 4 {
                self.first_word |= u32::from(byte) << (8 * (self.matched & 3));
            }
            if self.matched == 0 {
                self.first_word = u32::from(byte);
            }
            self.number = self.number << 8 | u64::from(byte);
            self.matched += 1;
            used += 1;
        }
        if u32::from(self.matched) >= STATUS_LINE_BYTES {
            let kept = self.number.swap_bytes();
            let words = [u64::from(self.first_word) | kept << 32, kept >> 32];
            let kept = FirstBytes { words, length: STATUS_LINE_BYTES };
            self.begin_head(kept.start() as u8, asked);
        }
        used
    }

    /// Passes over a binary PROXY protocol header.
    #[inline(always)]
    fn pass_proxy_binary(&mut self, first: FirstBytes) -> u32 {
        let length = u16::from_be_bytes([first.byte(14), first.byte(15)]);
        self.skip_bytes = u64::from(length);
        if first.length < PROXY_BINARY_BYTES { first.length } else { PROXY_BINARY_BYTES }
    }
}

impl FirstBytes {
    /// How many bytes of empty lines there are before a start line, which ignores them (RFC 9112 section 2.2).
    #[inline(always)]
    fn blank_bytes(self) -> u32 {
        let blank = head::zero_bytes(self.words[0] ^ repeat(b'\r'))
            | head::zero_bytes(self.words[0] ^ repeat(b'\n'));
        let other = !blank & repeat(0x80);
        if other == 0 { 8 } else { head::behind_first(other) - 1 }
    }

    /// Whether they are a chunk-size line, as far as they go.
    #[inline(always)]
    fn may_be_chunk_size(self) -> bool {
        let mut words = self.words;
        let mut digits = 0u32;
        let mut end = 0u8;
        for _ in 0..START_BYTES {
            let byte = words[0] as u8;
            if super::chunk::digit(byte) >= 16 {
                end = byte;
                break;
            }
            words = [words[0] >> 8 | words[1] << 56, words[1] >> 8];
            digits += 1;
        }
        // Too few bytes to see the line's end: digits alone are taken for a size.
        let ends = end == b'\r' || end == b'\n' || end == b';' || digits >= self.length;
        digits > 0 && ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &[u8]) -> Start {
        let mut bytes = [0; 16];
        let known = text.len().min(16);
        bytes[..known].copy_from_slice(&text[..known]);
        let [low, high] =
            [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()));
        FirstBytes { words: [low, high], length: text.len() as u32 }.start()
    }

    #[test]
    fn messages_are_recognised_by_their_first_bytes() {
        assert_eq!(start(b"GET / HTTP/1.1\r\n"), Start::Request);
        assert_eq!(start(b"HEAD / HTTP/1.1\r\n"), Start::Head);
        assert_eq!(start(b"CONNECT a:1 HTTP/1.1\r\n"), Start::Connect);
        assert_eq!(start(b"HTTP/1.1 200 OK\r\n"), Start::Success);
        assert_eq!(start(b"HTTP/1.0 404 x\r\n"), Start::Response);
        assert_eq!(start(b"HTTP/1.1 204 x\r\n"), Start::Empty);
        assert_eq!(start(b"HTTP/1.1 304 x\r\n"), Start::Empty);
        assert_eq!(start(b"HTTP/1.1 100 x\r\n"), Start::Empty);
        assert_eq!(start(b"HTTP/1.1 101 x\r\n"), Start::Switching);
        assert_eq!(start(b"HTTP/2.0 101 x\r\n"), Start::Other);
        assert_eq!(start(b"PROXY TCP4 1.2.3.4 "), Start::ProxyLine);
        assert_eq!(start(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"), Start::ProxyBinary);
    }

    #[test]
    fn any_token_may_begin_a_message_and_control_characters_may_not() {
        for text in
            [&b"M-SEARCH * HTTP/1.1\r\n"[..], b"x", b"BAN / HTTP/1.1\r\nA", b"g / HTTP/1.0\r\n\r\n"]
        {
            assert_eq!(start(text), Start::Token, "{text:?}");
        }
        for text in [
            &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03abcdefg"[..],
            b"AMQP\0\0\x09\x01",
            b"\0",
            b"{a",
        ] {
            assert_eq!(start(text), Start::Other, "{text:?}");
        }
        assert_eq!(start(b"\r\n\r\nGET / HTTP/1.1"), Start::Blank);
    }
}
