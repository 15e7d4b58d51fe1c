//! Traffic that other tools are known to have got wrong, in many layouts, to the program's JSON
//! lines at both ends. A file for each kind; nothing but a kernel is needed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod chunked;
mod extension_headers;
mod first_bytes;
mod late_start;
mod odd_heads;
mod proxy_header;
mod stray_bytes;
#[path = "../support/mod.rs"]
mod support;
mod talk;
mod tunnels;
mod unfinished;

use std::process::ExitCode;

use support::table::{self, Case};

/// The name of this process.
const SELF: &str = "kernel_cases";

fn main() -> ExitCode {
    let kinds: [&[Case]; 9] = [
        chunked::CASES,
        extension_headers::CASES,
        first_bytes::CASES,
        late_start::CASES,
        odd_heads::CASES,
        proxy_header::CASES,
        stray_bytes::CASES,
        tunnels::CASES,
        unfinished::CASES,
    ];
    table::main(SELF, &kinds.concat(), Vec::new())
}
