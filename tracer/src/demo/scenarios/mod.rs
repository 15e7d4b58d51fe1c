//! What the demo plays: each scenario is one small story that a viewer can follow.

mod closing;
mod exchanges;
mod opening;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

type Playing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// One story.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What a viewer sees, for the log.
    pub shows: &'static str,
    /// Plays it against the server at the address.
    pub play: fn(SocketAddr) -> Playing,
}

macro_rules! scenarios {
    ($($shows:literal => $play:path),* $(,)?) => {
        &[$(Scenario { shows: $shows, play: |address| Box::pin($play(address)) }),*]
    };
}

/// All of them in the order in which they are played.
pub const SCENARIOS: &[Scenario] = scenarios![
    "one connection kept alive, a request now and then" => exchanges::keep_alive,
    "client closes first: FIN_WAIT1, FIN_WAIT2, TIME_WAIT at the client" => closing::client_first,
    "server closes first: TIME_WAIT at the server" => closing::server_first,
    "the server forgets to close: CLOSE_WAIT for six seconds" => closing::leaked_close_wait,
    "both close at once: CLOSING at one of the two" => closing::both_at_once,
    "SYN into a full backlog: SYN_SENT, sent again and again" => opening::full_backlog,
    "a chunked answer with a trailer" => exchanges::chunked,
    "404 and 500 on one connection" => exchanges::errors,
    "a slow answer: 300 ms of waiting" => exchanges::slow,
    "three requests at once, pipelined" => exchanges::pipelined,
    "POST with a body" => exchanges::post,
    "304: the client's copy is still good" => exchanges::cached,
    "half-close: the client's FIN comes first, then data from the server" => closing::half_close,
    "reset by the client" => closing::reset_by_client,
    "reset by the server" => closing::reset_by_server,
    "refused: nobody listens" => opening::refused,
    "orphaned FIN_WAIT2: the client has gone, the server closes a second later" => closing::orphan,
    "an answer to a socket that is closed: reset" => closing::gone_before_the_answer,
];
