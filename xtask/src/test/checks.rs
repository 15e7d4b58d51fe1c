//! What needs no root rights: formatting, lints, documents, and the tests of pure code.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::report::{Counts, Outcome, Report};
use crate::{
    project::{CRATES, Project},
    shell::{self, describe, for_each_line},
    toolchain::{PACKAGE, Toolchain},
};

pub fn run(project: &Project, report: &mut Report) {
    report.step("formatting", || plain(component(project, "fmt")?.args(["--all", "--check"])));
    report.step("eBPF build", || ebpf(project));
    report.step("clippy", || {
        let mut command = component(project, "clippy")?;
        plain(packages(&mut command).args(["--all-targets", "--", "--deny", "warnings"]))
    });
    report.step("unit and integration tests", || {
        let mut command = project.cargo();
        packages(command.arg("test")).args(["--no-fail-fast", "--lib", "--bins"]);
        command.args(integration_tests(&project.root)?);
        counted(&mut command)
    });
    report.step("rustdoc", || {
        let mut command = project.cargo();
        packages(command.arg("doc")).arg("--no-deps").env("RUSTDOCFLAGS", "--deny warnings");
        plain(&mut command)
    });
}

/// A cargo subcommand that rustup installs by choice.
fn component(project: &Project, name: &str) -> Result<Command> {
    let mut command = project.cargo();
    command.arg(name);
    let mut probe = project.cargo();
    shell::capture(probe.args([name, "--version"]))
        .with_context(|| format!("no cargo {name}; get it with: rustup component add {name}"))?;
    Ok(command)
}

/// Names all crates, always: cargo compiles a dependency anew for another set of crates that use it.
pub fn packages(command: &mut Command) -> &mut Command {
    for name in CRATES {
        command.args(["--package", name]);
    }
    command
}

/// The kernel tests are run by themselves; all the others are named one by one.
fn integration_tests(root: &Path) -> Result<Vec<String>> {
    let names = test_names(root)?.into_iter().filter(|name| !name.starts_with("kernel_"));
    Ok(names.flat_map(|name| ["--test".to_owned(), name]).collect())
}

/// The names of tracer's integration tests, in alphabetical order.
pub fn test_names(root: &Path) -> Result<Vec<String>> {
    let dir = root.join("tracer/tests");
    let Ok(entries) = fs::read_dir(&dir) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        let is_test =
            path.extension().is_some_and(|ext| ext == "rs") || path.join("main.rs").is_file();
        if let Some(stem) = path.file_stem().filter(|_| is_test) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn plain(command: &mut Command) -> Result<Outcome> {
    shell::run(command)?;
    Ok(Outcome::Passed(String::new()))
}

/// Clippy cannot see the eBPF crate without a clippy for the BPF target, but the compiler's own
/// warnings count as much there as anywhere.
fn ebpf(project: &Project) -> Result<Outcome> {
    let toolchain = Toolchain::find(&[project.bpf()])?;
    let dir = project.bpf().join("build");
    let built = toolchain.build(&project.root, &dir, std::env::consts::ARCH)?;
    if built.messages.lines().any(|line| line.starts_with("warning:")) {
        bail!("compiling {PACKAGE} gave warnings:\n{}", built.messages);
    }
    let size = fs::metadata(&built.object).context("reading the eBPF object file")?.len();
    Ok(Outcome::Passed(format!("{} KiB", size / 1024)))
}

/// Runs a program that holds libtest tests, shows what it prints and counts the tests.
pub fn counted(command: &mut Command) -> Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", describe(command)))?;
    let stdout = child.stdout.take().context("no pipe from the tests")?;
    let mut counts = Counts::default();
    for_each_line(stdout, |line| {
        println!("{line}");
        counts.take(line);
    })?;
    let status = child.wait().with_context(|| format!("waiting for {}", describe(command)))?;
    Ok(if status.success() {
        Outcome::Passed(counts.to_string())
    } else {
        Outcome::Failed(format!("{counts} ({status})"))
    })
}
