//! The newest part of a recording, kept in memory until somebody wants it on disk.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use super::frame::Frame;
use super::{Sink, Totals, WriteError, Writer};
use crate::time::Timestamp;

/// Blocks of the last minutes, packed as they would be on disk.
#[derive(Debug)]
pub struct Kept {
    blocks: VecDeque<Block>,
    bytes: usize,
    /// How long a block is kept, nanoseconds.
    keep_ns: u64,
    max_bytes: usize,
    /// Time of the first block of all.
    begun: Option<Timestamp>,
    /// Time of the newest block that had to go before its time, because there were too many bytes.
    crowded_out: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Block {
    bytes: Arc<[u8]>,
    totals: Totals,
    last_at: Timestamp,
}

impl Kept {
    /// Nothing yet; blocks are kept for `keep_ns`, and `max_bytes` of them at most.
    #[must_use]
    pub const fn new(keep_ns: u64, max_bytes: usize) -> Kept {
        let blocks = VecDeque::new();
        Kept { blocks, bytes: 0, keep_ns, max_bytes, begun: None, crowded_out: None }
    }

    /// Adds what is kept, as old as may be at `now`, to a recording.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`].
    pub fn write_into<S: Sink>(
        &self,
        recording: &mut Writer<S>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        self.share(self.keep_ns, now).write_into(recording)
    }

    /// What is kept of the last `last_ns` before `now`, as it is now, for another thread to write.
    #[must_use]
    pub fn share(&self, last_ns: u64, now: Timestamp) -> KeptBlocks {
        let last_ns = last_ns.min(self.keep_ns);
        let blocks = self.blocks.iter().filter(|block| now.since_ns(block.last_at) <= last_ns);
        KeptBlocks(blocks.cloned().collect())
    }

    /// How much of the time before `now` is missing because it did not fit into memory, nanoseconds.
    #[must_use]
    pub fn missing_ns(&self, now: Timestamp) -> u64 {
        let wanted = Timestamp(now.0.saturating_sub(self.keep_ns)).max(self.begun.unwrap_or(now));
        self.crowded_out.map_or(0, |until| until.since_ns(wanted))
    }

    /// Bytes kept now.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_young(&self, block: &Block, now: Timestamp) -> bool {
        now.since_ns(block.last_at) <= self.keep_ns
    }

    fn drop_old(&mut self, now: Timestamp) {
        while let Some(oldest) = self.blocks.front() {
            let is_young = self.is_young(oldest, now);
            if is_young && self.bytes <= self.max_bytes {
                return;
            }
            if is_young {
                self.crowded_out = Some(oldest.last_at);
            }
            self.bytes -= oldest.bytes.len();
            self.blocks.pop_front();
        }
    }
}

/// Blocks that were kept. They share their bytes with [`Kept`].
#[derive(Clone, Debug)]
pub struct KeptBlocks(Vec<Block>);

impl KeptBlocks {
    /// Adds them to a recording.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`].
    pub fn write_into<S: Sink>(&self, recording: &mut Writer<S>) -> Result<(), WriteError> {
        self.0.iter().try_for_each(|block| recording.put_whole(&block.bytes, &block.totals))
    }
}

impl Sink for Kept {
    /// The file header and the block of the `host` record are every recording's own.
    fn put(&mut self, part: &[u8], totals: &Totals) -> io::Result<()> {
        let Some(frame) = Frame::from_bytes(part).filter(|frame| frame.number > 0) else {
            return Ok(());
        };
        self.begun.get_or_insert(frame.first_at);
        self.bytes += part.len();
        let block = Block { bytes: part.into(), totals: *totals, last_at: frame.last_at };
        self.blocks.push_back(block);
        self.drop_old(frame.last_at);
        Ok(())
    }

    fn cut_back(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Kept {
    /// Only whole parts are kept ([`Sink::put`]).
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Loss, Record};
    use crate::recording::Reader;
    use crate::recording::tests::host;

    const SECOND_NS: u64 = 1_000_000_000;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * SECOND_NS)
    }

    fn told(second: u64) -> Record {
        Record::Loss(Loss { at: at(second), hook: "payload".to_owned(), events: second })
    }

    /// A block for each second from 1 to `seconds`.
    fn flight(seconds: u64, keep_seconds: u64, max_bytes: usize) -> Writer<Kept> {
        let kept = Kept::new(keep_seconds * SECOND_NS, max_bytes);
        let mut writer = Writer::new(kept, &host(), at(0)).unwrap();
        for second in 1..=seconds {
            writer.write(&told(second), at(second)).unwrap();
            writer.flush().unwrap();
        }
        writer
    }

    fn written_out(flight: &Writer<Kept>, now: Timestamp) -> (Vec<Record>, Totals, Vec<u8>) {
        let mut file = Writer::new(Vec::new(), &host(), now).unwrap();
        flight.sink().write_into(&mut file, now).unwrap();
        file.write(&told(1000), now).unwrap();
        let (totals, bytes) = file.finish().unwrap();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let records = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(reader.report().to_string(), "", "nothing is missing or damaged");
        assert_eq!(reader.report().claimed, Some(totals));
        (records, totals, bytes)
    }

    #[test]
    fn the_last_seconds_become_a_whole_recording_again_and_again() {
        let flight = flight(60, 10, usize::MAX);
        for _ in 0..2 {
            let (records, totals, _) = written_out(&flight, at(60));
            let expected: Vec<Record> = (50..=60).chain([1000]).map(told).collect();
            assert!(matches!(records[0], Record::Host(_)));
            assert_eq!(records[1..], expected);
            assert_eq!(totals.lost_events, (50..=60).sum::<u64>() + 1000);
        }
        assert_eq!(flight.sink().missing_ns(at(60)), 0);
    }

    #[test]
    fn what_has_grown_old_since_is_not_written_out() {
        let (records, ..) = written_out(&flight(60, 10, usize::MAX), at(65));
        assert_eq!(records[1..], (55..=60).chain([1000]).map(told).collect::<Vec<_>>());
    }

    #[test]
    fn memory_is_bounded_and_the_time_that_did_not_fit_is_told() {
        let one = flight(1, 100, usize::MAX).sink().bytes();
        let flight = flight(60, 100, 5 * one + one / 2);
        assert!(flight.sink().bytes() <= 5 * one + one / 2);
        let (records, ..) = written_out(&flight, at(60));
        let first = records.iter().find_map(|record| match record {
            Record::Loss(loss) => Some(loss.events),
            _ => None,
        });
        // From the first block, of second 1, up to the newest that had to go.
        assert_eq!(first, Some(1 + flight.sink().missing_ns(at(60)) / SECOND_NS + 1));
        assert!(first > Some(50), "{first:?}");
    }
}
