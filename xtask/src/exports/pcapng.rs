//! Whether tshark reads the packets, and finds in them the requests and the SYNs of the records.

use std::{
    collections::{BTreeMap, HashMap},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    place::Place,
    records::{self, text},
    tools::Tools,
};
use crate::shell::describe;

/// How often each thing was found.
type Tally = BTreeMap<String, u64>;

pub fn check(place: &Place, tools: &Tools) -> Result<String> {
    let shark = Shark { place, tools };
    let frames = shark.ask("", &["frame.number"])?.len();
    let malformed = shark.ask("_ws.malformed", &["frame.number"])?;
    if !malformed.is_empty() {
        bail!(
            "{} of {frames} packets are malformed, the first is {}",
            malformed.len(),
            malformed[0]
        );
    }
    let records = records::read(place)?;
    let ends = Ends::of(&records);
    let requests = shark.ask("http.request", &["http.request.method", "http.request.uri"])?;
    let requests = tally(requests.iter().map(|name| without_secrets(name)));
    compare("requests", &requests, &ends.requests(&records))?;
    let syns = shark.ask("tcp.flags.syn == 1", &["tcp.flags.ack"])?;
    let syns = tally(syns.iter().map(|ack| syn_name(is_true(ack)).to_owned()));
    compare("SYNs", &syns, &ends.syns(&records))?;
    Ok(format!(
        "{frames} packets, 0 malformed, no warning; {} requests ({} different), {} SYN and {} SYN+ACK as recorded",
        requests.values().sum::<u64>(),
        requests.len(),
        syns.get(syn_name(false)).unwrap_or(&0),
        syns.get(syn_name(true)).unwrap_or(&0),
    ))
}

struct Shark<'a> {
    place: &'a Place<'a>,
    tools: &'a Tools,
}

impl Shark<'_> {
    /// These fields of each packet that the filter lets through, with blanks between them. A warning is an error.
    fn ask(&self, filter: &str, fields: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new(self.tools.tshark()?);
        command.arg("-n").arg("-r").arg(self.place.export("pcapng"));
        // Content is not in the file: nothing is to wait for it (docs/exports.md).
        command.args(["-o", "http.desegment_body:FALSE", "-Y", filter]);
        command.args(["-T", "fields", "-E", "separator=/s"]);
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        let output =
            command.output().with_context(|| format!("starting {}", describe(&command)))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let warnings: Vec<&str> = said.lines().filter(|line| !is_about_root(line)).collect();
        if !output.status.success() || !warnings.is_empty() {
            bail!("tshark ended with {} and says: {}", output.status, warnings.join("\n"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

/// tshark says so to every root, whatever it reads.
fn is_about_root(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("Running as user \"root\"")
}

/// Before and since Wireshark 4.2.
fn is_true(word: &str) -> bool {
    word == "1" || word == "True"
}

fn syn_name(has_ack: bool) -> &'static str {
    if has_ack { "SYN+ACK" } else { "SYN" }
}

/// Where `[redacted]` would make a head longer than it was, the packets have `*` for it.
fn without_secrets(name: &str) -> String {
    name.replace("[redacted]", "*")
}

fn tally(things: impl IntoIterator<Item = String>) -> Tally {
    let mut tally = Tally::new();
    for thing in things {
        *tally.entry(thing).or_default() += 1;
    }
    tally
}

fn compare(what: &str, found: &Tally, recorded: &Tally) -> Result<()> {
    let names = found.keys().chain(recorded.keys());
    for name in names {
        let count = |tally: &Tally| tally.get(name).copied().unwrap_or(0);
        if count(found) != count(recorded) {
            bail!("{what}: `{name}` {} times, recorded {}", count(found), count(recorded));
        }
    }
    Ok(())
}

/// What is needed of the `connection` records: whose other end is in the recording, and who is the client.
struct Ends<'a> {
    by_id: HashMap<&'a str, &'a Value>,
}

/// What both ends of a connection tell of: told by the one, by the other.
type Told = HashMap<(String, String), [u64; 2]>;

impl<'a> Ends<'a> {
    fn of(records: &'a [Value]) -> Self {
        let connections =
            records.iter().filter(|record| text(record, "type") == Some("connection"));
        let by_id = connections.filter_map(|record| Some((text(record, "id")?, record)));
        Self { by_id: by_id.collect() }
    }

    fn peer(&self, id: &str) -> Option<&'a str> {
        let peer = text(self.by_id.get(id)?, "peer")?;
        self.by_id.contains_key(peer).then_some(peer)
    }

    fn is_known(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    fn endpoint(&self, id: &str) -> Option<&'a str> {
        text(self.by_id.get(id)?, "endpoint")
    }

    /// Method and target of the requests that have packets: those whose time, direction and start line are known.
    fn requests(&self, records: &[Value]) -> Tally {
        let mut told = Told::new();
        for record in records.iter().filter(|record| text(record, "type") == Some("exchange")) {
            let Some((conn, name, place)) = self.request(record) else { continue };
            let (pair, side) = self.side(conn, self.endpoint(conn) == Some("client"));
            told.entry((format!("{pair} {place}"), name)).or_default()[side] += 1;
        }
        once_told(told)
    }

    /// Its connection, how tshark names it, and what tells it from others of its connection.
    fn request<'r>(&self, record: &'r Value) -> Option<(&'r str, String, String)> {
        let conn = text(record, "conn")?;
        self.endpoint(conn)?;
        let request = record.get("request")?;
        text(request, "at")?;
        let name = format!("{} {}", text(record, "method")?, text(record, "target")?);
        // The same at both ends.
        Some((conn, without_secrets(&name), request.get("seq")?.to_string()))
    }

    /// SYN and SYN+ACK segments of connections that are known.
    fn syns(&self, records: &[Value]) -> Tally {
        let mut told = Told::new();
        for record in records.iter().filter(|record| text(record, "type") == Some("segment")) {
            let (Some(conn), Some(flags)) = (text(record, "conn"), text(record, "flags")) else {
                continue;
            };
            if !flags.contains('S') || !self.is_known(conn) {
                continue;
            }
            // By its sender, or by the one that received it.
            let is_sent = text(record, "direction") == Some("sent");
            let (pair, side) = self.side(conn, is_sent);
            let seq = record.get("seq").map(Value::to_string).unwrap_or_default();
            let name = syn_name(flags.contains('A')).to_owned();
            told.entry((format!("{pair} {seq}"), name)).or_default()[side] += 1;
        }
        once_told(told)
    }

    /// A name for both ends of a connection, and which of two tells.
    fn side(&self, conn: &'a str, is_first: bool) -> (&'a str, usize) {
        let pair = self.peer(conn).map_or(conn, |peer| peer.min(conn));
        (pair, usize::from(!is_first))
    }
}

/// What two ends tell happened once.
fn once_told(told: Told) -> Tally {
    let mut tally = Tally::new();
    for ((_, name), [one, other]) in told {
        *tally.entry(name).or_default() += one.max(other);
    }
    tally
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records() -> Vec<Value> {
        let connection = |id, endpoint, peer: Value| json!({"type": "connection", "id": id, "endpoint": endpoint, "peer": peer});
        let segment = |conn, direction, flags| json!({"type": "segment", "conn": conn, "direction": direction, "flags": flags, "seq": 0});
        let exchange = |conn, seq: Value, target| json!({"type": "exchange", "conn": conn, "method": "GET", "target": target, "request": {"at": "2026-03-01T12:00:01Z", "seq": seq}});
        vec![
            connection("c1", json!("client"), json!("c2")),
            connection("c2", json!("server"), json!("c1")),
            connection("c3", json!("client"), Value::Null),
            connection("c4", Value::Null, Value::Null),
            segment("c1", "sent", "S"),
            segment("c2", "received", "S"),
            segment("c2", "sent", "SA"),
            segment("c1", "received", "SA"),
            segment("c3", "sent", "S"),
            segment("c3", "sent", "S"),
            segment("c9", "sent", "S"),
            exchange("c1", json!(1), "/a"),
            exchange("c2", json!(1), "/a"),
            exchange("c1", json!(80), "/a"),
            exchange("c3", json!(1), "/b"),
            exchange("c4", Value::Null, "/c"),
        ]
    }

    #[test]
    fn what_both_ends_tell_counts_once_and_what_has_no_packet_not_at_all() {
        let records = records();
        let ends = Ends::of(&records);
        assert_eq!(ends.syns(&records), Tally::from([("SYN".into(), 3), ("SYN+ACK".into(), 1)]));
        let requests = Tally::from([("GET /a".into(), 2), ("GET /b".into(), 1)]);
        assert_eq!(ends.requests(&records), requests);
    }

    #[test]
    fn a_difference_is_named() {
        let one = Tally::from([("GET /".into(), 2)]);
        assert!(compare("requests", &one, &one).is_ok());
        let error = compare("requests", &Tally::new(), &one).unwrap_err();
        assert_eq!(error.to_string(), "requests: `GET /` 0 times, recorded 2");
    }
}
