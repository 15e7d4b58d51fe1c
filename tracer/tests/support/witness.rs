//! A witness without BPF: the kernel's own trace of `sock:inet_sock_set_state`, in a tracefs instance.
//!
//! It knows neither TIME_WAIT nor when a SYN arrives (these are other objects' states), nor namespaces; what it
//! does see, the tracer must have told in the same order.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tracer::tcp::TcpState;

const TRACEFS: &str = "/sys/kernel/tracing";

/// A state change that the kernel told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// CLOCK_MONOTONIC, microseconds; `None` where the witness has no clock of the kernel's.
    pub at_us: Option<u64>,
    /// Port 0 where the socket was not bound yet.
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub from: TcpState,
    pub to: TcpState,
}

/// A running witness.
pub struct Witness {
    instance: PathBuf,
    lines: Arc<Mutex<Vec<Told>>>,
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Witness {
    /// Makes a tracefs instance and begins to read it.
    pub fn start() -> io::Result<Witness> {
        mount_tracefs()?;
        let instance =
            Path::new(TRACEFS).join(format!("instances/tracer-test-{}", std::process::id()));
        std::fs::create_dir(&instance)?;
        let set = |name: &str, value: &str| std::fs::write(instance.join(name), value);
        set("trace_clock", "mono")?;
        set("buffer_size_kb", "4096")?;
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(instance.join("trace_pipe"))?;
        set("events/sock/inet_sock_set_state/enable", "1")?;
        let (lines, over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (to, until) = (Arc::clone(&lines), Arc::clone(&over));
        let reader = std::thread::Builder::new()
            .name("witness".into())
            .spawn(move || read(pipe, &to, &until))?;
        Ok(Witness { instance, lines, over, reader: Some(reader) })
    }

    /// Ends; what was told, in order, and how many events the kernel's buffer had no room for.
    pub fn stop(mut self) -> (Vec<Told>, u64) {
        self.finish();
        let lost = self.overrun();
        (std::mem::take(&mut *self.lines.lock().expect("the reader does not panic")), lost)
    }

    fn finish(&mut self) {
        let _ = std::fs::write(self.instance.join("events/sock/inet_sock_set_state/enable"), "0");
        self.over.store(true, Ordering::Release);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }

    fn overrun(&self) -> u64 {
        let Ok(cpus) = std::fs::read_dir(self.instance.join("per_cpu")) else { return 0 };
        cpus.filter_map(|cpu| std::fs::read_to_string(cpu.ok()?.path().join("stats")).ok())
            .flat_map(|stats| {
                let count = |line: &str| -> Option<u64> {
                    let (name, number) = line.split_once(": ")?;
                    let counts = name == "overrun" || name == "dropped events";
                    if counts { number.trim().parse().ok() } else { None }
                };
                stats.lines().filter_map(count).collect::<Vec<_>>()
            })
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

fn read(mut pipe: File, to: &Mutex<Vec<Told>>, until: &AtomicBool) {
    let mut text = String::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        // Asked before reading: what was traced before the end is read after it.
        let last = until.load(Ordering::Acquire);
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            let told: Vec<Told> = text[..whole].lines().filter_map(parse).collect();
            to.lock().expect("nobody panics with the lines").extend(told);
            text.drain(..whole);
        }
        if last {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `  comm-12 [001] ..s2. 123.456789: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP sport=..`
fn parse(line: &str) -> Option<Told> {
    let (head, fields) = line.split_once(": inet_sock_set_state: ")?;
    let (seconds, micros) = head.rsplit_once(' ')?.1.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
    let fields: HashMap<&str, &str> =
        fields.split_ascii_whitespace().filter_map(|word| word.split_once('=')).collect();
    if *fields.get("protocol")? != "IPPROTO_TCP" {
        return None;
    }
    let (from_address, to_address) = match *fields.get("family")? {
        "AF_INET" => ("saddr", "daddr"),
        _ => ("saddrv6", "daddrv6"),
    };
    let end = |address: &str, port: &str| -> Option<SocketAddr> {
        let ip: IpAddr = fields.get(address)?.parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), fields.get(port)?.parse().ok()?))
    };
    let state = |field: &str| named(fields.get(field)?.strip_prefix("TCP_")?);
    Some(Told {
        at_us: Some(at_us),
        local: end(from_address, "sport")?,
        remote: end(to_address, "dport")?,
        from: state("oldstate")?,
        to: state("newstate")?,
    })
}

/// The state of a name.
pub fn named(name: &str) -> Option<TcpState> {
    TcpState::ALL.into_iter().find(|state| state.name() == name)
}

/// What was told about each end, in order; a `CLOSE -> SYN_SENT` without a port is given to the end that comes
/// out of SYN_SENT next, and self-transitions (MPTCP makes them) and listeners' own are left out.
pub fn by_end(told: &[Told]) -> HashMap<(SocketAddr, SocketAddr), Vec<Told>> {
    let mut ends: HashMap<(SocketAddr, SocketAddr), Vec<Told>> = HashMap::new();
    let mut unbound: Vec<Told> = Vec::new();
    for &event in told {
        if event.to == TcpState::SynSent && event.local.port() == 0 {
            unbound.push(event);
        } else if event.from != event.to && event.remote.port() != 0 {
            let end = ends.entry((event.local, event.remote)).or_default();
            let fits = |open: &Told| {
                event.from == TcpState::SynSent
                    && open.remote == event.remote
                    && open.local.ip() == event.local.ip()
            };
            if let Some(at) = unbound.iter().position(fits) {
                end.push(unbound.remove(at));
            }
            end.push(event);
        }
    }
    ends
}
