//! A terminal under the test's control: a tmux server of its own with one window, into which keys go and out of which
//! comes what a person would see.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;

use crate::support::{STEP, environment, wait_until};

/// Columns and lines of a terminal.
pub type Size = (u16, u16);

/// Between two looks at the screen.
const LOOK: Duration = Duration::from_millis(25);

/// The server's own settings. The window is all pane; a program that has ended leaves its last words; an unpacked
/// tmux has libraries of its own, which are not for what runs in it.
const SETTINGS: &str = "\
set-option -g status off
set-option -g remain-on-exit on
set-option -g default-terminal screen-256color
set-environment -g -u LD_LIBRARY_PATH
";

/// See the module.
pub struct Terminal {
    tmux: PathBuf,
    folder: TempDir,
    /// The first process of the window.
    pub pid: u32,
}

impl Terminal {
    /// Starts a program in a new terminal, with these variables beside PATH and TERM and no others.
    #[track_caller]
    pub fn start(size: Size, variables: &[(&str, &str)], program: &[&str]) -> Terminal {
        let tmux = environment::program("tmux").expect("the table's tests need tmux");
        let folder = tempfile::tempdir().expect("make a folder for the terminal's socket");
        let settings = folder.path().join("settings");
        std::fs::write(&settings, SETTINGS).expect("write the terminal's settings");
        let mut terminal = Terminal { tmux, folder, pid: 0 };
        let mut command = terminal.command();
        command.arg("-f").arg(&settings).args(["new-session", "-d"]);
        command.args(["-x", &size.0.to_string(), "-y", &size.1.to_string()]);
        for (name, value) in variables {
            command.args(["-e", &format!("{name}={value}")]);
        }
        run(command.arg("--").args(program));
        terminal.pid = terminal.ask("#{pane_pid}").parse().expect("a process id");
        terminal
    }

    /// tmux with an environment that says nothing about colours or languages; `-u`: UTF-8 whatever it says.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.tmux);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.arg("-u").arg("-S").arg(self.folder.path().join("socket")).stdin(Stdio::null());
        command
    }

    /// Presses keys, by tmux's names for them.
    #[track_caller]
    pub fn press(&self, keys: &[&str]) {
        run(self.command().args(["send-keys", "--"]).args(keys));
    }

    /// Types text.
    #[track_caller]
    pub fn type_in(&self, text: &str) {
        run(self.command().args(["send-keys", "-l", "--", text]));
    }

    /// Changes the window's size.
    #[track_caller]
    pub fn resize(&self, (width, height): Size) {
        let (width, height) = (width.to_string(), height.to_string());
        run(self.command().args(["resize-window", "-x", &width, "-y", &height]));
    }

    /// What tmux knows about its terminal: `#{cursor_flag}` and the like.
    #[track_caller]
    pub fn ask(&self, format: &str) -> String {
        run(self.command().args(["display-message", "-p", format])).trim_end().to_owned()
    }

    /// What is on the screen now. A line that went over the edge is one line here too, longer than the screen is wide.
    #[track_caller]
    pub fn picture(&self) -> Picture {
        Picture::of(&run(self.command().args(["capture-pane", "-p", "-J"])))
    }

    /// The same with the escape sequences of its looks.
    #[track_caller]
    pub fn looks(&self) -> String {
        run(self.command().args(["capture-pane", "-p", "-e"]))
    }

    /// Looks at the screen until it meets a condition, for as long as a step may take.
    #[track_caller]
    pub fn until(&self, what: &str, condition: impl Fn(&Picture) -> bool) -> Picture {
        self.until_within(STEP, what, condition)
    }

    /// Looks at the screen until it meets a condition.
    #[track_caller]
    pub fn until_within(
        &self,
        within: Duration,
        what: &str,
        condition: impl Fn(&Picture) -> bool,
    ) -> Picture {
        let deadline = Instant::now() + within;
        loop {
            let picture = self.picture();
            if condition(&picture) {
                return picture;
            }
            let over = Instant::now() >= deadline || picture.has(&["Pane is dead"]);
            assert!(!over, "not on the screen: {what}\n{picture}");
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Terminal {
    /// The server hangs up on what runs in the window. Nothing in here panics: a test may have done so already.
    fn drop(&mut self) {
        let _ = self.command().arg("kill-server").stderr(Stdio::null()).status();
        // An ended process may wait long for process 1 to take note of it, but has no binary any more.
        let binary = PathBuf::from(format!("/proc/{}/exe", self.pid));
        if self.pid != 0 && !wait_until(STEP, || binary.read_link().is_err()) {
            eprintln!("process {} outlives its terminal", self.pid);
        }
    }
}

/// Runs tmux; what it printed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("start tmux");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {words}", output.status);
    String::from_utf8(output.stdout).expect("tmux writes UTF-8")
}

/// What stands on a screen.
pub struct Picture {
    pub lines: Vec<String>,
}

impl Picture {
    fn of(text: &str) -> Picture {
        Picture { lines: text.lines().map(|line| line.trim_end().to_owned()).collect() }
    }

    /// The first line that has all of these in it, and its place.
    pub fn line(&self, parts: &[&str]) -> Option<(usize, &str)> {
        let has_all = |line: &&String| parts.iter().all(|part| line.contains(part));
        let at = self.lines.iter().position(|line| has_all(&line))?;
        Some((at, &self.lines[at]))
    }

    /// Whether a line has all of these in it.
    pub fn has(&self, parts: &[&str]) -> bool {
        self.line(parts).is_some()
    }

    /// How many lines have all of these in them.
    pub fn count(&self, parts: &[&str]) -> usize {
        self.lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// The first line.
    pub fn header(&self) -> &str {
        self.lines.first().map_or("", String::as_str)
    }

    /// The last line: keys, or the filter line.
    pub fn footer(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// Fails unless it is as large as the terminal, and nothing went over its edge.
    #[track_caller]
    pub fn must_fit(&self, (width, height): Size) {
        let widest = self.lines.iter().map(|line| line.width()).max().unwrap_or(0);
        let fits = widest <= usize::from(width) && self.lines.len() == usize::from(height);
        assert!(fits, "{} lines, {widest} columns in {width}x{height}:\n{self}", self.lines.len());
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "| {line}"))
    }
}

/// The child of a process that has this name.
pub fn child(parent: u32, name: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| is_child(Path::new(&format!("/proc/{pid}/stat")), parent, name))
}

/// Whether a process has this parent and this name; its stat line is `pid (name) state parent ...`.
fn is_child(stat: &Path, parent: u32, name: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(stat) else { return false };
    let Some((before, after)) = stat.rsplit_once(") ") else { return false };
    before.ends_with(&format!("({name}"))
        && after.split(' ').nth(1).is_some_and(|word| word == parent.to_string())
}
