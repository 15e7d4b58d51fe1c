//! `cargo xtask traffic`: real servers and clients with content up to 1 GiB, and whether every
//! exchange was recorded whole at both ends. The shorter form is the kernel test `kernel_traffic`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    project::Project,
    setup,
    test::{kernel, report::Report},
};

/// Run real servers and clients, and compare what they report with what tracer records
#[derive(Args)]
pub struct Options {
    /// What to pass to the test program, such as part of a server's name
    #[arg(last = true)]
    args: Vec<String>,
}

pub fn main(options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    setup::bpf::ensure(&project)?;
    let mut report = Report::default();
    report.step("traffic", || {
        kernel::alone(&project, "kernel_traffic", &[("TRACER_TRAFFIC", "long")], &options.args)
    });
    report.print("traffic");
    Ok(if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
