//! Programs that a benchmark starts, and that end with it.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, kill, killpg},
        time::TimeValLike as _,
    },
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use crate::shell::describe;

/// Between looks at a condition: long enough not to be a load of its own.
const LOOK: Duration = Duration::from_millis(4);

fn interrupted() -> &'static Arc<AtomicBool> {
    static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    INTERRUPTED.get_or_init(Arc::default)
}

/// From now on Ctrl-C and SIGTERM end waits with an error instead of this process, so that what it
/// started is ended too.
pub fn catch_signals() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        signal_hook::flag::register(signal as i32, Arc::clone(interrupted()))
            .context("listening for signals")?;
    }
    Ok(())
}

/// Waits until `condition` gives something. An error when the time is over or a signal came; `what`
/// says what was waited for.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if interrupted().load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", within.as_secs());
        }
        thread::sleep(LOOK);
    }
}

/// Whether the run was interrupted: its errors then mean nothing else.
pub fn is_interrupted() -> bool {
    interrupted().load(Ordering::Relaxed)
}

/// A started program; dropped, it is killed.
pub struct Process {
    child: Child,
    name: String,
    ended: bool,
}

/// How a program ended.
pub struct Ended {
    pub status: ExitStatus,
    /// Processor time of the whole life, children that it waited for included.
    pub cpu_us: u64,
}

impl Ended {
    /// Whether it ended by itself and well, or by the signal that asked it to.
    pub fn is_orderly(&self) -> bool {
        self.status.success() || self.status.signal() == Some(Signal::SIGINT as i32)
    }
}

impl Process {
    /// Starts `command` in a process group of its own: Ctrl-C at the terminal reaches this process
    /// alone, which then ends the others in order.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", describe(command)))?;
        let name = describe(command).split(' ').next().unwrap_or_default().to_owned();
        Ok(Self { child, name, ended: false })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Itself and its children, and theirs.
    pub fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.id()];
        let mut next = 0;
        while let Some(pid) = tree.get(next) {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let text = text.unwrap_or_default();
            tree.extend(text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
            next += 1;
        }
        tree
    }

    /// Processor time of the whole tree so far.
    pub fn cpu_us(&self) -> u64 {
        self.tree().into_iter().filter_map(process_cpu_us).sum()
    }

    /// An error if it has ended already.
    pub fn expect_running(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().context("waiting for a program")? {
            self.ended = true;
            bail!("{} ended before its time ({status})", self.name);
        }
        Ok(())
    }

    /// Waits for its own end.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        let status = wait_for(&what, within, || child.try_wait().context("waiting for a program"))?;
        self.ended = true;
        Ok(status)
    }

    /// Asks it to end as Ctrl-C does, and waits; after `patience` it is killed.
    pub fn end(mut self, patience: Duration) -> Result<Ended> {
        let before_us = waited_cpu_us()?;
        // It may have ended by itself; then there is nobody to tell.
        let _ = kill(self.pid(), Signal::SIGINT);
        let status = match self.wait(patience) {
            Ok(status) => status,
            Err(error) if is_interrupted() => return Err(error),
            Err(_) => self.kill()?,
        };
        let cpu_us = waited_cpu_us()? - before_us;
        Ok(Ended { status, cpu_us })
    }

    /// With its group: what it started itself ends too.
    fn kill(&mut self) -> Result<ExitStatus> {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let status = self.child.wait().context("waiting for a killed program")?;
        self.ended = true;
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            // Nothing more can be done about a process that cannot be killed.
            let _ = self.kill();
        }
    }
}

/// Processor time of the children that this process has waited for.
fn waited_cpu_us() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking for children's times")?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(us).unwrap_or(0))
}

/// Processor time of this process and of the children that it has waited for.
pub fn own_cpu_us() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("asking for own times")?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(us).unwrap_or(0) + waited_cpu_us()?)
}

/// Processor time of all threads of a process, finer than the ticks of /proc/PID/stat.
fn process_cpu_us(pid: u32) -> Option<u64> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    let clock: ClockId = clock_getcpuclockid(pid).ok()?;
    let time = clock_gettime(clock).ok()?;
    u64::try_from(time.num_microseconds()).ok()
}

/// Runs a program to its end and returns what it wrote on stdout.
pub fn output(command: &mut Command, scratch: &Path, within: Duration) -> Result<String> {
    let file = scratch.join("load.out");
    let out = File::create(&file).with_context(|| format!("creating {}", file.display()))?;
    let errors = out.try_clone().context("sharing a file")?;
    let mut process = Process::start(command.stdout(out).stderr(errors))?;
    let status = process.wait(within)?;
    let text = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let text = String::from_utf8_lossy(&text).into_owned();
    if !status.success() {
        bail!("{} failed ({status}): {}", describe(command), text.trim());
    }
    Ok(text)
}
