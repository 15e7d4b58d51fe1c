//! `cargo xtask picture`: the animation that the README opens with, made from a real run of `tracer demo`.

use std::{
    fs::{self, OpenOptions},
    path::{self, Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::sethostname,
};

use self::{film::Film, pty::Terminal, stage::Stage};
use crate::{
    project::{Project, is_root, own_program},
    run, setup,
    shell::{self, say},
};

mod colours;
mod film;
mod frames;
mod glyphs;
mod pty;
mod script;
mod stage;
mod svg;

/// Columns and rows of the terminal: what the README's width leaves readable.
const SIZE: (u16, u16) = (120, 36);
/// What the header shows as the host's name: whose machine made the picture is nobody's concern.
const HOST: &str = "demo";
/// The demo's address, 127.84.67.80, as /proc/net/tcp has it on the machines that tracer runs on.
const DEMO: &str = " 5043547F:";

/// Play `tracer demo` on a terminal of its own, type keys, and write what it shows as an animated SVG
#[derive(Args)]
pub struct Options {
    /// Where the animation goes [default: docs/view.svg]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one frame there too, as an SVG without animation
    #[arg(long, value_name = "FILE")]
    still: Option<PathBuf>,
    /// cargo's profile to build in; `dev` is there sooner and looks the same
    #[arg(long, default_value = "release")]
    profile: String,
    /// The program, already built: the half of this command that needs root rights
    #[arg(long, hide = true, requires = "output")]
    program: Option<PathBuf>,
}

pub fn main(options: Options) -> Result<ExitCode> {
    if let (Some(program), Some(output)) = (&options.program, &options.output) {
        make(program, output, options.still.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let project = Project::find()?;
    setup::bpf::ensure(&project)?;
    let program = run::build(&project, &options.profile)?;
    let output = match options.output {
        Some(file) => path::absolute(file).context("finding the working directory")?,
        None => project.root.join("docs/view.svg"),
    };
    let still = options.still.map(path::absolute).transpose();
    let still = still.context("finding the working directory")?;
    if is_root() {
        make(&program, &output, still.as_deref())?;
        return Ok(ExitCode::SUCCESS);
    }
    // Made now, the files stay this user's; root then only writes into them.
    for file in [Some(&output), still.as_ref()].into_iter().flatten() {
        let opened = OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("opening {}", file.display()))?;
    }
    let own = own_program()?;
    let mut command = run::as_root(&project, &own)?;
    command.arg("picture").arg("--program").arg(program).arg("--output").arg(output);
    if let Some(still) = still {
        command.arg("--still").arg(still);
    }
    shell::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}

/// Plays, and writes what was seen.
fn make(program: &Path, output: &Path, still: Option<&Path>) -> Result<()> {
    let film = play(program)?;
    let size = write(output, &svg::animation(&film))?;
    say(format_args!(
        "{}: {:.1} s, {} frames, {} KiB",
        output.display(),
        film.length().as_secs_f64(),
        film.shots().len(),
        size / 1024
    ));
    if let Some(file) = still {
        let size = write(file, &svg::still(&film))?;
        say(format_args!("{}: {} KiB", file.display(), size / 1024));
    }
    Ok(())
}

fn play(program: &Path) -> Result<Film> {
    wait_for_earlier_demo()?;
    // For this process and what it starts; needs root, as tracer does.
    unshare(CloneFlags::CLONE_NEWUTS).context("taking a host name of its own")?;
    sethostname(HOST).context("setting the host name of its own")?;
    let terminal = Terminal::start(program, &["demo"], SIZE)?;
    let mut stage = Stage::new(terminal, SIZE)?;
    script::play(&mut stage)?;
    stage.close()
}

/// What an earlier demo left in TIME_WAIT would be in the picture, of an owner unknown.
fn wait_for_earlier_demo() -> Result<()> {
    // TIME_WAIT takes a minute.
    let deadline = Instant::now() + Duration::from_secs(65);
    let mut told = false;
    loop {
        let sockets = fs::read_to_string("/proc/net/tcp").context("reading /proc/net/tcp")?;
        if !sockets.contains(DEMO) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("another tracer demo is running on this host");
        }
        if !told {
            say("waiting until the kernel has forgotten the connections of an earlier demo");
            told = true;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn write(file: &Path, text: &str) -> Result<usize> {
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(text.len())
}
