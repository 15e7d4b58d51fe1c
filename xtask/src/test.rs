//! `cargo xtask test`: every check and every test, and a table of what ran and what did not.

use std::{process::ExitCode, thread};

use anyhow::Result;
use clap::Args;

use crate::{fuzz, project::Project, setup};

mod checks;
mod initramfs;
pub mod instructions;
pub mod kernel;
pub mod report;
mod vm;

use report::Report;

/// Run every check and every test, and say what had to be skipped and why
#[derive(Args)]
pub struct Options {
    /// Only the kernel tests, on this kernel: `host` for the running one, or 6.1 or 6.12, booted
    /// in an emulator; may be given several times
    #[arg(long, value_name = "VERSION", value_parser = kernel_name)]
    kernel: Vec<String>,

    /// Leave out the kernel tests and the emulator
    #[arg(long, conflicts_with = "kernel")]
    quick: bool,

    /// What to pass to the kernel test programs, such as part of a test's name
    #[arg(last = true)]
    kernel_test_args: Vec<String>,
}

fn kernel_name(text: &str) -> Result<String, String> {
    if text == "host" || setup::kernels::VERSIONS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("expected host or one of {}", setup::kernels::VERSIONS.join(", ")))
}

pub fn main(options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    setup::bpf::ensure(&project)?;
    let mut report = Report::default();
    let kernels = kernels(&options);
    thread::scope(|scope| {
        // The network and the compiler do not wait for each other.
        let fetching = (!options.quick).then(|| scope.spawn(|| kernel::fetch(&project, &kernels)));
        if options.kernel.is_empty() {
            checks::run(&project, &mut report);
            report.step("fuzz targets", || fuzz::check(&project));
        }
        if !options.quick {
            kernel::run(&project, &kernels, fetching, &options.kernel_test_args, &mut report);
        }
        // Behind what is fetched: it may need a package too.
        if options.kernel.is_empty() {
            report.step("instructions of the hot paths", || instructions::check(&project));
        }
    });
    report.print("test");
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The kernels asked for; without a wish, the running one. An emulator's processors stop for as long as its host
/// likes, which no bound on time in a test survives every time: those runs are asked for by name.
fn kernels(options: &Options) -> Vec<&str> {
    if options.kernel.is_empty() {
        return vec!["host"];
    }
    options.kernel.iter().map(String::as_str).collect()
}
