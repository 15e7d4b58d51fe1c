//! Micro-benchmarks of the hot paths, from a ring's bytes to the screen.
//!
//! `cargo bench --bench micro` times all of them, `-- churn` those with `churn` in their names. `... -- run churn` runs
//! one of them once, for perf and callgrind.

#[path = "../support/mod.rs"]
mod support;
mod workloads;

use std::process::ExitCode;
use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use workloads::{ALL, Workload, measured};

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

/// Runs a workload once and says how much it did: `WHAT: NUMBER, ...`, a line for each way to tell it.
fn run(name: &str, size: Option<usize>) -> Result<(), String> {
    let workload = Workload::named(name).ok_or_else(|| format!("no workload {name:?}"))?;
    let prepared = workload.prepare(size.unwrap_or(workload.small));
    let ready = (prepared.ready)();
    let began = Instant::now();
    let left = measured(ready);
    let seconds = began.elapsed().as_secs_f64();
    drop(left);
    for (amount, what) in prepared.amounts {
        let per_s = amount as f64 / seconds;
        println!("{what}: {amount}, {per_s:.0}/s, {:.0} ns each", 1e9 / per_s);
    }
    Ok(())
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
        ["run", name] => run(name, None),
        ["run", name, size] => size
            .parse()
            .map_err(|error| format!("the size {size:?}: {error}"))
            .and_then(|size| run(name, Some(size))),
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
