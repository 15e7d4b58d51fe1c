//! When how much happened in a recording, from the frames of its blocks alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::frame::{BLOCK_MAGIC, BlockKind, FILE_HEADER_BYTES, FRAME_BYTES, Frame};
use crate::time::Timestamp;

/// Bytes that are looked through at a time for the next block behind a damaged place.
const SEARCH_BYTES: usize = 1 << 20;

/// Records in each of so many equal parts of the time from `begin` to `end`. Where a block lasts longer than a part its
/// records are spread evenly.
///
/// # Errors
/// Those of the operating system.
pub fn outline(
    file: &File,
    parts: usize,
    begin: Timestamp,
    end: Timestamp,
) -> io::Result<Vec<u64>> {
    let mut counts = vec![0.0; parts.max(1)];
    let mut offset = FILE_HEADER_BYTES as u64;
    while let Some((at, frame)) = next_frame(file, offset)? {
        offset = at + frame.whole_bytes() as u64;
        match frame.kind {
            BlockKind::Records => add(&mut counts, &frame, begin, end),
            BlockKind::End => break,
            BlockKind::Other(_) => {}
        }
    }
    Ok(counts.into_iter().map(|count: f64| count.round() as u64).collect())
}

fn add(counts: &mut [f64], frame: &Frame, begin: Timestamp, end: Timestamp) {
    let whole = (end.since_ns(begin) as f64).max(1.0);
    let last = counts.len() - 1;
    let place = |at: Timestamp| (at.since_ns(begin) as f64 / whole).min(1.0) * counts.len() as f64;
    let (first, until) = (place(frame.first_at), place(frame.last_at));
    if until - first < 1e-6 {
        counts[(first as usize).min(last)] += f64::from(frame.records);
        return;
    }
    let parts = counts.iter_mut().enumerate().take((until as usize).min(last) + 1);
    for (part, count) in parts.skip(first as usize) {
        let covered = until.min(part as f64 + 1.0) - first.max(part as f64);
        *count += f64::from(frame.records) * covered.max(0.0) / (until - first);
    }
}

/// The next whole frame at or behind `offset`, and where it is.
fn next_frame(file: &File, mut offset: u64) -> io::Result<Option<(u64, Frame)>> {
    let mut bytes = [0; FRAME_BYTES];
    let read = read_at(file, &mut bytes, offset)?;
    if let Some(frame) = Frame::from_bytes(&bytes[..read]) {
        return Ok(Some((offset, frame)));
    }
    let mut buffer = vec![0; SEARCH_BYTES];
    loop {
        let read = read_at(file, &mut buffer, offset)?;
        let found = memchr::memmem::find_iter(&buffer[..read], &BLOCK_MAGIC)
            .find_map(|at| Some((offset + at as u64, Frame::from_bytes(&buffer[at..read])?)));
        if found.is_some() || read < buffer.len() {
            return Ok(found);
        }
        // A frame may lie across two reads.
        offset += (read - (FRAME_BYTES - 1)) as u64;
    }
}

/// As much as the file has, up to the whole buffer.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::export::fixture::EXAMPLES;
    use crate::record::{Host, Loss, Record};
    use crate::recording::Writer;

    const SECOND_NS: u64 = 1_000_000_000;

    fn at(second: u64) -> Timestamp {
        Timestamp(1_000 * SECOND_NS + second * SECOND_NS)
    }

    /// A record in each of the first three seconds of ten, in a block each, and seven in the last.
    fn recording() -> Vec<u8> {
        let host = EXAMPLES.lines().find_map(|line| match Record::from_json(line).unwrap() {
            Record::Host(host) => Some(host),
            _ => None,
        });
        let host = Host { started_at: at(0), ..(*host.unwrap()).clone() };
        let mut writer = Writer::new(Vec::new(), &host.into(), at(0)).unwrap();
        for second in [1, 2, 9, 9, 9, 9, 9, 9, 9] {
            let loss = Loss { at: at(second), hook: "state".to_owned(), events: 1 };
            writer.write(&Record::Loss(loss), at(second)).unwrap();
            writer.flush().unwrap();
        }
        writer.finish().unwrap().1
    }

    fn outline_of(bytes: &[u8]) -> Vec<u64> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        outline(&file, 10, at(0), at(10)).unwrap()
    }

    #[test]
    fn each_part_has_the_records_of_its_time() {
        assert_eq!(outline_of(&recording()), [1, 1, 1, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn behind_a_damaged_frame_it_goes_on() {
        let mut bytes = recording();
        let second = memchr::memmem::find_iter(&bytes, &BLOCK_MAGIC).nth(1).unwrap();
        bytes[second + 30] ^= 1;
        assert_eq!(outline_of(&bytes), [1, 0, 1, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(outline_of(&bytes[..bytes.len() - 70]).len(), 10);
    }

    #[test]
    fn the_records_of_a_long_block_are_spread() {
        let mut counts = vec![0.0; 4];
        let frame = Frame {
            kind: BlockKind::Records,
            body_bytes: 0,
            raw_bytes: 0,
            body_crc32: 0,
            records: 8,
            number: 1,
            records_before: 0,
            first_at: at(1),
            last_at: at(3),
        };
        add(&mut counts, &frame, at(0), at(4));
        assert_eq!(counts, [0.0, 4.0, 4.0, 0.0]);
    }
}
