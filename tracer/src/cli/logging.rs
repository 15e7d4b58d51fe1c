//! Log lines on stderr, for the commands that do not own the terminal.

use std::io::Write;

use crate::sanitize::printable;

/// Shows log lines of `level` and above on stderr. A second call changes nothing.
pub(super) fn to_stderr(level: log::LevelFilter) {
    let started = env_logger::Builder::new()
        .filter_level(level)
        .format(|out, record| {
            let kind = match record.level() {
                log::Level::Error => "error",
                log::Level::Warn => "warning",
                log::Level::Info => "info",
                log::Level::Debug => "debug",
                log::Level::Trace => "trace",
            };
            writeln!(out, "tracer: {kind}: {}", printable(&record.args().to_string()))
        })
        .try_init();
    if started.is_err() {
        log::debug!("logging was set up already");
    }
}
