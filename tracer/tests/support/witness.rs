//! A witness without BPF: the kernel's own trace of `sock:inet_sock_set_state`, in a tracefs instance.
//!
//! It knows neither TIME_WAIT nor when a SYN arrives (these are other objects' states), nor namespaces; what it
//! does see, the tracer must have told in the same order.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tracer::tcp::TcpState;

use super::trace_page::{Format, events};

const TRACEFS: &str = "/sys/kernel/tracing";
const EVENT: &str = "events/sock/inet_sock_set_state";

/// A state change that the kernel told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// CLOCK_MONOTONIC, nanoseconds.
    pub at_ns: u64,
    /// The kernel's address of the socket: another one may have it later.
    pub socket: u64,
    /// Port 0 where the socket was not bound yet.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub from: TcpState,
    pub to: TcpState,
    /// The thread in whose time it happened; for a softirq, whoever was interrupted.
    pub task: u32,
}

/// A running witness.
pub struct Witness {
    instance: PathBuf,
    over: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Vec<Told>>>,
}

impl Witness {
    /// Makes a tracefs instance and begins to read it.
    pub fn start() -> io::Result<Witness> {
        mount_tracefs()?;
        let instance =
            Path::new(TRACEFS).join(format!("instances/tracer-test-{}", std::process::id()));
        std::fs::create_dir(&instance)?;
        let over = Arc::new(AtomicBool::new(false));
        let mut witness = Witness { instance, over, readers: Vec::new() };
        witness.set("trace_clock", "mono")?;
        witness.set("buffer_size_kb", "4096")?;
        let format = std::fs::read_to_string(witness.instance.join(EVENT).join("format"))?;
        let format = Format::parse(&format).ok_or(io::ErrorKind::InvalidData)?;
        for cpu in std::fs::read_dir(witness.instance.join("per_cpu"))? {
            let pages = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(cpu?.path().join("trace_pipe_raw"))?;
            let (format, over) = (format.clone(), Arc::clone(&witness.over));
            witness.readers.push(std::thread::spawn(move || read(pages, &format, &over)));
        }
        witness.set(&format!("{EVENT}/enable"), "1")?;
        Ok(witness)
    }

    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        std::fs::write(self.instance.join(name), value)
    }

    /// Ends; what was told, in order, and how many events the kernel's buffer had no room for.
    pub fn stop(mut self) -> (Vec<Told>, u64) {
        let mut told = self.finish();
        told.sort_by_key(|event| event.at_ns);
        (told, self.overrun())
    }

    fn finish(&mut self) -> Vec<Told> {
        let _ = self.set(&format!("{EVENT}/enable"), "0");
        self.over.store(true, Ordering::Release);
        self.readers.drain(..).filter_map(|reader| reader.join().ok()).flatten().collect()
    }

    fn overrun(&self) -> u64 {
        let Ok(cpus) = std::fs::read_dir(self.instance.join("per_cpu")) else { return 0 };
        cpus.filter_map(|cpu| std::fs::read_to_string(cpu.ok()?.path().join("stats")).ok())
            .flat_map(|stats| stats.lines().filter_map(lost).collect::<Vec<_>>())
            .sum()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.finish();
        let _ = std::fs::remove_dir(&self.instance);
    }
}

fn mount_tracefs() -> io::Result<()> {
    if Path::new(TRACEFS).join("instances").exists() {
        return Ok(());
    }
    let none = None::<&str>;
    nix::mount::mount(none, TRACEFS, Some("tracefs"), nix::mount::MsFlags::empty(), none)?;
    Ok(())
}

fn lost(line: &str) -> Option<u64> {
    let (name, number) = line.split_once(": ")?;
    let counts = name == "overrun" || name == "dropped events";
    if counts { number.trim().parse().ok() } else { None }
}

fn read(mut pages: File, format: &Format, over: &AtomicBool) -> Vec<Told> {
    let mut told = Vec::new();
    let mut page = vec![0; 1 << 16];
    loop {
        // Asked before reading: what was traced before the end is read after it.
        let last = over.load(Ordering::Acquire);
        while let Ok(length @ 1..) = pages.read(&mut page) {
            let changes = events(&page[..length]);
            told.extend(changes.iter().filter_map(|&(at_ns, record)| format.read(at_ns, record)));
        }
        if last {
            return told;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The lives that sockets lived under the witness's eyes, in the order in which they began, each under its ends.
///
/// A life begins with `CLOSE -> SYN_SENT` or out of LISTEN (left out itself: older kernels tell it before the
/// addresses are there) and ends with CLOSE. Self-transitions (MPTCP makes them) are left out, and so are
/// listeners.
pub fn lives(told: &[Told]) -> HashMap<(SocketAddr, SocketAddr), Vec<Vec<Told>>> {
    let mut open: HashMap<u64, Vec<Told>> = HashMap::new();
    let mut over: Vec<Vec<Told>> = Vec::new();
    for &event in told.iter().filter(|t| t.from != t.to) {
        let begins = event.to == TcpState::SynSent || event.from == TcpState::Listen;
        if begins {
            over.extend(open.remove(&event.socket));
        }
        if event.from != TcpState::Listen && event.to != TcpState::Listen {
            open.entry(event.socket).or_default().push(event);
        }
        if event.to == TcpState::Close {
            over.extend(open.remove(&event.socket));
        }
    }
    over.extend(open.into_values());
    over.sort_by_key(|life| life.first().map(|event| event.at_ns));
    let mut by_ends: HashMap<_, Vec<Vec<Told>>> = HashMap::new();
    for life in over {
        if let Some(last) = life.last() {
            by_ends.entry((last.local, last.remote)).or_default().push(life);
        }
    }
    by_ends
}

/// The state of a name.
pub fn named(name: &str) -> Option<TcpState> {
    TcpState::ALL.into_iter().find(|state| state.name() == name)
}
