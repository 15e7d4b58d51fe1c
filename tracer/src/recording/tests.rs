//! Recordings as a whole: written, cut, damaged, read.

use std::io::{self, Write};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::record::{ConnId, Exchange, Host, Loss, Record, Request};
use crate::time::Timestamp;

const EXAMPLES: &str = include_str!("../../../docs/schema/examples.jsonl");

/// One record of every kind and more, from docs/schema.
pub(super) fn examples() -> Vec<Record> {
    EXAMPLES.lines().map(|line| Record::from_json(line).unwrap()).collect()
}

pub(super) fn host() -> Arc<Host> {
    let Some(Record::Host(host)) = examples().into_iter().next() else { panic!("no host") };
    host
}

/// `count` records in order, each told from the others by its time.
fn many(count: usize) -> Vec<Record> {
    let mut records = examples();
    records.retain(|record| !matches!(record, Record::Host(_)));
    let mut records: Vec<Record> = records.into_iter().cycle().take(count).collect();
    for (i, record) in records.iter_mut().enumerate() {
        if let Record::Transition(transition) = record {
            transition.conn = ConnId(i as u64);
        }
    }
    records
}

/// A recording with a block for each `per_block` records.
fn recording(records: &[Record], per_block: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &host(), Timestamp(0)).unwrap();
    for (i, record) in records.iter().enumerate() {
        writer.write(record, Timestamp(0)).unwrap();
        if (i + 1) % per_block == 0 {
            writer.tick(Timestamp(BLOCK_AGE_NS)).unwrap();
        }
    }
    writer.finish().unwrap().1
}

fn read(bytes: &[u8]) -> (Vec<Record>, Report) {
    let mut reader = Reader::new(bytes).unwrap();
    let records = reader.by_ref().map(Result::unwrap).collect();
    (records, reader.report().clone())
}

fn with_host(records: &[Record]) -> Vec<Record> {
    std::iter::once(Record::Host(host())).chain(records.iter().cloned()).collect()
}

/// Whether `part` is `whole` with some of its records left out.
fn is_subsequence(part: &[Record], whole: &[Record]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|record| rest.any(|other| other == record))
}

#[test]
fn what_was_written_is_read_in_order_and_whole() {
    let records = many(1000);
    let (read, report) = read(&recording(&records, 64));
    assert_eq!(read, with_host(&records));
    assert!(report.is_whole());
    assert_eq!(report.to_string(), "");
    assert_eq!(report.claimed, Some(report.read));
    assert_eq!(report.read.records, 1001);
    assert!(
        report.read.connections > 0 && report.read.exchanges > 0 && report.read.lost_events > 0
    );
}

#[test]
fn a_block_is_written_when_it_is_full_or_old_and_not_before() {
    let mut writer = Writer::new(Vec::new(), &host(), Timestamp(0)).unwrap();
    let begin = writer.written_bytes();
    let record = &many(1)[0];
    writer.write(record, Timestamp(5)).unwrap();
    writer.tick(Timestamp(4 + BLOCK_AGE_NS)).unwrap();
    assert_eq!(writer.written_bytes(), begin);
    writer.tick(Timestamp(5 + BLOCK_AGE_NS)).unwrap();
    let old = writer.written_bytes();
    assert!(old > begin);
    for _ in 0..BLOCK_TARGET_BYTES {
        writer.write(record, Timestamp(6 + BLOCK_AGE_NS)).unwrap();
    }
    assert!(writer.written_bytes() > old);
}

#[test]
fn a_recording_without_its_end_says_so_and_gives_what_is_there() {
    let records = many(300);
    let bytes = recording(&records, 100);
    let (read, report) = read(&bytes[..bytes.len() - 1]);
    assert_eq!(read, with_host(&records));
    assert!(!report.is_whole());
    assert!(report.to_string().starts_with("cut short: "), "{report}");
}

#[test]
fn a_damaged_block_costs_itself_and_is_counted_exactly() {
    let records = many(300);
    let mut bytes = recording(&records, 100);
    let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\xffTRBLOCK").collect();
    assert_eq!(starts.len(), 5, "host, three blocks, end");
    bytes[starts[2] + 100] ^= 1;
    let (read, report) = read(&bytes);
    let expected = [&records[..100], &records[200..]].concat();
    assert_eq!(read, with_host(&expected));
    assert_eq!((report.missing_blocks, report.missing_records), (1, 100));
    let gap = Gap { offset: starts[2] as u64, bytes: (starts[3] - starts[2]) as u64 };
    assert_eq!(report.gaps, [gap]);
    assert_eq!(
        report.to_string(),
        format!(
            "1 damaged place: {} bytes at byte {}\nlost with them: 100 records in 1 block\n",
            gap.bytes, gap.offset
        )
    );
}

#[test]
fn bytes_that_are_gone_from_the_middle_cost_only_the_blocks_they_were_in() {
    let records = many(300);
    let mut bytes = recording(&records, 100);
    let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\xffTRBLOCK").collect();
    bytes.drain(starts[1] + 80..starts[2] - 10);
    let (read, report) = read(&bytes);
    assert_eq!(read, with_host(&records[100..]));
    assert_eq!((report.missing_blocks, report.missing_records), (1, 100));
}

#[test]
fn a_block_that_is_there_twice_is_read_once() {
    let records = many(200);
    let bytes = recording(&records, 100);
    let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\xffTRBLOCK").collect();
    let twice = [&bytes[..starts[2]], &bytes[starts[1]..]].concat();
    let (read, report) = read(&twice);
    assert_eq!(read, with_host(&records));
    assert_eq!((report.gap_count, report.missing_records), (1, 0));
}

#[test]
fn a_damaged_file_header_costs_nothing_but_itself() {
    let records = many(10);
    let mut bytes = recording(&records, 5);
    bytes[3] ^= 1;
    let (read, report) = read(&bytes);
    assert_eq!(read, with_host(&records));
    assert_eq!(report.gaps, [Gap { offset: 0, bytes: 16 }]);
}

#[test]
fn what_is_no_recording_is_refused_with_a_reason() {
    for bytes in [&b""[..], b"{}", &[0; 4096], &vec![0xff; 3 << 20]] {
        let error = Reader::new(bytes).err().unwrap();
        assert!(matches!(error, ReadError::NotARecording { .. }), "{error}");
    }
}

#[test]
fn a_recording_of_a_later_major_version_is_refused_and_of_a_later_minor_one_read() {
    let mut bytes = recording(&many(10), 5);
    bytes[..16].copy_from_slice(&frame::file_header(FORMAT_MAJOR + 1, 3));
    let error = Reader::new(&bytes[..]).err().unwrap();
    assert!(error.to_string().starts_with("the recording has format 2.3, "), "{error}");
    bytes[..16].copy_from_slice(&frame::file_header(FORMAT_MAJOR, FORMAT_MINOR + 1));
    assert!(read(&bytes).1.is_whole());
}

#[test]
fn a_block_of_a_kind_that_a_later_version_added_is_passed_over() {
    let records = many(10);
    let bytes = recording(&records, 5);
    let end = memchr::memmem::rfind(&bytes, b"\xffTRBLOCK").unwrap();
    let end_frame = frame::Frame::from_bytes(&bytes[end..]).unwrap();
    let body = &bytes[end + frame::FRAME_BYTES..];
    let other = frame::Frame { kind: frame::BlockKind::Other(9), ..end_frame };
    let moved = frame::Frame { number: end_frame.number + 1, ..end_frame };
    let bytes = [&bytes[..end], &other.to_bytes(), body, &moved.to_bytes(), body].concat();
    let (read, report) = read(&bytes);
    assert_eq!(read, with_host(&records));
    assert!(report.is_whole());
    assert_eq!(report.unknown_kinds, 1);
}

#[test]
fn bytes_behind_the_end_are_told_and_not_read() {
    let one = recording(&many(10), 5);
    let (read, report) = read(&[&one[..], &one[..]].concat());
    assert_eq!(read.len(), 11);
    assert!(report.bytes_behind_the_end && report.is_whole());
}

#[test]
fn a_record_that_is_too_large_is_told_as_a_loss() {
    let Some(Record::Exchange(exchange)) =
        examples().into_iter().find(|record| matches!(record, Record::Exchange(_)))
    else {
        panic!("no exchange")
    };
    let headers = [("x", "y".repeat(MAX_RECORD_BYTES))].into_iter().collect();
    let request = Some(Request { headers, ..Request::default() });
    let large = Record::Exchange(Arc::new(Exchange { request, ..(*exchange).clone() }));
    let (read, report) = read(&recording(&[large], 1));
    let loss = Loss { at: Timestamp(0), hook: "recording".to_owned(), events: 1 };
    assert_eq!(read, with_host(&[Record::Loss(loss)]));
    assert!(report.is_whole());
}

/// A disk with room for `room` bytes.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..len]);
        if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn cut_back(&mut self, len: u64) -> io::Result<()> {
        self.bytes.cut_back(len)
    }
}

#[test]
fn a_full_disk_leaves_whole_blocks_and_nothing_is_lost_once_there_is_room() {
    let records = many(200);
    let disk = Disk { bytes: Vec::new(), room: 1000 };
    let mut writer = Writer::new(disk, &host(), Timestamp(0)).unwrap();
    let mut failed = 0;
    for record in &records {
        match writer.write(record, Timestamp(0)).and_then(|()| writer.tick(Timestamp(BLOCK_AGE_NS)))
        {
            Ok(()) => {}
            Err(WriteError::Full { whole_bytes, .. }) => {
                failed += 1;
                assert_eq!(writer.sink.bytes.len() as u64, whole_bytes);
                let (part, report) = read(&writer.sink.bytes);
                assert_eq!(part, with_host(&records)[..part.len()]);
                assert_eq!(report.gap_count, 0);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(failed > 0);
    writer.sink.room = 1 << 20;
    let (totals, disk) = writer.finish().unwrap();
    let (all, report) = read(&disk.bytes);
    assert_eq!(all, with_host(&records));
    assert_eq!(report.claimed, Some(totals));
}

#[test]
fn a_disk_that_stays_full_ends_the_recording_with_a_bounded_memory() {
    let disk = Disk { bytes: Vec::new(), room: 1000 };
    let mut writer = Writer::new(disk, &host(), Timestamp(0)).unwrap();
    writer.sink.room = usize::try_from(writer.written_bytes()).unwrap();
    let record = &many(1)[0];
    while writer.write(record, Timestamp(0)).is_ok() {}
    let taken = writer.totals().records;
    for _ in 0..10 {
        assert!(writer.write(record, Timestamp(0)).is_err());
    }
    assert_eq!(writer.totals().records, taken);
    let error = writer.finish().err().unwrap();
    assert!(error.to_string().starts_with("the disk is full: "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_recording_cut_anywhere_gives_its_whole_blocks(per_block in 1usize..40, part in 0.0..1.0f64) {
        let records = many(100);
        let bytes = recording(&records, per_block);
        let len = (bytes.len() as f64 * part) as usize;
        let whole = with_host(&records);
        match Reader::new(&bytes[..len]) {
            Ok(mut reader) => {
                let read: Vec<Record> = reader.by_ref().map(Result::unwrap).collect();
                prop_assert_eq!(&read[..], &whole[..read.len()]);
                prop_assert!(!reader.report().is_whole());
            }
            Err(error) => prop_assert!(len < 1000, "{}", error),
        }
    }

    #[test]
    fn flipped_bytes_never_make_a_record_that_was_not_written(
        per_block in 1usize..40,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..20),
    ) {
        let records = many(100);
        let mut bytes = recording(&records, per_block);
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        let Ok(mut reader) = Reader::new(&bytes[..]) else { return Ok(()) };
        let read: Vec<Record> = reader.by_ref().map(Result::unwrap).collect();
        prop_assert!(is_subsequence(&read, &with_host(&records)));
        let report = reader.report();
        if report.claimed.is_some() {
            let known = report.read.records + report.missing_records + report.unreadable_records;
            prop_assert_eq!(known, 101);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        if let Ok(reader) = Reader::new(&bytes[..]) {
            prop_assert!(reader.count() < bytes.len());
        }
    }

    /// Checksums guard against accidents, not against malice: what is behind them must hold too.
    #[test]
    fn any_body_behind_right_checksums_is_read_without_a_panic(
        body in prop::collection::vec(any::<u8>(), 0..512),
        records in any::<u32>(),
    ) {
        let packed = zstd::bulk::compress(&body, 1).unwrap();
        let frame = frame::Frame {
            kind: frame::BlockKind::Records,
            body_bytes: u32::try_from(packed.len()).unwrap(),
            raw_bytes: u32::try_from(body.len()).unwrap(),
            body_crc32: crc32fast::hash(&packed),
            records,
            number: u32::MAX,
            records_before: u64::MAX,
            first_at: Timestamp(9),
            last_at: Timestamp(1),
        };
        let bytes = [&frame::file_header(1, 0)[..], &frame.to_bytes(), &packed].concat();
        let (read, report) = read(&bytes);
        prop_assert!(read.len() <= body.len());
        prop_assert!(!report.is_whole());
    }
}
