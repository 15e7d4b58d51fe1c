//! Reads a recording record by record, over damaged places too.

use std::io::Read;

use super::body::Body;
use super::frame::{self, BLOCK_MAGIC, BlockKind, FILE_HEADER_BYTES, FRAME_BYTES, Frame};
use super::window::Window;
use super::{FORMAT_MAJOR, Gap, MAX_BLOCK_BYTES, ReadError, Report, Told, Totals};
use crate::record::Record;

/// How far a block is looked for in a file that does not begin as a recording.
const SEARCH_BYTES: u64 = 1024 * 1024;

/// The records of a recording, in order. Memory is bounded by [`MAX_BLOCK_BYTES`], whatever the file holds.
///
/// Damage does not end the iteration: [`Reader::report`] tells of it. An error of the operating system does.
pub struct Reader<R> {
    window: Window<R>,
    decompressor: zstd::bulk::Decompressor<'static>,
    body: Body,
    next_block: u32,
    next_record: u64,
    /// The damaged place that the reader is in.
    gap: Option<Gap>,
    report: Report,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`ReadError::NotARecording`], [`ReadError::Newer`], [`ReadError::Io`].
    pub fn new(inner: R) -> Result<Self, ReadError> {
        let decompressor = zstd::bulk::Decompressor::new()
            .map_err(|source| ReadError::Io { offset: 0, source })?;
        let mut reader = Reader {
            window: Window::new(inner),
            decompressor,
            body: Body::default(),
            next_block: 0,
            next_record: 0,
            gap: None,
            report: Report::default(),
            done: false,
        };
        reader.begin()?;
        Ok(reader)
    }

    /// What was read and what could not be, up to now; final when the iteration has ended.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn begin(&mut self) -> Result<(), ReadError> {
        self.fill(FILE_HEADER_BYTES)?;
        match frame::read_file_header(self.window.bytes()) {
            Some((major, minor)) if major > FORMAT_MAJOR => Err(ReadError::Newer { major, minor }),
            Some(_) => {
                self.window.consume(FILE_HEADER_BYTES);
                Ok(())
            }
            None => self.seek_first_block(),
        }
    }

    /// A damaged file header costs nothing but itself, if blocks follow it.
    fn seek_first_block(&mut self) -> Result<(), ReadError> {
        while self.window.offset() < SEARCH_BYTES {
            if !self.fill(FRAME_BYTES)? {
                break;
            }
            if Frame::from_bytes(self.window.bytes()).is_some() {
                return Ok(());
            }
            self.skip_to_magic();
        }
        Err(ReadError::NotARecording {
            searched_bytes: self.window.offset() + self.window.bytes().len() as u64,
        })
    }

    /// Unpacks the next block of records: `None` behind the last one.
    pub(super) fn next_body(&mut self) -> Result<Option<Frame>, ReadError> {
        while let Some(frame) = self.next_frame()? {
            match frame.kind {
                BlockKind::Records => {
                    self.body.expect(frame.records);
                    return Ok(Some(frame));
                }
                BlockKind::End => return self.end().map(|()| None),
                BlockKind::Other(_) => self.report.unknown_kinds += 1,
            }
        }
        Ok(None)
    }

    /// What the next block tells, in its order, notes and figures included: for who shows a stream as it comes. `None` behind the
    /// last block. Not to be mixed with the iteration.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn next_block(&mut self) -> Result<Option<Vec<Told>>, ReadError> {
        let Some(_) = self.next_body()? else { return Ok(None) };
        Ok(Some(self.body.told(&mut self.report)))
    }

    /// The block that was unpacked last, for who reads it later.
    pub(super) fn take_unpacked(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// Reads on in a block that was taken.
    pub(super) fn next_in(&mut self, body: &mut Body) -> Option<Record> {
        body.next(&mut self.report)
    }

    /// Finds the next whole block and unpacks its body: `None` where there is none any more.
    fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            if !self.fill(FRAME_BYTES)? {
                self.skip(self.window.bytes().len());
                self.close_gap();
                return Ok(None);
            }
            match Frame::from_bytes(self.window.bytes()) {
                Some(frame) if frame.number >= self.next_block && self.take_body(&frame)? => {
                    self.close_gap();
                    self.account(&frame);
                    return Ok(Some(frame));
                }
                // The header may be whole and what follows not: the next block may begin inside of it.
                _ => self.skip_to_magic(),
            }
        }
    }

    /// Unpacks the body that follows `frame`: false, and nothing consumed, where it is cut or damaged.
    fn take_body(&mut self, frame: &Frame) -> Result<bool, ReadError> {
        if !self.fill(frame.whole_bytes())? {
            return Ok(false);
        }
        let packed = &self.window.bytes()[FRAME_BYTES..frame.whole_bytes()];
        if crc32fast::hash(packed) != frame.body_crc32 {
            return Ok(false);
        }
        let raw_bytes = frame.raw_bytes as usize;
        self.body.restart();
        self.body.bytes.clear();
        self.body.bytes.resize(raw_bytes, 0);
        let unpacked = self.decompressor.decompress_to_buffer(packed, &mut self.body.bytes[..]);
        if !matches!(unpacked, Ok(bytes) if bytes == raw_bytes) {
            return Ok(false);
        }
        self.window.consume(frame.whole_bytes());
        Ok(true)
    }

    fn account(&mut self, frame: &Frame) {
        let report = &mut self.report;
        report.blocks += 1;
        report.missing_blocks += u64::from(frame.number - self.next_block);
        report.missing_records = report
            .missing_records
            .saturating_add(frame.records_before.saturating_sub(self.next_record));
        self.next_block = frame.number.saturating_add(1);
        self.next_record = frame.records_before.saturating_add(u64::from(frame.records));
    }

    fn end(&mut self) -> Result<(), ReadError> {
        self.report.claimed =
            postcard::take_from_bytes::<Totals>(&self.body.bytes).ok().map(|(totals, _)| totals);
        self.report.bytes_behind_the_end = self.fill(1)?;
        Ok(())
    }

    fn fill(&mut self, len: usize) -> Result<bool, ReadError> {
        debug_assert!(len <= FRAME_BYTES + MAX_BLOCK_BYTES);
        let offset = self.window.offset();
        self.window.fill(len).map_err(|source| ReadError::Io { offset, source })
    }

    /// Steps to the next place where a block may begin, among the bytes that are there.
    fn skip_to_magic(&mut self) {
        let bytes = self.window.bytes();
        let next = memchr::memmem::find(bytes.get(1..).unwrap_or_default(), &BLOCK_MAGIC);
        // Without a find the last bytes may still be the first ones of a magic.
        let step = next.map_or(bytes.len().saturating_sub(BLOCK_MAGIC.len() - 1), |at| at + 1);
        self.skip(step.max(1));
    }

    fn skip(&mut self, len: usize) {
        if len > 0 {
            let offset = self.window.offset();
            self.gap.get_or_insert(Gap { offset, bytes: 0 }).bytes += len as u64;
            self.window.consume(len);
        }
    }

    fn close_gap(&mut self) {
        if let Some(gap) = self.gap.take() {
            self.report.add_gap(gap);
        }
    }

    fn step(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.body.next(&mut self.report) {
                return Ok(Some(record));
            }
            if self.next_body()?.is_none() {
                return Ok(None);
            }
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done = !matches!(step, Ok(Some(_)));
        step.transpose()
    }
}
