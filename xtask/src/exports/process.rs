//! A program that runs beside others. It stays in this process's group: Ctrl-C at the terminal ends it too.

use std::{
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::shell::describe;

/// From being asked to end to the end.
const PATIENCE: Duration = Duration::from_secs(15);

/// Dropped, it is asked to end.
pub struct Process {
    child: Child,
    name: String,
    has_ended: bool,
}

impl Process {
    pub fn start(command: &mut Command) -> Result<Self> {
        let name = describe(command);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name, has_ended: false })
    }

    /// Asks it to end as Ctrl-C does, and waits.
    pub fn end(mut self) -> Result<()> {
        let status = self.ask_to_end()?;
        if !status.success() {
            bail!("{} failed ({status})", self.name);
        }
        Ok(())
    }

    /// Waits until `condition` holds; an error if the program ends before that.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn() -> bool) -> Result<()> {
        wait_for(what, || {
            if let Some(status) = self.child.try_wait().context("waiting for a program")? {
                self.has_ended = true;
                bail!("{} ended before its time ({status})", self.name);
            }
            Ok(condition().then_some(()))
        })
    }

    fn ask_to_end(&mut self) -> Result<ExitStatus> {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("a process id")?);
        // It may have ended by itself; then there is nobody to tell.
        let _ = kill(pid, Signal::SIGINT);
        let child = &mut self.child;
        let status = wait_for(&format!("the end of {}", self.name), || {
            child.try_wait().context("waiting for a program")
        })?;
        self.has_ended = true;
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended && self.ask_to_end().is_err() {
            // Nothing more can be done about a process that cannot be killed.
            let _ = self.child.kill();
        }
    }
}

fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
