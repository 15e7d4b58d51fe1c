//! Any bytes as one socket of the kernel's socket table: no panic, and nothing from beyond its end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::enrich::sockets::message::parse;

fuzz_target!(|payload: &[u8]| drop(parse(1, payload)));
