//! A recording played back as if it were live: records in, [updates](crate::view_update::Update) and the time out. Pure; `cli::play` has the clock.

mod player;
mod reveal;

pub use player::{Play, Player, SPEEDS, Source, Wanted};
pub use reveal::Reveal;

use crate::record::Record;
use crate::time::Timestamp;

/// When a record was told, as far as it says.
#[must_use]
pub fn told_at(record: &Record) -> Option<Timestamp> {
    match record {
        Record::Host(host) => Some(host.started_at),
        Record::Transition(transition) => Some(transition.at),
        Record::Segment(segment) => Some(segment.at),
        Record::Connection(connection) => connection.closed_at,
        Record::Loss(loss) => Some(loss.at),
        Record::Exchange(exchange) => {
            let response = exchange.response.as_ref().and_then(|response| response.at);
            let request = exchange.request.as_ref().and_then(|request| request.at);
            let receive_ns = exchange.timing.receive_us.unwrap_or(0).saturating_mul(1_000);
            response.map(|at| at.plus_ns(receive_ns)).or(request)
        }
    }
}
