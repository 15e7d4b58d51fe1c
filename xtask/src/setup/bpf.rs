//! The BPF compiler and linker.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use crate::{
    project::Project,
    shell::{capture, run, say},
    toolchain::{Toolchain, has_rust_src, rustup_nightly},
};

const LINKER_VERSION: &str = "0.13.0";
/// The LLVM releases that this bpf-linker can be built against.
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;
/// `rust-version` of the workspace.
const OLDEST_RUSTC: (u32, u32) = (1, 88);
const RELEASED_LINKER: &str = "https://github.com/aya-rs/bpf-linker/releases/latest/download";

/// Makes sure that tracer's build script will find a toolchain.
pub fn ensure(project: &Project) -> Result<()> {
    if Toolchain::find(&[project.bpf()]).is_err() {
        say("BPF toolchain: missing, making one");
        make(project)?;
    }
    let toolchain = Toolchain::find(&[project.bpf()])?;
    say(format_args!("BPF toolchain: {}", project.show(&toolchain.rustc)));
    Ok(())
}

fn make(project: &Project) -> Result<()> {
    if rustup_nightly().is_some_and(|nightly| has_rust_src(&nightly.rustc)) {
        return fetch_linker(project);
    }
    if let Some(apt) = Apt::find(project)?
        && let Some(packages) = Packages::find(&apt)?
    {
        return from_packages(project, &apt, &packages);
    }
    if project.which("rustup").is_some() {
        install_nightly(project)?;
        return fetch_linker(project);
    }
    bail!(
        "there is neither rustup nor an apt that offers a Rust compiler for BPF; install rustup \
         (https://rustup.rs), or name such a compiler in TRACER_BPF_RUSTC and put bpf-linker on PATH"
    )
}

/// Debian's compiler for BPF and the LLVM that goes with it.
struct Packages {
    rustc: String,
    names: Vec<String>,
    llvm: u32,
}

impl Packages {
    fn find(apt: &Apt) -> Result<Option<Self>> {
        // Stable releases get a newer compiler beside their own, for browsers: rustc-web.
        for (rustc, std) in [("rustc-web", "libstd-rust-web-dev"), ("rustc", "libstd-rust-dev")] {
            let bpf = format!("{std}-bpf");
            let new_enough = apt.version(rustc)?.is_some_and(|version| is_new_enough(&version));
            if new_enough && apt.version(&bpf)?.is_some() {
                return Self::resolve(apt, rustc, std, &bpf).map(Some);
            }
        }
        Ok(None)
    }

    fn resolve(apt: &Apt, rustc: &str, std: &str, bpf: &str) -> Result<Self> {
        // libstd-rust-*-1.xx holds the compiler itself and is linked to its LLVM.
        let shared = apt.dependency(std, std.trim_end_matches("dev"))?;
        let libllvm = apt.dependency(&shared, "libllvm")?;
        let llvm: u32 = libllvm
            .trim_start_matches("libllvm")
            .parse()
            .with_context(|| format!("no LLVM version in the package name {libllvm}"))?;
        let mut names: Vec<String> = [rustc, std, bpf].map(str::to_owned).into();
        names.extend([shared, libllvm]);
        names.extend(["-dev", "", "-linker-tools"].map(|part| format!("llvm-{llvm}{part}")));
        Ok(Self { rustc: rustc.to_owned(), names, llvm })
    }
}

/// Whether a Debian version such as `1.96.0+dfsg1-1` is one this workspace compiles with.
fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST_RUSTC
}

fn from_packages(project: &Project, apt: &Apt, packages: &Packages) -> Result<()> {
    if !LINKER_LLVM.contains(&packages.llvm) {
        bail!("bpf-linker {LINKER_VERSION} cannot be built against LLVM {}", packages.llvm);
    }
    let root = project.bpf().join("root");
    if !root.join("usr/bin/rustc").is_file() {
        say(format_args!(
            "  1/2 downloading {} and LLVM {} (about 210 MB, 1.1 GB unpacked; nothing is installed)",
            packages.rustc, packages.llvm
        ));
        let partial = fresh_dir(&project.bpf().join("root.partial"))?;
        let names: Vec<&str> = packages.names.iter().map(String::as_str).collect();
        apt.unpack_with_dependencies(&names, &partial)?;
        // Whole or not there at all: an interrupted setup starts again.
        fs::rename(&partial, &root).with_context(|| format!("creating {}", root.display()))?;
    }
    say("  2/2 compiling bpf-linker (about a minute)");
    compile_linker(project, &root.join("usr"), packages.llvm)
}

fn compile_linker(project: &Project, usr: &Path, llvm: u32) -> Result<()> {
    let probe = capture(Command::new("cc").arg("-print-file-name=libstdc++.so"))
        .context("a C compiler is needed: install gcc and g++ (Debian: apt-get install g++)")?;
    let mut command = project.cargo();
    command
        .args(["install", "bpf-linker", "--quiet", "--version", LINKER_VERSION, "--locked"])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
        .arg(project.bpf().join("tools"))
        // Flags for this project's own code are not for a tool.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .env("LLVM_PREFIX", usr.join("lib").join(format!("llvm-{llvm}")))
        .env("LD_LIBRARY_PATH", library_dir(usr)?);
    if probe.trim() == "libstdc++.so" {
        // No g++ here: the runtime library alone is enough to link with.
        command.env("LIBRARY_PATH", cxx_link_dir(project, usr)?);
    }
    run(&mut command)
}

/// `<usr>/lib/<triplet>`.
fn library_dir(usr: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(usr.join("lib")).context("reading the unpacked libraries")?;
    let mut dirs = entries.flatten().map(|entry| entry.path());
    dirs.find(|dir| dir.to_string_lossy().ends_with("-linux-gnu"))
        .with_context(|| format!("no library directory in {}", usr.display()))
}

/// A directory in which the linker finds the system's or the unpacked libstdc++ as `-lstdc++`.
fn cxx_link_dir(project: &Project, usr: &Path) -> Result<PathBuf> {
    let unpacked = library_dir(usr)?.join("libstdc++.so.6");
    let library = if unpacked.exists() {
        unpacked
    } else {
        capture(Command::new("cc").arg("-print-file-name=libstdc++.so.6"))?.trim().into()
    };
    let dir = fresh_dir(&project.bpf().join("cxx"))?;
    std::os::unix::fs::symlink(&library, dir.join("libstdc++.so"))
        .with_context(|| format!("linking {}", library.display()))?;
    Ok(dir)
}

/// A nightly in the target directory; rustup's own directory stays as it is.
fn install_nightly(project: &Project) -> Result<()> {
    let home = project.bpf().join("rustup");
    say(format_args!("  1/2 rustup: a nightly with rust-src into {}", project.show(&home)));
    run(Command::new("rustup")
        .args(["toolchain", "install", "nightly", "--profile", "minimal"])
        .args(["--component", "rust-src", "--no-self-update"])
        .env("RUSTUP_HOME", &home))
}

/// The released linker: a nightly's LLVM is too new for a distribution's.
fn fetch_linker(project: &Project) -> Result<()> {
    let bin = project.bpf().join("nightly/bin");
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    let archive = format!("bpf-linker-{}-unknown-linux-musl.tar.zst", std::env::consts::ARCH);
    let url = format!("{RELEASED_LINKER}/{archive}");
    say(format_args!("  2/2 downloading {url} into {}", project.show(&bin)));
    let file = bin.join(archive);
    let fetched = run(Command::new("curl").args(["-fsSL", "--retry", "3", &url, "-o"]).arg(&file))
        .and_then(|()| run(Command::new("tar").arg("-C").arg(&bin).arg("-xf").arg(&file)));
    fetched.context(
        "no bpf-linker: put one on PATH (https://github.com/aya-rs/bpf-linker), then run this again",
    )?;
    fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))
}

fn fresh_dir(dir: &Path) -> Result<PathBuf> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("emptying {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn debian_versions_are_compared_by_their_upstream_numbers() {
        assert!(is_new_enough("1.96.0+dfsg1-1~deb12u2"));
        assert!(is_new_enough("1.88.0+dfsg1-1"));
        assert!(!is_new_enough("1.85.0+dfsg3-1"));
        assert!(!is_new_enough("1:0"));
    }
}
