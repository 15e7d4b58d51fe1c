//! `tracer view`: a recording in the live view.

use std::fs::File;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::args::ViewArgs;
use super::desk::{self, Desk};
use super::view::{asked_to_stop, parse_row_filter, take_log};
use crate::export::Format;
use crate::filter::{Filter, Selector};
use crate::playback::{Play, Player, Source, Wanted};
use crate::record::Record;
use crate::recording::{self, Ahead, Sight};
use crate::time::Timestamp;
use crate::tui::model::export::Held;
use crate::tui::theme::Palette;
use crate::tui::{self, Tools, ViewOptions};
use crate::view_update::Update;

/// Batches that may wait for the view: when it is behind, the player waits.
const BATCHES: usize = 16;
/// Parts of the time line: with the rest of its line they fit into 80 columns.
const TIME_LINE_PARTS: usize = 32;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(20);
/// The same while nothing is due but what a person asks for.
const STANDING: Duration = Duration::from_secs(1);

pub(super) fn run(args: &ViewArgs, level: log::LevelFilter) -> anyhow::Result<()> {
    let filter = args.filter.filter()?;
    let input = args.input.display().to_string();
    if !stdout().is_terminal() {
        bail!("the live view needs a terminal; `tracer export {input} --to jsonl` writes lines");
    }
    take_log(level)?;
    let player = player(&args.input).context(input)?;
    let begin = player.begins_at();

    let (updates, receiver) = sync_channel(BATCHES);
    let (plays, asked) = channel();
    let (desk, _) = desk::desk(updates.clone());
    let at = Arc::new(AtomicU64::new(begin.0));
    let stop = asked_to_stop(None)?;
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
    let time_line = {
        let (path, end, updates) = (args.input.clone(), player.ends_at(), updates.clone());
        move || draw_time_line(&path, begin, end, &updates)
    };
    std::thread::Builder::new()
        .name("timeline".to_owned())
        .spawn(time_line)
        .context("cannot start a thread")?;
    std::thread::Builder::new()
        .name("player".to_owned())
        .spawn(move || play(player, &asked, &updates, &at))
        .context("cannot start the player's thread")?;
    // The player is not waited for: it may wait for the view, and holds nothing that must be closed.
    tui::run(receiver, options)
}

/// A player of the recording. What can be said of it before it is read is said.
fn player(path: &Path) -> anyhow::Result<Player<Recording, impl FnMut() -> Recording + use<>>> {
    let file = File::open(path).context("cannot open the recording")?;
    if !file.metadata().context("cannot open the recording")?.is_file() {
        bail!("its end is looked at to show it, which takes a regular file; save it to one first");
    }
    let tail = recording::tail(&file).context("cannot read the recording")?;
    if tail.is_some_and(|tail| !tail.is_closed) {
        log::warn!("cut short: no end block, so its last second or more may be missing");
    }
    let first = Recording::open(path)?;
    let path = path.to_owned();
    let mut first = Some(first);
    // A file that is gone by now has no records.
    let open = move || {
        first.take().or_else(|| Recording::open(&path).ok()).unwrap_or_else(Recording::none)
    };
    let end = tail.map_or(Timestamp(0), |tail| tail.last_at);
    Player::new(open, end).context("no whole record is left in it")
}

/// The recording, read as far as it goes; what is wrong with it goes into the log.
struct Recording {
    ahead: Option<Ahead<File>>,
    is_told: bool,
}

impl Recording {
    fn open(path: &Path) -> anyhow::Result<Recording> {
        let file = File::open(path).context("cannot open the recording")?;
        Ok(Recording { ahead: Some(Ahead::new(file)?), is_told: false })
    }

    const fn none() -> Recording {
        Recording { ahead: None, is_told: false }
    }
}

impl Source for Recording {
    fn look(&mut self) -> Option<Sight> {
        let ahead = self.ahead.as_mut()?;
        let error = match ahead.look() {
            Ok(Some(sight)) => return Some(sight),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if !std::mem::replace(&mut self.is_told, true) {
            if let Some(error) = error {
                log::warn!("{error}");
            }
            for line in ahead.report().to_string().lines() {
                log::warn!("{line}");
            }
        }
        None
    }

    fn read(&mut self) -> Option<Record> {
        self.ahead.as_mut()?.read()
    }

    fn is_full(&self) -> bool {
        self.ahead.as_ref().is_none_or(Ahead::is_full)
    }
}

/// Tells the view when how much happened: a walk over the whole file, which takes its time where that is not in memory.
fn draw_time_line(
    path: &Path,
    begin: Timestamp,
    end: Timestamp,
    updates: &SyncSender<Vec<Update>>,
) {
    let drawn =
        File::open(path).and_then(|file| recording::outline(&file, TIME_LINE_PARTS, begin, end));
    match drawn {
        // With the view gone nobody is left to see it.
        Ok(counts) => _ = updates.send(vec![Update::TimeLine(counts)]),
        Err(error) => log::warn!("no time line: {error}"),
    }
}

/// What a person asks of the player.
enum Ask {
    Play(Play),
    /// The next record that this lets through.
    ToNext(Filter),
}

/// What a filter lets through. One about exchanges is after them, not after the rest of their connections.
fn wanted(filter: Filter) -> Wanted {
    let is_about_exchanges = filter.is_about_exchanges();
    let mut selector = Selector::new(filter);
    Box::new(move |record, connection| match record {
        Record::Host(_) | Record::Loss(_) => false,
        Record::Exchange(_) => selector.passes(record, connection),
        _ => !is_about_exchanges && selector.passes(record, connection),
    })
}

/// Plays until the view is gone.
fn play<R: Source>(
    mut player: Player<R, impl FnMut() -> R>,
    asked: &Receiver<Ask>,
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
        let pause = match (stood, player.hurries()) {
            (true, _) => STANDING,
            (false, true) => Duration::ZERO,
            (false, false) => LOOK,
        };
        match asked.recv_timeout(pause) {
            Ok(Ask::Play(play)) => player.act(play, &mut out),
            Ok(Ask::ToNext(filter)) => player.to_next(wanted(filter)),
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
    plays: Sender<Ask>,
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
        _ = self.plays.send(Ask::Play(play));
    }

    fn play_to_next(&mut self, filter: &str) {
        match filter.parse() {
            Ok(filter) => _ = self.plays.send(Ask::ToNext(filter)),
            Err(error) => self.desk.tell(desk::failed(format!("{error}"))),
        }
    }
}
