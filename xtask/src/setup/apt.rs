//! Debian packages, downloaded and unpacked but never installed.
//!
//! The package lists are kept in the target directory too: that needs no root rights, and
//! the system's own lists stay as they are.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    project::Project,
    shell::{capture, describe, say},
};

/// Security updates remove superseded packages from the servers, so old lists name dead files.
const LISTS_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// apt with its state under the target directory.
pub struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// None on systems without apt.
    pub fn find(project: &Project) -> Result<Option<Self>> {
        if project.which("apt-get").is_none() || project.which("dpkg-deb").is_none() {
            return Ok(None);
        }
        let apt = Self { dir: project.target.join("apt") };
        for dir in ["state/lists/partial", "cache/archives/partial"] {
            let dir = apt.dir.join(dir);
            fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        apt.write_config()?;
        if !apt.lists_are_fresh() {
            apt.update()?;
        }
        Ok(Some(apt))
    }

    fn stamp(&self) -> PathBuf {
        self.dir.join("updated")
    }

    fn lists_are_fresh(&self) -> bool {
        let age = fs::metadata(self.stamp()).and_then(|meta| meta.modified()).ok();
        age.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < LISTS_MAX_AGE)
    }

    fn update(&self) -> Result<()> {
        say(format_args!("  package lists: fetching into {}", self.dir.display()));
        capture(self.command("apt-get").arg("update"))?;
        fs::write(self.stamp(), "").context("writing the lists' time stamp")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            // Messages are parsed, so they must not be translated.
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Read after the system's configuration, so it has the last word.
            .arg("--config-file")
            .arg(self.config());
        command
    }

    fn config(&self) -> PathBuf {
        self.dir.join("apt.conf")
    }

    fn write_config(&self) -> Result<()> {
        let dir = self.dir.display();
        let text = format!(
            r#"Dir::State "{dir}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{dir}/cache";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
// apt's own user may not write here.
APT::Sandbox::User "root";
// The system's hooks would act on the system's own lists and packages.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
"#
        );
        fs::write(self.config(), text).context("writing apt's configuration")
    }

    /// The version that would be installed, None when no list has the package.
    pub fn version(&self, package: &str) -> Result<Option<String>> {
        let policy = capture(self.command("apt-cache").args(["policy", package]))?;
        let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        Ok(candidate.filter(|version| *version != "(none)").map(str::to_owned))
    }

    /// The packages that `package` depends on directly, alternatives and virtual ones left out.
    pub fn depends(&self, package: &str) -> Result<Vec<String>> {
        let text = capture(self.command("apt-cache").args(["depends", "--important", package]))?;
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.filter(|name| !name.starts_with('<')).map(str::to_owned).collect())
    }

    /// The first direct dependency of `package` whose name begins with `prefix`.
    pub fn dependency(&self, package: &str, prefix: &str) -> Result<String> {
        let found = self.depends(package)?.into_iter().find(|name| name.starts_with(prefix));
        found.with_context(|| format!("{package} depends on no {prefix}* package"))
    }

    /// Unpacks exactly `packages` into `root`.
    pub fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        let debs = self.empty_archives()?;
        let download = || {
            let mut command = self.command("apt-get");
            command.current_dir(&debs).args(["--quiet", "download"]).args(packages);
            capture(&mut command)
        };
        self.with_fresh_lists(download)?;
        unpack_all(&debs, root)
    }

    /// Unpacks `packages`, and those of their dependencies that the system does not have.
    pub fn unpack_with_dependencies(&self, packages: &[&str], root: &Path) -> Result<()> {
        let debs = self.empty_archives()?;
        fs::create_dir_all(debs.join("partial")).context("creating apt's download directory")?;
        let download = || {
            let mut command = self.command("apt-get");
            command
                .args(["--quiet", "install", "--download-only", "--assume-yes"])
                // The named ones are wanted here even where the system has them.
                .args(["--reinstall", "--no-install-recommends"])
                .arg("-o")
                .arg(format!("Dir::Cache::Archives={}", debs.display()))
                .args(packages);
            capture(&mut command)
        };
        self.with_fresh_lists(download)?;
        unpack_all(&debs, root)
    }

    fn empty_archives(&self) -> Result<PathBuf> {
        let dir = self.dir.join("debs");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("emptying {}", dir.display()))?;
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(dir)
    }

    /// A download that fails may only mean that the lists have aged.
    fn with_fresh_lists(&self, download: impl Fn() -> Result<String>) -> Result<()> {
        if let Err(error) = download() {
            say(format_args!("  {error:#}"));
            self.update()?;
            download()?;
        }
        Ok(())
    }
}

/// Unpacks every package in `debs` and removes them.
fn unpack_all(debs: &Path, root: &Path) -> Result<()> {
    merge_usr(root)?;
    let mut count = 0;
    for entry in fs::read_dir(debs).with_context(|| format!("reading {}", debs.display()))? {
        let path = entry.with_context(|| format!("reading {}", debs.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack_one(&path, root)?;
            count += 1;
        }
    }
    say(format_args!("  {count} packages unpacked into {}", root.display()));
    fs::remove_dir_all(debs).with_context(|| format!("removing {}", debs.display()))
}

/// Some packages still ship files below /lib: with these links there is one library directory.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "lib", "lib64", "sbin"] {
        let real = root.join("usr").join(name);
        fs::create_dir_all(&real).with_context(|| format!("creating {}", real.display()))?;
        let link = root.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("usr").join(name), &link)
                .with_context(|| format!("linking {}", link.display()))?;
        }
    }
    Ok(())
}

/// `dpkg -x` would replace the links of [`merge_usr`] by directories.
fn unpack_one(deb: &Path, root: &Path) -> Result<()> {
    let mut list = Command::new("dpkg-deb");
    list.arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped());
    let mut source = list.spawn().with_context(|| format!("starting {}", describe(&list)))?;
    let stream = source.stdout.take().context("no pipe from dpkg-deb")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--keep-directory-symlink", "--no-same-owner", "--file", "-"])
        .arg("--directory")
        .arg(root)
        .stdin(stream);
    let extracted = tar.status().with_context(|| format!("starting {}", describe(&tar)))?;
    let read = source.wait().with_context(|| format!("waiting for {}", describe(&list)))?;
    if !extracted.success() || !read.success() {
        bail!("unpacking {} failed", deb.display());
    }
    Ok(())
}
