//! The machine under the benchmarks: a fresh network for each run, silence before it, and a
//! description for the report.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    fcntl::{Flock, FlockArg},
    sched::{CloneFlags, unshare},
};

use super::{
    proc::{self, Ticks},
    process,
};
use crate::{project::Project, shell::capture};

/// Puts this process, and what it starts from now on, into a new network namespace with nothing but
/// loopback. The TIME_WAIT sockets of the run before go away with its own namespace: no run meets
/// them, and counters begin at 0.
pub fn fresh_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("making a network namespace")?;
    capture(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    // A client must not come back to a port whose TIME_WAIT lasts.
    set("net/ipv4/ip_local_port_range", "1024 65000")?;
    // A full accept queue makes a client wait for a second.
    set("net/core/somaxconn", "65535")?;
    // Beyond the bound the kernel makes no TIME_WAIT, and there is nothing to see.
    set("net/ipv4/tcp_max_tw_buckets", "4000000")
}

/// In the namespace of this thread; the host keeps its own.
fn set(name: &str, value: &str) -> Result<()> {
    let file = Path::new("/proc/sys").join(name);
    fs::write(&file, value).with_context(|| format!("writing {}", file.display()))
}

/// The number of this thread's network namespace, as tracer tells it.
pub fn network_inode() -> Result<u32> {
    let link = fs::read_link("/proc/thread-self/ns/net").context("reading the namespace's link")?;
    let text = link.to_string_lossy();
    let number = text.strip_prefix("net:[").and_then(|rest| rest.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).with_context(|| format!("{text} has no number"))
}

/// Waits until a socket listens on `port`.
pub fn wait_until_listening(port: u16) -> Result<()> {
    process::wait_for("a listening socket", Duration::from_secs(10), || {
        let tables = ["tcp", "tcp6"].map(|table| format!("/proc/thread-self/net/{table}"));
        let listening = tables
            .iter()
            .any(|file| fs::read_to_string(file).is_ok_and(|text| proc::listens(&text, port)));
        Ok(listening.then_some(()))
    })
}

/// Waits a little until the processors are mostly idle: until the run before is cleaned up.
pub fn wait_until_quiet() {
    const PATIENCE: Duration = Duration::from_millis(1500);
    const LOOK: Duration = Duration::from_millis(60);
    const QUIET: f64 = 0.85;
    let deadline = Instant::now() + PATIENCE;
    let mut before = Ticks::now();
    while Instant::now() < deadline && !process::is_interrupted() {
        thread::sleep(LOOK);
        let now = Ticks::now();
        let passed = now.since(before);
        if passed.all > 0 && passed.idle as f64 >= QUIET * passed.all as f64 {
            return;
        }
        before = now;
    }
}

/// Waits until the server, too, has closed the connections of a load: only its listener is left. Not for long: a
/// peer that never closes is no reason to fail.
pub fn wait_until_closed() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let deadline = Instant::now() + PATIENCE;
    process::wait_for("the end of all connections", 2 * PATIENCE, || {
        let sockets = fs::read_to_string("/proc/thread-self/net/sockstat").unwrap_or_default();
        let closed = proc::sockets_in_use(&sockets).is_none_or(|count| count <= 1);
        Ok((closed || Instant::now() >= deadline).then_some(()))
    })
}

/// Where the cgroup v2 hierarchy is mounted.
pub fn cgroup_root() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading the mounts")?;
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|words| words.get(2) == Some(&"cgroup2"));
    let mount = mount.context("no cgroup v2 hierarchy is mounted")?;
    Ok(PathBuf::from(mount[1]))
}

/// What the figures were made on.
pub struct Description {
    pub commit: String,
    pub kernel: String,
    pub processor: String,
    pub processors: usize,
    pub memory_gib: u64,
}

impl Description {
    pub fn read(project: &Project) -> Self {
        let file = |name| fs::read_to_string(name).unwrap_or_default();
        let value = |text: &str, name: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
            value.unwrap_or("unknown").to_owned()
        };
        let memory = value(&file("/proc/meminfo"), "MemTotal");
        let kib = memory.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        Self {
            commit: commit(project).unwrap_or_else(|_| "unknown".to_owned()),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: value(&file("/proc/cpuinfo"), "model name"),
            processors: thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.div_ceil(1024 * 1024),
        }
    }
}

/// The commit that was built, and whether the checkout differs from it in more than documents.
fn commit(project: &Project) -> Result<String> {
    let git = |args: &[&str]| capture(Command::new("git").current_dir(&project.root).args(args));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--", ".", ":!docs", ":!*.md"])?;
    let mark = if changes.trim().is_empty() { "" } else { " with changes" };
    Ok(format!("{}{mark}", commit.trim()))
}

/// Where a benchmark keeps what it makes; removed when dropped.
pub struct Scratch {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl Scratch {
    /// An error while another benchmark runs: the figures of both would mean nothing.
    pub fn new(project: &Project) -> Result<Self> {
        let lock = project.target.join("bench.lock");
        let file = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, error)| error)
            .context("another benchmark seems to be running")?;
        let dir = project.target.join("bench");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("emptying {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self { dir, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in target/ and is emptied by the next run.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// What stands in the way of benchmarks on this host, if anything does.
pub fn check() -> Result<()> {
    if !crate::project::is_root() {
        bail!("benchmarks load BPF programs and make network namespaces: run this as root");
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!("this kernel has no BTF (/sys/kernel/btf/vmlinux): tracer cannot run here");
    }
    cgroup_root().map(|_| ())
}
