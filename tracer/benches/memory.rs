//! Bytes that the core keeps for a connection end. `cargo bench --bench memory -- 1000000` counts a million of each kind.

mod support;

use std::process::{Command, ExitCode};

use support::counting::{Counting, live_bytes};
use support::drive::{self, Driver};
use support::traffic::{Load, Until};
use tracer::engine::TellChanged;

/// Connection ends of each kind, unless asked otherwise.
const ENDS: usize = 100_000;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A kind of connection end: its name, and a load that leaves as many of them as is asked for.
type Kind = (&'static str, fn(usize) -> Load);

const KINDS: [Kind; 3] = [
    ("established, nothing sent", |ends| Load { until: Until::Open, ..Load::states(ends / 2) }),
    ("established, idle after an exchange", |ends| Load {
        until: Until::Open,
        ..Load::churn(ends / 2)
    }),
    ("TIME_WAIT", |ends| Load { until: Until::TimeWait, ..Load::churn(ends) }),
];

/// Bytes of this process that are in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

fn count((name, load): Kind, ends: usize) {
    let load = load(ends);
    let (live, resident) = (live_bytes(), resident_bytes());
    let mut driver = Driver::new(TellChanged::Never);
    drive::in_parts(&mut driver, &load);
    assert_eq!((driver.engine.tracked(), driver.malformed), (ends, 0), "{name}: ends tracked");
    let live = live_bytes() - live;
    let resident = resident_bytes().saturating_sub(resident);
    println!(
        "{name:36} {ends} ends: {} bytes each asked for, {} resident",
        live / ends,
        resident / ends
    );
}

/// Each kind in a process of its own: what one leaves behind would be the next one's.
fn count_each(ends: usize) -> std::io::Result<bool> {
    let program = std::env::current_exe()?;
    let mut all_well = true;
    for (name, _) in KINDS {
        all_well &= Command::new(&program).args([name, &ends.to_string()]).status()?.success();
    }
    Ok(all_well)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let ends = words.last().and_then(|word| word.parse().ok()).unwrap_or(ENDS);
    let kind = KINDS.into_iter().find(|(name, _)| words.first().is_some_and(|word| word == name));
    if let Some(kind) = kind {
        count(kind, ends);
        return ExitCode::SUCCESS;
    }
    match count_each(ends) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: this program cannot start itself: {error}");
            ExitCode::FAILURE
        }
    }
}
