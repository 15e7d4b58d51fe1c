//! `tracer record`.

use super::args::RecordArgs;

pub(super) fn run(_args: &RecordArgs) -> anyhow::Result<()> {
    anyhow::bail!("record is not built in");
}
