//! Recordings whose checksums are right, so that a fuzzer reaches the code after the checks.

/// Length of a recording's file header.
pub const FILE_HEADER_BYTES: usize = 16;
const FRAME_BYTES: usize = 64;

/// A recording with `bodies` in its blocks. The first byte of a body is its block's kind, the
/// second the number of records that the block claims to hold.
pub fn file_of(bodies: &[&[u8]]) -> Vec<u8> {
    let mut file = b"\xf5TRACER\n\x01\x00\x00\x00".to_vec();
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    for (number, body) in (0_u32..).zip(bodies) {
        let [kind, records, body @ ..] = body else { continue };
        let Ok(packed) = zstd::bulk::compress(body, 1) else { continue };
        let mut frame = [0; FRAME_BYTES];
        frame[..8].copy_from_slice(b"\xffTRBLOCK");
        frame[8] = kind % 4;
        for (at, value) in [
            (12, packed.len() as u32),
            (16, body.len() as u32),
            (20, crc32fast::hash(&packed)),
            (24, u32::from(*records)),
            (28, number),
        ] {
            frame[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let checksum = crc32fast::hash(&frame[..60]);
        frame[60..].copy_from_slice(&checksum.to_le_bytes());
        file.extend_from_slice(&frame);
        file.extend_from_slice(&packed);
    }
    file
}
