//! The live view as a sink: it draws on a thread of its own and never holds the tracing up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::desk::{self, ViewRecording};
use super::trace::Sink;
use super::usage::Usage;
use crate::engine::Output;
use crate::filter::{Filter, FilterError, States, Subject};
use crate::pipeline::Pipeline;
use crate::record::{Connection, Exchange};
use crate::tcp::TcpState;
use crate::tui::model::filter::RowFilter;
use crate::tui::theme::Palette;
use crate::tui::{self, ViewOptions};
use crate::view_update::{Notice, Update};

/// Batches that may wait for the view: some seconds of a stuck terminal.
const BATCHES: usize = 512;
/// Looks follow one another at once while much happens; what they found goes together.
const BATCH_EVERY: Duration = Duration::from_millis(5);

/// Makes the log go to the view's log pane.
pub(super) fn take_log(level: log::LevelFilter) -> anyhow::Result<()> {
    tui::init_logger(level.max(log::LevelFilter::Info))
}

pub(super) struct View {
    filter: Option<String>,
    updates: Option<SyncSender<Vec<Update>>>,
    /// What goes next, and when the last went.
    batch: Vec<Update>,
    sent: Instant,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
    stop: Arc<AtomicBool>,
    fell_behind: bool,
    dropped: u64,
    usage: Usage,
    /// Where the view's person asks for a recording to begin or end.
    asked: Option<Receiver<()>>,
    recording: Option<ViewRecording>,
}

impl View {
    pub fn open(filter: &Filter) -> anyhow::Result<View> {
        let filter = (!filter.is_all()).then(|| filter.to_string());
        Ok(View {
            filter,
            updates: None,
            batch: Vec::new(),
            sent: Instant::now(),
            thread: None,
            stop: Arc::default(),
            fell_behind: false,
            dropped: 0,
            usage: Usage::default(),
            asked: None,
            recording: None,
        })
    }

    /// Hands what came to the recording, and begins or ends one where that was asked for.
    fn record(&mut self, outputs: &[Output], pipeline: &Pipeline) {
        if let Some(recording) = &mut self.recording
            && let Err(error) = recording.take(outputs, pipeline.now())
        {
            let path = recording.path();
            self.recording = None;
            self.tell(desk::failed(format!("the recording {path} has ended: {error:#}")));
        }
        let asks = self.asked.iter().flat_map(Receiver::try_iter).count();
        for _ in 0..asks {
            let notice = self.toggle_recording(pipeline);
            let text =
                notice.unwrap_or_else(|error| desk::failed(format!("no recording: {error:#}")));
            self.tell(text);
        }
    }

    fn toggle_recording(&mut self, pipeline: &Pipeline) -> anyhow::Result<Notice> {
        if let Some(recording) = self.recording.take() {
            return Ok(desk::said(recording.end(pipeline)?));
        }
        let recording = ViewRecording::begin(pipeline)?;
        let notice = desk::said(format!("recording everything to {}; r ends it", recording.path()));
        self.recording = Some(recording);
        Ok(notice)
    }

    /// A notice, and figures that fit it.
    fn tell(&mut self, notice: Notice) {
        let recording = self.recording.as_ref().map(ViewRecording::path);
        let stats = self.usage.again(recording).map(Update::Stats);
        self.send(stats.into_iter().chain([Update::Notice(notice)]).collect());
    }

    fn send(&mut self, batch: Vec<Update>) {
        let Some(updates) = &self.updates else { return };
        match updates.try_send(batch) {
            Ok(()) => {}
            Err(TrySendError::Full(batch)) => {
                self.dropped += batch.len() as u64;
                self.fell_behind = true;
            }
            Err(TrySendError::Disconnected(_)) => self.stop.store(true, Ordering::Relaxed),
        }
    }
}

fn update_of(output: &Output) -> Option<Update> {
    match output {
        Output::Record(record) => Some(Update::Record(record.clone())),
        Output::Changed(connection) => Some(Update::Connection(Arc::clone(connection))),
        Output::Lasting(_) => None,
    }
}

impl Sink for View {
    fn begin(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let (sender, receiver) = sync_channel(BATCHES);
        let (desk, asked) = desk::desk(sender.clone());
        self.asked = Some(asked);
        let now = pipeline.now();
        let started = Instant::now();
        let options = ViewOptions {
            parse_filter: parse_row_filter,
            filter: self.filter.clone(),
            palette: Palette::default(),
            tools: Box::new(desk),
            clock: Box::new(move || {
                now.plus_ns(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX))
            }),
            stay_when_ended: false,
            stop: Arc::clone(&self.stop),
        };
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || draw(receiver, options, &stop))
            .context("cannot start the view's thread")?;
        self.updates = Some(sender);
        self.thread = Some(thread);
        self.send(vec![Update::Record(crate::record::Record::Host(pipeline.host()))]);
        Ok(())
    }

    fn take(&mut self, outputs: &[Output], pipeline: &Pipeline) -> anyhow::Result<()> {
        self.record(outputs, pipeline);
        self.batch.extend(outputs.iter().filter_map(update_of));
        if self.sent.elapsed() < BATCH_EVERY {
            return Ok(());
        }
        self.sent = Instant::now();
        if self.fell_behind {
            self.fell_behind = false;
            self.batch.push(Update::Resync(pipeline.connections()));
        }
        let recording = self.recording.as_ref().map(ViewRecording::path);
        if let Some(stats) = self.usage.stats(pipeline, self.dropped, recording) {
            self.batch.push(Update::Stats(stats));
        }
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.send(batch);
        }
        Ok(())
    }

    fn end(&mut self, _pipeline: &Pipeline) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.updates = None;
        let recorded = self.recording.take().map(ViewRecording::close);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result?,
            Some(Err(_panic)) => {
                anyhow::bail!("the live view broke; --plain shows the same as lines")
            }
            None => {}
        }
        // The terminal is a person's again: what the run leaves behind is said there.
        if let Some(text) = recorded.transpose()? {
            eprintln!("{text}");
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Whatever ends the view ends the run.
fn draw(
    updates: Receiver<Vec<Update>>,
    options: ViewOptions,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    struct StopOnDrop<'a>(&'a AtomicBool);
    impl Drop for StopOnDrop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let _stop = StopOnDrop(stop);
    super::priority::stand_back();
    tui::run(updates, options)
}

/// True once SIGINT or SIGTERM asks for the end, or `duration` is over.
pub(super) fn asked_to_stop(duration: Option<Duration>) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, Arc::clone(&stop)).context("cannot listen for signals")?;
    }
    if let Some(duration) = duration {
        let stop = Arc::clone(&stop);
        let wait = move || {
            std::thread::sleep(duration);
            stop.store(true, Ordering::Relaxed);
        };
        let thread = std::thread::Builder::new().name("time".to_owned());
        thread.spawn(wait).context("cannot start a thread")?;
    }
    Ok(stop)
}

pub(super) fn parse_row_filter(text: &str) -> Result<Box<dyn RowFilter>, String> {
    let filter: Filter = text.parse().map_err(|error| in_one_line(&error))?;
    Ok(Box::new(Rows(filter)))
}

/// What is wrong and what would be right. The filter itself stands beside it already.
fn in_one_line(error: &FilterError) -> String {
    match error.hint() {
        Some(hint) => format!("{}; {hint}", error.message()),
        None => error.message().to_owned(),
    }
}

/// The FILTER language on the view's rows.
struct Rows(Filter);

impl RowFilter for Rows {
    fn matches(
        &self,
        connection: &Connection,
        _state: TcpState,
        exchange: Option<&Exchange>,
    ) -> bool {
        self.0.matches(&Subject { connection: Some(connection), exchange, states: States::Current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_typed_filter_is_told_in_one_line() {
        let told = |text| parse_row_filter(text).err().unwrap();
        assert_eq!(told("prot:443"), "there is no key \"prot\"; did you mean port?");
        assert_eq!(told("comm:a\\"), "a backslash needs a character behind it");
    }
}
