//! `tracer watch`.

use super::args::WatchArgs;

pub(super) fn run(_args: &WatchArgs, _level: log::LevelFilter) -> anyhow::Result<()> {
    anyhow::bail!("watch is not built in");
}
