//! The socket and a thread for each client.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::stat::{Mode, umask};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::oneshot;

use super::Look;
use super::protocol::{self, Request, Want};
use crate::engine::Output;
use crate::filter::Filter;
use crate::record::{ConnId, Connection, Host, Record};
use crate::recording::{self, KeptBlocks, WriteError, Writer};
use crate::scheduling;
use crate::selected::Selected;
use crate::time::Timestamp;

/// Clients at once.
const MAX_CLIENTS: usize = 32;
/// Within it a client must have said what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// Within it a client must take what is written to it.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// So long the daemon's end waits for its clients.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// How often a live client is written to: a view draws ten times a second.
const BLOCK_EVERY: Duration = Duration::from_millis(100);

/// What a thread of a client, or of the metrics, asks the tracing thread for. One that asks for nothing any more has hung up.
#[derive(Debug)]
pub enum Ask {
    /// To watch.
    Live(oneshot::Sender<Live>),
    /// What was kept, so far back, nanoseconds.
    History(u64, oneshot::Sender<History>),
    /// The figures as text.
    Metrics(oneshot::Sender<String>),
}

/// What is needed to watch.
#[derive(Debug)]
pub struct Live {
    /// Of the run.
    pub host: Arc<Host>,
    /// Those that are open.
    pub connections: Vec<Arc<Connection>>,
    /// When they were as they are told.
    pub at: Timestamp,
    /// What happens from then on.
    pub looks: Receiver<Arc<Look>>,
}

/// What was kept.
#[derive(Debug)]
pub struct History {
    /// Of the run.
    pub host: Arc<Host>,
    /// The blocks.
    pub blocks: KeptBlocks,
    /// Those that are open.
    pub connections: Vec<Arc<Connection>>,
    /// When.
    pub at: Timestamp,
}

/// The socket, for as long as it lives.
pub struct Server {
    path: PathBuf,
    asks: Receiver<Ask>,
    asker: Sender<Ask>,
    clients: Arc<AtomicUsize>,
}

impl Server {
    /// Listens at `path`, where only this user may connect: what is told is who talks to whom.
    ///
    /// # Errors
    /// Where a daemon listens there already, or the system refuses the socket.
    pub fn listen(path: &Path) -> anyhow::Result<Server> {
        remove_stale(path)?;
        // Between bind(2) and a chmod(2) others could connect.
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.with_context(|| format!("cannot listen at {}", path.display()))?;
        let (asker, asks) = channel();
        let clients = Arc::<AtomicUsize>::default();
        let server = Server {
            path: path.to_owned(),
            asks,
            asker: asker.clone(),
            clients: Arc::clone(&clients),
        };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("{}", path.display()))?;
        thread::Builder::new()
            .name("clients".to_owned())
            .spawn(move || accept_all(&listener, &asker, &clients))
            .context("cannot start a thread for clients")?;
        Ok(server)
    }

    /// What was asked for since the last call.
    pub fn asks(&self) -> impl Iterator<Item = Ask> + '_ {
        self.asks.try_iter()
    }

    /// Waits for clients to be told of the end, but not for long: one that does not read learns it from the socket.
    pub fn see_off(&self) {
        let until = Instant::now() + GOODBYE_TIME;
        while self.clients.load(Ordering::Relaxed) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// For another thread that asks.
    #[must_use]
    pub fn asker(&self) -> Sender<Ask> {
        self.asker.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is gone already is as good.
        _ = fs::remove_file(&self.path);
    }
}

/// A socket that nobody listens at is what a daemon that was killed left behind.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("{shown}")),
        Ok(found) if !found.file_type().is_socket() => {
            bail!("{shown} is there and is no socket; say with --socket where to listen")
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("a daemon listens at {shown} already; --socket says where else to listen"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("cannot remove the stale socket {shown}"))
        }
        Err(error) => Err(error).with_context(|| format!("{shown}")),
    }
}

/// Ends with the process: it holds nothing that must be closed.
fn accept_all(listener: &UnixListener, asker: &Sender<Ask>, clients: &Arc<AtomicUsize>) {
    scheduling::be_ordinary();
    for stream in listener.incoming() {
        let mut stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                log::warn!("a client could not be let in: {error}");
                // Out of descriptors it would fail again at once.
                thread::sleep(BLOCK_EVERY);
                continue;
            }
        };
        if clients.load(Ordering::Relaxed) >= MAX_CLIENTS {
            protocol::refuse(format!("there are {MAX_CLIENTS} clients already"), &mut stream);
            continue;
        }
        let guest = Guest::new(clients);
        let asker = asker.clone();
        let serve = move || {
            let _guest = guest;
            if let Err(error) = serve(stream, &asker) {
                log::info!("a client: {error:#}");
            }
        };
        if let Err(error) = thread::Builder::new().name("client".to_owned()).spawn(serve) {
            log::warn!("a client could not be served: {error}");
        }
    }
}

/// One of the clients, counted.
struct Guest(Arc<AtomicUsize>);

impl Guest {
    fn new(clients: &Arc<AtomicUsize>) -> Guest {
        clients.fetch_add(1, Ordering::Relaxed);
        Guest(Arc::clone(clients))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything for one client.
fn serve(mut stream: UnixStream, asker: &Sender<Ask>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIME)).context("cannot set a time limit")?;
    stream.set_write_timeout(Some(WRITE_TIME)).context("cannot set a time limit")?;
    let prepared = protocol::receive(&stream).map_err(anyhow::Error::from).and_then(prepare);
    match prepared {
        Ok(Prepared::Live(filter)) => {
            let (answer, answered) = oneshot::channel();
            asker.send(Ask::Live(answer)).context("the run is over")?;
            let live = answered.blocking_recv().context("the run is over")?;
            Ok(Watcher::begin(stream, live, filter)?.watch()?)
        }
        Ok(Prepared::History(last_ns)) => {
            let (answer, answered) = oneshot::channel();
            asker.send(Ask::History(last_ns, answer)).context("the run is over")?;
            Ok(tell_history(stream, &answered.blocking_recv().context("the run is over")?)?)
        }
        Err(error) => {
            protocol::refuse(format!("{error:#}"), &mut stream);
            Err(error)
        }
    }
}

enum Prepared {
    Live(Filter),
    History(u64),
}

fn prepare(request: Request) -> anyhow::Result<Prepared> {
    Ok(match request.want {
        Want::Live { filter: None } => Prepared::Live(Filter::all()),
        Want::Live { filter: Some(text) } => {
            let filter = text.parse::<Filter>();
            Prepared::Live(filter.map_err(|error| anyhow::anyhow!("the filter: {error}"))?)
        }
        Want::History { last_ms } => {
            Prepared::History(last_ms.map_or(u64::MAX, |last_ms| last_ms.saturating_mul(1_000_000)))
        }
    })
}

fn tell_history(stream: UnixStream, history: &History) -> Result<(), WriteError> {
    let mut writer = Writer::new(Stream(stream), &history.host, history.at)?;
    history.blocks.write_into(&mut writer)?;
    for connection in &history.connections {
        writer.write(&Record::Connection(Arc::clone(connection)), history.at)?;
    }
    writer.finish().map(drop)
}

/// What passes the run's filter and the client's own, and a `host` record that says so: what it does not name is told.
fn both_filters(host: &Arc<Host>, own: Filter) -> (Arc<Host>, Filter) {
    let words: Vec<String> = [host.filter.clone(), own.words()].into_iter().flatten().collect();
    let text = match &words[..] {
        [] => return (Arc::clone(host), own),
        [one] => one.clone(),
        several => several.iter().map(|words| format!("({words})")).collect::<Vec<_>>().join(" "),
    };
    // Both were parsed before, and so were their words.
    let filter = text.parse().unwrap_or(own);
    (Arc::new(Host { filter: Some(text), ..(**host).clone() }), filter)
}

/// A client that watches.
struct Watcher {
    writer: Writer<Stream>,
    selected: Selected,
    looks: Receiver<Arc<Look>>,
    notes: Notes,
    now: Timestamp,
}

/// Which connections the client knows, and which of them have changed since.
#[derive(Default)]
struct Notes {
    /// Connections that have changed since their last note, as they are now.
    changed: FxHashMap<ConnId, Arc<Connection>>,
    /// Connections that a note has described.
    noted: FxHashSet<ConnId>,
}

impl Notes {
    /// A connection is new or has changed. A new one is written at once; changes wait for a record or the block's end.
    fn change<S: recording::Sink>(
        &mut self,
        connection: &Arc<Connection>,
        writer: &mut Writer<S>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        if self.noted.insert(connection.id) {
            return writer.note(connection, now);
        }
        self.changed.insert(connection.id, Arc::clone(connection));
        Ok(())
    }

    /// A record of a connection follows, which is `known` so far: what was known when the record was made stands before
    /// it, also where the connection itself did not pass the client's filter.
    fn bring_up_to_date<S: recording::Sink>(
        &mut self,
        id: ConnId,
        known: Option<&Connection>,
        writer: &mut Writer<S>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        let has_changed = self.changed.remove(&id);
        let is_new = known.is_some() && self.noted.insert(id);
        match has_changed.as_deref().or(known.filter(|_| is_new)) {
            Some(connection) => writer.note(connection, now),
            None => Ok(()),
        }
    }

    /// A connection is over: its record says all.
    fn forget(&mut self, id: ConnId) {
        self.changed.remove(&id);
        self.noted.remove(&id);
    }

    /// What has changed and had no record.
    fn rest<S: recording::Sink>(
        &mut self,
        writer: &mut Writer<S>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        self.changed.drain().try_for_each(|(_, connection)| writer.note(&connection, now))
    }
}

impl Watcher {
    fn begin(stream: UnixStream, live: Live, filter: Filter) -> Result<Watcher, WriteError> {
        let (host, filter) = both_filters(&live.host, filter);
        let writer = Writer::new(Stream(stream), &host, live.at)?;
        let mut watcher = Watcher {
            writer,
            selected: Selected::new(filter),
            looks: live.looks,
            notes: Notes::default(),
            now: live.at,
        };
        watcher.selected.know(&live.connections);
        for connection in live.connections {
            watcher.changed(&connection)?;
        }
        watcher.writer.flush()?;
        Ok(watcher)
    }

    /// Writes what happens, until the run is over or the client is cut off.
    fn watch(mut self) -> Result<(), WriteError> {
        let mut next_block = Instant::now() + BLOCK_EVERY;
        loop {
            match self.looks.recv_timeout(next_block.saturating_duration_since(Instant::now())) {
                Ok(look) => {
                    self.take(&look)?;
                    if look.is_last {
                        self.notes.rest(&mut self.writer, self.now)?;
                        return self.writer.finish().map(drop);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // Without an end block: it knows that it missed something.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if Instant::now() >= next_block {
                self.notes.rest(&mut self.writer, self.now)?;
                self.writer.flush()?;
                next_block = Instant::now() + BLOCK_EVERY;
            }
        }
    }

    fn take(&mut self, look: &Look) -> Result<(), WriteError> {
        self.now = self.now.max(look.at);
        // One output after the other: a note stands in front of the records that come behind it.
        for output in &look.outputs {
            match output {
                Output::Changed(connection) => {
                    self.selected.know(std::slice::from_ref(connection));
                    self.changed(connection)?;
                }
                Output::Record(record) => self.record(output, record)?,
                Output::Lasting(_) => {}
            }
        }
        if let Some(figures) = &look.figures {
            self.writer.figures(figures)?;
        }
        Ok(())
    }

    fn record(&mut self, output: &Output, record: &Record) -> Result<(), WriteError> {
        if let Record::Connection(ended) = record {
            self.notes.forget(ended.id);
        }
        let Watcher { writer, selected, notes, now, .. } = self;
        selected.each(std::slice::from_ref(output), |record, connection| {
            if let Some(id) = record.conn().filter(|_| !matches!(record, Record::Connection(_))) {
                notes.bring_up_to_date(id, connection, writer, *now)?;
            }
            writer.write(record, *now)
        })
    }

    fn changed(&mut self, connection: &Arc<Connection>) -> Result<(), WriteError> {
        if !self.selected.passes_open(connection) {
            return Ok(());
        }
        self.notes.change(connection, &mut self.writer, self.now)
    }
}

/// A client's end of the socket. What was written cannot be taken back: an error ends the client.
struct Stream(UnixStream);

impl recording::Sink for Stream {
    fn cut_back(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stream {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests;
