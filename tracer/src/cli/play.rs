//! `tracer view`: a recording in the live view.

use std::fs::File;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::args::ViewArgs;
use super::desk::{self, Desk};
use super::view::{parse_row_filter, take_log};
use crate::export::Format;
use crate::playback::{Play, Player, Reveal, told_at};
use crate::record::Record;
use crate::recording::{ReadError, Reader};
use crate::time::Timestamp;
use crate::tui::model::export::Held;
use crate::tui::theme::Palette;
use crate::tui::{self, Tools, ViewOptions};
use crate::view_update::Update;

/// Batches that may wait for the view: when it is behind, the player waits.
const BATCHES: usize = 16;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(20);
/// The same while nothing is due but what a person asks for.
const STANDING: Duration = Duration::from_secs(1);

/// What the first pass over the recording found.
struct Learned {
    reveal: Reveal,
    begin: Timestamp,
    end: Timestamp,
}

pub(super) fn run(args: &ViewArgs, level: log::LevelFilter) -> anyhow::Result<()> {
    let filter = args.filter.filter()?;
    let input = args.input.display().to_string();
    if !stdout().is_terminal() {
        bail!("the live view needs a terminal; `tracer export {input} --to jsonl` writes lines");
    }
    take_log(level)?;
    let learned = learn(&args.input).context(input.clone())?;
    // The first pass came to the same place, and told of it; a file that is gone by now has no records.
    let path = args.input.clone();
    let records = move || open(&path).into_iter().flatten().map_while(Result::ok);
    let begin = learned.begin;
    let player = Player::new(records, learned.reveal, begin, learned.end);

    let (updates, receiver) = sync_channel(BATCHES);
    let (plays, asked) = channel();
    let (desk, _) = desk::desk(updates.clone());
    let at = Arc::new(AtomicU64::new(begin.0));
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stop)).context("cannot listen for signals")?;
    }
    let options = ViewOptions {
        parse_filter: parse_row_filter,
        filter: (!filter.is_all()).then(|| filter.to_string()),
        palette: Palette::default(),
        tools: Box::new(PlayTools { desk, plays }),
        clock: {
            let at = Arc::clone(&at);
            Box::new(move || Timestamp(at.load(Ordering::Relaxed)))
        },
        stay_when_ended: true,
        stop,
    };
    std::thread::Builder::new()
        .name("player".to_owned())
        .spawn(move || play(player, &asked, &updates, &at))
        .context("cannot start the player's thread")?;
    // The player is not waited for: it may wait for the view, and holds nothing that must be closed.
    tui::run(receiver, options)
}

fn open(path: &Path) -> anyhow::Result<Reader<File>> {
    let file = File::open(path).context("cannot open the recording")?;
    if !file.metadata().context("cannot open the recording")?.is_file() {
        bail!(
            "a recording is read twice to be shown, which takes a regular file; save it to one first"
        );
    }
    Ok(Reader::new(file)?)
}

/// The first pass: who the connections are, and from when to when it goes.
fn learn(path: &Path) -> anyhow::Result<Learned> {
    let mut reader = open(path)?;
    let mut learned = Learned {
        reveal: Reveal::default(),
        begin: Timestamp(u64::MAX),
        end: Timestamp::default(),
    };
    for record in &mut reader {
        match record {
            Ok(record) => {
                learned.reveal.learn(&record);
                if let Some(at) = told_at(&record) {
                    learned.begin = learned.begin.min(at);
                    learned.end = learned.end.max(at);
                }
            }
            Err(error @ ReadError::Io { .. }) => {
                log::warn!("{error}");
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if reader.report().read.records == 0 {
        bail!("no whole record is left in it");
    }
    for line in reader.report().to_string().lines() {
        log::warn!("{line}");
    }
    if learned.reveal.left_out() > 0 {
        let left_out = learned.reveal.left_out();
        log::warn!("{left_out} connections are too many to be shown before their end");
    }
    Ok(learned)
}

/// Plays until the view is gone.
fn play<R: Iterator<Item = Record>>(
    mut player: Player<R, impl FnMut() -> R>,
    asked: &Receiver<Play>,
    updates: &SyncSender<Vec<Update>>,
    at: &AtomicU64,
) {
    let mut out = Vec::new();
    player.begin(&mut out);
    let mut last = Instant::now();
    loop {
        let batch = std::mem::take(&mut out);
        if let Some(Update::Play(status)) = batch.last() {
            at.store(status.at.0, Ordering::Relaxed);
        }
        if !batch.is_empty() && updates.send(batch).is_err() {
            return;
        }
        let stood = player.stands();
        match asked.recv_timeout(if stood { STANDING } else { LOOK }) {
            Ok(play) => player.act(play, &mut out),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let elapsed_ns = u64::try_from(last.elapsed().as_nanos()).unwrap_or(u64::MAX);
        last = Instant::now();
        player.pass(if stood { 0 } else { elapsed_ns }, &mut out);
    }
}

/// What the view asks for while a recording plays.
struct PlayTools {
    desk: Desk,
    plays: Sender<Play>,
}

impl Tools for PlayTools {
    fn export(&mut self, held: Held, form: Format) {
        self.desk.export(held, form);
    }

    fn toggle_recording(&mut self) {
        self.desk.tell(desk::failed("this is a recording already; e exports of it".to_owned()));
    }

    fn play(&mut self, play: Play) {
        // At its end there is no player any more.
        _ = self.plays.send(play);
    }
}
