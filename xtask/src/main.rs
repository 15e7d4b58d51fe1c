//! tracer's own commands: `cargo xtask setup`, `run`, `test`, `fuzz`, `traffic`, `instructions`,
//! `bench`, `exports` and `picture`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod exports;
mod fuzz;
mod picture;
mod project;
mod run;
mod setup;
mod shell;
mod test;
#[path = "../../tracer/build/toolchain.rs"]
mod toolchain;
mod traffic;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Sets up, runs, tests and measures tracer"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Options),
    Run(run::Options),
    Test(test::Options),
    Bench(bench::Options),
    Exports(exports::Options),
    Fuzz(fuzz::Options),
    Instructions(test::instructions::Options),
    Picture(picture::Options),
    Traffic(traffic::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(options) => setup::main(options),
        Command::Run(options) => run::main(options),
        Command::Test(options) => test::main(options),
        Command::Bench(options) => bench::main(options),
        Command::Exports(options) => exports::main(options),
        Command::Fuzz(options) => fuzz::main(options),
        Command::Instructions(options) => test::instructions::main(options),
        Command::Picture(options) => picture::main(options),
        Command::Traffic(options) => traffic::main(options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
