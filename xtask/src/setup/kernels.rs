//! Debian's stock kernels, unpacked for booting in the emulator.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use crate::{project::Project, shell::say};

/// The kernels that the tests can boot.
pub const VERSIONS: [&str; 2] = ["6.1", "6.12"];

/// Packages that depend on the newest image of their line.
const LINES: [&str; 2] = ["linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64"];

/// A kernel and its modules on disk.
pub struct Kernel {
    /// The line, such as `6.12`.
    pub version: String,
    /// The bootable image.
    pub image: PathBuf,
    /// `lib/modules/<release>` of this kernel.
    pub modules: PathBuf,
    /// A statically linked busybox, the only program inside besides the tests.
    pub busybox: PathBuf,
}

/// Finds or fetches the kernel; the error says why there is none.
pub fn ensure(project: &Project, version: &str) -> Result<Kernel> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("other kernels are booted on x86-64 only");
    }
    let busybox = ensure_busybox(project)?;
    let dir = project.vm().join(version);
    if !dir.is_dir() {
        fetch_kernel(project, version, &dir)?;
    }
    let release = only_entry(&dir.join("usr/lib/modules"))?;
    let image = dir.join("boot").join(format!("vmlinuz-{}", file_name(&release)));
    if !image.is_file() {
        bail!("{} has no image; remove that directory and try again", dir.display());
    }
    Ok(Kernel { version: version.to_owned(), image, modules: release, busybox })
}

fn apt(project: &Project) -> Result<Apt> {
    Apt::find(project)?.context("kernels come as Debian packages, and there is no apt here")
}

fn fetch_kernel(project: &Project, version: &str, dir: &Path) -> Result<()> {
    let apt = apt(project)?;
    let package = image_package(&apt, version)?;
    say(format_args!("kernel {version}: unpacking {package} into {}", project.show(dir)));
    unpack_whole(&apt, &package, dir)
}

fn ensure_busybox(project: &Project) -> Result<PathBuf> {
    let dir = project.vm().join("busybox");
    let file = dir.join("bin/busybox");
    if !file.is_file() {
        say(format_args!("busybox: unpacking busybox-static into {}", project.show(&dir)));
        unpack_whole(&apt(project)?, "busybox-static", &dir)?;
    }
    Ok(file)
}

fn unpack_whole(apt: &Apt, package: &str, dir: &Path) -> Result<()> {
    let partial = dir.with_file_name(format!("{}.partial", file_name(dir)));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("emptying {}", partial.display()))?;
    }
    apt.unpack(&[package], &partial)?;
    fs::rename(&partial, dir).with_context(|| format!("creating {}", dir.display()))
}

/// `linux-image-6.12.117+deb12-cloud-amd64` for `6.12`.
fn image_package(apt: &Apt, version: &str) -> Result<String> {
    let prefix = format!("linux-image-{version}.");
    for line in LINES {
        if apt.version(line)?.is_some()
            && let Ok(package) = apt.dependency(line, &prefix)
        {
            return Ok(package);
        }
    }
    bail!("this system's package lists offer no cloud kernel {version}")
}

fn only_entry(dir: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let entry = entries.next().with_context(|| format!("{} is empty", dir.display()))?;
    Ok(entry.with_context(|| format!("reading {}", dir.display()))?.path())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
