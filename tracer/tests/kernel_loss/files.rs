//! Recordings that go on for long: several files, and the last minutes alone.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracer::merge::{Pairs, Shift};
use tracer::record::{Connection, Outcome, Record};
use tracer::recording::{Reader, Writer};

use crate::make_connections;
use crate::support::netns::Namespace;
use crate::support::{environment, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// `tracer record` and what it says.
struct Recorder {
    child: Child,
    said: Receiver<String>,
}

impl Recorder {
    /// Comes back when it traces, which a line says.
    fn start(output: &Path, arguments: &[&str]) -> Result<Recorder, String> {
        let mut child = Command::new(environment::tracer())
            .args(["record", "-o"])
            .arg(output)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let stderr = child.stderr.take().expect("stderr is piped");
        let (lines, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let recorder = Recorder { child, said };
        recorder.wait_for("tracing")?;
        Ok(recorder)
    }

    /// Waits until it says something with `word` in it.
    fn wait_for(&self, word: &str) -> Result<(), String> {
        let mut all = String::new();
        while let Ok(line) = self.said.recv_timeout(LONG) {
            if line.contains(word) {
                return Ok(());
            }
            all += &line;
        }
        Err(format!("it never said {word:?}, but: {all}"))
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).map_err(|e| e.to_string())
    }

    fn stop(mut self) -> Result<(), String> {
        self.signal(Signal::SIGTERM)?;
        let status = self.child.wait().map_err(|e| e.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
    }
}

/// The connections of a recording that is whole, of one namespace; the errors of one that is not.
fn connections(path: &Path, netns: u32) -> Result<Vec<Connection>, String> {
    let mut command = Command::new(environment::tracer());
    let output = command.arg("export").arg(path).args(["--to", "jsonl"]).output();
    let output = output.map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.is_empty() {
        return Err(format!("{}: {} {said}", path.display(), output.status));
    }
    let text = String::from_utf8(output.stdout).map_err(|e| e.to_string())?;
    let mut records = text.lines().map(Record::from_json);
    if !matches!(records.next(), Some(Ok(Record::Host(_)))) {
        return Err(format!("{} does not begin with its host", path.display()));
    }
    let ours = records.filter_map(|record| match record {
        Ok(Record::Connection(connection)) if connection.netns == Some(netns) => {
            Some((*connection).clone())
        }
        _ => None,
    });
    Ok(ours.collect())
}

fn numbered(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("run.{number:04}.trace"))
}

/// A connection that goes on, both its ends.
fn lasting(namespace: &Namespace) -> (TcpStream, TcpStream, SocketAddr) {
    namespace.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("its address");
        let client = TcpStream::connect(address).expect("a connection");
        let (server, _) = listener.accept().expect("its other end");
        (client, server, address)
    })
}

/// Each file of a run can be read by itself and knows the connections that were open in it.
pub fn in_several_files() -> Result<(), String> {
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let recorder =
        Recorder::start(&folder.path().join("run.trace"), &["--max-age", "1s", "--keep", "3"])?;
    if !wait_until(LONG, || numbered(folder.path(), 1).exists()) {
        return Err("no file was begun".to_owned());
    }
    let (client, _server, address) = lasting(&namespace);
    if !wait_until(LONG, || numbered(folder.path(), 6).exists()) {
        return Err("it does not go on to the sixth file".to_owned());
    }
    drop(client);
    recorder.stop()?;
    let kept: Vec<u32> = (1..100).filter(|n| numbered(folder.path(), *n).exists()).collect();
    if kept.len() != 3 || kept[0] < 4 {
        return Err(format!("the files that were kept: {kept:?}"));
    }
    for number in kept {
        let found = connections(&numbered(folder.path(), number), namespace.inode())?;
        let ends = found.iter().filter(|c| [c.local.port, c.remote.port].contains(&address.port()));
        let ends: Vec<_> = ends.map(|c| (c.opened_at.is_some(), c.exe.is_some())).collect();
        if ends != [(true, true); 2] {
            return Err(format!("file {number} does not know the connection: {found:?}"));
        }
    }
    Ok(())
}

/// What was before the trigger is on disk with what came of it; what asks again gets another file.
pub fn of_the_last_minutes() -> Result<(), String> {
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let netns = namespace.inode();
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let when = format!("outcome:refused netns:{netns}");
    let arguments = ["--last", "10m", "--when", when.as_str()];
    let recorder = Recorder::start(&folder.path().join("run.trace"), &arguments)?;
    make_connections(&namespace);
    let (_client, _server, address) = lasting(&namespace);
    let nobody = namespace.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        TcpStream::connect(address).expect_err("nobody listens");
        address
    });
    recorder.wait_for("run.0001.trace")?;
    let found = connections(&numbered(folder.path(), 1), netns)?;
    let refused = |c: &&Connection| c.remote.port == nobody.port() && c.outcome == Outcome::Refused;
    let open = |c: &&Connection| {
        c.outcome == Outcome::Open && [c.local.port, c.remote.port].contains(&address.port())
    };
    let counts = (
        found.len() as u64,
        found.iter().filter(refused).count(),
        found.iter().filter(open).count(),
    );
    // Both ends of each before it, the refused one, and both ends of the one that lasts.
    if counts != (2 * crate::CONNECTIONS + 3, 1, 2) {
        return Err(format!("all, refused, open: {counts:?}"));
    }
    recorder.signal(Signal::SIGUSR1)?;
    recorder.wait_for("run.0002.trace")?;
    if connections(&numbered(folder.path(), 2), netns)?.len() != found.len() {
        return Err("the second file does not hold what the first does".to_owned());
    }
    recorder.stop()
}

/// What the second host's clock is ahead by, nanoseconds.
const AHEAD_NS: i64 = 250_000_000;

/// The clients' ends in one recording, the servers' in another that comes from a host whose clock is 250 ms ahead.
pub fn of_two_hosts() -> Result<(), String> {
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let netns = namespace.inode();
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let [ours, theirs, later, both] =
        ["a.trace", "b.trace", "b-later.trace", "both.trace"].map(|name| folder.path().join(name));
    let only = format!("netns:{netns}");
    let clients = Recorder::start(&ours, &["role:client", &only])?;
    let servers = Recorder::start(&theirs, &["role:server", &only])?;
    make_connections(&namespace);
    clients.stop()?;
    servers.stop()?;
    by_another_clock(&theirs, &later)?;

    let mut merge = Command::new(environment::tracer());
    merge.arg("merge").args([&ours, &later]).arg("-o").arg(&both);
    let output = merge.output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    let (Some(ahead_ms), Some(doubt_ms)) =
        (number_before(&said, " ms ahead"), number_behind(&said, "to within "))
    else {
        return Err(format!("{}: {said}", output.status));
    };
    if (ahead_ms - 250.0).abs() > 1.0 || doubt_ms > 1.0 {
        return Err(format!("the clocks: {said}"));
    }
    let found = connections(&both, netns)?;
    let tied = found.iter().filter(|end| {
        let peer = found.iter().find(|other| Some(other.id) == end.peer);
        peer.is_some_and(|peer| peer.peer == Some(end.id) && peer.local == end.remote)
    });
    let tied = tied.count() as u64;
    if (found.len() as u64, tied) == (2 * crate::CONNECTIONS, 2 * crate::CONNECTIONS) {
        Ok(())
    } else {
        Err(format!("{} ends, {tied} of them tied: {said}", found.len()))
    }
}

/// The recording as a host would have made it whose clock is ahead.
fn by_another_clock(from: &Path, to: &Path) -> Result<(), String> {
    let file = std::fs::File::open(from).map_err(|e| e.to_string())?;
    let mut records = Reader::new(file).map_err(|e| e.to_string())?;
    let shift = Shift { ahead_ns: -AHEAD_NS, ids: 0 };
    let mut next = || {
        let record = records.next()?.expect("the recording is whole");
        Some(shift.second(record, &Pairs::default()))
    };
    let Some(Record::Host(host)) = next() else { return Err("no host".to_owned()) };
    let at = host.started_at;
    let sink = std::fs::File::create(to).map_err(|e| e.to_string())?;
    let mut writer = Writer::new(sink, &host, at).map_err(|e| e.to_string())?;
    while let Some(record) = next() {
        writer.write(&record, at).map_err(|e| e.to_string())?;
    }
    writer.finish().map_err(|e| e.to_string())?;
    Ok(())
}

fn number_before(text: &str, word: &str) -> Option<f64> {
    text[..text.find(word)?].rsplit(' ').next()?.parse().ok()
}

fn number_behind(text: &str, word: &str) -> Option<f64> {
    text[text.find(word)? + word.len()..].split(' ').next()?.parse().ok()
}
