//! Content of a message, counted and never kept: by length, in chunks, or up to the connection's end.

use memchr::memchr;

use super::lines::BlankLine;

/// The content still to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// RFC 9112 section 7.1.
    Chunked(Chunked),
    /// All that comes until the connection ends.
    UntilClose,
}

/// What some bytes were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes taken.
    pub used: usize,
    /// Of these, content.
    pub content: u64,
    /// Whether the message is over.
    pub done: bool,
}

/// The chunk framing broke its grammar: where the content ends is not known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadChunk;

impl Body {
    pub fn chunked() -> Self {
        Body::Chunked(Chunked::default())
    }

    /// Takes bytes, at least one, at most to the end of the message.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Step, BadChunk> {
        match self {
            Body::Length(left) => {
                let used = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= used as u64;
                Ok(Step { used, content: used as u64, done: *left == 0 })
            }
            Body::Chunked(chunked) => chunked.advance(bytes),
            Body::UntilClose => {
                Ok(Step { used: bytes.len(), content: bytes.len() as u64, done: false })
            }
        }
    }

    /// How many bytes from here can be passed over without their values.
    pub fn skippable(&self) -> u64 {
        match self {
            Body::Length(left) => *left,
            Body::Chunked(chunked) => chunked.skippable(),
            Body::UntilClose => u64::MAX,
        }
    }

    /// How many bytes from here are content for certain.
    pub fn content_ahead(&self) -> u64 {
        match self {
            Body::Chunked(Chunked { state: ChunkState::Data(left), .. }) => *left,
            Body::Chunked(_) => 0,
            Body::Length(_) | Body::UntilClose => self.skippable(),
        }
    }

    /// Passes over `bytes`, at most [`Body::skippable`]; gives how many were content and whether the
    /// message is over.
    pub fn skip(&mut self, bytes: u64) -> (u64, bool) {
        match self {
            Body::Length(left) => {
                let skipped = bytes.min(*left);
                *left -= skipped;
                (skipped, *left == 0)
            }
            Body::Chunked(chunked) => (chunked.skip(bytes), false),
            Body::UntilClose => (bytes, false),
        }
    }
}

/// Reader of chunk framing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    state: ChunkState,
    /// Size of the chunk being announced, and its digits so far.
    size: u64,
    digits: u8,
    /// Whether this sender ends lines with CRLF.
    crlf: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum ChunkState {
    /// In the size's digits.
    #[default]
    Size,
    /// Behind them: blanks, extensions, up to LF.
    Extension { after_cr: bool },
    /// So much content to come.
    Data(u64),
    /// The line end behind it.
    DataEnd { after_cr: bool },
    /// Trailer fields, up to an empty line.
    Trailer(BlankLine),
}

impl Chunked {
    fn advance(&mut self, bytes: &[u8]) -> Result<Step, BadChunk> {
        let mut step = Step::default();
        while step.used < bytes.len() && !step.done {
            let rest = &bytes[step.used..];
            step.used += match &mut self.state {
                ChunkState::Size => self.read_size(rest[0])?,
                ChunkState::Extension { .. } => self.read_extension(rest),
                ChunkState::Data(left) => {
                    let used = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    step.content += used as u64;
                    self.pass_data(used as u64);
                    used
                }
                ChunkState::DataEnd { after_cr } => {
                    match (rest[0], *after_cr) {
                        (b'\r', false) => self.state = ChunkState::DataEnd { after_cr: true },
                        (b'\n', _) => self.begin_size(),
                        _ => return Err(BadChunk),
                    }
                    1
                }
                ChunkState::Trailer(blank) => {
                    let end = blank.find(rest);
                    step.done = end.is_some();
                    end.unwrap_or(rest.len())
                }
            };
        }
        Ok(step)
    }

    fn begin_size(&mut self) {
        self.state = ChunkState::Size;
        self.size = 0;
        self.digits = 0;
    }

    fn read_size(&mut self, byte: u8) -> Result<usize, BadChunk> {
        let Some(digit) = char::from(byte).to_digit(16) else {
            let ends_size = matches!(byte, b'\r' | b'\n' | b';' | b' ' | b'\t');
            if self.digits == 0 || !ends_size {
                return Err(BadChunk);
            }
            self.state = ChunkState::Extension { after_cr: false };
            return Ok(0);
        };
        if self.digits == 16 {
            return Err(BadChunk);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(1)
    }

    fn read_extension(&mut self, bytes: &[u8]) -> usize {
        let before = matches!(self.state, ChunkState::Extension { after_cr: true });
        let Some(end) = memchr(b'\n', bytes) else {
            self.state = ChunkState::Extension { after_cr: bytes.last() == Some(&b'\r') };
            return bytes.len();
        };
        self.crlf = if end == 0 { before } else { bytes[end - 1] == b'\r' };
        self.state = match self.size {
            0 => ChunkState::Trailer(BlankLine::default()),
            size => ChunkState::Data(size),
        };
        end + 1
    }

    fn pass_data(&mut self, bytes: u64) {
        if let ChunkState::Data(left) = &mut self.state {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.state = ChunkState::DataEnd { after_cr: false };
            }
        }
    }

    /// With a sender that ends lines with CRLF the two bytes behind a chunk are known unseen; a wrong
    /// guess would show at once, for a size must follow.
    fn skippable(&self) -> u64 {
        let line_end = if self.crlf { 2 } else { 0 };
        match &self.state {
            ChunkState::Data(left) => left.saturating_add(line_end),
            ChunkState::DataEnd { after_cr: false } => line_end,
            ChunkState::DataEnd { after_cr: true } => 1,
            _ => 0,
        }
    }

    fn skip(&mut self, bytes: u64) -> u64 {
        let content = match &self.state {
            ChunkState::Data(left) => bytes.min(*left),
            _ => 0,
        };
        self.pass_data(content);
        for _ in content..bytes {
            match self.state {
                ChunkState::DataEnd { after_cr: false } => {
                    self.state = ChunkState::DataEnd { after_cr: true }
                }
                ChunkState::DataEnd { after_cr: true } => self.begin_size(),
                _ => break,
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` in parts of `size`: content and bytes used, or what broke.
    fn read(text: &[u8], size: usize) -> Result<(u64, usize, bool), BadChunk> {
        let mut body = Body::chunked();
        let (mut content, mut used) = (0, 0);
        for part in text.chunks(size) {
            let step = body.advance(part)?;
            content += step.content;
            used += step.used;
            if step.done {
                return Ok((content, used, true));
            }
        }
        Ok((content, used, false))
    }

    #[test]
    fn chunks_with_extensions_and_trailers_end_where_they_end() {
        for text in [
            &b"3\r\nabc\r\n0\r\n\r\nrest"[..],
            b"3;name=\"v\"\r\nabc\r\n0;last\r\n\r\nrest",
            b"03 \r\nabc\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\nrest",
            b"1\na\n2\nbc\n0\n\nrest",
            b"1\r\na\r\nb\r\n\0\0\0\0\0\0\0\0\0\0\0\r\n0\r\n\r\nrest",
        ] {
            let (content, used, done) = read(text, text.len()).unwrap();
            assert!(done && used == text.len() - 4, "{text:?}");
            for size in 1..text.len() {
                assert_eq!(
                    read(text, size),
                    Ok((content, used, true)),
                    "{text:?} in parts of {size}"
                );
            }
        }
    }

    #[test]
    fn broken_chunk_framing_is_told() {
        for text in [
            &b"x\r\n"[..],
            b"\r\n",
            b";a\r\n",
            b"-1\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\r\r\n",
            b"11112222333344445\r\n",
            b"0x3\r\n",
        ] {
            assert_eq!(read(text, 1), Err(BadChunk), "{text:?}");
        }
    }

    #[test]
    fn the_largest_chunk_size_does_not_overflow() {
        assert_eq!(read(b"ffffffffffffffff\r\nabc", 5), Ok((3, 21, false)));
    }

    #[test]
    fn data_and_its_line_end_can_be_skipped_when_the_sender_writes_crlf() {
        let mut body = Body::chunked();
        body.advance(b"5\r\nab").unwrap();
        assert_eq!((body.skippable(), body.content_ahead()), (5, 3));
        assert_eq!(body.skip(4), (3, false));
        assert_eq!(body.skippable(), 1);
        assert_eq!(body.skip(1), (0, false));
        assert_eq!(body.skippable(), 0);
        assert_eq!(body.advance(b"0\r\n\r\n").unwrap(), Step { used: 5, content: 0, done: true });

        let mut body = Body::chunked();
        body.advance(b"5\nab").unwrap();
        assert_eq!(body.skippable(), 3);
    }

    #[test]
    fn a_length_is_skipped_to_its_end() {
        let mut body = Body::Length(10);
        assert_eq!(body.skip(4), (4, false));
        assert_eq!(body.advance(b"0123456789").unwrap(), Step { used: 6, content: 6, done: true });
    }
}
