//! The program under test, running: started as a user would start it, read line by line, stopped by SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::environment;
use super::records::Line;
use super::wait_until;

/// How long it may take from the start to the first line: loading and attaching included.
const START: Duration = Duration::from_secs(90);

/// How long it may take to end, the rest of its lines included.
const END: Duration = Duration::from_secs(60);

/// A line of output, as it was and as it reads.
#[derive(Clone, Debug)]
pub struct Output {
    pub text: String,
    pub line: Line,
}

#[derive(Default)]
struct Progress {
    lines: Vec<Output>,
    /// Lines that are no record: there must be none.
    unreadable: Vec<String>,
    over: bool,
}

#[derive(Default)]
struct Shared {
    read: Mutex<Progress>,
    more: Condvar,
}

/// `tracer watch --json`, running.
pub struct Tracing {
    child: Child,
    shared: Arc<Shared>,
    stdout: JoinHandle<()>,
    stderr: JoinHandle<String>,
}

/// All that a run left behind.
pub struct Run {
    pub lines: Vec<Output>,
    pub unreadable: Vec<String>,
    pub stderr: String,
    pub status: ExitStatus,
    /// Runs of the program's hooks that the kernel left out: a hook does not interrupt itself.
    pub missed_runs: u64,
}

impl Tracing {
    /// Starts `tracer watch --json` with further arguments; comes back when all its hooks are attached and the
    /// sockets that were there before are merged, which its first line says.
    pub fn start(arguments: &[&str]) -> Result<Tracing, String> {
        let mut child = Command::new(environment::tracer())
            .args(["watch", "--json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", environment::tracer().display()))?;
        let shared: Arc<Shared> = Arc::default();
        let out = child.stdout.take().expect("stdout is piped");
        let err = child.stderr.take().expect("stderr is piped");
        let to = Arc::clone(&shared);
        let drained = drain(out);
        let stdout = std::thread::spawn(move || to.read(BufReader::new(drained)));
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = BufReader::new(err).read_to_string(&mut text);
            text
        });
        let tracing = Tracing { child, shared, stdout, stderr };
        if tracing.wait_until(START, |lines| !lines.is_empty()) {
            return Ok(tracing);
        }
        let run = tracing.stop();
        Err(format!("no first line from tracer ({}); it said: {}", run.status, run.stderr))
    }

    /// Waits until the lines so far meet a condition; false when `within` is over or the program has ended first.
    pub fn wait_until(&self, within: Duration, condition: impl Fn(&[Output]) -> bool) -> bool {
        let deadline = Instant::now() + within;
        let mut read = self.shared.lock();
        loop {
            if condition(&read.lines) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if read.over || left.is_zero() {
                return false;
            }
            // Not at each line, for a condition reads them all.
            drop(read);
            std::thread::sleep(left.min(Duration::from_millis(50)));
            read = self.shared.lock();
            let (again, _) = self
                .shared
                .more
                .wait_timeout(read, left.min(Duration::from_millis(250)))
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            read = again;
        }
    }

    /// Ends the program as an operator would, and reads what it still says.
    pub fn stop(mut self) -> Run {
        let missed_runs = missed_runs(self.child.id());
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        // It may have ended by itself; then there is nobody to tell.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        if !wait_until(END, || !matches!(self.child.try_wait(), Ok(None))) {
            let _ = self.child.kill();
        }
        let status = self.child.wait().expect("a child can be waited for");
        self.stdout.join().expect("the reader does not panic");
        let stderr = self.stderr.join().expect("the reader does not panic");
        let read = std::mem::take(&mut *self.shared.lock());
        Run { lines: read.lines, unreadable: read.unreadable, stderr, status, missed_runs }
    }
}

/// Takes all that comes at once: what a slow reader leaves in the pipe makes the program wait, and lose.
fn drain(mut from: impl Read + Send + 'static) -> Drained {
    let (to, chunks) = mpsc::channel();
    std::thread::spawn(move || {
        let mut chunk = vec![0; 1 << 20];
        while let Ok(length @ 1..) = from.read(&mut chunk) {
            if to.send(chunk[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    Drained { chunks, rest: Vec::new(), taken: 0 }
}

/// What was drained, to be read at leisure.
struct Drained {
    chunks: Receiver<Vec<u8>>,
    rest: Vec<u8>,
    taken: usize,
}

impl Read for Drained {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.taken == self.rest.len() {
            self.rest = self.chunks.recv().unwrap_or_default();
            self.taken = 0;
        }
        let length = (&self.rest[self.taken..]).read(to)?;
        self.taken += length;
        Ok(length)
    }
}

/// The kernel's own count over all BPF programs that a process holds (`recursion_misses`).
fn missed_runs(pid: u32) -> u64 {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return 0 };
    let texts = descriptors.filter_map(|fd| std::fs::read_to_string(fd.ok()?.path()).ok());
    let count = |text: String| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
        line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    texts.map(count).sum()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.read.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read(&self, from: impl BufRead) {
        for text in from.lines().map_while(Result::ok) {
            let parsed = serde_json::from_str::<Line>(&text);
            let mut read = self.lock();
            match parsed {
                Ok(line) => read.lines.push(Output { text, line }),
                Err(error) => read.unreadable.push(format!("{error}: {text}")),
            }
            drop(read);
            self.more.notify_all();
        }
        self.lock().over = true;
        self.more.notify_all();
    }
}
