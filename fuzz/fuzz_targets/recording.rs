//! Any bytes as a recording: no panic, bounded memory, every record counted and every damaged byte
//! reported.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::recording::Reader;
use tracer_fuzz::{FILE_HEADER_BYTES, file_of};

fn read(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    let mut records = 0;
    for record in &mut reader {
        let record = record.expect("memory can always be read");
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
    while let Some(records) = reader.next_block().expect("memory can always be read") {
        drop(records);
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
