//! The live view as a person has it: real keys into a real terminal (tmux), over live connections, judged by what
//! stands on the screen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod connections;
mod daemon;
mod files;
mod finding;
mod screen;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod trouble;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use stage::Stage;
use support::{actor, environment, said, shield};

/// A test: what it shows, and how.
type Case = (&'static str, fn(&Stage));

const TABLE: &[Case] = &[
    (
        "a_connection_stands_with_state_owner_and_request_until_time_wait_counts_down",
        connections::live,
    ),
    ("j_k_and_the_arrows_select_and_enter_opens_the_ladder_of_both_ends", connections::ladder),
    ("a_typed_filter_narrows_the_table_and_a_wrong_one_says_so_and_stays", finding::filter),
    ("tab_shows_requests_with_their_routes_and_s_the_slowest_first", finding::requests),
    ("space_holds_the_picture_and_lets_it_go_on", finding::pause),
    (
        "a_recording_begun_by_r_plays_in_the_same_view_and_e_exports_what_is_shown",
        files::taken_along,
    ),
    ("a_leaked_close_wait_is_told_with_its_reason_one_key_from_its_story", trouble::close_wait),
    ("a_daemon_is_watched_in_the_same_view_and_found_again_when_it_comes_back", daemon::watched),
    ("the_screen_fits_the_terminal_at_every_size", terminal::sizes),
    ("q_leaves_with_status_0_and_gives_the_terminal_back", terminal::quit),
    ("sigterm_leaves_with_status_0_and_gives_the_terminal_back", terminal::sigterm),
    ("no_color_takes_every_colour_away", terminal::no_color),
    ("without_a_utf8_locale_the_screen_is_ascii", terminal::ascii),
];

fn main() -> ExitCode {
    actor::act_if_asked();
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, environment::missing()) {
        environment::skip("kernel_view", &why);
        return ExitCode::SUCCESS;
    }
    let trial = |&(name, play): &Case| {
        Trial::test(name, move || {
            if environment::program("tmux").is_none() {
                environment::skip(name, "needs tmux");
                return Ok(());
            }
            judge(play).map_err(Failed::from)
        })
    };
    let trials = TABLE.iter().map(trial).collect();
    // One after the other: the alarms and the figures are those of the whole host.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Plays a case. One that fails while the screen tells of a loss is played again where a shielded process can be the
/// reason: what this host's kernel hides from the program, no screen can show.
fn judge(play: fn(&Stage)) -> Result<(), String> {
    const TRIES: usize = 3;
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        outcome = catch_unwind(AssertUnwindSafe(|| play(&Stage::new())))
            .map_err(|panic| said(panic.as_ref()));
        match &outcome {
            Err(why) if tells_of_a_loss(why) && !shield::tasks().is_empty() => {
                eprintln!("played again, for something was hidden from the program");
            }
            _ => break,
        }
    }
    outcome
}

/// Whether the screen in a failure's words has a header with losses in it.
fn tells_of_a_loss(why: &str) -> bool {
    why.contains(" lost ") && !why.contains(" lost 0")
}
