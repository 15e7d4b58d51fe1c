//! Which requests go to which server.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};

use crate::clients::{Client, Request};
use crate::figures::{Expected, Row, judge};
use crate::servers;
use crate::support::expect::Check;
use crate::support::place::{PORT, PROXY_PORT, Place};
use crate::support::{STEP, wait_until};

const MIB: u64 = 1 << 20;

/// Content lengths, bytes: about those of packets and of the kernel side's capture budget, and
/// beyond.
const SIZES: [u64; 6] = [0, 1, 1 << 10, (64 << 10) - 1, 64 << 10, 1_000_000];
const LONG_SIZES: [u64; 2] = [10 * MIB, 100 * MIB];
/// Once for each way to a server.
const HUGE_BYTES: u64 = 1 << 30;

/// Whether a run may take long.
fn is_long() -> bool {
    std::env::var_os("TRACER_TRAFFIC").is_some_and(|value| value == "long")
}

/// A way to a server.
#[derive(Clone, Copy)]
struct Way {
    /// What the table calls it.
    name: &'static str,
    /// What its targets begin with; the number of bytes and the number of the request follow.
    download: &'static str,
    /// The same for content that is sent, where the server takes any.
    upload: Option<&'static str>,
    /// The ports of the servers on the way, the nearest first.
    hops: &'static [u16],
    /// Whether the client takes packed content.
    gzip: bool,
    /// Whether content of a gigabyte goes this way.
    huge: bool,
}

const DIRECT: &[u16] = &[PORT];
const FRONT: &[u16] = &[PROXY_PORT];
const THROUGH: &[u16] = &[PROXY_PORT, PORT];

impl Way {
    const fn new(name: &'static str, download: &'static str, hops: &'static [u16]) -> Way {
        Way { name, download, upload: None, hops, gzip: false, huge: false }
    }

    const fn takes(self, upload: &'static str) -> Way {
        Way { upload: Some(upload), ..self }
    }

    const fn packed(self) -> Way {
        Way { gzip: true, ..self }
    }

    const fn huge(self) -> Way {
        Way { huge: true, ..self }
    }
}

pub fn node(place: &mut Place) -> Vec<Check> {
    servers::node(place);
    play(
        place,
        "node",
        &[
            Way::new("with length", "/length/", DIRECT).takes("/up/").huge(),
            Way::new("chunked", "/chunked/", DIRECT).huge(),
        ],
    )
}

pub fn nginx(place: &mut Place) -> Vec<Check> {
    servers::nginx(place);
    play(
        place,
        "nginx",
        &[
            Way::new("file", "/file/", FRONT).huge(),
            Way::new("file, gzip", "/gzip/", FRONT).packed(),
        ],
    )
}

pub fn nginx_proxy(place: &mut Place) -> Vec<Check> {
    servers::node(place);
    servers::nginx(place);
    play(
        place,
        "nginx",
        &[
            Way::new("proxy, with length", "/buffered/length/", THROUGH).takes("/buffered/up/"),
            Way::new("proxy, chunked", "/buffered/chunked/", THROUGH),
            Way::new("proxy unbuffered, with length", "/unbuffered/length/", THROUGH)
                .takes("/unbuffered/up/"),
            Way::new("proxy unbuffered, chunked", "/unbuffered/chunked/", THROUGH).huge(),
            Way::new("proxy HTTP/1.0, with length", "/http10/length/", THROUGH)
                .takes("/http10/up/"),
            Way::new("proxy HTTP/1.0, until the end", "/http10/chunked/", THROUGH),
        ],
    )
}

pub fn haproxy(place: &mut Place) -> Vec<Check> {
    servers::node(place);
    servers::haproxy(place);
    play(
        place,
        "haproxy",
        &[
            Way::new("proxy, with length", "/length/", THROUGH).takes("/up/"),
            Way::new("proxy, chunked", "/chunked/", THROUGH).huge(),
        ],
    )
}

pub fn apache(place: &mut Place) -> Vec<Check> {
    servers::node(place);
    servers::apache(place);
    play(
        place,
        "apache",
        &[
            Way::new("file", "/file/", FRONT),
            Way::new("file, gzip", "/gzip/", FRONT).packed(),
            Way::new("proxy, with length", "/proxy/length/", THROUGH).takes("/proxy/up/"),
            Way::new("proxy, chunked", "/proxy/chunked/", THROUGH).huge(),
        ],
    )
}

/// Requests that are sent one after the other by one client, and their row.
struct Batch {
    row: Row,
    client: Client,
    keep: bool,
    way: Way,
    requests: Vec<Request>,
}

/// Sends everything, and says what must be recorded of it.
fn play(place: &mut Place, server: &'static str, ways: &[Way]) -> Vec<Check> {
    let sizes: Vec<u64> =
        SIZES.iter().chain(LONG_SIZES.iter().filter(|_| is_long())).copied().collect();
    sizes.iter().for_each(|bytes| write_content(place, *bytes));
    if is_long() {
        // Without content of its own: it takes no room, and nobody packs it.
        let file = File::create(place.folder().join(format!("www/{HUGE_BYTES}")));
        file.and_then(|file| file.set_len(HUGE_BYTES)).expect("make a large file");
    }
    let batches = batches(place, server, ways, &sizes);
    let mut rows = Vec::new();
    let mut expected = Vec::new();
    for (row, batch) in batches.into_iter().enumerate() {
        let answers = batch.client.send(place, &batch.requests, batch.keep);
        for (request, (status, response_bytes)) in batch.requests.iter().zip(answers) {
            assert_eq!(status, 200, "{request:?}");
            for port in batch.way.hops {
                expected.push(Expected {
                    row,
                    target: request.target.clone(),
                    port: *port,
                    status,
                    request_bytes: request.request_bytes,
                    response_bytes,
                });
            }
        }
        rows.push(batch.row);
    }
    agree_with_the_origin(place, &expected);
    vec![Box::new(move |seen| judge(seen, &rows, &expected))]
}

fn batches(place: &Place, server: &'static str, ways: &[Way], sizes: &[u64]) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut number = 0;
    let mut request = |way: &Way, prefix: &str, bytes: u64| {
        number += 1;
        Request {
            port: way.hops[0],
            method: "GET",
            target: format!("{prefix}{bytes}?n={number}"),
            gzip: way.gzip,
            file: None,
            chunked: false,
            request_bytes: 0,
        }
    };
    for way in ways {
        for (client, keep) in Client::ALL.into_iter().flat_map(|c| [(c, true), (c, false)]) {
            let connections = if keep { "kept" } else { "closed" };
            let mut batch = |what: &str, requests| {
                let case = format!("{}, {what}, {connections}", way.name);
                let row = Row { server, client: client.name(), case };
                batches.push(Batch { row, client, keep, way: *way, requests });
            };
            let of_size = |bytes: &u64| request(way, way.download, *bytes);
            let mut downloads: Vec<Request> = sizes.iter().map(of_size).collect();
            if is_long() && way.huge && client == Client::Curl && keep {
                downloads.push(request(way, way.download, HUGE_BYTES));
                // Behind it, the connection goes on.
                downloads.push(request(way, way.download, 1 << 10));
            }
            batch("download", downloads);
            let Some(prefix) = way.upload else { continue };
            for chunked in [false, true] {
                let upload = |bytes: &u64| Request {
                    method: "PUT",
                    file: Some(place.folder().join(format!("www/{bytes}"))),
                    chunked,
                    request_bytes: *bytes,
                    ..request(way, prefix, *bytes)
                };
                let is_sent = |bytes: &&u64| !chunked || client.sends_chunks(**bytes);
                let uploads: Vec<Request> = sizes.iter().filter(is_sent).map(upload).collect();
                if !uploads.is_empty() {
                    batch(if chunked { "chunked upload" } else { "upload" }, uploads);
                }
            }
        }
    }
    batches
}

/// Text that can be packed to about half of its length, as pages can.
fn write_content(place: &Place, bytes: u64) {
    let file = File::create(place.folder().join(format!("www/{bytes}"))).expect("make a file");
    let mut out = BufWriter::new(file);
    let (mut left, mut state) = (bytes, 88_172_645_463_325_252_u64);
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let text = format!("{state:016x}");
        let part = &text.as_bytes()[..left.min(16) as usize];
        out.write_all(part).expect("write a file");
        left -= part.len() as u64;
    }
    out.flush().expect("write a file");
}

/// What the origin took in and sent, by its own count, is what the clients say.
fn agree_with_the_origin(place: &Place, expected: &[Expected]) {
    let mut wanted: HashMap<&str, (u64, u64)> = HashMap::new();
    for e in expected.iter().filter(|e| e.port == PORT) {
        wanted.insert(&e.target, (e.request_bytes, e.response_bytes));
    }
    let said = || std::fs::read_to_string(place.folder().join("origin.log")).unwrap_or_default();
    let all = wait_until(STEP, || said().lines().count() >= wanted.len());
    let said = said();
    assert!(all, "the origin logged {} of {} requests", said.lines().count(), wanted.len());
    for line in said.lines() {
        let mut words = line.split(' ');
        let target = words.next().unwrap_or_default();
        let mut bytes = || words.next().and_then(|word| word.parse().ok());
        let counted = bytes().zip(bytes());
        assert_eq!(counted, wanted.get(target).copied(), "{line}");
    }
}
