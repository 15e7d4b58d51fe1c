//! How a recording ends, without reading it.

use std::io::{self, Read, Seek, SeekFrom};

use super::MAX_BLOCK_BYTES;
use super::frame::{BLOCK_MAGIC, BlockKind, FRAME_BYTES, Frame};
use crate::time::Timestamp;

/// How much of a file's end is looked at, at first; while that holds no block, four times as much.
const TAIL_BYTES: u64 = 1 << 20;

/// The end of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Time of the latest record in its last blocks.
    pub last_at: Timestamp,
    /// Whether it was closed whole.
    pub is_closed: bool,
}

/// Looks at the end of a recording; `None` where no block of records is in it.
///
/// # Errors
/// Those of the operating system.
pub fn tail<R: Read + Seek>(mut file: R) -> io::Result<Option<Tail>> {
    let bytes = file.seek(SeekFrom::End(0))?;
    let mut wanted = TAIL_BYTES;
    loop {
        let begin = bytes.saturating_sub(wanted);
        file.seek(SeekFrom::Start(begin))?;
        let found = last_frames((&mut file).take(bytes - begin))?;
        if found.is_some() || begin == 0 {
            return Ok(found);
        }
        wanted = wanted.saturating_mul(4);
    }
}

/// What the frames among these bytes say.
fn last_frames(mut bytes: impl Read) -> io::Result<Option<Tail>> {
    let mut buffer = Vec::new();
    let mut last_at = None;
    let mut is_closed = false;
    while (&mut bytes).take(MAX_BLOCK_BYTES as u64).read_to_end(&mut buffer)? > 0 {
        for at in memchr::memmem::find_iter(&buffer, &BLOCK_MAGIC) {
            let Some(frame) = Frame::from_bytes(&buffer[at..]) else { continue };
            is_closed = frame.kind == BlockKind::End;
            if frame.kind == BlockKind::Records {
                last_at = last_at.max(Some(frame.last_at));
            }
        }
        // A frame may lie across two reads.
        buffer.drain(..buffer.len().saturating_sub(FRAME_BYTES - 1));
    }
    Ok(last_at.map(|last_at| Tail { last_at, is_closed }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::export::fixture::EXAMPLES;
    use crate::record::Record;
    use crate::recording::Writer;

    /// The examples as a recording, and the time up to which they go.
    fn recording() -> (Vec<u8>, Timestamp) {
        let mut records = EXAMPLES.lines().map(|line| Record::from_json(line).unwrap());
        let Some(Record::Host(host)) = records.next() else { panic!("no host") };
        let mut writer = Writer::new(Vec::new(), &host, host.started_at).unwrap();
        let mut latest = host.started_at;
        for record in records {
            latest = latest.max(super::super::pack::time_of(&record).unwrap_or_default());
            writer.write(&record, host.started_at).unwrap();
        }
        (writer.finish().unwrap().1, latest)
    }

    #[test]
    fn the_end_says_until_when_it_goes_and_whether_it_was_closed() {
        let (bytes, last_at) = recording();
        let whole = tail(Cursor::new(&bytes)).unwrap();
        assert_eq!(whole, Some(Tail { last_at, is_closed: true }));
        let cut = tail(Cursor::new(&bytes[..bytes.len() - 10])).unwrap();
        // The frame of its end block is whole, what is in it is not.
        assert_eq!(cut.map(|tail| tail.last_at), Some(last_at));
        let open = tail(Cursor::new(&bytes[..bytes.len() - FRAME_BYTES])).unwrap();
        assert_eq!(open, Some(Tail { last_at, is_closed: false }));
    }

    #[test]
    fn bytes_that_follow_the_last_block_for_long_hide_nothing() {
        let (mut bytes, _) = recording();
        let whole = tail(Cursor::new(&bytes)).unwrap();
        bytes.resize(bytes.len() + 5 * usize::try_from(TAIL_BYTES).unwrap(), 7);
        assert_eq!(tail(Cursor::new(&bytes)).unwrap(), whole);
        assert_eq!(tail(Cursor::new(vec![7; 3000])).unwrap(), None);
    }
}
