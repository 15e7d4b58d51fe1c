//! What reads the exports: programs, and packages of npm and PyPI. What is on PATH is used as it is; all else goes
//! into target/.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    slice,
};

use anyhow::{Context as _, Result, bail};

use super::{chromium, place::Place, report::Missing, write};
use crate::{
    project::Project,
    setup::programs::{self, Program},
    shell::{capture, say},
};

const NPM_PACKAGES: &str = include_str!("scripts/package.json");
const PYPI_PACKAGES: &str = include_str!("scripts/requirements.txt");

/// Servers and clients of the recording.
const SERVERS: [&str; 4] = ["nginx", "curl", "ab", "ip"];

type Found = Result<PathBuf, Missing>;

/// Each, or why it is not here.
pub struct Tools {
    node: Found,
    python: Found,
    perfetto: Found,
    tshark: Found,
    chromium: Found,
}

impl Tools {
    pub fn fetch(place: &Place) -> Self {
        let python = or_missing("python3", program(place.project, &programs::FOR_TESTS, "python3"));
        let tshark = program(place.project, &programs::FOR_BENCHMARKS, "tshark");
        Self {
            node: or_missing("packages of npm", node(place)),
            perfetto: python
                .clone()
                .and_then(|python| or_missing("packages of PyPI", python_packages(place, &python))),
            python,
            tshark: or_missing("tshark", tshark),
            chromium: or_missing("Chromium", chromium::ensure(place)),
        }
    }

    /// With the packages of npm in [`Place::npm`].
    pub fn node(&self) -> Result<&Path> {
        found(&self.node)
    }

    pub fn python(&self) -> Result<&Path> {
        found(&self.python)
    }

    /// The package of PyPI.
    pub fn perfetto(&self) -> Result<&Path> {
        found(&self.perfetto)
    }

    pub fn tshark(&self) -> Result<&Path> {
        found(&self.tshark)
    }

    pub fn chromium(&self) -> Result<&Path> {
        found(&self.chromium)
    }
}

/// Sees that the traffic can be made.
pub fn ensure_servers(project: &Project) -> Result<()> {
    for name in SERVERS {
        program(project, &programs::FOR_TESTS, name)?;
    }
    Ok(())
}

fn found(tool: &Found) -> Result<&Path> {
    Ok(tool.as_deref().map_err(Clone::clone)?)
}

fn or_missing(what: &str, tool: Result<PathBuf>) -> Found {
    tool.map_err(|error| Missing(format!("no {what}: {error:#}")))
}

/// One of setup's programs.
fn program(project: &Project, of: &'static [Program], name: &str) -> Result<PathBuf> {
    let wanted =
        of.iter().find(|program| program.name == name).context("setup does not know it")?;
    if let Some(failure) = programs::ensure(project, slice::from_ref(wanted))?.first() {
        bail!("{failure}");
    }
    project.which(name).with_context(|| format!("{name} is not here"))
}

fn node(place: &Place) -> Result<PathBuf> {
    let find = |name| {
        let file = place.project.which(name);
        file.with_context(|| {
            format!("{name} is not on PATH; get it with: apt-get install nodejs npm")
        })
    };
    let (node, npm) = (find("node")?, find("npm")?);
    let dir = place.npm();
    once(&dir, NPM_PACKAGES, || {
        say("exports: npm: har-schema, ajv and playwright-core, into target/exports/npm");
        write(&dir.join("package.json"), NPM_PACKAGES)?;
        let mut command = Command::new(npm);
        command.current_dir(&dir).args(["install", "--ignore-scripts", "--no-audit", "--no-fund"]);
        capture(command.arg("--prefix").arg(&dir))
    })?;
    Ok(node)
}

fn python_packages(place: &Place, python: &Path) -> Result<PathBuf> {
    let dir = place.python();
    once(&dir, PYPI_PACKAGES, || {
        say("exports: pip: perfetto, into target/exports/py");
        let list = dir.join("requirements.txt");
        write(&list, PYPI_PACKAGES)?;
        let mut command = Command::new(python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command.env("PIP_ROOT_USER_ACTION", "ignore").arg("--target").arg(&dir);
        capture(command.arg("--requirement").arg(list))
    })?;
    Ok(dir)
}

/// Fills a directory with what `packages` lists, unless that is there already.
fn once(dir: &Path, packages: &str, install: impl FnOnce() -> Result<String>) -> Result<()> {
    let stamp = dir.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == packages) {
        return Ok(());
    }
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("emptying {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    install()?;
    write(&stamp, packages)
}
