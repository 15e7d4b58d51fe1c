//! `tracer demo`.

use super::args::DemoArgs;

pub(super) fn run(_args: &DemoArgs) -> anyhow::Result<()> {
    anyhow::bail!("demo is not built in");
}
