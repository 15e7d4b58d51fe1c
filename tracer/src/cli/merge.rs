//! `tracer merge`: recordings of two hosts as one.

use std::fs::File;
use std::io::{self, Write as _};
use std::iter::Peekable;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::args::MergeArgs;
use crate::merge::{Clocks, Difference, Ends, Pairs, Shift};
use crate::playback::told_at;
use crate::record::Record;
use crate::recording::{self, Existing, ReadError, Reader, Writer};
use crate::time::Timestamp;

pub(super) fn run(args: &MergeArgs) -> anyhow::Result<()> {
    let [first, second] = [&args.first, &args.second].map(|path| path.as_path());
    if is_same_file(first, second) {
        bail!("{} is given twice; two recordings of two hosts are merged", first.display());
    }
    let (ours, theirs) = (ends(first)?, ends(second)?);
    let pairs = Pairs::of(&ours, &theirs);
    let difference = difference(first, second, &pairs)?;
    let shift = Shift { ahead_ns: difference.map_or(0, |found| found.ns), ids: ours.last() };
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    for input in [first, second] {
        if is_same_file(input, &args.output) {
            bail!("{} is one of the recordings; choose another name", args.output.display());
        }
    }
    write(first, second, &args.output, existing, &pairs, shift)?;
    let mut said = io::stderr();
    _ = writeln!(
        said,
        "merged: {} connections have both ends, of {} in {} and {} in {}",
        pairs.len(),
        ours.count(),
        first.display(),
        theirs.count(),
        second.display()
    );
    _ = writeln!(said, "{}", clocks(difference, second));
    for (ends, path) in [(&ours, first), (&theirs, second)] {
        if ends.left_out() > 0 {
            log::warn!(
                "{}: {} connections are too many to be tied",
                path.display(),
                ends.left_out()
            );
        }
    }
    Ok(())
}

/// What a person has to know of the two clocks.
fn clocks(difference: Option<Difference>, second: &Path) -> String {
    let second = second.display();
    let Some(found) = difference else {
        return format!(
            "no segment was seen by both hosts: the times of {second} are as its own clock told them"
        );
    };
    let way = if found.ns < 0 { "behind" } else { "ahead" };
    let apart = format!("{second}: its clock was {} {way}", ms(found.ns.unsigned_abs()));
    let doubt = match found.doubt_ns {
        Some(doubt_ns) if found.is_contradicted => {
            format!("though not all the time: segments contradict it by {}", ms(doubt_ns))
        }
        Some(doubt_ns) => format!("to within {}", ms(doubt_ns)),
        None => "or less by the time on the wire: segments of one way alone were seen by both"
            .to_owned(),
    };
    format!("{apart}, {doubt} ({} segments seen by both); its times are set right", found.segments)
}

fn ms(ns: u64) -> String {
    format!("{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1_000)
}

/// The first pass: who the connections are.
fn ends(path: &Path) -> anyhow::Result<Ends> {
    let mut ends = Ends::default();
    let mut reader = open(path)?;
    for record in reader.by_ref() {
        if let Record::Connection(connection) = record.with_context(|| named(path))? {
            ends.learn(&connection);
        }
    }
    for line in reader.report().to_string().lines() {
        log::warn!("{}: {line}", path.display());
    }
    Ok(ends)
}

/// The second pass: what the segments say of the clocks.
fn difference(first: &Path, second: &Path, pairs: &Pairs) -> anyhow::Result<Option<Difference>> {
    let mut clocks = Clocks::default();
    for record in open(first)? {
        if let Record::Segment(segment) = record.with_context(|| named(first))? {
            clocks.learn(&segment, pairs);
        }
    }
    for record in open(second)? {
        if let Record::Segment(segment) = record.with_context(|| named(second))? {
            clocks.compare(&segment, pairs);
        }
    }
    Ok(clocks.difference())
}

/// The last pass: all records in one order.
fn write(
    first: &Path,
    second: &Path,
    output: &Path,
    existing: Existing,
    pairs: &Pairs,
    shift: Shift,
) -> anyhow::Result<()> {
    let mut ours = Told::of(open(first)?, move |record| shift.first(record, pairs)).peekable();
    let mut theirs = Told::of(open(second)?, move |record| shift.second(record, pairs)).peekable();
    let Some(Ok((_, Record::Host(host)))) = ours.next() else {
        bail!("{} does not begin with its host", first.display());
    };
    let file = recording::create(output, existing)?;
    let mut writer = Writer::new(file, &host, host.started_at)?;
    while let Some(next) = earlier(&mut ours, &mut theirs) {
        let (at, record) = next?;
        writer.write(&record, at)?;
    }
    writer.finish()?;
    Ok(())
}

type Step = Result<(Timestamp, Record), ReadError>;

fn earlier(
    ours: &mut Peekable<impl Iterator<Item = Step>>,
    theirs: &mut Peekable<impl Iterator<Item = Step>>,
) -> Option<Step> {
    let at = |step: Option<&Step>| step.map(|step| step.as_ref().map_or(Timestamp(0), |s| s.0));
    match (at(ours.peek()), at(theirs.peek())) {
        (Some(our_at), Some(their_at)) if their_at < our_at => theirs.next(),
        (None, _) => theirs.next(),
        _ => ours.next(),
    }
}

/// Records with the time at which they were told; one that does not say it was told with the one before.
struct Told<F> {
    records: Reader<File>,
    change: F,
    last: Timestamp,
}

impl<F: FnMut(Record) -> Record> Told<F> {
    const fn of(records: Reader<File>, change: F) -> Told<F> {
        Told { records, change, last: Timestamp(0) }
    }
}

impl<F: FnMut(Record) -> Record> Iterator for Told<F> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let step = self.records.next()?.map(|record| {
            let record = (self.change)(record);
            self.last = told_at(&record).map_or(self.last, |at| at.max(self.last));
            (self.last, record)
        });
        Some(step)
    }
}

fn open(path: &Path) -> anyhow::Result<Reader<File>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if !file.metadata().with_context(|| named(path))?.is_file() {
        bail!("{}: merging reads it three times; save it to a regular file first", path.display());
    }
    Reader::new(file).with_context(|| named(path))
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}
