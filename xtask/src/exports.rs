//! `cargo xtask exports`: whether each form that `tracer export` writes works in the tools that people read it with.

use std::{
    fs, path,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use self::{place::Place, report::Report, tools::Tools};
use crate::{project::Project, setup};

mod chromium;
mod forms;
mod pcapng;
mod place;
mod process;
mod recording;
mod records;
mod report;
mod scripts;
mod site;
mod stage;
mod tools;

/// Export a real recording in every form, and check each in the tools that people use
#[derive(Args)]
pub struct Options {
    /// Take this recording instead of making one
    #[arg(long, value_name = "FILE")]
    recording: Option<PathBuf>,
    /// Write docs/pictures/export-html.png anew too
    #[arg(long)]
    picture: bool,
    /// cargo's profile to build in; `dev` is there sooner and exports the same
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Only make a recording, there: the half of this command that needs root rights
    #[arg(long, hide = true, value_name = "FILE", requires = "program")]
    record_to: Option<PathBuf>,
    /// The program, already built
    #[arg(long, hide = true, value_name = "FILE")]
    program: Option<PathBuf>,
}

pub fn main(options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    if let (Some(program), Some(output)) = (&options.program, &options.record_to) {
        stage::record(&project, program, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    setup::bpf::ensure(&project)?;
    let program = forms::build(&project, &options.profile)?;
    let place = Place::new(&project)?;
    let given = options.recording.map(path::absolute).transpose();
    let given = given.context("finding the working directory")?;
    let mut report = Report::default();
    let tools = prepare(&place, &program, given.as_deref(), &mut report)?;
    let picture = options.picture.then(|| project.root.join("docs/pictures/export-html.png"));
    if report.is_green() {
        check(&place, &tools, picture.as_deref(), &mut report);
    }
    report.print();
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The recording and its exports, and meanwhile the tools: the network need not wait for the traffic.
fn prepare(
    place: &Place,
    program: &Path,
    given: Option<&Path>,
    report: &mut Report,
) -> Result<Tools> {
    if given.is_none() {
        tools::ensure_servers(place.project)?;
    }
    thread::scope(|scope| {
        let tools = scope.spawn(|| Tools::fetch(place));
        report.step("recording", || match given {
            Some(file) => recording::take(place, file),
            None => recording::make(place, program),
        });
        if report.is_green() {
            report.step("exports", || forms::export_all(place, program));
        }
        let Ok(tools) = tools.join() else { bail!("fetching the tools failed unexpectedly") };
        Ok(tools)
    })
}

fn check(place: &Place, tools: &Tools, picture: Option<&Path>, report: &mut Report) {
    report.step("jsonl: lines", || records::check_lines(place));
    report.step("jsonl: schema", || scripts::jsonl_schema(place, tools));
    report.step("csv: python", || scripts::csv(place, tools));
    report.step("har: schema", || scripts::har_schema(place, tools));
    report.step("har: Playwright", || scripts::har_replay(place, tools));
    report.step("perfetto: its own classes", || scripts::perfetto(place, tools));
    report.step("pcapng: tshark", || pcapng::check(place, tools));
    report.step("html: Chromium", || scripts::html(place, tools, picture));
}

/// Writes a file of this command's own.
fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
