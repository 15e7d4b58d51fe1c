//! The unpacked body of a block, record by record.

use super::Report;
use super::pack::{Unpacked, Unpacker};
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
            self.left -= u32::from(!matches!(unpacked, Unpacked::Unsaid));
            match unpacked {
                Unpacked::Record(record) => {
                    report.read.count(&record);
                    return Some(record);
                }
                Unpacked::Unsaid => {}
                Unpacked::UnknownKind => report.unknown_kinds += 1,
                Unpacked::Unreadable => report.unreadable_records += 1,
            }
        }
        None
    }
}
