//! Whether kernel tests can run here, and the program under test.

use std::path::PathBuf;

/// The variable that makes a skipped kernel test a failed one.
pub const INSIST_VARIABLE: &str = "TRACER_KERNEL_TESTS";

/// Why kernel tests cannot run here; `None` when they can.
pub fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".into());
    }
    if std::env::var_os("TRACER_NO_BPF").is_some() {
        return Some("TRACER_NO_BPF is set: this host has no BPF".into());
    }
    None
}

/// Says loudly that tests are skipped; ends the process with failure where they must not be.
pub fn skip(tests: &str, why: &str) {
    eprintln!("{tests}: skipped: {why}");
    if std::env::var_os(INSIST_VARIABLE).is_some() {
        eprintln!("{tests}: {INSIST_VARIABLE} is set, so a skip is a failure");
        std::process::exit(1);
    }
}

/// The program under test; `TRACER_BIN` names it where it has been moved after the build.
pub fn tracer() -> PathBuf {
    std::env::var_os("TRACER_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_tracer").into(), PathBuf::from)
}

/// A program from PATH, or from where the project keeps its own tools.
pub fn program(name: &str) -> Option<PathBuf> {
    let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(tools), "/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Whether the running kernel is of this version or a later one.
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let mut next = || numbers.next().expect("a release begins with two numbers");
    (next(), next()) >= (major, minor)
}
