//! Makes a long recording out of a short one: the same again and again, each time later and with ids of its own. For
//! measuring what takes as long as a recording is.
//!
//! `cargo run --release --example repeat -- SHORT LONG RECORDS`

use std::env;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use tracer::merge::{Pairs, Shift};
use tracer::playback::told_at;
use tracer::record::Record;
use tracer::recording::{Behind, Existing, Reader, Writer, create};
use tracer::time::Timestamp;

/// Between two rounds, nanoseconds.
const PAUSE_NS: u64 = 1_000_000_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [short, long, wanted] = &arguments[..] else { bail!("repeat SHORT LONG RECORDS") };
    let wanted: u64 = wanted.parse().context("RECORDS is a number")?;
    let (short, long) = (PathBuf::from(short), PathBuf::from(long));
    let records =
        || -> anyhow::Result<_> { Ok(Reader::new(File::open(&short)?)?.map_while(Result::ok)) };
    let Some(Record::Host(host)) = records()?.next() else {
        bail!("it does not begin with its host")
    };
    let (mut last, mut ids) = (host.started_at, 0);
    for record in records()? {
        last = last.max(told_at(&record).unwrap_or(last));
        ids = ids.max(record.conn().map_or(0, |id| id.0));
    }
    let round_ns = last.since_ns(host.started_at) + PAUSE_NS;
    let file = create(&long, Existing::Refuse)?;
    let mut writer = Writer::new(Behind::new(file), &host, host.started_at)?;
    let mut round = 0;
    while writer.totals().records < wanted {
        let ahead_ns = i64::try_from(round * round_ns).context("too long")?;
        let shift = Shift { ahead_ns: -ahead_ns, ids: round * ids };
        let mut now = Timestamp(host.started_at.0 + round * round_ns);
        for record in records()?.filter(|record| !matches!(record, Record::Host(_))) {
            let record = shift.second(record, &Pairs::default());
            now = now.max(told_at(&record).unwrap_or(now));
            writer.write(&record, now)?;
        }
        round += 1;
    }
    let (totals, _) = writer.finish()?;
    println!("{} records in {round} rounds of {} s", totals.records, round_ns / 1_000_000_000);
    Ok(())
}
