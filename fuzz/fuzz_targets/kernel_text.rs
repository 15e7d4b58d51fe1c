//! Any bytes as the texts of procfs: no panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::enrich::process::ProcCgroup;
use tracer::load::{kallsyms, mountinfo};

fuzz_target!(|text: &[u8]| {
    mountinfo::parse(text).for_each(drop);
    _ = kallsyms::timer_handlers_in(text);
    if let Ok(text) = std::str::from_utf8(text) {
        _ = ProcCgroup::parse(text);
    }
});
