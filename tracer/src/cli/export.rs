//! `tracer export`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressBarIter, ProgressDrawTarget, ProgressStyle};

use super::args::ExportArgs;
use crate::export::Known;
use crate::filter::Selector;
use crate::record::Record;
use crate::recording::{self, Existing, ReadError, Told};

/// Large enough that a line hardly ever costs a system call.
const OUTPUT_BUFFER_BYTES: usize = 256 * 1024;

/// A recording that is being read, and how far.
type Reader = recording::Reader<ProgressBarIter<File>>;

/// Exports what can be read. A recording that is cut short or damaged gives a warning; it fails only if it
/// holds no whole record.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let input = args.input.display().to_string();
    if args.to.is_binary() && output_path(args).is_none() && io::stdout().is_terminal() {
        bail!("{} is nothing for a terminal; name a file with -o", args.to.name());
    }
    let mut selector = Selector::new(args.filter.filter()?);
    let known = learn(args, &mut selector).context(input.clone())?;
    let mut reader = open(args, "exporting").context(input.clone())?;
    let mut out = output(args)?;
    let mut records = selected(&mut reader, &mut selector);
    args.to.write(&mut records, &known, &mut *out).context(input.clone())?;
    drop(records);
    warn_of_damage(&input, &reader);
    warn_of_gaps(&input, &selector, &known);
    if reader.report().read.records == 0 {
        bail!("{input}: no whole record is left in it");
    }
    Ok(())
}

/// Opens the recording and tells on stderr how far it has been read, where that is a terminal.
fn open(args: &ExportArgs, doing: &'static str) -> anyhow::Result<Reader> {
    let file = File::open(&args.input).context("cannot open the recording")?;
    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
    let is_shown = io::stderr().is_terminal() && output_path(args).is_some() && bytes > 0;
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(bytes), target);
    let bar =
        bar.with_style(style).with_message(doing).with_finish(indicatif::ProgressFinish::AndClear);
    Ok(recording::Reader::new(bar.wrap_read(file))?)
}

/// The records that the filter lets through, and errors.
fn selected<'a>(
    reader: &'a mut Reader,
    selector: &'a mut Selector,
) -> impl Iterator<Item = Result<Record, ReadError>> + 'a {
    reader.filter(|record| record.as_ref().map_or(true, |record| selector.passes(record, None)))
}

/// The passes before the last: a connection is told at its end, and earlier records are decided by that, and need it.
fn learn(args: &ExportArgs, selector: &mut Selector) -> anyhow::Result<Known> {
    let mut known = Known::default();
    let is_filtered = !selector.filter().is_all();
    if !is_filtered && !args.to.needs_known() {
        return Ok(known);
    }
    let metadata = std::fs::metadata(&args.input).context("cannot open the recording")?;
    if !metadata.is_file() {
        let asks = if is_filtered { "a filter" } else { args.to.name() };
        bail!("{asks} reads the recording twice and needs a regular file; save it to one first");
    }
    if is_filtered {
        each_record(open(args, "filtering")?, |record| selector.learn(&record))?;
    }
    if args.to.needs_known() {
        learn_connections(open(args, "reading")?, selector, &mut known)?;
    }
    Ok(known)
}

/// Up to where the recording cannot be read on, as [`each_record`].
fn learn_connections(
    mut reader: Reader,
    selector: &mut Selector,
    known: &mut Known,
) -> Result<(), ReadError> {
    loop {
        let block = match reader.next_block() {
            Ok(Some(block)) => block,
            Ok(None) | Err(ReadError::Io { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        for told in block {
            match told {
                Told::Record(record) if selector.passes(&record, None) => known.learn(&record),
                Told::Note(connection) if selector.passes_open(&connection) => {
                    known.learn_note(&connection);
                }
                Told::Record(_) | Told::Note(_) | Told::Figures(_) => {}
            }
        }
    }
}

/// Up to where the recording cannot be read on: the last pass comes to the same place and tells of it.
fn each_record(
    records: impl Iterator<Item = Result<Record, ReadError>>,
    mut each: impl FnMut(Record),
) -> Result<(), ReadError> {
    for record in records {
        match record {
            Ok(record) => each(record),
            Err(ReadError::Io { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn output_path(args: &ExportArgs) -> Option<&Path> {
    args.output.as_deref().filter(|path| *path != Path::new("-"))
}

fn output(args: &ExportArgs) -> anyhow::Result<Box<dyn Write>> {
    let Some(path) = output_path(args) else {
        return Ok(Box::new(BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, io::stdout())));
    };
    if is_same_file(&args.input, path) {
        bail!("{} is the recording itself; choose another name for the export", path.display());
    }
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    let file = recording::create(path, existing)?;
    Ok(Box::new(BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, file)))
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

fn warn_of_damage(input: &str, reader: &Reader) {
    for line in reader.report().to_string().lines() {
        log::warn!("{input}: {line}");
    }
}

fn warn_of_gaps(input: &str, selector: &Selector, known: &Known) {
    if known.left_out() > 0 {
        log::warn!(
            "{input}: more connections than can be remembered: {} are exported without their addresses and owners",
            known.left_out()
        );
    }
    match (selector.undecided(), selector.forgotten()) {
        (0, 0) => {}
        (undecided, 0) => log::warn!(
            "{input}: {undecided} lines were left out: their connections have no connection record to decide by"
        ),
        (undecided, forgotten) => log::warn!(
            "{input}: more connections than the filter can remember ({forgotten} forgotten): {undecided} lines were left out, and others may be missing"
        ),
    }
}
