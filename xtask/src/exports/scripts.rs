//! Checks that are scripts, for the tools that they are about are libraries of other languages. Each prints one line
//! of figures, or says what is wrong and fails.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{place::Place, tools::Tools, write};
use crate::shell::capture;

pub fn jsonl_schema(place: &Place, tools: &Tools) -> Result<String> {
    let mut command = node(place, tools, "jsonl.mjs", include_str!("scripts/jsonl.mjs"))?;
    let schema = place.project.root.join("docs/schema/record.schema.json");
    figures(command.arg(place.export("jsonl")).arg(schema))
}

pub fn csv(place: &Place, tools: &Tools) -> Result<String> {
    let mut command = python(place, tools, "table.py", include_str!("scripts/table.py"))?;
    figures(command.arg(place.export("csv")).arg(place.export("jsonl")))
}

pub fn har_schema(place: &Place, tools: &Tools) -> Result<String> {
    let mut command = node(place, tools, "har.mjs", include_str!("scripts/har.mjs"))?;
    figures(command.arg(place.export("har")).arg(place.export("jsonl")))
}

pub fn har_replay(place: &Place, tools: &Tools) -> Result<String> {
    let mut command = node(place, tools, "replay.mjs", include_str!("scripts/replay.mjs"))?;
    figures(command.arg(tools.chromium()?).arg(place.export("har")))
}

pub fn perfetto(place: &Place, tools: &Tools) -> Result<String> {
    tools.perfetto()?;
    let mut command = python(place, tools, "timeline.py", include_str!("scripts/timeline.py"))?;
    figures(command.arg(place.export("perfetto")).arg(place.export("jsonl")))
}

/// With screenshots of what was opened.
pub fn html(place: &Place, tools: &Tools, picture: Option<&Path>) -> Result<String> {
    let mut command = node(place, tools, "page.mjs", include_str!("scripts/page.mjs"))?;
    command.arg(tools.chromium()?).arg(place.export("html")).arg(place.export("jsonl"));
    command.arg(place.file("export-html.png")).args(picture);
    figures(&mut command)
}

/// The script beside npm's packages: there it finds them.
fn node(place: &Place, tools: &Tools, name: &str, text: &str) -> Result<Command> {
    let mut command = Command::new(tools.node()?);
    command.arg(script(place.npm().join(name), text)?);
    Ok(command)
}

fn python(place: &Place, tools: &Tools, name: &str, text: &str) -> Result<Command> {
    let mut command = Command::new(tools.python()?);
    command.arg(script(place.file(name), text)?).env("PYTHONPATH", place.python());
    Ok(command)
}

fn script(file: PathBuf, text: &str) -> Result<PathBuf> {
    write(&file, text)?;
    Ok(file)
}

fn figures(command: &mut Command) -> Result<String> {
    Ok(capture(command)?.trim().to_owned())
}
