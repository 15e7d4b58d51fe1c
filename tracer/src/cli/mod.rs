//! The command line: arguments in, exit status out.

mod args;
mod completions;
mod daemon;
mod demo;
mod desk;
mod doctor;
mod drain;
mod duration;
mod exit;
mod export;
mod flight;
mod logging;
mod merge;
mod pause;
mod play;
mod priority;
mod record;
mod recorder;
mod remote;
mod sinks;
mod trace;
mod usage;
mod view;
mod watch;

use std::process::ExitCode;

use clap::Parser;

pub use args::{
    Cli, Command, CompletionsArgs, DaemonArgs, DemoArgs, DoctorArgs, DrainArgs, ExportArgs,
    FilterArgs, MergeArgs, OutputArgs, RecordArgs, RingArgs, TraceArgs, Verbosity, ViewArgs,
    WatchArgs,
};
pub use duration::{DurationError, parse_duration};
pub use exit::UsageError;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::status(run(cli)),
        Err(error) => {
            // Help goes to stdout, whose pipe may be closed: nothing is lost by that.
            _ = error.print();
            exit::code(error.exit_code())
        }
    }
}

/// Runs `cli`.
///
/// # Errors
/// [`UsageError`] where the command line makes no sense; else what the command failed with.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let level = cli.verbosity.level();
    let command = cli.command.unwrap_or_else(Command::watch);
    // The live view shows the log in a pane of its own.
    if !matches!(command, Command::Watch(_) | Command::Demo(_) | Command::View(_)) {
        logging::to_stderr(level);
    }
    match command {
        Command::Watch(args) => watch::run(&args, level),
        Command::Record(args) => record::run(&args),
        Command::View(args) => play::run(&args, level),
        Command::Export(args) => trace::until_signalled(move || export::run(&args)),
        Command::Merge(args) => trace::until_signalled(move || merge::run(&args)),
        Command::Daemon(args) => daemon::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args, level),
        Command::Drain(args) => drain::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
