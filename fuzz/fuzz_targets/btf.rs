//! Any bytes as the kernel's description of its types: no panic, and only offsets that were found.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::load::offsets::Offsets;

fuzz_target!(|bytes: &[u8]| drop(Offsets::from_btf(bytes)));
