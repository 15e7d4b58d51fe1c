//! Writes a recording block by block.

use std::io;

use serde::{Deserialize, Serialize};

use super::frame::{BlockKind, FRAME_BYTES, Frame, file_header};
use super::{
    BLOCK_AGE_NS, BLOCK_TARGET_BYTES, FORMAT_MAJOR, FORMAT_MINOR, Figures, MAX_RECORD_BYTES, Sink,
    WriteError, pack,
};
use crate::record::{Connection, Host, Loss, Record};
use crate::time::Timestamp;

/// Two thirds of the time of zstd's own default, 3, for a file that is 5 % larger (docs/decisions/0011).
const ZSTD_LEVEL: i32 = 1;

/// What a recording holds. Kept in its end block, so that a reader can say whether all of it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records of every kind.
    pub records: u64,
    /// `connection` records.
    pub connections: u64,
    /// `exchange` records.
    pub exchanges: u64,
    /// Sum of the `loss` records' events.
    pub lost_events: u64,
}

impl Totals {
    /// Adds what another recording, or another part of one, holds.
    pub fn add(&mut self, more: &Totals) {
        self.records += more.records;
        self.connections += more.connections;
        self.exchanges += more.exchanges;
        self.lost_events = self.lost_events.saturating_add(more.lost_events);
    }

    pub(super) fn count(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Connection(_) => self.connections += 1,
            Record::Exchange(_) => self.exchanges += 1,
            Record::Loss(loss) => {
                self.lost_events = self.lost_events.saturating_add(loss.lost_events())
            }
            Record::Host(_) | Record::Transition(_) | Record::Segment(_) => {}
        }
    }
}

/// The block that is being filled.
#[derive(Default)]
struct Pending {
    body: Vec<u8>,
    packer: pack::Packer,
    records: u32,
    totals: Totals,
    /// Earliest and latest time of its records.
    times: Option<(Timestamp, Timestamp)>,
    /// When its first record came.
    since: Option<Timestamp>,
}

impl Pending {
    fn note(&mut self, at: Timestamp, now: Timestamp) {
        self.records += 1;
        self.since.get_or_insert(now);
        let (first, last) = self.times.unwrap_or((at, at));
        self.times = Some((first.min(at), last.max(at)));
    }

    /// Something that is no record is in it.
    fn note_time(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
        self.times.get_or_insert((now, now));
    }

    fn clear(&mut self) {
        self.body.clear();
        self.packer.clear();
        self.records = 0;
        self.totals = Totals::default();
        self.times = None;
        self.since = None;
    }
}

/// Writes records into a [`Sink`].
///
/// After an error everything up to the last whole block is in the file and readable. The records since then
/// are kept, up to one block, and the next call tries again to write them.
pub struct Writer<S: Sink> {
    pub(super) sink: S,
    compressor: zstd::bulk::Compressor<'static>,
    pending: Pending,
    totals: Totals,
    /// Records in whole blocks.
    written_records: u64,
    next_block: u32,
    /// Length of the file up to its last whole block.
    whole_bytes: u64,
    /// Working space: a block as it goes to the file.
    block: Vec<u8>,
}

impl<S: Sink> Writer<S> {
    /// Begins a recording with its header and the `host` record.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`].
    pub fn new(sink: S, host: &std::sync::Arc<Host>, now: Timestamp) -> Result<Self, WriteError> {
        let compressor =
            zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(|e| WriteError::writing(e, 0))?;
        let mut writer = Writer {
            sink,
            compressor,
            pending: Pending::default(),
            totals: Totals::default(),
            written_records: 0,
            next_block: 0,
            whole_bytes: 0,
            block: Vec::new(),
        };
        writer.block.extend_from_slice(&file_header(FORMAT_MAJOR, FORMAT_MINOR));
        writer.put_block(&Totals::default())?;
        writer.add(&Record::Host(host.clone()), now);
        writer.flush()?;
        Ok(writer)
    }

    /// Adds a record; writes the block when it is full or old enough.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`]. While a full block cannot be written no more records are taken.
    pub fn write(&mut self, record: &Record, now: Timestamp) -> Result<(), WriteError> {
        if self.pending.body.len() >= BLOCK_TARGET_BYTES {
            self.flush()?;
        }
        self.add(record, now);
        if self.pending.body.len() >= BLOCK_TARGET_BYTES { self.flush() } else { self.tick(now) }
    }

    /// Adds a note of a connection that goes on, as it is so far: no record, but who plays the recording knows of it before
    /// its record comes. One that is too large is left out.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn note(&mut self, connection: &Connection, now: Timestamp) -> Result<(), WriteError> {
        if self.pending.body.len() >= BLOCK_TARGET_BYTES {
            self.flush()?;
        }
        let packed = pack::Packer::push_note(connection, &mut self.pending.body, MAX_RECORD_BYTES);
        if packed.is_ok() {
            self.pending.note_time(now);
        }
        Ok(())
    }

    /// Adds figures about the run: no record either.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn figures(&mut self, figures: &Figures) -> Result<(), WriteError> {
        let packed = pack::Packer::push_figures(figures, &mut self.pending.body, MAX_RECORD_BYTES);
        if packed.is_ok() {
            self.pending.note_time(figures.at);
        }
        Ok(())
    }

    /// Writes the block if its first record is older than [`BLOCK_AGE_NS`]. To be called now and then while no
    /// records come.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`].
    pub fn tick(&mut self, now: Timestamp) -> Result<(), WriteError> {
        match self.pending.since {
            Some(since) if now.since_ns(since) >= BLOCK_AGE_NS => self.flush(),
            _ => Ok(()),
        }
    }

    /// Writes what is pending and the end block, and brings all of it to the disk.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`]: the recording then has no end block, but what is in it is whole.
    pub fn finish(mut self) -> Result<(Totals, S), WriteError> {
        self.flush()?;
        // Totals are four integers: packing them into memory cannot fail.
        let totals = postcard::to_stdvec(&self.totals).unwrap_or_default();
        self.build_block(BlockKind::End, &totals, 0, (Timestamp(0), Timestamp(0)))?;
        self.put_block(&Totals::default())?;
        if let Err(e) = self.sink.sync() {
            return Err(WriteError::writing(e, self.sink.whole_bytes(self.whole_bytes)));
        }
        Ok((self.totals, self.sink))
    }

    /// Writes a block that another writer built, behind what is pending: its records are not packed again.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`].
    pub(super) fn put_whole(&mut self, block: &[u8], totals: &Totals) -> Result<(), WriteError> {
        self.flush()?;
        let Some(frame) = Frame::from_bytes(block) else { return Ok(()) };
        let frame =
            Frame { number: self.next_block, records_before: self.written_records, ..frame };
        self.block.clear();
        self.block.extend_from_slice(&frame.to_bytes());
        self.block.extend_from_slice(&block[FRAME_BYTES..]);
        self.put_block(totals)?;
        self.next_block += 1;
        self.written_records += u64::from(frame.records);
        self.totals.add(totals);
        Ok(())
    }

    /// Where it writes.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// What has been recorded so far, pending records included.
    #[must_use]
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Length of the file up to its last whole block, bytes.
    #[must_use]
    pub const fn written_bytes(&self) -> u64 {
        self.whole_bytes
    }

    fn add(&mut self, record: &Record, now: Timestamp) {
        let Pending { body, packer, .. } = &mut self.pending;
        let packed = packer.push(record, body, MAX_RECORD_BYTES);
        if packed.is_ok() {
            self.pending.note(pack::time_of(record).unwrap_or(now), now);
            self.count(record);
            return;
        }
        let loss = Record::Loss(Loss { at: now, hook: "recording".to_owned(), events: 1 });
        let Pending { body, packer, .. } = &mut self.pending;
        if packer.push(&loss, body, MAX_RECORD_BYTES).is_ok() {
            self.pending.note(now, now);
            self.count(&loss);
        }
    }

    fn count(&mut self, record: &Record) {
        self.pending.totals.count(record);
        self.totals.count(record);
    }

    /// Writes the block that is being filled, however small.
    ///
    /// # Errors
    /// [`WriteError::Full`], [`WriteError::Io`].
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let Some(times) = self.pending.times else { return Ok(()) };
        let body = std::mem::take(&mut self.pending.body);
        let built = self.build_block(BlockKind::Records, &body, self.pending.records, times);
        self.pending.body = body;
        built?;
        let totals = self.pending.totals;
        self.put_block(&totals)?;
        self.next_block += 1;
        self.written_records += u64::from(self.pending.records);
        self.pending.clear();
        Ok(())
    }

    /// Puts frame and packed `body` into `self.block`.
    fn build_block(
        &mut self,
        kind: BlockKind,
        body: &[u8],
        records: u32,
        (first_at, last_at): (Timestamp, Timestamp),
    ) -> Result<(), WriteError> {
        self.block.resize(FRAME_BYTES + zstd::zstd_safe::compress_bound(body.len()), 0);
        let packed = self.compressor.compress_to_buffer(body, &mut self.block[FRAME_BYTES..]);
        let packed_bytes = packed.map_err(|e| WriteError::writing(e, self.whole_bytes))?;
        self.block.truncate(FRAME_BYTES + packed_bytes);
        let frame = Frame {
            kind,
            body_bytes: length(packed_bytes, self.whole_bytes)?,
            raw_bytes: length(body.len(), self.whole_bytes)?,
            body_crc32: crc32fast::hash(&self.block[FRAME_BYTES..]),
            records,
            number: self.next_block,
            records_before: self.written_records,
            first_at,
            last_at,
        };
        self.block[..FRAME_BYTES].copy_from_slice(&frame.to_bytes());
        Ok(())
    }

    /// Writes `self.block`; a part of it that was written before an error is cut off again.
    fn put_block(&mut self, totals: &Totals) -> Result<(), WriteError> {
        if let Err(e) = self.sink.put(&self.block, totals) {
            // Where even that fails the part stays, and the reader skips it as damage.
            if let Err(cut) = self.sink.cut_back(self.whole_bytes) {
                log::warn!("cannot cut an unfinished block off the recording: {cut}");
            }
            return Err(WriteError::writing(e, self.sink.whole_bytes(self.whole_bytes)));
        }
        self.whole_bytes += self.block.len() as u64;
        Ok(())
    }
}

fn length(bytes: usize, whole_bytes: u64) -> Result<u32, WriteError> {
    if bytes > super::MAX_BLOCK_BYTES {
        let source = io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a block of {bytes} bytes is too large"),
        );
        return Err(WriteError::writing(source, whole_bytes));
    }
    u32::try_from(bytes).map_err(|e| WriteError::writing(io::Error::other(e), whole_bytes))
}
