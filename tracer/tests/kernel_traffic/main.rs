//! The servers and clients that people use, with content of many sizes: every exchange is paired and complete at both
//! ends of each connection, and has the length that client and server themselves report.
//!
//! `TRACER_TRAFFIC=long` has content up to 1 GiB (`cargo xtask traffic`); without it, what a minute allows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod clients;
mod figures;
mod plan;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::table::{self, Case};

const CASES: &[Case] = &[
    Case::with(&["node", "curl", "wget", "python3"], "node_is_recorded_whole", plan::node),
    Case::with(&["nginx", "curl", "wget", "python3"], "nginx_is_recorded_whole", plan::nginx),
    Case::with(
        &["nginx", "node", "curl", "wget", "python3"],
        "nginx_in_front_of_node_is_recorded_whole",
        plan::nginx_proxy,
    ),
    Case::with(
        &["haproxy", "node", "curl", "wget", "python3"],
        "haproxy_in_front_of_node_is_recorded_whole",
        plan::haproxy,
    ),
    Case::with(
        &["apache2", "node", "curl", "wget", "python3"],
        "apache_is_recorded_whole",
        plan::apache,
    ),
];

fn main() -> ExitCode {
    println!("{}", figures::HEADING);
    table::main("kernel_traffic", CASES, Vec::new())
}
