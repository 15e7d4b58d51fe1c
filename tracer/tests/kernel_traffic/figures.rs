//! What was recorded of the requests that were sent, in figures.

use std::collections::HashMap;

use crate::support::expect::Seen;
use crate::support::records::{Exchange, Life};

/// An exchange that must be recorded at both ends of a hop.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The row of the table.
    pub row: usize,
    /// Unique in its place.
    pub target: String,
    /// The port of the hop's server.
    pub port: u16,
    pub status: u16,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    pub server: &'static str,
    pub client: &'static str,
    pub case: String,
}

/// Counts of a row. An exchange counts once for each end of each hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    expected: u64,
    /// Recorded once, request and response together.
    paired: u64,
    /// Of these, complete.
    complete: u64,
    /// Paired with another status or length, or recorded more than once.
    wrong: u64,
}

impl Figures {
    const fn are_right(&self) -> bool {
        self.paired == self.expected && self.complete == self.expected && self.wrong == 0
    }
}

pub const HEADING: &str = "server   client  expected paired complete wrong  case";

/// Prints a table of what was recorded.
///
/// # Errors
/// Where it is not what was expected, with the first exchange that is not.
pub fn judge(seen: &Seen, rows: &[Row], expected: &[Expected]) -> Result<(), String> {
    let found = by_place(seen);
    let mut figures = vec![Figures::default(); rows.len()];
    let mut first_fault = None;
    let mut known: HashMap<&str, ()> = HashMap::new();
    for expected in expected {
        known.insert(&expected.target, ());
        for endpoint in ["client", "server"] {
            let key = (expected.port, endpoint, expected.target.as_str());
            let exchanges = found.get(&key).map_or(&[][..], Vec::as_slice);
            let was_right = count(&mut figures[expected.row], expected, exchanges);
            if !was_right && first_fault.is_none() {
                first_fault =
                    Some(format!("{endpoint}: {expected:?} was recorded as {exchanges:#?}"));
            }
        }
    }
    for (row, figures) in rows.iter().zip(&figures) {
        let Figures { expected, paired, complete, wrong } = figures;
        let (server, client, case) = (row.server, row.client, &row.case);
        println!("{server:8} {client:7} {expected:8} {paired:6} {complete:8} {wrong:5}  {case}");
    }
    let is_stray = |key: &&(u16, &str, &str)| !known.contains_key(key.2);
    let strays: usize = found.iter().filter(|(key, _)| is_stray(key)).map(|(_, e)| e.len()).sum();
    if strays > 0 {
        println!(
            "{:8} {strays} exchanges that were not made",
            rows.first().map_or("", |r| r.server)
        );
    }
    let all_right = figures.iter().all(Figures::are_right) && strays == 0;
    if all_right { Ok(()) } else { Err(first_fault.unwrap_or_else(|| format!("{strays} strays"))) }
}

/// Whether all is as it should be with the records of one exchange at one end.
fn count(figures: &mut Figures, expected: &Expected, exchanges: &[&Exchange]) -> bool {
    figures.expected += 1;
    let [exchange] = exchanges else {
        figures.wrong += exchanges.len() as u64;
        return false;
    };
    let (Some(request), Some(response)) = (&exchange.request, &exchange.response) else {
        return false;
    };
    figures.paired += 1;
    figures.complete += u64::from(exchange.complete);
    let found = (exchange.status, request.body_bytes, response.body_bytes);
    let (sent, received) = (expected.request_bytes, expected.response_bytes);
    let is_right = found == (Some(expected.status), Some(sent), Some(received));
    figures.wrong += u64::from(!is_right);
    is_right && exchange.complete
}

/// Exchanges by the port of their server, the end that recorded them, and their target (empty where
/// unknown).
fn by_place(seen: &Seen) -> HashMap<(u16, &str, &str), Vec<&Exchange>> {
    let mut found: HashMap<_, Vec<&Exchange>> = HashMap::new();
    for life in &seen.lives {
        let endpoint = life.endpoint.as_deref().unwrap_or("unknown");
        for exchange in seen.of_life(life) {
            let target = exchange.target.as_deref().unwrap_or_default();
            found.entry((server_port(life), endpoint, target)).or_default().push(exchange);
        }
    }
    found
}

fn server_port(life: &Life) -> u16 {
    if life.endpoint.as_deref() == Some("client") { life.remote.port } else { life.local.port }
}
