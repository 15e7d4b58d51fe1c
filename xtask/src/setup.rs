//! `cargo xtask setup`: makes what building and testing need, inside the target directory.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{project::Project, shell::say};

pub mod apt;
pub mod bpf;
pub mod kernels;
pub mod programs;

/// Set up what building and testing need, inside target/
#[derive(Args)]
pub struct Options {
    /// Only what building needs: the BPF compiler and linker
    #[arg(long)]
    build_only: bool,
}

pub fn main(options: Options) -> Result<ExitCode> {
    let project = Project::find()?;
    bpf::ensure(&project)?;
    if !options.build_only {
        for missing in programs::ensure(&project, &programs::FOR_TESTS)? {
            say(missing);
        }
        for version in kernels::VERSIONS {
            if let Err(reason) = kernels::ensure(&project, version) {
                say(format_args!("kernel {version}: {reason:#}"));
            }
        }
    }
    say("everything is in place");
    Ok(ExitCode::SUCCESS)
}
