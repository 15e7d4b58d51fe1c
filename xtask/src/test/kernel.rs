//! The kernel tests: real sockets under the real programs, on this kernel and on others.

use std::{
    fs,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::ScopedJoinHandle,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    checks::{counted, packages, test_names},
    report::{Outcome, Report, Step, time_step},
    vm,
};
use crate::{
    project::{Project, is_root},
    setup::{kernels, programs},
    shell::{self, capture, describe, for_each_line, say},
};

/// The tests that need nothing but a kernel, and so run inside an emulator too.
const IN_EMULATOR: [&str; 3] = ["kernel_cases", "kernel_filter", "kernel_life"];

/// The compiled tests and the program under test.
pub struct Built {
    pub tests: Vec<Test>,
    pub tracer: PathBuf,
}

/// A compiled test program.
#[derive(Clone)]
pub struct Test {
    pub name: String,
    pub file: PathBuf,
}

/// Gets what the tests will use. Whatever goes wrong here goes wrong again, and is told, when it is
/// needed.
pub fn fetch(project: &Project, wanted: &[&str]) {
    let _ = programs::ensure(project, &programs::FOR_TESTS);
    for version in wanted.iter().filter(|name| **name != "host") {
        let _ = kernels::ensure(project, version);
    }
}

/// Runs the kernel tests on every kernel in `wanted`, after `fetching` has ended.
pub fn run(
    project: &Project,
    wanted: &[&str],
    fetching: Option<ScopedJoinHandle<'_, ()>>,
    args: &[String],
    report: &mut Report,
) {
    let mut built = None;
    report.step("building the kernel tests", || {
        let names = kernel_tests(&project.root)?;
        if names.is_empty() {
            return Ok(Outcome::Skipped("tracer/tests has no kernel_* test".into()));
        }
        let count = names.len();
        built = Some(build(project, &names)?);
        Ok(Outcome::Passed(format!("{count} programs")))
    });
    // A panic in there has been printed; what it did not fetch is fetched again.
    let _ = fetching.map(ScopedJoinHandle::join);
    let Some(built) = built else { return };
    if wanted.contains(&"host") {
        report.step(&format!("kernel tests on {} (this host)", running_kernel()), || {
            on_this_host(project, &built, args)
        });
    }
    let others: Vec<&str> = wanted.iter().copied().filter(|name| *name != "host").collect();
    for step in in_emulators(project, &others, &built, args) {
        report.add(step);
    }
}

fn kernel_tests(root: &Path) -> Result<Vec<String>> {
    let names = test_names(root)?;
    Ok(names.into_iter().filter(|name| name.starts_with("kernel_")).collect())
}

fn running_kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}

/// Compiles the tests and asks cargo where it put them.
fn build(project: &Project, names: &[String]) -> Result<Built> {
    let mut command = project.cargo();
    packages(command.arg("test")).args(["--no-run", "--message-format=json-render-diagnostics"]);
    for name in names {
        command.args(["--test", name]);
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", describe(&command)))?;
    let stdout = child.stdout.take().context("no pipe from cargo")?;
    let mut found = Vec::new();
    for_each_line(stdout, |line| found.extend(executable(line)))?;
    if !child.wait().context("waiting for cargo")?.success() {
        bail!("the kernel tests do not compile");
    }
    let (programs, tests): (Vec<_>, Vec<_>) = found.into_iter().partition(|t| t.name == "tracer");
    let tracer = programs.into_iter().next().context("cargo did not say where tracer is")?.file;
    Ok(Built { tests, tracer })
}

/// The program that a message of cargo's tells of.
fn executable(message: &str) -> Option<Test> {
    let message: Value = serde_json::from_str(message).ok()?;
    let file = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?;
    Some(Test { name: name.to_owned(), file: file.into() })
}

/// Compiles one kernel test and runs it on this host with further environment variables.
pub fn alone(
    project: &Project,
    name: &str,
    variables: &[(&str, &str)],
    args: &[String],
) -> Result<Outcome> {
    let built = build(project, &[name.to_owned()])?;
    if let Some(reason) = why_not_here() {
        return Ok(Outcome::Skipped(reason));
    }
    get_programs(project);
    let test = built.tests.first().with_context(|| format!("there is no test {name}"))?;
    counted(as_root(project, test, variables)?.args(args))
}

/// The tests themselves name what they cannot do without.
fn get_programs(project: &Project) {
    match programs::ensure(project, &programs::FOR_TESTS) {
        Ok(missing) => missing.into_iter().for_each(say),
        Err(error) => say(format_args!("programs for tests: {error:#}")),
    }
}

fn on_this_host(project: &Project, built: &Built, args: &[String]) -> Result<Outcome> {
    if let Some(reason) = why_not_here() {
        return Ok(Outcome::Skipped(reason));
    }
    get_programs(project);
    let mut passed = Vec::new();
    let mut failed = Vec::new();
    for test in &built.tests {
        match counted(as_root(project, test, &[])?.args(args))? {
            Outcome::Passed(counts) => passed.push(format!("{}: {counts}", test.name)),
            Outcome::Failed(counts) => failed.push(format!("{}: {counts}", test.name)),
            Outcome::Skipped(_) => {}
        }
    }
    Ok(if failed.is_empty() {
        Outcome::Passed(passed.join("; "))
    } else {
        Outcome::Failed(failed.join("; "))
    })
}

/// What stands in the way of loading BPF programs on this host, if anything does.
fn why_not_here() -> Option<String> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("this kernel has no BTF (/sys/kernel/btf/vmlinux)".into());
    }
    if is_root() {
        return missing_capability();
    }
    let asked = ask_for_root();
    (!asked).then(|| "no root rights, and sudo does not give them".into())
}

/// Root in a container often may not load BPF programs.
fn missing_capability() -> Option<String> {
    const CAP_NET_ADMIN: u64 = 1 << 12;
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    let wanted = [(CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")];
    let (_, name) = wanted.into_iter().find(|(bit, _)| mask & bit == 0)?;
    Some(format!("root here lacks {name}: no BPF programs and no network namespaces"))
}

/// Whether sudo works; a person at a terminal is asked for the password.
fn ask_for_root() -> bool {
    let silent = capture(Command::new("sudo").args(["--non-interactive", "true"])).is_ok();
    silent
        || std::io::stdin().is_terminal()
            && shell::run(Command::new("sudo").args(["--validate", "--prompt", PROMPT])).is_ok()
}

const PROMPT: &str = "the kernel tests load BPF programs and need root; password for %u: ";

fn as_root(project: &Project, test: &Test, variables: &[(&str, &str)]) -> Result<Command> {
    let mut environment = vec![("PATH", project.path_with_tools()?)];
    let variables = [("TRACER_KERNEL_TESTS", "1")].iter().chain(variables);
    environment.extend(variables.map(|(name, value)| (*name, value.into())));
    let mut command;
    if is_root() {
        command = Command::new(&test.file);
        command.envs(environment);
    } else {
        // sudo sets the environment up anew.
        command = Command::new("sudo");
        command.args(["--non-interactive", "env"]);
        for (name, value) in environment {
            let mut assignment = std::ffi::OsString::from(name);
            assignment.push("=");
            assignment.push(value);
            command.arg(assignment);
        }
        command.arg(&test.file);
    }
    // As cargo starts tests.
    command.current_dir(project.root.join("tracer"));
    Ok(command)
}

/// All at the same time: the tests mostly wait for timers.
fn in_emulators(project: &Project, versions: &[&str], built: &Built, args: &[String]) -> Vec<Step> {
    let tests: Vec<Test> =
        built.tests.iter().filter(|t| IN_EMULATOR.contains(&t.name.as_str())).cloned().collect();
    // Downloads first, one after the other.
    let guests = versions.iter().map(|version| (*version, prepare(project, version)));
    let guests: Vec<_> = guests.collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = guests
            .into_iter()
            .map(|(version, guest)| {
                let tests = &tests;
                scope.spawn(move || {
                    let name = format!("kernel tests on {version} (emulated)");
                    time_step(&name, || match guest {
                        Ok(guest) => vm::run(project, &guest, tests, &built.tracer, args),
                        Err(reason) => Ok(Outcome::Skipped(format!("{reason:#}"))),
                    })
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn prepare(project: &Project, version: &str) -> Result<vm::Guest> {
    if let Some(missing) = programs::ensure(project, &[programs::EMULATOR])?.into_iter().next() {
        bail!("{missing}");
    }
    let emulator = project.which(programs::EMULATOR.name).context("no emulator")?;
    Ok(vm::Guest { kernel: kernels::ensure(project, version)?, emulator })
}
