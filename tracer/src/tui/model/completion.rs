//! What may stand where the cursor is in the filter line: keys, their known values, and values that connections in the
//! table have.

use std::cmp::Reverse;
use std::net::IpAddr;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::row::{RECENT_EXCHANGES, Row};
use super::table::Table;
use crate::filter;

/// Offers at most.
const MAX_OFFERS: usize = 50;

/// What the word before the cursor may become, the likeliest first.
#[must_use]
pub fn offers(word: &str, table: &Table) -> Vec<String> {
    match word.split_once(':') {
        None => keys(word),
        Some((key, begun)) => values(key, begun, table),
    }
}

fn keys(begun: &str) -> Vec<String> {
    let begun = begun.to_ascii_lowercase();
    let keys = filter::completions().map(|completion| completion.key);
    keys.filter(|key| key.starts_with(&begun)).map(|key| format!("{key}:")).collect()
}

fn values(key: &str, begun: &str, table: &Table) -> Vec<String> {
    let known = filter::completions().find(|completion| completion.key.eq_ignore_ascii_case(key));
    let Some(known) = known else { return Vec::new() };
    let fits = |value: &str| {
        value.get(..begun.len()).is_some_and(|head| head.eq_ignore_ascii_case(begun))
            && value.len() > begun.len()
    };
    let listed = known.values.iter().map(|value| (*value).to_owned());
    let mut offers: Vec<String> = listed.filter(|value| fits(value)).collect();
    let room = offers.len() + MAX_OFFERS;
    let mut counted = counted(known.key, table);
    each_by_frequency(&mut counted, |value| {
        // Text is made of as few as that takes.
        offers.extend(Some(value.text()).filter(|value| fits(value)));
        offers.len() < room
    });
    offers.into_iter().map(|value| format!("{key}:{value}")).collect()
}

/// A value in the table; text only once it is to be offered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value<'a> {
    Number(u32),
    Address(IpAddr),
    Text(&'a str),
}

impl Value<'_> {
    fn text(&self) -> String {
        match self {
            Value::Number(number) => number.to_string(),
            Value::Address(address) => address.to_string(),
            Value::Text(text) => filter::literal(text),
        }
    }
}

/// The values of `key` in the table, and how often each is there.
fn counted<'a>(key: &str, table: &'a Table) -> Vec<(Value<'a>, u32)> {
    let mut counts: FxHashMap<Value<'_>, u32> = FxHashMap::default();
    for value in table.shown_rows().flat_map(|row| of_row(key, row)) {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// Hands out values, the most frequent first, until `each` wants no more. No more of them are sorted than that takes: there
/// may be as many as rows, and a person has pressed a key.
fn each_by_frequency<'a>(
    mut values: &mut [(Value<'a>, u32)],
    mut each: impl FnMut(Value<'a>) -> bool,
) {
    let by_frequency = |(value, count): &(Value<'a>, u32)| (Reverse(*count), *value);
    let mut sorted = 2 * MAX_OFFERS;
    while !values.is_empty() {
        if sorted < values.len() {
            values.select_nth_unstable_by_key(sorted, by_frequency);
        }
        let at = sorted.min(values.len());
        let (first, rest) = std::mem::take(&mut values).split_at_mut(at);
        first.sort_unstable_by_key(by_frequency);
        if !first.iter().all(|(value, _)| each(*value)) {
            return;
        }
        values = rest;
        sorted *= 8;
    }
}

fn of_row<'a>(key: &str, row: &'a Row) -> SmallVec<[Value<'a>; RECENT_EXCHANGES]> {
    let connection = row.connection();
    let (local, remote) = (connection.local, connection.remote);
    let text = |value: Option<&'a str>| value.map(Value::Text).into_iter().collect();
    match key {
        "port" => {
            SmallVec::from_iter([local.port, remote.port].map(|port| Value::Number(port.into())))
        }
        "lport" => SmallVec::from_iter([Value::Number(local.port.into())]),
        "rport" => SmallVec::from_iter([Value::Number(remote.port.into())]),
        "host" => SmallVec::from_iter([local.ip, remote.ip].map(Value::Address)),
        "lhost" => SmallVec::from_iter([Value::Address(local.ip)]),
        "rhost" => SmallVec::from_iter([Value::Address(remote.ip)]),
        "pid" => connection.pid.map(Value::Number).into_iter().collect(),
        "netns" => connection.netns.map(Value::Number).into_iter().collect(),
        "comm" => text(connection.comm.as_deref()),
        "exe" => text(connection.exe.as_deref()),
        "cgroup" => text(connection.cgroup.as_deref()),
        "container" => text(connection.container.as_deref()),
        "path" => row.recent().filter_map(|exchange| path(exchange.target.as_deref()?)).collect(),
        "host_header" => {
            row.recent().filter_map(|e| e.authority.as_deref().map(Value::Text)).collect()
        }
        _ => SmallVec::new(),
    }
}

fn path(target: &str) -> Option<Value<'_>> {
    target.split(['?', '#']).next().filter(|path| path.starts_with('/')).map(Value::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::{NOW, mixed_updates};
    use crate::tui::model::Model;

    fn offered(word: &str) -> Vec<String> {
        let mut model = Model::new(|_| Err("none".to_owned()));
        model.tick(NOW);
        model.offer(mixed_updates());
        model.settle(20);
        offers(word, &model.table)
    }

    #[test]
    fn keys_are_offered_by_their_begin_in_any_case() {
        assert_eq!(offered("OUT"), ["outcome:"]);
        assert_eq!(offered("ho"), ["host:", "host_header:"]);
        assert!(offered("").len() > 20);
        assert_eq!(offered("zzz"), Vec::<String>::new());
    }

    #[test]
    fn the_values_of_a_key_are_the_languages_and_those_in_the_table() {
        assert_eq!(offered("state:time"), ["state:time_wait"]);
        let names = offered("comm:");
        assert!(names.iter().any(|name| name == "comm:nginx"), "{names:?}");
        assert_eq!(offered("nokey:"), Vec::<String>::new());
    }

    #[test]
    fn values_come_by_how_often_they_are_there_however_many_there_are() {
        // Ten values for each count, the smaller ones more often.
        let mut values: Vec<(Value<'_>, u32)> = (0..5_000)
            .map(|n| (Value::Number(n * 17 % 5_000), 1_000 - n * 17 % 5_000 / 10))
            .collect();
        let mut told = Vec::new();
        each_by_frequency(&mut values, |value| {
            told.push(value);
            told.len() < 3_000
        });
        assert!(told.iter().copied().eq((0..3_000).map(Value::Number)));
        each_by_frequency(&mut values, |value| {
            told.push(value);
            true
        });
        assert_eq!(told.len(), 8_000, "all, where all are wanted");
    }

    #[test]
    fn what_is_complete_already_is_not_offered_again() {
        assert_eq!(offered("state:time_wait"), Vec::<String>::new());
    }
}
