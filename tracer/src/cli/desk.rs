//! What the live view asks for beyond its own thread: files of what it shows, and recordings of what comes.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::SystemTime;

use anyhow::Context as _;

use crate::engine::Output;
use crate::export::{Format, Known};
use crate::pipeline::Pipeline;
use crate::playback::Play;
use crate::record::Record;
use crate::recording::{self, Behind, Existing, WriteError, Writer};
use crate::time::Timestamp;
use crate::tui::Tools;
use crate::tui::model::export::Held;
use crate::view_update::{Notice, Update};

/// Files of one second that are tried before giving up.
const MAX_NAMES: u32 = 100;

/// The view's side: hands on what a person asks for.
pub(super) struct Desk {
    asks: Sender<()>,
    notices: SyncSender<Vec<Update>>,
}

/// A desk, and where the tracing thread hears that a recording is to begin or end.
pub(super) fn desk(notices: SyncSender<Vec<Update>>) -> (Desk, Receiver<()>) {
    let (asks, asked) = channel();
    (Desk { asks, notices }, asked)
}

impl Desk {
    /// Tells the person something.
    pub fn tell(&self, notice: Notice) {
        // A view that is behind shows it no more: it is about a key of just now.
        _ = self.notices.try_send(vec![Update::Notice(notice)]);
    }
}

impl Tools for Desk {
    /// On a thread of its own: a hundred thousand connections take a second, and the view goes on.
    fn export(&mut self, held: Held, form: Format) {
        let notices = self.notices.clone();
        let work = move || {
            let notice = match write(&held, form) {
                Ok(path) => said(exported(&held, &path)),
                Err(error) => failed(format!("nothing exported: {error:#}")),
            };
            // With the view gone nobody is left to hear it.
            _ = notices.send(vec![Update::Notice(notice)]);
        };
        if let Err(error) = std::thread::Builder::new().name("export".to_owned()).spawn(work) {
            self.tell(failed(format!("nothing exported: {error}")));
        }
    }

    /// Only a recording has a player.
    fn play(&mut self, _: Play) {}

    fn play_to_next(&mut self, _: &str) {}

    fn toggle_recording(&mut self) {
        // Without a tracing thread the run is at its end.
        _ = self.asks.send(());
    }
}

fn exported(held: &Held, path: &std::path::Path) -> String {
    let missing = match held.missing_exchanges {
        0 => String::new(),
        1 => "; one request of theirs is not held any more".to_owned(),
        many => format!("; {many} requests of theirs are not held any more"),
    };
    format!("exported {} connections to {}{missing}", held.connections, path.display())
}

fn write(held: &Held, form: Format) -> anyhow::Result<PathBuf> {
    let mut known = Known::default();
    held.records.iter().for_each(|record| known.learn(record));
    let (path, file) = create(form.name())?;
    let mut records = held.records.iter().cloned().map(Ok);
    form.write(&mut records, &known, &mut BufWriter::new(file))
        .with_context(|| format!("{}", path.display()))?;
    Ok(path)
}

/// A new file in the working directory, named after the time.
fn create(ending: &str) -> Result<(PathBuf, File), WriteError> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or_default());
    let time: String = now.to_string().chars().take(19).filter(|c| !"-:".contains(*c)).collect();
    let mut number = 1;
    loop {
        let nth = if number > 1 { format!("-{number}") } else { String::new() };
        let path = PathBuf::from(format!("tracer-{time}Z{nth}.{ending}"));
        match recording::create(&path, Existing::Refuse) {
            Ok(file) => return Ok((path, file)),
            Err(WriteError::Exists { .. }) if number < MAX_NAMES => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// A recording that was begun from the view.
pub(super) struct ViewRecording {
    path: PathBuf,
    writer: Writer<Behind<File>>,
}

impl ViewRecording {
    /// Begins one: everything from now on, whatever the view's filter.
    pub fn begin(pipeline: &Pipeline) -> anyhow::Result<ViewRecording> {
        let now = pipeline.now();
        let (path, file) = create("trace")?;
        let mut writer = Writer::new(Behind::new(file), &pipeline.host(), now)?;
        pipeline.connections().iter().try_for_each(|connection| writer.note(connection, now))?;
        Ok(ViewRecording { path, writer })
    }

    /// Where it is.
    pub fn path(&self) -> String {
        self.path.display().to_string()
    }

    /// Takes what came.
    pub fn take(&mut self, outputs: &[Output], now: Timestamp) -> anyhow::Result<()> {
        for output in outputs {
            match output {
                Output::Record(record) => self.writer.write(record, now)?,
                Output::Lasting(connection) => self.writer.note(connection, now)?,
                Output::Changed(_) => {}
            }
        }
        Ok(self.writer.tick(now)?)
    }

    /// Ends it, the run going on: connections that are still open are told as they are. The sentence for the person.
    pub fn end(mut self, pipeline: &Pipeline) -> anyhow::Result<String> {
        for connection in pipeline.connections() {
            self.writer.write(&Record::Connection(connection), pipeline.now())?;
        }
        self.close()
    }

    /// Ends it with the run, which has told the open connections already.
    pub fn close(self) -> anyhow::Result<String> {
        let (totals, _) = self.writer.finish()?;
        let path = self.path.display();
        Ok(format!(
            "recorded {} connections and {} requests to {path}",
            totals.connections, totals.exchanges
        ))
    }
}

/// A notice of success.
pub(super) fn said(text: String) -> Notice {
    Notice { text, is_failure: false }
}

/// A notice of failure.
pub(super) fn failed(text: String) -> Notice {
    Notice { text, is_failure: true }
}
