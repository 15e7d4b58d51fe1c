//! The half that needs root rights: traffic of many kinds in a network of its own, and a recording of it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::sethostname,
};

use super::{
    process::Process,
    site::{self, Site},
};
use crate::{
    project::Project,
    shell::{self, capture},
};

/// What the exports show as the host's name: whose machine made them is nobody's concern.
const HOST: &str = "web-1";
/// Likewise where the program is: for this process and what it starts, its directory is there.
const PROGRAM_DIR: &str = "/opt";
/// The addresses of the site and of `tracer demo`.
const ADDRESSES: &str = "host:127.84.0.0/16";
/// The demo begins all its scenarios within ten seconds; the longest takes six.
const DEMO: &str = "17s";
/// From the visits to the end of the recording: TIME_WAIT takes a minute, and some are to end.
const TIME_WAIT: Duration = Duration::from_secs(62);

/// Makes a recording with `program` and writes it to `output`, which keeps its owner; tells on stdout what is in it.
pub fn record(project: &Project, program: &Path, output: &Path) -> Result<()> {
    let scratch = Scratch::new(project)?;
    own_world(program)?;
    let site = Site::serve(project, scratch.path())?;
    let program = Path::new(PROGRAM_DIR).join(program.file_name().context("a program's name")?);
    // Older than the tracer: who opened it, and where its streams began, is unknown.
    let older = TcpStream::connect(site.address()).context("connecting to nginx")?;
    let recording = scratch.path().join("recording");
    let said = scratch.path().join("recorder.txt");
    let recorder = start_recorder(&program, &recording, &said)?;
    let visited = Instant::now();
    site.visit(project)?;
    ask(older)?;
    shell::run(
        Command::new(&program).args(["demo", "--plain", "--for", DEMO]).stdout(Stdio::null()),
    )?;
    thread::sleep(TIME_WAIT.saturating_sub(visited.elapsed()));
    recorder.end()?;
    let said = fs::read_to_string(&said).context("reading what the recorder said")?;
    print!("{said}");
    copy(&recording, output)
}

/// Host name, network and mounts of its own, for this process and what it starts.
fn own_world(program: &Path) -> Result<()> {
    let flags = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(flags).context("taking a network, mounts and a host name of its own")?;
    sethostname(HOST).context("setting the host name of its own")?;
    capture(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let dir = program.parent().context("a program's directory")?;
    capture(Command::new("mount").args(["--make-rprivate", "/"]))?;
    capture(Command::new("mount").arg("--bind").args([dir, Path::new(PROGRAM_DIR)]))?;
    Ok(())
}

/// Comes back when everything is attached: only then the file is there.
fn start_recorder(program: &Path, recording: &Path, said: &Path) -> Result<Process> {
    let said = File::create(said).with_context(|| format!("creating {}", said.display()))?;
    let filter = format!("{ADDRESSES} or port:{}", site::PORT);
    let mut command = Command::new(program);
    command.args(["record", "--output"]).arg(recording).arg(filter).stderr(said);
    let mut recorder = Process::start(&mut command)?;
    recorder.wait_until("the recording", || recording.exists())?;
    Ok(recorder)
}

/// A last request on a connection that stands already.
fn ask(mut stream: TcpStream) -> Result<()> {
    let request =
        format!("GET /style.css HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site::NAME);
    stream.write_all(request.as_bytes()).context("asking nginx")?;
    stream.read_to_end(&mut Vec::new()).context("reading nginx's answer")?;
    Ok(())
}

/// Into a file that is there already: it stays its owner's.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).context("opening the recording")?;
    let options = OpenOptions::new().write(true).create(true).truncate(true).open(to);
    let mut target = options.with_context(|| format!("opening {}", to.display()))?;
    io::copy(&mut source, &mut target).with_context(|| format!("writing {}", to.display()))?;
    Ok(())
}

/// Where servers and the recorder write; removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(project: &Project) -> Result<Self> {
        let dir = project.target.join("exports/stage");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("emptying {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self(dir))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in target/ and is emptied by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}
