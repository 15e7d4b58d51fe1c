//! A program on a terminal that this process holds the other end of.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// From being asked to end to the end.
const END: Duration = Duration::from_secs(8);

/// The program, what it writes, and where keys go. Dropped, it ends the program.
pub struct Terminal {
    child: Child,
    keys: File,
    bytes: Receiver<Vec<u8>>,
    ended: bool,
}

/// What a wait for the program's output gave.
pub enum Output {
    Bytes(Vec<u8>),
    Nothing,
    /// It has closed its terminal.
    End,
}

impl Terminal {
    /// Starts `program` on a terminal of `size` columns and rows.
    pub fn start(program: &Path, args: &[&str], size: (u16, u16)) -> Result<Self> {
        let size = Winsize { ws_col: size.0, ws_row: size.1, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).context("opening a terminal")?;
        let terminal = || pair.slave.try_clone().context("sharing a terminal");
        // As a terminal's window starts it: programs ask /dev/tty for the size, which is this one then.
        let mut command = Command::new("setsid");
        command.arg("-c").arg(program).args(args);
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR").env_remove("COLORFGBG");
        command.stdin(terminal()?).stdout(terminal()?).stderr(terminal()?);
        let child = command.spawn().context("starting setsid (of util-linux)")?;
        let keys = File::from(pair.master);
        let mut screen = keys.try_clone().context("sharing a terminal")?;
        let (sender, bytes) = mpsc::channel();
        // Ends with an error when the last program has closed the terminal.
        thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, keys, bytes, ended: false })
    }

    /// What the program writes next, if it does so within `patience`.
    pub fn read(&self, patience: Duration) -> Output {
        match self.bytes.recv_timeout(patience) {
            Ok(bytes) => Output::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Output::Nothing,
            Err(RecvTimeoutError::Disconnected) => Output::End,
        }
    }

    /// Types.
    pub fn write(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes()).context("typing")
    }

    /// Types `key`, which ends the program; where it does not, SIGTERM does.
    pub fn end(mut self, key: &str) -> Result<()> {
        self.write(key)?;
        let status = match self.wait(END)? {
            Some(status) => status,
            None => self.terminate()?,
        };
        if !status.success() && status.signal() != Some(Signal::SIGTERM as i32) {
            bail!("the program ended badly ({status})");
        }
        Ok(())
    }

    fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            let status = self.child.try_wait().context("waiting for the program")?;
            self.ended = status.is_some();
            if self.ended || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn terminate(&mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.child.id()).context("a process id beyond bounds")?;
        // It may have ended by itself; then there is nobody to tell.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        match self.wait(END)? {
            Some(status) => Ok(status),
            None => bail!("process {pid} does not end"),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.ended {
            // An error is under way already; that the program is left over is told by nobody else.
            if let Err(error) = self.terminate() {
                eprintln!("{error:#}");
            }
        }
    }
}
