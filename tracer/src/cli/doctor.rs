//! `tracer doctor`.

use super::args::DoctorArgs;

pub(super) fn run(_args: &DoctorArgs) -> anyhow::Result<()> {
    anyhow::bail!("doctor is not built in");
}
