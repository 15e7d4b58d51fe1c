//! Any text as a filter: no panic, an error points into the text, and a filter reads back from its
//! own words.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::filter::{Filter, States, Subject};
use tracer::record::Record;

/// Records that a filter is asked about.
const EXAMPLES: &str = include_str!("../../docs/schema/examples.jsonl");

fuzz_target!(|text: &str| {
    let filter = match text.parse::<Filter>() {
        Ok(filter) => filter,
        Err(error) => return drop(error.to_string()),
    };
    assert_eq!(filter.to_string().parse::<Filter>().expect("its own words"), filter);
    for line in EXAMPLES.lines() {
        let record = Record::from_json(line).expect("an example is a record");
        let (connection, exchange) = match &record {
            Record::Connection(connection) => (Some(&**connection), None),
            Record::Exchange(exchange) => (None, Some(&**exchange)),
            _ => continue,
        };
        _ = filter.matches(&Subject { connection, exchange, states: States::Life });
    }
});
