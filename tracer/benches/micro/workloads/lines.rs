//! Records on their way out: recordings, JSON lines, lines for people, filters.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use tracer::engine::{Output, TellChanged};
use tracer::filter::{Filter, Selector};
use tracer::plain;
use tracer::record::{Host, Record, SCHEMA_VERSION};
use tracer::recording::{Reader, Writer};

use super::{Prepared, Workload};
use crate::support::drive::{self, ANCHOR, Driver};
use crate::support::traffic::Load;

pub const RECORD: Workload = Workload {
    name: "record",
    about: "records of churn into a recording, in memory",
    small: 200,
    large: 5_000,
    prepare: recording,
};

pub const JSON: Workload = Workload {
    name: "json",
    about: "records of churn as JSON lines",
    small: 100,
    large: 5_000,
    prepare: |connections| {
        lines(connections, |record, out| {
            // Writing into memory cannot fail.
            _ = record.write_json_line(out);
        })
    },
};

pub const PLAIN: Workload = Workload {
    name: "plain",
    about: "records of churn as lines for people",
    small: 100,
    large: 5_000,
    prepare: |connections| {
        lines(connections, |record, out| {
            // Some records are no news to people.
            if let Some(line) = plain::line(record, None) {
                out.extend(line.as_bytes());
                out.push(b'\n');
            }
        })
    },
};

pub const FILTER: Workload = Workload {
    name: "filter",
    about: "records of churn through a filter of five terms",
    small: 200,
    large: 5_000,
    prepare: filtering,
};

const FILTER_TEXT: &str = "port:8080 host:127.0.0.0/8 (status:5xx or path:/index*) not comm:curl";

/// What an engine tells of `connections` with an exchange each.
fn records(connections: usize) -> &'static [Record] {
    let mut records = Vec::new();
    let tape = Load::churn(connections).tape();
    drive::straight(&mut Driver::new(TellChanged::Never), &tape, |outputs| {
        records.extend(outputs.filter_map(|output| match output {
            Output::Record(record) => Some(record),
            Output::Changed(_) | Output::Lasting(_) => None,
        }));
    });
    records.leak()
}

fn host() -> Arc<Host> {
    Arc::new(Host {
        schema: SCHEMA_VERSION,
        version: "0.1.0".to_owned(),
        hostname: "web-1".to_owned(),
        kernel: "6.18.44".to_owned(),
        started_at: ANCHOR.at(0),
        hooks: BTreeMap::new(),
        show_secrets: false,
        filter: None,
    })
}

fn record_all(records: &[Record]) -> Vec<u8> {
    let now = ANCHOR.at(0);
    let written = Writer::new(Vec::new(), &host(), now).and_then(|mut writer| {
        for record in records {
            writer.write(record, now)?;
        }
        writer.finish()
    });
    written.map_or_else(|_| Vec::new(), |(_, bytes)| bytes)
}

fn recording(connections: usize) -> Prepared {
    let records = records(connections);
    let bytes = record_all(records);
    let read = Reader::new(&bytes[..]).into_iter().flatten().filter_map(Result::ok);
    assert!(read.skip(1).eq(records.iter().cloned()), "the recording says something else");
    Prepared {
        amounts: vec![(records.len(), "record")],
        ready: Box::new(move || Box::new(move || Box::new(record_all(records)))),
    }
}

fn lines(connections: usize, write: fn(&Record, &mut Vec<u8>)) -> Prepared {
    let records = records(connections);
    let mut text = Vec::new();
    records.iter().for_each(|record| write(record, &mut text));
    let written = text.split(|&byte| byte == b'\n').filter(|line| line.len() > 40).count();
    assert!(written > records.len() / 2, "{written} lines for {} records", records.len());
    Prepared {
        amounts: vec![(records.len(), "line")],
        ready: Box::new(move || {
            let mut out = Vec::with_capacity(256 * 1024);
            Box::new(move || {
                for record in records {
                    if out.len() > 128 * 1024 {
                        black_box(&mut out).clear();
                    }
                    write(record, &mut out);
                }
                Box::new(out)
            })
        }),
    }
}

fn filtering(connections: usize) -> Prepared {
    let records = records(connections);
    let filter = FILTER_TEXT.parse::<Filter>().unwrap_or(Filter::all());
    assert!(!filter.is_all(), "the filter is not understood");
    let select = move |selector: &mut Selector| {
        records.iter().filter(|record| selector.passes(record, None)).count()
    };
    let selected = select(&mut Selector::new(filter.clone()));
    assert!((1..records.len()).contains(&selected), "{selected} records selected");
    Prepared {
        amounts: vec![(records.len(), "record")],
        ready: Box::new(move || {
            let mut selector = Selector::new(filter.clone());
            Box::new(move || {
                black_box(select(&mut selector));
                Box::new(selector)
            })
        }),
    }
}
