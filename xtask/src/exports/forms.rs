//! The exports that are checked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::place::Place;
use crate::{
    project::{CRATES, Project},
    shell,
};

const FORMS: [&str; 6] = ["jsonl", "csv", "har", "perfetto", "pcapng", "html"];

/// Builds tracer in a profile of cargo's; where the program is then. Together with the other crates: cargo compiles a
/// dependency anew for another set of crates that use it.
pub fn build(project: &Project, profile: &str) -> Result<PathBuf> {
    let packages = CRATES.iter().flat_map(|name| ["--package", name]);
    shell::run(project.cargo().args(["build", "--profile", profile]).args(packages))?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(project.target.join(directory).join("tracer"))
}

/// Writes all forms; their sizes.
pub fn export_all(place: &Place, program: &Path) -> Result<String> {
    let sizes: Result<Vec<String>> =
        FORMS.iter().map(|form| export(place, program, form)).collect();
    Ok(sizes?.join(", "))
}

/// A warning of the exporter is an error here: the recording is whole.
fn export(place: &Place, program: &Path, form: &str) -> Result<String> {
    let file = place.export(form);
    let mut command = Command::new(program);
    command.arg("export").arg(place.recording()).args(["--to", form, "--force", "-o"]).arg(&file);
    let output =
        command.output().with_context(|| format!("starting {}", shell::describe(&command)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.trim().is_empty() {
        bail!("{} ended with {}: {said}", shell::describe(&command), output.status);
    }
    let size = fs::metadata(&file).with_context(|| format!("looking at {}", file.display()))?.len();
    Ok(format!("{form} {} KiB", size.div_ceil(1024)))
}
