//! tracer's own commands: `cargo xtask setup`, `run`, `test` and `instructions`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod project;
mod run;
mod setup;
mod shell;
mod test;
#[path = "../../tracer/build/toolchain.rs"]
mod toolchain;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Sets up, runs and tests tracer")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Options),
    Run(run::Options),
    Test(test::Options),
    Instructions(test::instructions::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(options) => setup::main(options),
        Command::Run(options) => run::main(options),
        Command::Test(options) => test::main(options),
        Command::Instructions(options) => test::instructions::main(options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
