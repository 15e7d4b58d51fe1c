//! The two headers of the format: the file's and a block's. All integers are little-endian.

use super::MAX_BLOCK_BYTES;
use crate::time::Timestamp;

/// First bytes of a recording. Like a block's they begin with a byte that no UTF-8 text holds.
pub(super) const FILE_MAGIC: [u8; 8] = *b"\xf5TRACER\n";
/// Magic, major, minor, checksum.
pub(super) const FILE_HEADER_BYTES: usize = 16;
/// First bytes of a block: what the reader looks for behind a damaged place.
pub(super) const BLOCK_MAGIC: [u8; 8] = *b"\xffTRBLOCK";
/// Size of [`Frame`] in the file.
pub(super) const FRAME_BYTES: usize = 64;

/// The file header of this version.
pub(super) fn file_header(major: u16, minor: u16) -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0; FILE_HEADER_BYTES];
    bytes[..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..10].copy_from_slice(&major.to_le_bytes());
    bytes[10..12].copy_from_slice(&minor.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Major and minor version, where `bytes` begins with a whole file header.
pub(super) fn read_file_header(bytes: &[u8]) -> Option<(u16, u16)> {
    let header = bytes.get(..FILE_HEADER_BYTES)?;
    let [major, minor] = [8, 10].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
    (header == file_header(major, minor)).then_some((major, minor))
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Records; the first one of a file holds the `host` record alone.
    Records,
    /// [`super::Totals`]: the recording was closed whole.
    End,
    /// Something that a later minor version added.
    Other(u8),
}

impl BlockKind {
    const fn number(self) -> u8 {
        match self {
            BlockKind::Records => 1,
            BlockKind::End => 2,
            BlockKind::Other(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => BlockKind::Records,
            2 => BlockKind::End,
            other => BlockKind::Other(other),
        }
    }
}

/// A block's header; `body_bytes` of zstd follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: BlockKind,
    /// Length of the body in the file.
    pub body_bytes: u32,
    /// Length of the body unpacked.
    pub raw_bytes: u32,
    /// Checksum of the body in the file.
    pub body_crc32: u32,
    /// Records in the body.
    pub records: u32,
    /// The block's place among the file's, from 0.
    pub number: u32,
    /// Records in the blocks before it: tells how many a damaged place has cost.
    pub records_before: u64,
    /// Time of the earliest record.
    pub first_at: Timestamp,
    /// Time of the latest record.
    pub last_at: Timestamp,
}

impl Frame {
    /// The header as it stands in the file.
    pub(super) fn to_bytes(self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[..8].copy_from_slice(&BLOCK_MAGIC);
        bytes[8] = self.kind.number();
        // 9..12 are reserved and 0.
        for (at, value) in [(12, self.body_bytes), (16, self.raw_bytes), (20, self.body_crc32)] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (at, value) in [(24, self.records), (28, self.number)] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (at, value) in [(32, self.records_before), (40, self.first_at.0), (48, self.last_at.0)]
        {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        // 56..60 are reserved and 0.
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that `bytes` begin with: `None` where they hold none, a damaged one or an impossible one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Frame> {
        let bytes = bytes.get(..FRAME_BYTES)?;
        if bytes[..8] != BLOCK_MAGIC || crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
            return None;
        }
        let frame = Frame {
            kind: BlockKind::from_number(bytes[8]),
            body_bytes: u32_at(bytes, 12),
            raw_bytes: u32_at(bytes, 16),
            body_crc32: u32_at(bytes, 20),
            records: u32_at(bytes, 24),
            number: u32_at(bytes, 28),
            records_before: u64_at(bytes, 32),
            first_at: Timestamp(u64_at(bytes, 40)),
            last_at: Timestamp(u64_at(bytes, 48)),
        };
        let fits = |len: u32| usize::try_from(len).is_ok_and(|len| len <= MAX_BLOCK_BYTES);
        (fits(frame.body_bytes) && fits(frame.raw_bytes)).then_some(frame)
    }

    /// Length of header and body together.
    pub(super) const fn whole_bytes(&self) -> usize {
        FRAME_BYTES + self.body_bytes as usize
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            kind: BlockKind::Records,
            body_bytes: 1000,
            raw_bytes: 5000,
            body_crc32: 0xdead_beef,
            records: 17,
            number: 3,
            records_before: 1 << 40,
            first_at: Timestamp(1),
            last_at: Timestamp(u64::MAX),
        }
    }

    #[test]
    fn a_frame_survives_its_bytes() {
        for kind in [BlockKind::Records, BlockKind::End, BlockKind::Other(200)] {
            let frame = Frame { kind, ..frame() };
            assert_eq!(Frame::from_bytes(&frame.to_bytes()), Some(frame));
        }
    }

    #[test]
    fn a_frame_with_any_bit_flipped_is_none() {
        let bytes = frame().to_bytes();
        for bit in 0..FRAME_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Frame::from_bytes(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_even_with_a_right_checksum() {
        for (body_bytes, raw_bytes) in [(u32::MAX, 1), (1, u32::MAX)] {
            let frame = Frame { body_bytes, raw_bytes, ..frame() };
            assert_eq!(Frame::from_bytes(&frame.to_bytes()), None);
        }
    }

    #[test]
    fn a_file_header_tells_its_version_and_a_damaged_one_does_not() {
        let bytes = file_header(7, 9);
        assert_eq!(read_file_header(&bytes), Some((7, 9)));
        assert_eq!(read_file_header(&bytes[..15]), None);
        for at in 0..FILE_HEADER_BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 0x10;
            assert_eq!(read_file_header(&damaged), None, "byte {at}");
        }
    }
}
