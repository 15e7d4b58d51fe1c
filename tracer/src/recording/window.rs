//! A bounded look into a stream of bytes.

use std::io::{self, Read};

/// The bytes of a stream from `offset` on, as far as they were asked for.
pub(super) struct Window<R> {
    inner: R,
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were consumed.
    start: usize,
    /// Place in the stream of the first byte that was not consumed.
    offset: u64,
}

impl<R: Read> Window<R> {
    pub(super) const fn new(inner: R) -> Self {
        Window { inner, buffer: Vec::new(), start: 0, offset: 0 }
    }

    /// Place in the stream of the first byte of [`Window::bytes`].
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// What has been read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads until at least `len` bytes are there: false where the stream ends before.
    ///
    /// Memory follows what the stream really holds, not what `len` claims.
    pub(super) fn fill(&mut self, len: usize) -> io::Result<bool> {
        let missing = len.saturating_sub(self.bytes().len());
        if missing == 0 {
            return Ok(true);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let missing = u64::try_from(missing).unwrap_or(u64::MAX);
        (&mut self.inner).take(missing).read_to_end(&mut self.buffer)?;
        Ok(self.buffer.len() >= len)
    }

    /// Steps over `len` bytes, at most those that are there.
    pub(super) fn consume(&mut self, len: usize) {
        let len = len.min(self.bytes().len());
        self.start += len;
        self.offset += len as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_beyond_the_end_is_answered_with_what_is_there() {
        let mut window = Window::new(&b"hello"[..]);
        assert!(!window.fill(1 << 40).unwrap());
        assert_eq!(window.bytes(), b"hello");
        assert!(window.buffer.capacity() < 1 << 20);
    }

    #[test]
    fn consumed_bytes_move_the_offset_and_make_room() {
        let mut window = Window::new(&b"abcdef"[..]);
        assert!(window.fill(2).unwrap());
        window.consume(1);
        assert_eq!((window.offset(), window.bytes()), (1, &b"b"[..]));
        assert!(window.fill(5).unwrap());
        assert_eq!(window.bytes(), b"bcdef");
        window.consume(100);
        assert_eq!((window.offset(), window.bytes()), (6, &b""[..]));
    }
}
