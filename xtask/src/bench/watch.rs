//! A contender at work: started, waited for until it watches, ended, and asked what it saw.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::pty::{Winsize, openpty};

use super::{
    bpf::Floor,
    contender::{Contender, Kind, Mode, ONE_LINER},
    load::{PORT, Place},
    parse,
    proc::Memory,
    process::{self, Process},
    seen::{self, Completeness, Happened},
};

/// Until it watches. bpftrace compiles first, and tracer reads every socket there is.
const START: Duration = Duration::from_secs(20);
/// Until it has worked off what the load left it.
const CATCH_UP: Duration = Duration::from_secs(8);
/// From Ctrl-C to its end.
const END: Duration = Duration::from_secs(8);

/// A contender that watches.
pub struct Watching {
    kind: Kind,
    work: Work,
    out: PathBuf,
    err: PathBuf,
    /// Processor time before it watched: loading programs, reading symbols.
    start_cpu_us: u64,
}

enum Work {
    Process { process: Process, screen: Option<Screen> },
    Empty { _attached: Floor },
}

/// What a contender needed for a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Processor time from when it watched to its end.
    pub cpu_us: u64,
    pub memory: Memory,
    /// Bytes written to files.
    pub disk_bytes: u64,
    /// From the end of the load until it had worked everything off.
    pub lag: Duration,
    /// It had to be killed, or ended with an error.
    pub ended_badly: bool,
}

/// A terminal that somebody looks at: what is drawn is read and thrown away.
struct Screen {
    reader: JoinHandle<()>,
    bytes: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Watching {
    /// Starts `contender` and comes back when it watches.
    pub fn start(place: &Place, tracer: &Path, contender: &Contender) -> Result<Self> {
        let (out, err) = (place.file("contender.out"), place.file("contender.err"));
        // A recording is not written over another.
        let _ = fs::remove_file(&out);
        let work = match contender.kind {
            Kind::Empty(hooks) => Work::Empty { _attached: Floor::attach(hooks)? },
            Kind::Tracer(Mode::View) => on_screen(tracer, place)?,
            kind => {
                let mut command = command(kind, place, tracer, &out)?;
                command.stderr(place.create("contender.err")?);
                Work::Process { process: Process::start(&mut command)?, screen: None }
            }
        };
        let mut watching = Self { kind: contender.kind, work, out, err, start_cpu_us: 0 };
        watching.wait_until_ready()?;
        watching.start_cpu_us = watching.cpu_us();
        Ok(watching)
    }

    /// The process, where there is one.
    pub fn process(&self) -> Option<&Process> {
        match &self.work {
            Work::Process { process, .. } => Some(process),
            Work::Empty { .. } => None,
        }
    }

    /// Processor time so far.
    pub fn cpu_us(&self) -> u64 {
        self.process().map_or(0, Process::cpu_us)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let (kind, out, err) = (self.kind, &self.out, &self.err);
        let Work::Process { process, screen } = &mut self.work else { return Ok(()) };
        let waited = process::wait_for("a contender that watches", START, || {
            process.expect_running()?;
            let ready = match (kind, &screen) {
                (_, Some(screen)) => screen.has_drawn(),
                (Kind::Tracer(_), _) => fs::metadata(out).is_ok_and(|meta| meta.len() > 0),
                (Kind::Tcpdump, _) => says(err, "listening on"),
                (Kind::Tshark, _) => says(err, "Capture started"),
                _ => reads_events(process.id()),
            };
            Ok(ready.then_some(()))
        });
        waited.with_context(|| {
            let said = fs::read_to_string(err).unwrap_or_default();
            format!("starting {kind:?}, which said {:?}", said.trim())
        })
    }

    /// Waits until it has worked off what there is; the time that took.
    pub fn catch_up(&self) -> Result<Duration> {
        const LOOK: Duration = Duration::from_millis(50);
        /// Less than this share of a core is nothing but looking for events.
        const AT_REST: f64 = 0.1;
        let start = Instant::now();
        // Drawing never ends.
        while self.kind != Kind::Tracer(Mode::View) && start.elapsed() < CATCH_UP {
            let before_us = self.cpu_us();
            let look = Instant::now();
            std::thread::sleep(LOOK);
            if process::is_interrupted() {
                bail!("interrupted");
            }
            let used_us = self.cpu_us().saturating_sub(before_us) as f64;
            if used_us < AT_REST * look.elapsed().as_micros() as f64 {
                return Ok(start.elapsed().saturating_sub(LOOK));
            }
        }
        Ok(start.elapsed())
    }

    /// Ends it once it has worked off what there is.
    pub fn end(self) -> Result<Cost> {
        let lag = self.catch_up()?;
        let Self { kind, work, out, start_cpu_us, .. } = self;
        let Work::Process { process, screen } = work else { return Ok(Cost::default()) };
        let tree = process.tree();
        let memory = tree.iter().map(|pid| Memory::of(*pid)).fold(Memory::default(), add);
        let written = tree.iter().map(|pid| written_bytes(*pid)).sum();
        let ended = process.end(END)?;
        if let Some(screen) = screen {
            screen.close();
        }
        let file = fs::metadata(&out).map_or(0, |meta| meta.len());
        Ok(Cost {
            cpu_us: ended.cpu_us.saturating_sub(start_cpu_us),
            memory,
            // Temporary files are gone by now, what was written last was not yet counted.
            disk_bytes: if kind == Kind::Tracer(Mode::View) { 0 } else { file.max(written) },
            lag,
            ended_badly: !ended.is_orderly(),
        })
    }
}

fn add(sum: Memory, one: Memory) -> Memory {
    Memory {
        peak_kib: sum.peak_kib + one.peak_kib,
        own_kib: sum.own_kib + one.own_kib,
        rings_kib: sum.rings_kib + one.rings_kib,
    }
}

/// Bytes that a process has handed to file systems.
fn written_bytes(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// The command of everything but the live view and the empty programs.
fn command(kind: Kind, place: &Place, tracer: &Path, out: &Path) -> Result<Command> {
    let mut command = match kind {
        Kind::Tracer(_) | Kind::Empty(_) => place.program_at(tracer),
        Kind::TcpStates => place.program("tcpstates")?,
        Kind::TcpLife => place.program("tcplife")?,
        Kind::Bpftrace => place.program("bpftrace")?,
        Kind::Tshark => place.program("tshark")?,
        Kind::Tcpdump => place.program("tcpdump")?,
    };
    match kind {
        Kind::Tracer(Mode::Drained) => command.arg("drain"),
        Kind::Tracer(Mode::DrainedHooks(hooks)) => command.args(["drain", "--hooks", hooks]),
        Kind::Tracer(Mode::Hooks(hooks)) => command.args(["watch", "--json", "--hooks", hooks]),
        Kind::Tracer(Mode::Json | Mode::View) => command.args(["watch", "--json"]),
        Kind::Tracer(Mode::Recording) => command.args(["record", "--output"]).arg(out),
        Kind::Tracer(Mode::RecordedHooks(hooks)) => {
            command.args(["record", "--hooks", hooks, "--output"]).arg(out)
        }
        Kind::Tracer(Mode::FilteredOut) => {
            command.args(["record", "--output"]).arg(out).arg("port:1")
        }
        Kind::Bpftrace => command.args(["-e", ONE_LINER]),
        Kind::Tshark => command.args(["-i", "lo", "-Y", "http"]),
        // It would give up root for a user that need not be there.
        Kind::Tcpdump => command.args(["-Z", "root", "-i", "lo", "-w"]).arg(out),
        Kind::TcpStates | Kind::TcpLife | Kind::Empty(_) => &mut command,
    };
    let own_file = matches!(
        kind,
        Kind::Tracer(Mode::Recording | Mode::RecordedHooks(_) | Mode::FilteredOut) | Kind::Tcpdump
    );
    if !own_file {
        let file = File::create(out).with_context(|| format!("creating {}", out.display()))?;
        command.stdout(file);
    }
    Ok(command)
}

/// tracer's live view on a terminal of its own.
fn on_screen(tracer: &Path, place: &Place) -> Result<Work> {
    let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = openpty(Some(&size), None).context("opening a terminal")?;
    let terminal = || pair.slave.try_clone().context("sharing a terminal");
    let mut command = place.program_at(tracer);
    command.arg("watch").env("TERM", "xterm-256color");
    command.stdin(terminal()?).stdout(terminal()?).stderr(terminal()?);
    let process = Process::start(&mut command)?;
    let screen = Screen::new(File::from(pair.master));
    Ok(Work::Process { process, screen: Some(screen) })
}

impl Screen {
    fn new(mut terminal: File) -> Self {
        use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};
        let bytes: Arc<AtomicU64> = Arc::default();
        let counter = Arc::clone(&bytes);
        // Ends with an error when the last program has closed the terminal.
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(read @ 1..) = terminal.read(&mut buffer) {
                counter.fetch_add(read as u64, Ordering::Relaxed);
            }
        });
        Self { reader, bytes }
    }

    /// The first picture comes when everything is attached.
    fn has_drawn(&self) -> bool {
        self.bytes.load(std::sync::atomic::Ordering::Relaxed) > 0
    }

    fn close(self) {
        // It does nothing that could fail.
        let _ = self.reader.join();
    }
}

fn says(file: &Path, words: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.contains(words))
}

/// Whether a process has BPF programs in place and waits for their events: tools of libbpf and
/// bpftrace say nothing when they are ready.
fn reads_events(pid: u32) -> bool {
    // epoll_wait and epoll_pwait, of x86-64 and of arm64.
    const WAITS: [&str; 3] = ["232", "281", "22"];
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let links: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let has = |kind: &str| links.iter().any(|link| link.contains(kind));
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    has("bpf-prog") && has("eventpoll") && WAITS.contains(&call.split(' ').next().unwrap_or(""))
}

/// What a contender told of, against what happened, and the events that it says it lost.
pub fn completeness(
    place: &Place,
    tracer: &Path,
    kind: Kind,
    namespace: u32,
    happened: &Happened,
) -> Result<(Vec<Completeness>, Option<u64>)> {
    let (out, err) = (place.file("contender.out"), place.file("contender.err"));
    let stderr = fs::read_to_string(err).unwrap_or_default();
    let lost = || fs::read_to_string(&out).map(|text| parse::lost_events(&(text + &stderr)));
    Ok(match kind {
        Kind::Empty(_) | Kind::Tracer(Mode::View | Mode::FilteredOut) => (Vec::new(), None),
        Kind::Tracer(Mode::Drained | Mode::DrainedHooks(_)) => {
            (Vec::new(), parse::drain_lost(&fs::read_to_string(&out)?))
        }
        Kind::Tracer(mode @ (Mode::Recording | Mode::RecordedHooks(_))) => {
            let tally = seen::tally_recording(tracer, &out, namespace)?;
            let has_http = mode == Mode::Recording;
            (tally.told.against(happened, has_http), parse::tracer_lost(&stderr))
        }
        Kind::Tracer(mode) => {
            let tally = seen::tally_file(&out, namespace)?;
            (tally.told.against(happened, mode == Mode::Json), Some(tally.lost))
        }
        Kind::TcpStates | Kind::Bpftrace => {
            (vec![seen::of_transition_lines(&out, PORT, happened)?], lost().ok())
        }
        Kind::TcpLife => (vec![seen::of_connection_lines(&out, PORT, happened)?], lost().ok()),
        Kind::Tshark => (vec![seen::of_http_lines(&out, happened)?], None),
        Kind::Tcpdump => {
            let dropped = parse::tcpdump(&stderr).map(|said| said.dropped);
            (vec![seen::of_packets(&stderr, happened)?], dropped)
        }
    })
}
