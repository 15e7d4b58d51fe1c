//! Finds a compiler that can make BPF code and runs it.
//!
//! The build script compiles with it; `cargo xtask setup` asks it what is missing.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

const TARGET: &str = "bpfel-unknown-none";
/// The crate, its binary and its object file are all called so.
pub const PACKAGE: &str = "tracer-ebpf";

/// What cargo uses as its target directory, seen from a file in it. Cargo does not tell; the files
/// that it leaves at the top do.
pub fn target_dir(inside: &Path, workspace: &Path) -> PathBuf {
    let is_top =
        |dir: &&Path| dir.join(".rustc_info.json").exists() || dir.join("CACHEDIR.TAG").exists();
    match inside.ancestors().find(is_top) {
        Some(dir) => dir.to_owned(),
        None => workspace.join("target"),
    }
}

/// An object file and what the compiler said on the way.
pub struct Built {
    pub object: PathBuf,
    pub messages: String,
}

/// A compiler that can make BPF code, with the linker that goes with it.
pub struct Toolchain {
    cargo: PathBuf,
    /// The compiler itself, for people to see which one it is.
    pub rustc: PathBuf,
    linker: PathBuf,
    /// Where an unpacked (not installed) toolchain has its shared libraries.
    library_path: Option<PathBuf>,
    /// Whether `core` has to be compiled from rust-src, as only a nightly can.
    build_std: bool,
}

impl Toolchain {
    /// The first that is whole: the compiler named by the environment, rustup's nightly with
    /// rust-src, a nightly that setup put under `bpf_dirs`, a compiler unpacked there, the system's.
    pub fn find(bpf_dirs: &[PathBuf]) -> Result<Self> {
        let mut missing = Vec::new();
        for candidate in Self::candidates(bpf_dirs) {
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

    fn candidates(bpf_dirs: &[PathBuf]) -> Vec<Candidate> {
        let cargo = PathBuf::from(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        let ships_core = |rustc: PathBuf| Candidate { cargo: cargo.clone(), rustc, nightly: false };
        if let Some(rustc) = env::var_os("TRACER_BPF_RUSTC") {
            return vec![ships_core(rustc.into())];
        }
        let mut found = Vec::from_iter(rustup_nightly());
        found.extend(bpf_dirs.iter().flat_map(|dir| nightlies_in(&dir.join("rustup/toolchains"))));
        found.extend(bpf_dirs.iter().map(|dir| ships_core(dir.join("root/usr/bin/rustc"))));
        found.extend(env::var_os("RUSTC").map(|rustc| ships_core(rustc.into())));
        found.push(ships_core("/usr/bin/rustc".into()));
        found
    }

    /// Compiles the eBPF programs for kernels of the architecture `arch`, as cargo names it.
    pub fn build(&self, workspace: &Path, target_dir: &Path, arch: &str) -> Result<Built> {
        let output = self
            .command(workspace, target_dir, arch)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("starting {}", self.cargo.display()))?;
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!(
                "compiling {PACKAGE} with {} and {} failed:\n{messages}",
                self.rustc.display(),
                self.linker.display()
            );
        }
        let object = target_dir.join(TARGET).join("release").join(PACKAGE);
        Ok(Built { object, messages })
    }

    fn command(&self, workspace: &Path, target_dir: &Path, arch: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        clean_environment(&mut command);
        command
            .current_dir(workspace)
            .args(["build", "--release", "--package", PACKAGE, "--target", TARGET])
            // A directory of its own: the outer cargo holds the lock of the other one.
            .arg("--target-dir")
            .arg(target_dir)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags(arch));
        if self.build_std {
            command.args(["-Z", "build-std=core"]);
        } else {
            // The BPF target's features are unstable, whoever compiled its core.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// The flags in cargo's encoding, which survives spaces in paths.
    fn rustc_flags(&self, arch: &str) -> OsString {
        let mut flags = OsString::from("-Clinker=");
        flags.push(&self.linker);
        // The kernel verifies against BTF, and the linker makes BTF from debug information.
        flags.push("\x1f-Clink-arg=--btf\x1f-Cdebuginfo=2");
        // Else the linker has LLVM turn even eight bytes of zeroes into a call of a loop over bytes.
        flags.push("\x1f-Clink-arg=--disable-expand-memcpy-in-order");
        // aya-ebpf picks the layout of pt_regs by the architecture that the programs will run on.
        flags.push(format!("\x1f--cfg=bpf_target_arch=\"{arch}\""));
        flags
    }
}

/// A compiler that may or may not be able to make BPF code.
pub struct Candidate {
    cargo: PathBuf,
    pub rustc: PathBuf,
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
pub fn rustup_nightly() -> Option<Candidate> {
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

pub fn has_rust_src(rustc: &Path) -> bool {
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
