//! Any records of a recording, exported in one of the forms and merged with themselves: no panic,
//! and a text is a text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::export::{Format, Known};
use tracer::merge::{Clocks, Ends, Pairs};
use tracer::record::Record;
use tracer::recording::Reader;
use tracer_fuzz::file_of;

fn records(file: &[u8]) -> Vec<Record> {
    let Ok(reader) = Reader::new(file) else { return Vec::new() };
    reader.map(|record| record.expect("memory can always be read")).collect()
}

fn export(records: &[Record], format: Format) {
    let mut known = Known::default();
    records.iter().for_each(|record| known.learn(record));
    let mut out = Vec::new();
    let written = format.write(&mut records.iter().cloned().map(Ok), &known, &mut out);
    written.expect("memory can always be written");
    if !format.is_binary() {
        std::str::from_utf8(&out).expect("a text is UTF-8");
    }
}

fn merge(records: &[Record]) {
    let (mut ends, mut clocks) = (Ends::default(), Clocks::default());
    for record in records {
        if let Record::Connection(connection) = record {
            ends.learn(connection);
        }
    }
    let pairs = Pairs::of(&ends, &ends);
    for record in records {
        if let Record::Segment(segment) = record {
            clocks.learn(segment, &pairs);
            clocks.compare(segment, &pairs);
        }
    }
    _ = clocks.difference();
}

fuzz_target!(|bytes: &[u8]| {
    let [form, cut, bytes @ ..] = bytes else { return };
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let records = records(&file_of(&[first, second]));
    export(&records, Format::ALL[usize::from(*form) % Format::ALL.len()]);
    merge(&records);
});
