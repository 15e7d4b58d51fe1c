//! What a daemon sees, in the live view, as lines or in a file.

use std::io;
use std::net::Shutdown;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{SendError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::time::{ClockId, clock_gettime};

use super::args::{RecordArgs, WatchArgs};
use super::desk::{self, Desk};
use super::sinks::{Form, Lines};
use super::trace::{self, Sink as _};
use super::view::{asked_to_stop, parse_row_filter, take_log};
use crate::daemon::connect::{self, Answer};
use crate::daemon::protocol::Want;
use crate::engine::Output;
use crate::export::Format;
use crate::filter::Filter;
use crate::playback::Play;
use crate::recording::{self, Existing, Reader, Told};
use crate::time::Timestamp;
use crate::tui::model::export::Held;
use crate::tui::theme::Palette;
use crate::tui::{self, Tools, ViewOptions};
use crate::view_update::Update;

/// Batches that may wait for the view: when it is behind, the socket waits, and at last the daemon cuts it off.
const BATCHES: usize = 16;
/// Between tries to find the daemon again.
const AGAIN: Duration = Duration::from_secs(1);

/// Lines of what the daemon at `socket` sees, until it ends, the time is up or a signal comes.
pub(super) fn lines(
    socket: &Path,
    form: Form,
    filter: &Filter,
    args: &WatchArgs,
) -> anyhow::Result<()> {
    let filter = (!filter.is_all()).then(|| filter.to_string());
    let (socket, duration) = (socket.to_owned(), args.trace.duration);
    trace::until_signalled(move || {
        let answer = connect::ask(&socket, Want::Live { filter })?;
        let is_over = Arc::<AtomicBool>::default();
        if let Some(duration) = duration {
            hang_up_after(duration, &answer, &is_over)?;
        }
        // The filter was the daemon's.
        let mut lines = Lines::new(form, Filter::all());
        let mut reader = Reader::new(answer)?;
        while let Some(told) = reader.next_block()? {
            lines.write(&told.into_iter().filter_map(output_of).collect::<Vec<_>>())?;
            if lines.is_done() {
                return Ok(());
            }
        }
        if reader.report().claimed.is_none() && !is_over.load(Ordering::Relaxed) {
            bail!(
                "the daemon at {} has hung up: it was killed, or these lines were read too slowly",
                socket.display()
            );
        }
        Ok(())
    })
}

fn hang_up_after(
    duration: Duration,
    answer: &Answer,
    is_over: &Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let stream = answer.get_ref().try_clone().context("cannot share the connection")?;
    let is_over = Arc::clone(is_over);
    let wait = move || {
        thread::sleep(duration);
        is_over.store(true, Ordering::Relaxed);
        // One that is closed already is as good.
        _ = stream.shutdown(Shutdown::Both);
    };
    thread::Builder::new().name("time".to_owned()).spawn(wait).context("cannot start a thread")?;
    Ok(())
}

fn output_of(told: Told) -> Option<Output> {
    match told {
        Told::Record(record) => Some(Output::Record(record)),
        Told::Note(connection) => Some(Output::Changed(connection)),
        Told::Figures(_) => None,
    }
}

/// The live view of what the daemon at `socket` sees.
pub(super) fn view(
    socket: &Path,
    filter: &Filter,
    duration: Option<Duration>,
    level: log::LevelFilter,
) -> anyhow::Result<()> {
    // Before the terminal is taken: a daemon that is not there is said in a line.
    let answer = connect::ask(socket, Want::Live { filter: None })?;
    take_log(level)?;
    let (updates, receiver) = sync_channel(BATCHES);
    let (desk, _) = desk::desk(updates.clone());
    let clock = Arc::<RemoteClock>::default();
    let stop = asked_to_stop(duration)?;
    let options = ViewOptions {
        parse_filter: parse_row_filter,
        filter: (!filter.is_all()).then(|| filter.to_string()),
        palette: Palette::default(),
        tools: Box::new(RemoteTools { desk, socket: socket.display().to_string() }),
        clock: {
            let clock = Arc::clone(&clock);
            Box::new(move || clock.now())
        },
        stay_when_ended: true,
        stop,
    };
    let socket = socket.to_owned();
    // Not waited for: it may wait for the view, and holds nothing that must be closed.
    thread::Builder::new()
        .name("daemon".to_owned())
        .spawn(move || _ = follow(&socket, answer, &updates, &clock))
        .context("cannot start a thread")?;
    tui::run(receiver, options)
}

/// The view is gone.
type Gone = SendError<Vec<Update>>;

/// Hands on what the daemon tells; where it hangs up, looks for it until it is there again. What it tells then begins anew.
fn follow(
    socket: &Path,
    first: Answer,
    updates: &SyncSender<Vec<Update>>,
    clock: &RemoteClock,
) -> Result<(), Gone> {
    let mut answer = Some(first);
    loop {
        if let Some(answer) = answer.take() {
            let how = hand_on(answer, updates, clock)?;
            let text = format!("the daemon at {} {how}; looking for it", socket.display());
            updates.send(vec![Update::Away(true), Update::Notice(desk::failed(text))])?;
        }
        thread::sleep(AGAIN);
        match connect::ask(socket, Want::Live { filter: None }) {
            Ok(found) => {
                let text = format!("the daemon at {} is there again", socket.display());
                let notice = Update::Notice(desk::said(text));
                updates.send(vec![Update::Away(false), Update::Restart(clock.now()), notice])?;
                answer = Some(found);
            }
            // That it is gone was told.
            Err(error) => log::debug!("{error:#}"),
        }
    }
}

/// Until it hangs up; how it did.
fn hand_on(
    answer: Answer,
    updates: &SyncSender<Vec<Update>>,
    clock: &RemoteClock,
) -> Result<String, Gone> {
    let mut reader = match Reader::new(answer) {
        Ok(reader) => reader,
        Err(error) => return Ok(format!("tells nothing: {error}")),
    };
    loop {
        match reader.next_block() {
            Ok(Some(told)) => {
                updates.send(told.into_iter().map(|told| update_of(told, clock)).collect())?;
            }
            Ok(None) if reader.report().claimed.is_some() => return Ok("has ended".to_owned()),
            Ok(None) => return Ok("has hung up".to_owned()),
            Err(error) => return Ok(format!("cannot be read: {error}")),
        }
    }
}

fn update_of(told: Told, clock: &RemoteClock) -> Update {
    match told {
        Told::Record(record) => Update::Record(record),
        Told::Note(connection) => Update::Connection(connection),
        Told::Figures(figures) => {
            clock.set(figures.at);
            Update::Stats(figures.stats)
        }
    }
}

/// The daemon's clock, as far as it differs from this program's: it was set at the daemon's start.
#[derive(Default)]
struct RemoteClock {
    ahead_ns: AtomicI64,
}

impl RemoteClock {
    fn set(&self, at: Timestamp) {
        let here = realtime();
        let ahead_ns = i64::try_from(i128::from(at.0) - i128::from(here.0)).unwrap_or(0);
        self.ahead_ns.store(ahead_ns, Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp(realtime().0.saturating_add_signed(self.ahead_ns.load(Ordering::Relaxed)))
    }
}

fn realtime() -> Timestamp {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(Timestamp(0), |time| {
        Timestamp(u64::try_from(Duration::from(time).as_nanos()).unwrap_or(0))
    })
}

struct RemoteTools {
    desk: Desk,
    socket: String,
}

impl Tools for RemoteTools {
    fn export(&mut self, held: Held, form: Format) {
        self.desk.export(held, form);
    }

    fn toggle_recording(&mut self) {
        let socket = &self.socket;
        self.desk.tell(desk::failed(format!(
            "the daemon keeps what happens: tracer record --from {socket} -o FILE"
        )));
    }

    /// Only a recording has a player.
    fn play(&mut self, _: Play) {}

    fn play_to_next(&mut self, _: &str) {}
}

/// Writes what the daemon at `socket` has kept into a recording.
pub(super) fn save(socket: &Path, args: &RecordArgs) -> anyhow::Result<()> {
    let last_ms = args.last.map(|last| u64::try_from(last.as_millis()).unwrap_or(u64::MAX));
    let (socket, output) = (socket.to_owned(), args.output.clone());
    let existing = if args.force { Existing::Replace } else { Existing::Refuse };
    trace::until_signalled(move || {
        let mut answer = connect::ask(&socket, Want::History { last_ms })?;
        let shown = output.display();
        let mut file = recording::create(&output, existing)?;
        let bytes = io::copy(&mut answer, &mut file).with_context(|| format!("{shown}"))?;
        file.sync_all().with_context(|| format!("{shown}"))?;
        let file = std::fs::File::open(&output).with_context(|| format!("{shown}"))?;
        let tail = recording::tail(&file).with_context(|| format!("{shown}"))?;
        if !tail.is_some_and(|tail| tail.is_closed) {
            bail!("the daemon at {} hung up within it: {shown} is cut short", socket.display());
        }
        eprintln!("recorded: {bytes} bytes in {shown}");
        Ok(())
    })
}
