//! Finds the empty line that ends a head or a trailer section, however the bytes are cut.

use memchr::memchr;

/// Follows lines until an empty one. A line ends with LF; a CR before it is not part of the line
/// (RFC 9112 section 2.2 lets a recipient take a bare LF).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BlankLine {
    /// Bytes in the line so far, 2 standing for more.
    line_bytes: u8,
    /// Whether the only byte so far is CR.
    only_cr: bool,
}

impl BlankLine {
    /// Bytes of `bytes` up to and with the LF of the first empty line; `None` where it is not among them.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        while let Some(length) = memchr(b'\n', &bytes[from..]) {
            self.add(&bytes[from..from + length]);
            let empty = self.line_bytes == 0 || self.only_cr;
            *self = BlankLine::default();
            from += length + 1;
            if empty {
                return Some(from);
            }
        }
        self.add(&bytes[from..]);
        None
    }

    fn add(&mut self, part: &[u8]) {
        let Some(&first) = part.first() else { return };
        self.only_cr = self.line_bytes == 0 && part.len() == 1 && first == b'\r';
        self.line_bytes =
            self.line_bytes.saturating_add(u8::try_from(part.len()).unwrap_or(2)).min(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_line_is_found_however_the_bytes_are_cut() {
        for text in [&b"a: b\r\n\r\nrest"[..], b"a\n\nrest", b"a\r\n\nrest", b"a\n\r\nrest"] {
            let whole = text.len() - 4;
            assert_eq!(BlankLine::default().find(text), Some(whole));
            for cut in 0..whole {
                let mut finder = BlankLine::default();
                assert_eq!(finder.find(&text[..cut]), None);
                assert_eq!(finder.find(&text[cut..]), Some(whole - cut), "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_of_a_lone_cr_and_more_is_not_empty() {
        assert_eq!(BlankLine::default().find(b"\r\r\nx"), None);
        assert_eq!(BlankLine::default().find(b"\rx\n"), None);
    }
}
