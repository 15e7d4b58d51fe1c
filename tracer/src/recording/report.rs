//! What a reader found, and what it could not read.

use std::fmt;

use super::Totals;

/// Damaged places that are told one by one; further ones are only counted.
const MAX_GAPS: usize = 16;

/// A stretch of the file that no whole block covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First byte of it.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

/// How whole a recording is, as far as it has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the end block says was recorded: `None` where there is none (yet).
    pub claimed: Option<Totals>,
    /// What was read.
    pub read: Totals,
    /// Blocks read.
    pub blocks: u64,
    /// The first damaged places.
    pub gaps: Vec<Gap>,
    /// All damaged places.
    pub gap_count: u64,
    /// Bytes in damaged places.
    pub damaged_bytes: u64,
    /// Blocks known to be missing: their numbers are left out between blocks that were read.
    pub missing_blocks: u64,
    /// Records known to be missing with them.
    pub missing_records: u64,
    /// Records in whole blocks that could not be made sense of.
    pub unreadable_records: u64,
    /// Records and blocks of kinds that a later minor version added.
    pub unknown_kinds: u64,
    /// Whether there are bytes behind the end block; they are not read.
    pub bytes_behind_the_end: bool,
}

impl Report {
    /// Whether everything that was recorded was read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.claimed.is_some()
            && self.gap_count == 0
            && self.missing_records == 0
            && self.unreadable_records == 0
    }

    pub(super) fn add_gap(&mut self, gap: Gap) {
        self.gap_count += 1;
        self.damaged_bytes += gap.bytes;
        if self.gaps.len() < MAX_GAPS {
            self.gaps.push(gap);
        }
    }

    fn fmt_damage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} damaged {}:", self.gap_count, plural(self.gap_count, "place", "places"))?;
        for (i, gap) in self.gaps.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma} {} bytes at byte {}", gap.bytes, gap.offset)?;
        }
        if self.gap_count > self.gaps.len() as u64 {
            write!(f, ", ... ({} bytes in all)", self.damaged_bytes)?;
        }
        writeln!(f)
    }
}

const fn plural(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Sentences for a person, one a line, about what is missing; nothing for a whole recording.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.claimed.is_none() {
            writeln!(f, "cut short: no end block, so its last second or more may be missing")?;
        }
        if self.gap_count > 0 {
            self.fmt_damage(f)?;
        }
        if self.missing_records > 0 || self.missing_blocks > 0 {
            let (blocks, records) = (self.missing_blocks, self.missing_records);
            writeln!(
                f,
                "lost with them: {records} {} in {blocks} {}",
                plural(records, "record", "records"),
                plural(blocks, "block", "blocks")
            )?;
        }
        if self.unreadable_records > 0 {
            writeln!(f, "{} records in whole blocks could not be read", self.unreadable_records)?;
        }
        if self.unknown_kinds > 0 {
            writeln!(f, "{} records of a later version were passed over", self.unknown_kinds)?;
        }
        if self.bytes_behind_the_end {
            writeln!(f, "there are bytes behind the end of the recording; they were not read")?;
        }
        Ok(())
    }
}
