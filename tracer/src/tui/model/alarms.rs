//! What stands out, and why: connections that stay in a state for longer than a healthy one does, and ends that fail
//! in numbers.

use rustc_hash::FxHashMap;

use super::row::Row;
use crate::record::{ConnId, Outcome, SocketAddress};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;
use crate::tui::text;

/// Alarms told of at once.
const MOST: usize = 8;
/// From so many on, resets and refusals among the ends that still fade are no accident.
const FAILURES: u32 = 5;

/// Some connections of one owner with one place that have the same trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// What it is and what it means.
    pub words: String,
    /// The connection that it shows best.
    pub example: ConnId,
    /// How many there are.
    pub count: u32,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Trouble {
    Stuck(TcpState),
    Ended(Outcome),
}

/// Who has it, and with whom.
type Key = (Trouble, Option<u32>, SocketAddress);

#[derive(Clone, Copy)]
struct Group {
    count: u32,
    example: ConnId,
    longest_us: u64,
    is_server: bool,
}

/// The alarms of all rows, the greatest first. One pass: once a second is enough.
#[must_use]
pub fn alarms<'a>(rows: impl Iterator<Item = &'a Row> + Clone, now: Timestamp) -> Vec<Alarm> {
    let mut groups: FxHashMap<Key, Group> = FxHashMap::default();
    for row in rows.clone() {
        let Some(trouble) = trouble(row, now) else { continue };
        let since = row.since().unwrap_or(now);
        let lasted_us = now.since_us(since);
        let connection = row.connection();
        let key = (trouble, connection.pid, place(row));
        let is_server = connection.endpoint == Some(Endpoint::Server);
        let new = Group { count: 0, example: connection.id, longest_us: 0, is_server };
        let group = groups.entry(key).or_insert(new);
        group.count += 1;
        if lasted_us > group.longest_us {
            (group.longest_us, group.example) = (lasted_us, connection.id);
        }
    }
    groups.retain(|(trouble, _, _), group| match trouble {
        Trouble::Ended(Outcome::TimedOut) | Trouble::Stuck(_) => true,
        Trouble::Ended(_) => group.count >= FAILURES,
    });
    let mut groups: Vec<(Key, Group)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| (std::cmp::Reverse(group.count), group.example));
    groups.truncate(MOST);
    let by_id: FxHashMap<ConnId, &Row> = rows
        .filter(|row| groups.iter().any(|(_, group)| group.example == row.connection().id))
        .map(|row| (row.connection().id, row))
        .collect();
    let told = |((trouble, _, place), group): (Key, Group)| {
        let who = by_id.get(&group.example).and_then(|row| row.owner());
        let words = words(trouble, who.as_deref().unwrap_or("?"), place, group);
        Alarm { words, example: group.example, count: group.count }
    };
    groups.into_iter().map(told).collect()
}

fn trouble(row: &Row, now: Timestamp) -> Option<Trouble> {
    if row.stuck(now) {
        return Some(Trouble::Stuck(row.state()));
    }
    let outcome = row.connection().outcome;
    let failed = matches!(
        outcome,
        Outcome::ResetByRemote | Outcome::ResetByLocal | Outcome::Refused | Outcome::TimedOut
    );
    (row.ended() && failed).then_some(Trouble::Ended(outcome))
}

/// The service: where a server's end listens, or what a client connects to.
fn place(row: &Row) -> SocketAddress {
    match row.connection().endpoint {
        Some(Endpoint::Server) => row.connection().local,
        _ => row.connection().remote,
    }
}

/// The reason stands early: a narrow terminal cuts the end.
fn words(trouble: Trouble, who: &str, place: SocketAddress, group: Group) -> String {
    let who = text::clean(who);
    // A server's clients are many; its own address says more.
    let (us, them) = match group.is_server {
        true => (format!("{who} at {place}"), "its clients".to_owned()),
        false => (who.into_owned(), place.to_string()),
    };
    let does_not = if group.is_server { "do not" } else { "does not" };
    let n = group.count;
    match trouble {
        Trouble::Stuck(state) => {
            let head = format!("{n} in {state} up to {}", text::duration(group.longest_us));
            match state {
                TcpState::CloseWait => {
                    format!("{head}: {us} does not close what {them} closed")
                }
                TcpState::FinWait2 => format!("{head}: {them} {does_not} close what {us} closed"),
                TcpState::SynSent => format!("{head}: {them} {does_not} answer {us}"),
                TcpState::SynRecv => {
                    format!("{head}: {them} {does_not} acknowledge the SYN+ACK of {us}")
                }
                _ => format!("{head}: {them} {does_not} acknowledge the FIN of {us}"),
            }
        }
        Trouble::Ended(Outcome::Refused) => {
            format!("{n} just refused: nobody listens at {place}, asked by {us}")
        }
        Trouble::Ended(Outcome::TimedOut) => {
            format!("{n} just timed out: {them} {does_not} answer {us}")
        }
        Trouble::Ended(Outcome::ResetByLocal) => {
            format!("{n} just reset by {us}, connections with {them}")
        }
        Trouble::Ended(_) => format!("{n} just reset by {them}, connections of {us}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Connection;
    use crate::tui::fixture::{NOW, connection, states};
    use std::sync::Arc;

    fn told(connections: Vec<Connection>) -> Vec<String> {
        let rows: Vec<Row> = connections.into_iter().map(|c| Row::new(Arc::new(c))).collect();
        alarms(rows.iter(), NOW).into_iter().map(|alarm| alarm.words).collect()
    }

    #[test]
    fn leaked_sockets_of_one_program_are_one_alarm_with_its_reason() {
        let leaked = |id: u64, us: u64| Connection {
            states: states(&[(TcpState::Established, us + 1), (TcpState::CloseWait, us)]),
            ..connection(id)
        };
        let healthy = leaked(9, 10);
        assert_eq!(
            told(vec![leaked(1, 6_000_000), leaked(2, 660_000_000), healthy]),
            ["2 in CLOSE_WAIT up to 11 min: curl[812] does not close what 127.0.0.1:8080 closed"]
        );
    }

    #[test]
    fn a_reset_is_an_accident_and_five_are_a_burst() {
        let reset = |id: u64| Connection {
            outcome: Outcome::ResetByRemote,
            closed_at: Some(NOW),
            states: states(&[(TcpState::Established, 9), (TcpState::Close, 1)]),
            ..connection(id)
        };
        assert!(told((1..5).map(reset).collect()).is_empty());
        assert_eq!(
            told((1..6).map(reset).collect()),
            ["5 just reset by 127.0.0.1:8080, connections of curl[812]"]
        );
    }
}
