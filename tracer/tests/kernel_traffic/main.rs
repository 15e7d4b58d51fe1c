//! The servers and clients that people use, with content of many sizes: every exchange is paired
//! and complete at both ends of each connection, and has the length that client and server
//! themselves report.
//!
//! `TRACER_TRAFFIC=long` has content up to 1 GiB (`cargo xtask traffic`); without it, what a minute
//! allows.

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

use support::expect::Check;
use support::place::Place;
use support::table::{self, Case};

const CASES: &[Case] = &[
    case(&["node", "curl", "wget", "python3"], "node_is_recorded_whole", plan::node),
    case(&["nginx", "curl", "wget", "python3"], "nginx_is_recorded_whole", plan::nginx),
    case(
        &["nginx", "node", "curl", "wget", "python3"],
        "nginx_in_front_of_node_is_recorded_whole",
        plan::nginx_proxy,
    ),
    case(
        &["haproxy", "node", "curl", "wget", "python3"],
        "haproxy_in_front_of_node_is_recorded_whole",
        plan::haproxy,
    ),
    case(&["apache2", "node", "curl", "wget", "python3"], "apache_is_recorded_whole", plan::apache),
];

const fn case(
    needs: &'static [&'static str],
    name: &'static str,
    play: fn(&mut Place) -> Vec<Check>,
) -> Case {
    Case::with(needs, name, play).judged_by_packets_alone()
}

fn main() -> ExitCode {
    println!("{}", figures::HEADING);
    table::main("kernel_traffic", CASES, Vec::new())
}
