//! Compiles the targets with coverage counters.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    project::Project,
    shell::{capture, run},
};

/// A compiled target.
pub struct Program {
    pub target: String,
    pub file: PathBuf,
}

/// What libFuzzer asks for: a counter on each edge of the control flow, a table of what they count,
/// and the operands of comparisons (LLVM's SanitizerCoverage). The address sanitizer is left out:
/// it needs a nightly compiler, and the code under test has no unsafe block.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// The names of the targets, in alphabetical order: `fuzz/fuzz_targets/NAME.rs`.
pub fn targets(project: &Project) -> Result<Vec<String>> {
    let dir = project.root.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        if let Some(name) = path.file_stem() {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// What is missing to compile libFuzzer, if anything is.
pub fn why_not_here() -> Option<String> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let probe = Command::new(compiler).arg("--version").stdout(Stdio::null()).status();
    let works = probe.is_ok_and(|status| status.success());
    (!works).then(|| "libFuzzer needs a C++ compiler (Debian: apt-get install g++)".into())
}

/// Compiles `targets` into `target/fuzz`.
pub fn build(project: &Project, targets: &[String]) -> Result<Vec<Program>> {
    let triple = host()?;
    let mut command = project.cargo();
    command
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(project.root.join("fuzz/Cargo.toml"))
        // With a target named, the counters are only in what it runs, not in build scripts.
        .args(["--target", &triple])
        .env("CARGO_TARGET_DIR", project.fuzz())
        .env("RUSTFLAGS", format!("--cfg fuzzing {}", COVERAGE.join(" ")))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // No target loads the eBPF programs.
        .env("TRACER_SKIP_BPF", "1");
    for target in targets {
        command.args(["--bin", target]);
    }
    run(&mut command)?;
    let dir = project.fuzz().join(triple).join("release");
    let program = |target: &String| Program { target: target.clone(), file: dir.join(target) };
    Ok(targets.iter().map(program).collect())
}

/// The triple of the compiler that cargo uses.
fn host() -> Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = capture(Command::new(compiler).arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}
