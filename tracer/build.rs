//! Compiles the eBPF programs of `tracer-ebpf` and leaves the object file at
//! `$OUT_DIR/tracer-ebpf`, where the loader includes it from.
//!
//! Environment:
//! * `TRACER_SKIP_BPF=1` writes an empty object instead. The result compiles and lints, but cannot
//!   trace: for lint runs on machines without a BPF toolchain.
//! * `TRACER_BPF_RUSTC=/path/to/rustc` names a compiler that ships `core` for the BPF target.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

#[path = "build/toolchain.rs"]
mod toolchain;

use toolchain::{PACKAGE, Toolchain};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not returned from main: with RUST_BACKTRACE set the trace would bury the sentence.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("not under cargo")?);
    let workspace = manifest_dir.parent().context("this crate lies outside its workspace")?;
    watch_inputs(workspace);

    let object = out_dir.join(PACKAGE);
    if env::var_os("TRACER_SKIP_BPF").is_some_and(|value| value == "1") {
        println!("cargo:warning=TRACER_SKIP_BPF=1: built without eBPF programs, cannot trace");
        return fs::write(&object, []).with_context(|| format!("writing {}", object.display()));
    }

    let target_dir = toolchain::target_dir(&out_dir, workspace);
    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let mut bpf_dirs = vec![target_dir.join("bpf"), workspace.join("target/bpf")];
    bpf_dirs.dedup();
    let toolchain = Toolchain::find(&bpf_dirs)?;
    let built = toolchain.build(workspace, &target_dir.join("bpf/build"), &arch)?;
    relay_warnings(&built.messages);
    fs::copy(&built.object, &object)
        .with_context(|| format!("copying {} to {}", built.object.display(), object.display()))?;
    Ok(())
}

fn watch_inputs(workspace: &Path) {
    let inputs = [
        "Cargo.lock",
        "Cargo.toml",
        "tracer-common/Cargo.toml",
        "tracer-common/src",
        "tracer-ebpf/Cargo.toml",
        "tracer-ebpf/src",
        "tracer/build",
        "tracer/build.rs",
    ];
    for path in inputs {
        println!("cargo:rerun-if-changed={}", workspace.join(path).display());
    }
    for name in ["TRACER_SKIP_BPF", "TRACER_BPF_RUSTC"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
}

/// Cargo hides what a build script prints on stderr, so the compiler's warnings go this way.
fn relay_warnings(messages: &str) {
    let is_noise = |line: &str| {
        let line = line.trim_start();
        ["Compiling", "Finished", "Downloaded", "Downloading", "Locking", "Updating", "Blocking"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    if messages.contains("warning:") {
        for line in messages.lines().filter(|line| !is_noise(line) && !line.is_empty()) {
            println!("cargo:warning={line}");
        }
    }
}
