//! `tracer export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, bail};

use super::args::ExportArgs;
use crate::export::{Format, jsonl};
use crate::filter::Selector;
use crate::recording::{self, Existing, ReadError, Reader};

/// Large enough that a line hardly ever costs a system call.
const OUTPUT_BUFFER_BYTES: usize = 256 * 1024;

/// Exports what can be read. A recording that is cut short or damaged gives a warning; it fails only if it
/// holds no whole record.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let input = args.input.display().to_string();
    let mut selector = Selector::new(args.filter.filter()?);
    if !selector.filter().is_all() {
        learn(&args.input, &mut selector).context(input.clone())?;
    }
    let mut reader = open(&args.input).context(input.clone())?;
    let out = output(args)?;
    match args.to {
        Format::Jsonl => jsonl::write(&mut reader, &mut selector, out).context(input.clone())?,
    };
    warn_of_damage(&input, &reader);
    warn_of_gaps(&input, &selector);
    if reader.report().read.records == 0 {
        bail!("{input}: no whole record is left in it");
    }
    Ok(())
}

fn open(path: &Path) -> anyhow::Result<Reader<File>> {
    let file = File::open(path).context("cannot open the recording")?;
    Ok(Reader::new(file)?)
}

/// The first of two passes: a connection is told at its end, and its earlier lines must be decided by that.
fn learn(path: &Path, selector: &mut Selector) -> anyhow::Result<()> {
    let is_file = std::fs::metadata(path).context("cannot open the recording")?.is_file();
    if !is_file {
        bail!("a filter reads the recording twice and needs a regular file; save it to one first");
    }
    for record in open(path)? {
        match record {
            Ok(record) => selector.learn(&record),
            // The second pass comes to the same place and tells of it.
            Err(ReadError::Io { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn output(args: &ExportArgs) -> anyhow::Result<Box<dyn Write>> {
    let Some(path) = args.output.as_deref().filter(|path| *path != Path::new("-")) else {
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

fn warn_of_damage(input: &str, reader: &Reader<File>) {
    for line in reader.report().to_string().lines() {
        log::warn!("{input}: {line}");
    }
}

fn warn_of_gaps(input: &str, selector: &Selector) {
    if selector.undecided() > 0 {
        log::warn!(
            "{input}: {} lines were left out: their connections have no connection record to decide by",
            selector.undecided()
        );
    }
    if selector.forgotten() > 0 {
        log::warn!(
            "{input}: more connections than the filter can remember ({} forgotten): lines may be missing",
            selector.forgotten()
        );
    }
}
