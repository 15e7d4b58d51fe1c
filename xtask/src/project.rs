//! Where this project's files are, and how to call cargo on them.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::toolchain;

/// The crates that a plain build covers; `tracer-ebpf` is built by tracer's build script.
pub const CRATES: [&str; 3] = ["tracer", "tracer-common", "xtask"];

/// The checkout, and the target directory that holds everything setup makes.
pub struct Project {
    pub root: PathBuf,
    pub target: PathBuf,
}

/// The file of this program. cargo may have built it anew since it was started: the kernel then says of the old one that it is
/// deleted, and the new one lies in its place.
pub fn own_program() -> Result<PathBuf> {
    let program = env::current_exe().context("finding this program's own path")?;
    Ok(without_deletion(program))
}

/// The path without what `d_path` appends for a file that has no name any more.
fn without_deletion(program: PathBuf) -> PathBuf {
    match program.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(path) => PathBuf::from(OsStr::from_bytes(path)),
        None => program,
    }
}

impl Project {
    pub fn find() -> Result<Self> {
        // The running value first: the checkout may have moved since this program was compiled.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir.parent().context("xtask lies outside its workspace")?.to_owned();
        let program = own_program()?;
        let target = toolchain::target_dir(&program, &root);
        Ok(Self { root, target })
    }

    /// The BPF compiler and linker.
    pub fn bpf(&self) -> PathBuf {
        self.target.join("bpf")
    }

    /// Programs that the tests use.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The compiled fuzz targets, what they found and what failed.
    pub fn fuzz(&self) -> PathBuf {
        self.target.join("fuzz")
    }

    /// Kernels to boot and what goes into them.
    pub fn vm(&self) -> PathBuf {
        self.target.join("vm")
    }

    /// `path` as a person would write it from the top of the checkout.
    pub fn show<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// Cargo on this project, without the variables that describe xtask itself: build scripts that
    /// look at them would run again each time.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The system's PATH, then setup's programs, then where servers live but users rarely look.
    pub fn path_with_tools(&self) -> Result<std::ffi::OsString> {
        let path = env::var_os("PATH").unwrap_or_default();
        let own = [self.tools().join("bin"), "/usr/sbin".into(), "/sbin".into()];
        env::join_paths(env::split_paths(&path).chain(own)).context("a colon in a PATH entry")
    }

    /// The file that running `name` would start.
    pub fn which(&self, name: &str) -> Option<PathBuf> {
        let path = self.path_with_tools().ok()?;
        env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
    }
}

fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Whether this process is root: a process's own /proc directory belongs to its effective user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_anew_is_found_in_its_place() {
        let there = PathBuf::from("/a b/xtask");
        assert_eq!(without_deletion("/a b/xtask (deleted)".into()), there);
        assert_eq!(without_deletion(there.clone()), there);
    }
}
