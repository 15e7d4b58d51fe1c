//! HTTP/1 exchanges from real programs and from raw bytes, to the program's JSON lines, at both ends of each
//! connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod expect;
mod many;
mod place;
mod programs;
mod scripted;
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

use expect::{Check, Seen};
use place::Place;
use support::shield::{self, Hidden};
use support::tracing::{Run, Tracing};
use support::{environment, said};

/// A row of the table.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// Programs without which it is skipped.
    needs: &'static [&'static str],
    play: fn(&mut Place) -> Vec<Check>,
}

const fn scripted(name: &'static str, play: fn(&mut Place) -> Vec<Check>) -> Case {
    Case { name, needs: &[], play }
}

const fn with(
    needs: &'static [&'static str],
    name: &'static str,
    play: fn(&mut Place) -> Vec<Check>,
) -> Case {
    Case { name, needs, play }
}

const TABLE: &[Case] = &[
    scripted(
        "chunks_and_trailers_are_counted_without_their_framing",
        scripted::chunks_and_trailers,
    ),
    scripted("a_response_without_length_ends_with_the_connection", scripted::read_until_close),
    scripted("head_304_and_204_have_no_content", scripted::without_content),
    scripted("pipelined_requests_find_their_answers", scripted::pipelining),
    scripted("behind_connect_is_a_tunnel", scripted::tunnel),
    scripted("behind_upgrade_is_no_http", scripted::upgrade),
    scripted("interim_responses_are_no_answers", scripted::interim_responses),
    scripted("a_response_cut_off_is_incomplete", scripted::aborted_response),
    scripted("a_request_cut_off_is_incomplete", scripted::aborted_request),
    scripted("an_answer_may_come_before_the_request_has_ended", scripted::early_answer),
    scripted("a_request_in_the_syn_is_told_whole", scripted::request_in_syn),
    scripted("a_refused_request_without_its_content_is_incomplete", scripted::refused_expectation),
    scripted("secrets_are_not_told", scripted::secrets),
    with(&["nginx", "curl"], "nginx_and_curl_on_one_connection", programs::nginx_curl),
    with(&["python3", "curl"], "pythons_http_server_and_curl", programs::python_curl),
    with(&["haproxy", "nginx", "curl"], "haproxy_in_http_mode", programs::haproxy_http),
    with(&["haproxy", "nginx", "curl"], "haproxy_splices_in_tcp_mode", programs::haproxy_splice),
    with(&["nginx", "ab"], "ab_with_a_connection_for_each_request", programs::nginx_ab),
    with(&["nginx", "ab"], "ab_with_keep_alive", programs::nginx_ab_keep_alive),
    with(&["nginx", "wrk"], "wrk_with_keep_alive", programs::nginx_wrk),
];

struct Played {
    case: Case,
    netns: u32,
    /// Kept: a namespace that is gone gives its number to the next one.
    _place: Place,
    checks: Result<Vec<Check>, String>,
}

struct Outcome {
    played: Vec<Played>,
    run: Run,
    /// What the program said was hidden from it by this host's kernel.
    hidden: Hidden,
}

/// Plays the cases one after the other; what happened before the program is told to stop, it must have told.
fn play_all(cases: &[Case]) -> Result<Outcome, String> {
    // The name of this process, as its connections are to bear it.
    std::fs::write("/proc/self/comm", scripted::SELF).map_err(|e| e.to_string())?;
    let tracing = Tracing::start(&[])?;
    let played = cases.iter().map(play).collect();
    let run = tracing.stop();
    let hidden = Hidden::among(run.lines.iter().map(|output| &output.line), &shield::tasks());
    Ok(Outcome { played, run, hidden })
}

fn play(case: &Case) -> Played {
    let mut place = Place::new();
    let netns = place.netns();
    let checks = catch_unwind(AssertUnwindSafe(|| (case.play)(&mut place)))
        .map_err(|panic| format!("could not be played: {}", said(panic.as_ref())));
    place.end();
    Played { case: *case, netns, _place: place, checks }
}

fn judge(outcome: &Outcome, name: &str) -> Result<(), String> {
    let played = outcome.played.iter().find(|p| p.case.name == name);
    let played = played.ok_or("the case was not played")?;
    let checks = played.checks.as_ref().map_err(Clone::clone)?;
    let seen = Seen::of(played.netns, outcome.run.lines.iter().map(|output| &output.line));
    let mut deviations = checks.iter().filter_map(|check| check(&seen).err());
    let unexcused = deviations.find(|deviation| !outcome.hidden.excuses(deviation));
    unexcused.map_or(Ok(()), Err)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, environment::missing()) {
        environment::skip("kernel_http", &why);
        return ExitCode::SUCCESS;
    }
    libtest_mimic::run(&arguments, trials(&arguments)).exit_code()
}

fn trials(arguments: &Arguments) -> Vec<Trial> {
    let named = |name: &str| arguments.filter.as_ref().is_none_or(|f| name.contains(f));
    let lacks = |case: &Case| case.needs.iter().find(|p| environment::program(p).is_none());
    let playable: Vec<Case> =
        TABLE.iter().filter(|c| named(c.name) && lacks(c).is_none()).copied().collect();
    let once: Arc<OnceLock<Result<Outcome, String>>> = Arc::default();
    let row = |case: &Case| {
        let (once, playable, name) = (Arc::clone(&once), playable.clone(), case.name);
        let lacking = lacks(case).copied();
        Trial::test(name, move || {
            if let Some(program) = lacking {
                environment::skip(name, &format!("needs {program}"));
                return Ok(());
            }
            let outcome = once.get_or_init(|| play_all(&playable)).as_ref();
            let outcome = outcome.map_err(|why| Failed::from(why.as_str()))?;
            judge(outcome, name).map_err(Failed::from)
        })
    };
    let mut trials: Vec<Trial> = TABLE.iter().map(row).collect();
    trials.push(Trial::test(many::NAME, || many::every_one_is_recorded().map_err(Failed::from)));
    trials.push(Trial::test(many::LATE_NAME, || {
        many::under_way_at_the_start().map_err(Failed::from)
    }));
    trials
}
