//! Compiles the eBPF programs of `tracer-ebpf` for `bpfel-unknown-none` and leaves the object file
//! at `$OUT_DIR/tracer-ebpf`, where the loader includes it from.
//!
//! Environment:
//! * `TRACER_SKIP_BPF=1` writes an empty object instead. The result compiles and lints, but cannot
//!   trace: for lint runs on machines without a BPF toolchain.
//! * `TRACER_BPF_RUSTC=/path/to/rustc` names a compiler that ships `core` for the BPF target.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "tracer-ebpf";

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

    let target_dir = target_dir(&out_dir, workspace);
    let mut bpf_dirs = vec![target_dir.join("bpf"), workspace.join("target/bpf")];
    bpf_dirs.dedup();
    let toolchain = Toolchain::find(&bpf_dirs)?;
    let built = toolchain.build(workspace, &target_dir.join("bpf/build"))?;
    fs::copy(&built, &object)
        .with_context(|| format!("copying {} to {}", built.display(), object.display()))?;
    Ok(())
}

fn watch_inputs(workspace: &Path) {
    for path in ["tracer-ebpf/src", "tracer-ebpf/Cargo.toml", "tracer-common/src"] {
        println!("cargo:rerun-if-changed={}", workspace.join(path).display());
    }
    for path in ["tracer-common/Cargo.toml", "Cargo.toml", "Cargo.lock", "tracer/build.rs"] {
        println!("cargo:rerun-if-changed={}", workspace.join(path).display());
    }
    for name in ["TRACER_SKIP_BPF", "TRACER_BPF_RUSTC"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
}

/// The outer cargo's target directory. Cargo does not tell it to build scripts; the files cargo
/// leaves at its top do.
fn target_dir(out_dir: &Path, workspace: &Path) -> PathBuf {
    let is_top =
        |dir: &&Path| dir.join(".rustc_info.json").exists() || dir.join("CACHEDIR.TAG").exists();
    match out_dir.ancestors().find(is_top) {
        Some(dir) => dir.to_owned(),
        None => workspace.join("target"),
    }
}

/// A compiler that can make BPF code, with the linker that goes with it.
struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    linker: PathBuf,
    /// Where an unpacked (not installed) toolchain has its shared libraries.
    library_path: Option<PathBuf>,
    /// Whether `core` has to be compiled from rust-src, as only a nightly can.
    build_std: bool,
}

impl Toolchain {
    /// The first that is whole: the compiler named by the environment, rustup's nightly with
    /// rust-src, a nightly that setup put under `bpf_dirs`, a compiler unpacked there, the system's.
    fn find(bpf_dirs: &[PathBuf]) -> Result<Self> {
        let mut missing = Vec::new();
        for candidate in Self::candidates(bpf_dirs)? {
            match candidate.complete(bpf_dirs) {
                Ok(toolchain) => return Ok(toolchain),
                Err(reason) => missing.push(reason),
            }
        }
        bail!(
            "no toolchain for {TARGET} is ready, so the eBPF programs cannot be built.\n\
             Run this once; it puts one into target/bpf:\n\n    cargo xtask setup\n\n\
             Looked at:\n  - {}",
            missing.join("\n  - ")
        )
    }

    fn candidates(bpf_dirs: &[PathBuf]) -> Result<Vec<Candidate>> {
        let cargo = PathBuf::from(env::var_os("CARGO").context("CARGO is not set")?);
        let ships_core = |rustc: PathBuf| Candidate { cargo: cargo.clone(), rustc, nightly: false };
        if let Some(rustc) = env::var_os("TRACER_BPF_RUSTC") {
            return Ok(vec![ships_core(rustc.into())]);
        }
        let mut found = Vec::from_iter(rustup_nightly());
        found.extend(bpf_dirs.iter().flat_map(|dir| nightlies_in(&dir.join("rustup/toolchains"))));
        found.extend(bpf_dirs.iter().map(|dir| ships_core(dir.join("root/usr/bin/rustc"))));
        found.extend(env::var_os("RUSTC").map(|rustc| ships_core(rustc.into())));
        found.push(ships_core("/usr/bin/rustc".into()));
        Ok(found)
    }

    /// Compiles [`PACKAGE`] and returns the object file.
    fn build(&self, workspace: &Path, target_dir: &Path) -> Result<PathBuf> {
        let output = self
            .command(workspace, target_dir)?
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("starting {}", self.cargo.display()))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!(
                "compiling {PACKAGE} with {} and {} failed:\n{messages}",
                self.rustc.display(),
                self.linker.display()
            );
        }
        relay_warnings(&messages);
        Ok(target_dir.join(TARGET).join("release").join(PACKAGE))
    }

    fn command(&self, workspace: &Path, target_dir: &Path) -> Result<Command> {
        let mut command = Command::new(&self.cargo);
        clean_environment(&mut command);
        command
            .current_dir(workspace)
            .args(["build", "--release", "--package", PACKAGE, "--target", TARGET])
            // A directory of its own: the outer cargo holds the lock of the other one.
            .arg("--target-dir")
            .arg(target_dir)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags()?);
        if self.build_std {
            command.args(["-Z", "build-std=core"]);
        } else {
            // The BPF target's features are unstable, whoever compiled its core.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        Ok(command)
    }

    /// The flags in cargo's encoding, which survives spaces in paths.
    fn rustc_flags(&self) -> Result<OsString> {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH")?;
        let mut flags = OsString::from("-Clinker=");
        flags.push(&self.linker);
        // The kernel verifies against BTF, and the linker makes BTF from debug information.
        flags.push("\x1f-Clink-arg=--btf\x1f-Cdebuginfo=2");
        // aya-ebpf picks the layout of pt_regs by the architecture that the programs will run on.
        flags.push(format!("\x1f--cfg=bpf_target_arch=\"{arch}\""));
        Ok(flags)
    }
}

/// A compiler that may or may not be able to make BPF code.
struct Candidate {
    cargo: PathBuf,
    rustc: PathBuf,
    nightly: bool,
}

impl Candidate {
    fn complete(self, bpf_dirs: &[PathBuf]) -> Result<Toolchain, String> {
        let rustc = self.rustc.display();
        if !self.rustc.is_file() && self.rustc.components().count() > 1 {
            return Err(format!("{rustc}: not there"));
        }
        let library_path = unpacked_libraries(&self.rustc);
        if self.nightly && !has_rust_src(&self.rustc) {
            return Err(format!("{rustc}: a nightly without rust-src"));
        }
        if !self.nightly && !has_bpf_core(&self.rustc, library_path.as_deref()) {
            return Err(format!("{rustc}: has no core for {TARGET}"));
        }
        let Some(linker) = find_linker(self.nightly, bpf_dirs) else {
            return Err(format!("{rustc}: could be used, but there is no bpf-linker"));
        };
        let build_std = self.nightly;
        Ok(Toolchain { cargo: self.cargo, rustc: self.rustc, linker, library_path, build_std })
    }
}

/// Asks rustup where its nightly is; unlike `rustc +nightly` that never starts a download.
fn rustup_nightly() -> Option<Candidate> {
    let output = Command::new("rustup")
        .args(["which", "--toolchain", "nightly", "rustc"])
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let rustc = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    Some(Candidate { cargo: rustc.with_file_name("cargo"), rustc, nightly: true })
}

fn nightlies_in(toolchains: &Path) -> Vec<Candidate> {
    let entries = fs::read_dir(toolchains).into_iter().flatten().flatten();
    let bins = entries.map(|entry| entry.path().join("bin"));
    bins.map(|bin| Candidate { cargo: bin.join("cargo"), rustc: bin.join("rustc"), nightly: true })
        .collect()
}

fn has_rust_src(rustc: &Path) -> bool {
    let sysroot = rustc.parent().and_then(Path::parent);
    sysroot.is_some_and(|dir| dir.join("lib/rustlib/src/rust/library").is_dir())
}

/// rustc prints the directory whether or not it is there.
fn has_bpf_core(rustc: &Path, library_path: Option<&Path>) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]).stderr(Stdio::null());
    if let Some(path) = library_path {
        command.env("LD_LIBRARY_PATH", path);
    }
    let Ok(output) = command.output() else { return false };
    let dir = String::from_utf8_lossy(&output.stdout);
    let mut files = fs::read_dir(dir.trim()).into_iter().flatten().flatten();
    files.any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

/// `<root>/usr/lib/<triplet>` beside `<root>/usr/bin/rustc`, when that is not the system's own.
fn unpacked_libraries(rustc: &Path) -> Option<PathBuf> {
    let usr = rustc.parent()?.parent().filter(|usr| *usr != Path::new("/usr"))?;
    let entries = fs::read_dir(usr.join("lib")).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|dir| dir.to_string_lossy().ends_with("-linux-gnu"))
}

/// bpf-linker must know at least the compiler's LLVM. The one in `tools` was built by setup for a
/// compiler that ships core; a nightly, whose LLVM moves on, wants a released one.
fn find_linker(nightly: bool, bpf_dirs: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|dir| dir.join("bpf-linker"));
    let own = |name| bpf_dirs.iter().map(move |dir| dir.join(name).join("bin/bpf-linker"));
    let is_file = |linker: &PathBuf| linker.is_file();
    if nightly {
        on_path.chain(own("nightly")).find(is_file)
    } else {
        own("tools").chain(on_path).find(is_file)
    }
}

/// Keeps what says how to reach the network and how many jobs to run, and removes everything that
/// describes the outer build: its flags, its compiler wrappers (clippy's), its profile and target.
fn clean_environment(command: &mut Command) {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_MAKEFLAGS",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const OUTER: [&str; 5] = ["CARGO", "RUSTFLAGS", "RUSTDOC", "RUSTC", "CLIPPY_"];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let kept = KEPT.iter().any(|prefix| text.starts_with(prefix));
        let outer = OUTER.iter().any(|p| text.starts_with(p));
        if outer && !kept {
            command.env_remove(&name);
        }
    }
    // Empty, not unset: that also switches off a wrapper named in a configuration file.
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    command.env_remove("LD_LIBRARY_PATH");
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
