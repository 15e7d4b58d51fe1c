//! `tracer daemon`, running.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::environment;

/// Ended when dropped.
pub struct Daemon {
    child: Child,
    /// The line that says where it listens.
    pub said: String,
}

impl Daemon {
    /// Comes back when its hooks are attached and it listens at `socket`.
    #[track_caller]
    pub fn start(socket: &Path, arguments: &[&str]) -> Daemon {
        let mut child = Command::new(environment::tracer())
            .args(["daemon", "--socket"])
            .arg(socket)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start the daemon");
        let said = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut lines = said.lines().map_while(Result::ok);
        let said = lines.find(|line| line.contains("listening at")).expect("it listens");
        // What more it says is read, so that it never waits.
        std::thread::spawn(move || lines.count());
        Daemon { child, said }
    }

    /// Ends it as an operator would.
    pub fn stop(&mut self) -> ExitStatus {
        // One that has ended by itself has its status.
        _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM);
        self.child.wait().expect("wait for the daemon")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}
