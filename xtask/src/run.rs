//! `cargo xtask run`: builds tracer in release and starts it with root rights.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    project::{Project, is_root},
    setup, shell,
};

/// Set up what is missing, build in release and start tracer with root rights
#[derive(Args)]
pub struct Options {
    /// What to pass to tracer [default: watch]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub fn main(mut options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    setup::bpf::ensure(&project)?;
    let program = build(&project, "release")?;
    if options.args.is_empty() {
        options.args.push("watch".into());
    }
    let mut command = as_root(&project, &program)?;
    // Takes this process's place: terminal, signals and exit status are tracer's own.
    let error = command.args(&options.args).exec();
    Err(error).with_context(|| format!("starting {}", shell::describe(&command)))
}

/// Builds tracer in a profile of cargo's; where the program is then.
pub fn build(project: &Project, profile: &str) -> Result<PathBuf> {
    shell::run(project.cargo().args(["build", "--profile", profile, "--package", "tracer"]))?;
    let directory = if profile == "dev" { "debug" } else { profile };
    Ok(project.target.join(directory).join("tracer"))
}

/// `program` as root: as it is for root, else through sudo.
pub fn as_root(project: &Project, program: &Path) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    if project.which("sudo").is_none() {
        bail!(
            "tracer needs root rights, and there is no sudo here; as root, run\n    {}",
            program.display()
        );
    }
    shell::say(format_args!("starting {} through sudo", project.show(program)));
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}
