//! Any bytes as a recording: no panic, bounded memory, nothing told twice and nothing passed over in silence.
//!
//! `cargo +nightly fuzz run recording`

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::recording::Reader;

const FILE_HEADER_BYTES: usize = 16;
const FRAME_BYTES: usize = 64;

/// A file whose checksums are right, with `bodies` in its blocks: what is behind them is reached, too.
fn file_of(bodies: &[&[u8]]) -> Vec<u8> {
    let mut file = b"\xf5TRACER\n\x01\x00\x00\x00".to_vec();
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    for (number, body) in (0_u32..).zip(bodies) {
        // The first byte says what kind of block it is, the second how many records it says it has.
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

fn read(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    let mut records = 0;
    for record in &mut reader {
        let record = record.expect("memory can always be read");
        // What was read can be told.
        record.write_json_line(&mut Vec::new()).expect("memory can always be written");
        records += 1;
    }
    let report = reader.report();
    assert_eq!(report.read.records, records);
    let skipped = report.damaged_bytes;
    assert!(skipped <= file.len() as u64, "{skipped} of {}", file.len());
    _ = report.to_string();
}

/// As a client of a daemon reads it, notes and figures included.
fn follow(stream: &[u8]) {
    let Ok(mut reader) = Reader::new(stream) else { return };
    while let Some(told) = reader.next_block().expect("memory can always be read") {
        drop(told);
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if let [cut, bytes @ ..] = bytes {
        let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
        let mut file = file_of(&[first, second]);
        read(&file);
        follow(&file);
        // The same with one byte of it damaged.
        let at = FILE_HEADER_BYTES + usize::from(*cut);
        if let Some(byte) = file.get_mut(at) {
            *byte ^= 0x20;
            read(&file);
        }
    }
});
