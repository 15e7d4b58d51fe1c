//! The field's own tool as a second witness: `tcpstates` of libbpf-tools, where it is installed.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::environment;
use super::witness::{Told, named};
use super::{STEP, wait_until};

/// A running `tcpstates`.
pub struct TcpStates {
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl TcpStates {
    /// Starts it; `None` where it is not installed, or finds that it cannot run here.
    pub fn start() -> Option<TcpStates> {
        let program = environment::program("tcpstates")?;
        let mut child = Command::new(program)
            .arg("--wide")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let stdout = collect(child.stdout.take()?);
        let stderr = collect(child.stderr.take()?);
        let pid = child.id();
        wait_until(STEP, || attached(pid) || !matches!(child.try_wait(), Ok(None)));
        matches!(child.try_wait(), Ok(None)).then_some(TcpStates { child, stdout, stderr })
    }

    /// Ends it; what it told in order, and whether it says that it lost some.
    pub fn stop(mut self) -> (Vec<Told>, bool) {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        // It may have ended by itself; then there is nobody to tell.
        let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        let _ = self.child.wait();
        let text = self.stdout.join().expect("the reader does not panic");
        let errors = self.stderr.join().expect("the reader does not panic");
        let told = text.lines().zip(0..).filter_map(|(line, number)| parse(number, line));
        (told.collect(), errors.contains("lost") || errors.contains("Lost"))
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = from.read_to_string(&mut text);
        text
    })
}

/// It says nothing until its first full block of output; its descriptors tell that its programs are in place.
fn attached(pid: u32) -> bool {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let kinds: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let count = |kind: &str| kinds.iter().filter(|link| link.contains(kind)).count();
    count("perf_event") > 0 && count("eventpoll") > 0
}

/// `SKADDR PID COMM LADDR LPORT RADDR RPORT OLDSTATE -> NEWSTATE MS`; a name may have spaces, so from the right.
fn parse(number: u64, line: &str) -> Option<Told> {
    let socket = u64::from_str_radix(line.split_ascii_whitespace().next()?, 16).ok()?;
    let mut words = line.split_ascii_whitespace().rev().skip(1);
    let to = named(words.next()?)?;
    words.next().filter(|arrow| *arrow == "->")?;
    let from = named(words.next()?)?;
    let mut end = || -> Option<SocketAddr> {
        let port = words.next()?.parse().ok()?;
        let ip: IpAddr = words.next()?.parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), port))
    };
    let (remote, local) = (end()?, end()?);
    Some(Told { at_ns: number, socket, local, remote, from, to, task: 0 })
}
