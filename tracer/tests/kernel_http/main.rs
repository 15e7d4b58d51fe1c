//! HTTP/1 exchanges from real programs and from raw bytes, to the program's JSON lines, at both ends of each
//! connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod many;
mod programs;
mod scripted;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};

use support::table::Case;
use support::{expect, place, table};

const TABLE: &[Case] = &[
    Case::scripted(
        "chunks_and_trailers_are_counted_without_their_framing",
        scripted::chunks_and_trailers,
    ),
    Case::scripted(
        "a_response_without_length_ends_with_the_connection",
        scripted::read_until_close,
    ),
    Case::scripted("head_304_and_204_have_no_content", scripted::without_content),
    Case::scripted("pipelined_requests_find_their_answers", scripted::pipelining),
    Case::scripted("behind_connect_is_a_tunnel", scripted::tunnel),
    Case::scripted("behind_upgrade_is_no_http", scripted::upgrade),
    Case::scripted("interim_responses_are_no_answers", scripted::interim_responses),
    Case::scripted("a_response_cut_off_is_incomplete", scripted::aborted_response),
    Case::scripted("a_request_cut_off_is_incomplete", scripted::aborted_request),
    Case::scripted("an_answer_may_come_before_the_request_has_ended", scripted::early_answer),
    Case::scripted("a_request_in_the_syn_is_told_whole", scripted::request_in_syn),
    Case::scripted(
        "a_refused_request_without_its_content_is_incomplete",
        scripted::refused_expectation,
    ),
    Case::scripted("secrets_are_not_told", scripted::secrets),
    Case::with(&["nginx", "curl"], "nginx_and_curl_on_one_connection", programs::nginx_curl),
    Case::with(&["python3", "curl"], "pythons_http_server_and_curl", programs::python_curl),
    Case::with(&["haproxy", "nginx", "curl"], "haproxy_in_http_mode", programs::haproxy_http),
    Case::with(
        &["haproxy", "nginx", "curl"],
        "haproxy_splices_in_tcp_mode",
        programs::haproxy_splice,
    ),
    Case::with(&["nginx", "ab"], "ab_with_a_connection_for_each_request", programs::nginx_ab),
    Case::with(&["nginx", "ab"], "ab_with_keep_alive", programs::nginx_ab_keep_alive),
    Case::with(&["nginx", "wrk"], "wrk_with_keep_alive", programs::nginx_wrk),
];

fn main() -> ExitCode {
    let many = [
        Trial::test(many::NAME, || many::every_one_is_recorded().map_err(Failed::from)),
        Trial::test(many::LATE_NAME, || many::under_way_at_the_start().map_err(Failed::from)),
    ];
    table::main(scripted::SELF, TABLE, many.into())
}
