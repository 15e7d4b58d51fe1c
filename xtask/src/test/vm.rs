//! Runs test programs on another kernel, in an emulator.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    initramfs::Initramfs,
    kernel::Test,
    report::{Counts, Outcome},
};
use crate::{
    project::Project,
    setup::kernels::Kernel,
    shell::{capture, describe, for_each_line},
};

/// Far more than the tests need even without hardware virtualisation.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// What the tests ask a kernel for that Debian builds as modules.
const MODULES: [&str; 8] =
    ["dummy", "inet_diag", "mptcp_diag", "tcp_diag", "tls", "tun", "veth", "netlink_diag"];

/// A kernel and what boots it.
pub struct Guest {
    pub kernel: Kernel,
    pub emulator: PathBuf,
}

pub fn run(
    project: &Project,
    guest: &Guest,
    tests: &[Test],
    tracer: &Path,
    args: &[String],
) -> Result<Outcome> {
    if tests.is_empty() {
        return Ok(Outcome::Skipped("no kernel test is meant for an emulator".into()));
    }
    let version = &guest.kernel.version;
    let initrd = project.vm().join(format!("{version}.cpio"));
    write_initramfs(project, guest, tests, tracer, args, &initrd)?;
    let mut console = Console::new(version);
    let mut child = boot(guest, &initrd)?;
    let ended = watch(&mut child, &mut console);
    // Whatever happened, no emulator is left behind; it may have ended by itself.
    let _ = child.kill();
    child.wait().context("waiting for the emulator")?;
    ended?;
    console.outcome(tests.len())
}

fn boot(guest: &Guest, initrd: &Path) -> Result<Child> {
    let mut command = Command::new(&guest.emulator);
    command
        // Works everywhere, also where this machine is a guest itself.
        // One thread for both processors: with a thread each, the emulator lets a processor run into the int3 of a
        // tracepoint that the other has just patched back (text_poke_bp), and the guest dies of it.
        .args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nic", "none", "-nographic", "-no-reboot", "-kernel"])
        .arg(&guest.kernel.image)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", "console=ttyS0 panic=-1 loglevel=3"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().with_context(|| format!("starting {}", describe(&command)))
}

/// Reads the console until it closes or the time is up.
fn watch(child: &mut Child, console: &mut Console) -> Result<()> {
    let stdout = child.stdout.take().context("no pipe from the emulator")?;
    let deadline = Instant::now() + TIMEOUT;
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || for_each_line(stdout, |line| drop(sender.send(line.to_owned()))));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => console.take(&line),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                bail!("still running after {} s", TIMEOUT.as_secs())
            }
        }
    }
}

/// What the guest has said so far.
struct Console {
    version: String,
    counts: Counts,
    succeeded: usize,
    failures: Vec<String>,
    done: bool,
}

impl Console {
    fn new(version: &str) -> Self {
        let version = version.to_owned();
        Self { version, counts: Counts::default(), succeeded: 0, failures: Vec::new(), done: false }
    }

    fn take(&mut self, line: &str) {
        let line = &without_escapes(line);
        println!("{:4} | {line}", self.version);
        self.counts.take(line);
        let Some(word) = line.strip_prefix("vm: ") else { return };
        if word == "done" {
            self.done = true;
        } else if word.ends_with(" ended with status 0") {
            self.succeeded += 1;
        } else if word.contains(" ended with status ") {
            self.failures.push(word.to_owned());
        }
    }

    fn outcome(self, expected: usize) -> Result<Outcome> {
        if !self.done {
            bail!("the guest stopped before its tests had ended");
        }
        if self.succeeded != expected {
            return Ok(Outcome::Failed(format!("{}: {}", self.counts, self.failures.join("; "))));
        }
        Ok(Outcome::Passed(self.counts.to_string()))
    }
}

/// The firmware clears the screen and moves the cursor, in the middle of lines.
fn without_escapes(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            // `ESC c` is whole; `ESC [ .. letter` is not.
            if chars.next() == Some('[') {
                chars.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if !char.is_control() {
            text.push(char);
        }
    }
    text
}

fn write_initramfs(
    project: &Project,
    guest: &Guest,
    tests: &[Test],
    tracer: &Path,
    args: &[String],
    to: &Path,
) -> Result<()> {
    let file = File::create(to).with_context(|| format!("creating {}", to.display()))?;
    let mut archive = Initramfs::new(BufWriter::new(file));
    for dir in ["proc", "sys", "dev", "tmp", "run", "root"] {
        archive.directory(dir)?;
    }
    archive.copy("init", &project.root.join("tracer/tests/vm/init"))?;
    archive.copy("bin/busybox", &guest.kernel.busybox)?;
    // The kernel calls it by this name.
    archive.symlink("sbin/modprobe", "/bin/busybox")?;
    archive.file("tests.env", environment(args).as_bytes())?;
    archive.copy("bin/tracer", tracer)?;
    let mut libraries = shared_libraries(tracer)?;
    for test in tests {
        archive.copy(&format!("tests/{}", test.name), &test.file)?;
        libraries.extend(shared_libraries(&test.file)?);
    }
    for library in libraries {
        archive.copy(library.trim_start_matches('/'), Path::new(&library))?;
    }
    add_modules(&mut archive, &guest.kernel.modules)?;
    archive.finish()
}

/// What init reads before it starts the tests.
fn environment(args: &[String]) -> String {
    let quoted: Vec<String> =
        args.iter().map(|arg| format!("'{}'", arg.replace('\'', r"'\''"))).collect();
    let arguments = quoted.join(" ").replace('\'', r"'\''");
    format!("export TRACER_KERNEL_TESTS=1 TRACER_BIN=/bin/tracer\nTEST_ARGUMENTS='{arguments}'\n")
}

/// The paths in what ldd prints: `libc.so.6 => /lib/libc.so.6 (0x..)`, and the loader's own.
fn shared_libraries(program: &Path) -> Result<BTreeSet<String>> {
    let listing = capture(Command::new("ldd").arg(program))?;
    let words = listing.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(str::to_owned).collect())
}

/// All in one directory: init makes the index.
fn add_modules<W: std::io::Write>(archive: &mut Initramfs<W>, modules: &Path) -> Result<()> {
    let release = modules.file_name().unwrap_or_default().to_string_lossy();
    let inside = format!("lib/modules/{release}");
    for index in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        archive.copy(&format!("{inside}/{index}"), &modules.join(index))?;
    }
    let mut dirs = vec![modules.join("kernel/net"), modules.join("kernel/drivers/net")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
            let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                dirs.push(path);
            } else if name.split_once('.').is_some_and(|(stem, _)| MODULES.contains(&stem)) {
                archive.copy(&format!("{inside}/{name}"), &path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(lines: &[&str]) -> Console {
        let mut console = Console::new("6.1");
        lines.iter().for_each(|line| console.take(line));
        console
    }

    #[test]
    fn a_guest_that_reports_every_program_as_0_has_passed() {
        let lines = [
            "test result: ok. 3 passed; 0 failed; 0 ignored",
            "vm: kernel_life ended with status 0",
            "vm: done",
        ];
        assert!(
            matches!(heard(&lines).outcome(1), Ok(Outcome::Passed(note)) if note == "3 tests passed")
        );
    }

    #[test]
    fn screen_control_of_the_firmware_does_not_hide_a_line() {
        assert_eq!(without_escapes("o\u{1b}c\u{1b}[?7l\u{1b}[2Jvm: up\r"), "ovm: up");
    }

    #[test]
    fn a_guest_that_reports_another_status_has_failed() {
        let lines = ["vm: kernel_life ended with status 101", "vm: done"];
        assert!(matches!(heard(&lines).outcome(1), Ok(Outcome::Failed(_))));
    }

    #[test]
    fn a_guest_that_stops_in_the_middle_has_failed_whatever_it_said_before() {
        assert!(heard(&["vm: kernel_life ended with status 0"]).outcome(1).is_err());
    }

    #[test]
    fn a_guest_that_ran_fewer_programs_than_it_was_given_has_failed() {
        assert!(matches!(heard(&["vm: done"]).outcome(1), Ok(Outcome::Failed(_))));
    }
}
