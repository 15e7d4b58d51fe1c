//! Micro-benchmarks of the hot paths, from a ring's bytes to the screen.
//!
//! `cargo bench --bench micro` times all of them, `-- churn` those with `churn` in their names. `... -- run churn` runs
//! one of them once, for perf and callgrind; `... -- run churn 20000 9` in that size, nine times.

#[path = "../support/mod.rs"]
mod support;
mod workloads;

use std::process::ExitCode;
use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use workloads::{ALL, Prepared, Workload, measured};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[divan::bench(args = ALL, sample_count = 20, sample_size = 1)]
fn hot_path(bencher: Bencher<'_, '_>, workload: &Workload) {
    let prepared = workload.prepare(workload.large);
    let units = prepared.amounts.first().map_or(0, |amount| amount.0);
    bencher
        .counter(ItemsCount::new(units))
        .with_inputs(|| (prepared.ready)())
        .bench_local_values(measured);
}

/// Runs a workload, several times if so asked, and says how much it did and the median of how long: `WHAT: NUMBER, ...`, a
/// line for each way to tell it.
fn run(name: &str, size: Option<usize>, times: usize) -> Result<(), String> {
    let workload = Workload::named(name).ok_or_else(|| format!("no workload {name:?}"))?;
    let prepared = workload.prepare(size.unwrap_or(workload.small));
    let mut seconds: Vec<f64> = (0..times.max(1)).map(|_| seconds_of(&prepared)).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    for (amount, what) in prepared.amounts {
        let per_s = amount as f64 / median;
        println!("{what}: {amount}, {per_s:.0}/s, {:.0} ns each", 1e9 / per_s);
    }
    Ok(())
}

fn seconds_of(prepared: &Prepared) -> f64 {
    let ready = (prepared.ready)();
    let began = Instant::now();
    let left = measured(ready);
    let seconds = began.elapsed().as_secs_f64();
    drop(left);
    seconds
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|error| format!("{word:?}: {error}"))
}

fn list() {
    for Workload { name, about, small, large, .. } in ALL {
        println!("{name}: {about} (small {small}, large {large})");
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["list"] => {
            list();
            Ok(())
        }
        ["run", name] => run(name, None, 1),
        ["run", name, size] => number(size).and_then(|size| run(name, Some(size), 1)),
        ["run", name, size, times] => number(size)
            .and_then(|size| Ok((size, number(times)?)))
            .and_then(|(size, times)| run(name, Some(size), times)),
        _ => {
            divan::main();
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
