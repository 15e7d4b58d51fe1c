//! What may stand where the cursor is in the filter line: keys, their known values, and values that connections in the
//! table have.

use std::collections::BTreeMap;

use super::row::Row;
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
    offers.extend(seen(known.key, table).into_iter().filter(|value| fits(value)));
    offers.truncate(MAX_OFFERS);
    offers.into_iter().map(|value| format!("{key}:{value}")).collect()
}

/// The values of `key` in the table, the most frequent first.
fn seen(key: &str, table: &Table) -> Vec<String> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let rows = table.shown().iter().filter_map(|id| table.row(*id));
    for value in rows.flat_map(|row| of_row(key, row)) {
        *counts.entry(value).or_default() += 1;
    }
    let mut values: Vec<(String, u32)> = counts.into_iter().collect();
    values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    values.into_iter().map(|(value, _)| value).collect()
}

fn of_row(key: &str, row: &Row) -> Vec<String> {
    let connection = row.connection();
    let (local, remote) = (connection.local, connection.remote);
    let text = |value: &Option<String>| -> Vec<String> {
        value.as_deref().map(filter::literal).into_iter().collect()
    };
    match key {
        "port" => vec![local.port.to_string(), remote.port.to_string()],
        "lport" => vec![local.port.to_string()],
        "rport" => vec![remote.port.to_string()],
        "host" => vec![local.ip.to_string(), remote.ip.to_string()],
        "lhost" => vec![local.ip.to_string()],
        "rhost" => vec![remote.ip.to_string()],
        "pid" => connection.pid.iter().map(u32::to_string).collect(),
        "netns" => connection.netns.iter().map(u32::to_string).collect(),
        "comm" => text(&connection.comm),
        "exe" => text(&connection.exe),
        "cgroup" => text(&connection.cgroup),
        "container" => text(&connection.container),
        "path" => row.recent().filter_map(|exchange| path(exchange.target.as_deref()?)).collect(),
        "host_header" => row
            .recent()
            .filter_map(|exchange| exchange.authority.as_deref().map(filter::literal))
            .collect(),
        _ => Vec::new(),
    }
}

fn path(target: &str) -> Option<String> {
    let path = target.split(['?', '#']).next().filter(|path| path.starts_with('/'))?;
    Some(filter::literal(path))
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
    fn what_is_complete_already_is_not_offered_again() {
        assert_eq!(offered("state:time_wait"), Vec::<String>::new());
    }
}
