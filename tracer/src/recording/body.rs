//! The unpacked body of a block, record by record.

use std::sync::Arc;

use super::pack::{self, Unpacked, Unpacker};
use super::{Report, Told};
use crate::record::Record;

/// A body and how far it has been read.
#[derive(Default)]
pub(super) struct Body {
    pub bytes: Vec<u8>,
    position: usize,
    /// Records of it that are still to come.
    left: u32,
    unpacker: Unpacker,
}

impl Body {
    /// The bytes are another block's now: none of its records have been read, nor are there any yet.
    pub fn restart(&mut self) {
        self.position = 0;
        self.left = 0;
        self.unpacker.clear();
    }

    /// The block has this many records.
    pub const fn expect(&mut self, records: u32) {
        self.left = records;
    }

    /// The next record, if it has one; `report` hears of what cannot be read.
    pub fn next(&mut self, report: &mut Report) -> Option<Record> {
        while self.left > 0 {
            let Some((unpacked, rest)) = self.unpacker.next(&self.bytes[self.position..]) else {
                report.unreadable_records += u64::from(self.left);
                self.left = 0;
                return None;
            };
            self.position = self.bytes.len() - rest.len();
            self.left -= u32::from(unpacked.is_counted());
            match unpacked {
                Unpacked::Record(record) => {
                    report.read.count(&record);
                    return Some(record);
                }
                Unpacked::Unsaid | Unpacked::Note(_) | Unpacked::Figures(_) => {}
                Unpacked::UnknownKind => report.unknown_kinds += 1,
                Unpacked::Unreadable => report.unreadable_records += 1,
            }
        }
        None
    }

    /// Everything that it tells from here to its end, notes and figures included.
    pub fn told(&mut self, report: &mut Report) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some((unpacked, rest)) = self.unpacker.next(&self.bytes[self.position..]) {
            self.position = self.bytes.len() - rest.len();
            self.left = self.left.saturating_sub(u32::from(unpacked.is_counted()));
            match unpacked {
                Unpacked::Record(record) => {
                    report.read.count(&record);
                    told.push(Told::Record(record));
                }
                Unpacked::Note(bytes) => {
                    told.extend(pack::read_padded(bytes).map(|note| Told::Note(Arc::new(note))));
                }
                Unpacked::Figures(bytes) => told.extend(pack::read(bytes).map(Told::Figures)),
                Unpacked::Unsaid => {}
                Unpacked::UnknownKind => report.unknown_kinds += 1,
                Unpacked::Unreadable => report.unreadable_records += 1,
            }
        }
        report.unreadable_records += u64::from(std::mem::take(&mut self.left));
        told
    }
}
