//! What the kernel tests share: namespaces, a wire under the test's control, processes that act on command,
//! a witness without BPF, and the program under test.

#![allow(dead_code, unused_imports, reason = "each test binary uses the part it needs")]

pub mod actor;
pub mod daemon;
pub mod environment;
pub mod expect;
pub mod load;
pub mod netns;
pub mod packet;
pub mod place;
pub mod procnet;
pub mod records;
pub mod shield;
pub mod table;
pub mod tcpstates;
pub mod trace_page;
pub mod tracing;
pub mod wire;
pub mod witness;

use std::time::{Duration, Instant};

/// How long any single step may take before the test calls it stuck; generous, for emulated machines are slow.
pub const STEP: Duration = Duration::from_secs(30);

/// Asks `condition` again and again until it holds; says whether it did within `within`.
pub fn wait_until(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a panic said.
pub fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "it panicked without a word".into())
}
