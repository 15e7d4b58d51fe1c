//! HTTP Archive 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>): the exchanges, as browsers' developer tools
//! open them.
//!
//! An exchange of two ends of this host is told once, from the client's side. Bodies are not recorded, so no entry has a
//! `content.text`. What the format has no place for is in fields that begin with `_`, which it reserves for that.

mod url;

use std::io::Write;

use serde::Serialize;

use super::known::End;
use super::{ExportError, Known, Records};
use crate::record::{Exchange, Headers, Host, Record, Text, WireHead, json};
use crate::time::Timestamp;

/// The format's sign for a size or time that is not known or does not apply.
const UNKNOWN: i64 = -1;

/// Writes the exchanges among `records`.
///
/// # Errors
/// [`ExportError`]. Where the recording cannot be read on, the archive ends there, and is whole.
pub fn write(records: Records<'_>, known: &Known, out: &mut dyn Write) -> Result<(), ExportError> {
    write!(out, "{{\"log\":{{\"version\":\"1.2\",\"creator\":")?;
    let creator = Creator { name: "tracer", version: env!("CARGO_PKG_VERSION") };
    json::write_safely(&creator, &mut *out)?;
    write!(out, ",\"pages\":[],\"entries\":[")?;
    let mut summary = Summary::default();
    let mut end = Ok(());
    for record in records {
        match record {
            Ok(Record::Exchange(exchange)) if !known.is_told_by_peer(exchange.conn) => {
                let end = known.end(exchange.conn);
                let Some(entry) = Entry::of(&exchange, end.as_ref()) else {
                    summary.without_time += 1;
                    continue;
                };
                let separator: &[u8] = if summary.entries == 0 { b"\n" } else { b",\n" };
                out.write_all(separator)?;
                json::write_safely(&entry, &mut *out)?;
                summary.entries += 1;
            }
            Ok(Record::Host(host)) => summary.host = Some(host.as_ref().into()),
            Ok(Record::Loss(loss)) => {
                summary.lost_events = summary.lost_events.saturating_add(loss.lost_events());
            }
            Ok(_) => {}
            Err(error) => {
                end = Err(error.into());
                break;
            }
        }
    }
    write!(out, "\n],\"comment\":")?;
    json::write_safely(&summary.text(), &mut *out)?;
    writeln!(out, "}}}}")?;
    out.flush()?;
    end
}

/// What the archive as a whole has to say.
#[derive(Default)]
struct Summary {
    host: Option<HostName>,
    entries: u64,
    without_time: u64,
    lost_events: u64,
}

struct HostName {
    name: String,
    show_secrets: bool,
    filter: Option<String>,
}

impl From<&Host> for HostName {
    fn from(host: &Host) -> HostName {
        HostName {
            name: host.hostname.clone(),
            show_secrets: host.show_secrets,
            filter: host.filter.clone(),
        }
    }
}

impl Summary {
    fn text(&self) -> String {
        let mut text = "Traced in the kernel; bodies are not recorded.".to_owned();
        if let Some(host) = &self.host {
            text += &format!(" Host {}.", host.name);
            text +=
                if host.show_secrets { " Secrets are shown." } else { " Secrets are redacted." };
            if let Some(filter) = &host.filter {
                text += &format!(" Recorded was only what this filter lets through: {filter}.");
            }
        }
        if self.without_time > 0 {
            text += &format!(" {} exchanges of unknown time are left out.", self.without_time);
        }
        if self.lost_events > 0 {
            text += &format!(" {} events were lost: exchanges may be missing.", self.lost_events);
        }
        text
    }
}

#[derive(Serialize)]
struct Creator {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    started_date_time: Timestamp,
    /// Milliseconds.
    time: f64,
    request: Request<'a>,
    response: Response<'a>,
    cache: Cache,
    timings: Timings,
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    server_ip_address: Option<String>,
    connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(rename = "_number")]
    number: u64,
    #[serde(rename = "_reused_connection")]
    reused_connection: Option<bool>,
    #[serde(rename = "_from_cache")]
    from_cache: Option<bool>,
    #[serde(rename = "_complete")]
    complete: bool,
    #[serde(rename = "_missing_bytes")]
    missing_bytes: Option<u64>,
    #[serde(rename = "_client_address")]
    client_address: Option<String>,
    #[serde(rename = "_pid")]
    pid: Option<u32>,
    #[serde(rename = "_comm")]
    comm: Option<&'a Text>,
}

/// What a browser's own cache did: nothing is known of that.
#[derive(Serialize)]
struct Cache {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: &'a str,
    url: String,
    http_version: &'a str,
    cookies: [(); 0],
    headers: Vec<Pair<'a>>,
    query_string: Vec<OwnedPair>,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    /// 0 where no answer was seen, as browsers write it.
    status: u16,
    status_text: &'a str,
    http_version: &'a str,
    cookies: [(); 0],
    headers: Vec<Pair<'a>>,
    content: Content<'a>,
    #[serde(rename = "redirectURL")]
    redirect_url: &'a str,
    headers_size: i64,
    body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    size: i64,
    mime_type: &'a str,
}

#[derive(Serialize)]
struct Pair<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct OwnedPair {
    name: String,
    value: String,
}

/// Milliseconds; [`UNKNOWN`] where not known.
#[derive(Clone, Copy, Serialize)]
struct Timings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
}

impl Timings {
    fn of(exchange: &Exchange) -> Timings {
        let ms = |us: Option<u64>| us.map_or(UNKNOWN as f64, |us| us as f64 / 1000.0);
        let timing = &exchange.timing;
        // The format counts TLS into `connect`, and has it once more by itself.
        let connect = match (timing.connect_us, timing.tls_us) {
            (None, None) => None,
            (connect, tls) => Some(connect.unwrap_or(0).saturating_add(tls.unwrap_or(0))),
        };
        Timings {
            blocked: UNKNOWN as f64,
            dns: UNKNOWN as f64,
            connect: ms(connect),
            ssl: ms(timing.tls_us),
            send: ms(timing.send_us),
            wait: ms(timing.wait_us),
            receive: ms(timing.receive_us),
        }
    }

    /// The sum of what is known; TLS is in `connect`.
    fn total(self) -> f64 {
        [self.connect, self.send, self.wait, self.receive].into_iter().filter(|ms| *ms > 0.0).sum()
    }
}

impl<'a> Entry<'a> {
    /// `None` where neither half has a time.
    fn of(exchange: &'a Exchange, end: Option<&'a End>) -> Option<Entry<'a>> {
        let request_at = exchange.request.as_ref().and_then(|request| request.at);
        let response_at = exchange.response.as_ref().and_then(|response| response.at);
        let timings = Timings::of(exchange);
        let address = |address: crate::record::SocketAddress| address.to_string();
        Some(Entry {
            started_date_time: request_at.or(response_at)?,
            time: timings.total(),
            request: Request::of(exchange, end),
            response: Response::of(exchange),
            cache: Cache {},
            timings,
            server_ip_address: end.and_then(End::server).map(|server| server.ip.to_string()),
            connection: exchange.conn.to_string(),
            comment: comment(exchange),
            number: exchange.number,
            reused_connection: exchange.reused_connection,
            from_cache: exchange.response.as_ref().and_then(|response| response.from_cache),
            complete: exchange.complete,
            missing_bytes: exchange.missing_bytes,
            client_address: end.and_then(End::client).map(address),
            pid: end.and_then(|end| end.pid),
            comm: end.and_then(|end| end.comm.as_ref()),
        })
    }
}

fn comment(exchange: &Exchange) -> Option<String> {
    let mut parts = Vec::new();
    if exchange.request.is_none() {
        parts.push("the request was not seen".to_owned());
    }
    if exchange.response.is_none() {
        parts.push("no answer was seen".to_owned());
    }
    if !exchange.complete {
        parts.push(match exchange.missing_bytes {
            Some(missing) => format!("not seen whole, {missing} bytes missing"),
            None => "not seen whole".to_owned(),
        });
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

impl<'a> Request<'a> {
    fn of(exchange: &'a Exchange, end: Option<&End>) -> Request<'a> {
        let headers = exchange.request.as_ref().map(|request| &request.headers);
        let body = exchange.request.as_ref().and_then(|request| request.body_bytes);
        let url = url::of(exchange, end);
        let parameters = url::query(&url).map(|(name, value)| OwnedPair { name, value });
        Request {
            method: exchange.method.as_deref().unwrap_or_default(),
            http_version: exchange.protocol.as_deref().unwrap_or_default(),
            cookies: [],
            headers: headers.map(pairs).unwrap_or_default(),
            query_string: parameters.collect(),
            url,
            headers_size: head_bytes(
                exchange.request.as_ref().and_then(|half| half.wire_head.as_ref()),
            ),
            body_size: size(body),
        }
    }
}

impl<'a> Response<'a> {
    fn of(exchange: &'a Exchange) -> Response<'a> {
        let response = exchange.response.as_ref();
        let headers = response.map(|response| &response.headers);
        let body = size(response.and_then(|response| response.body_bytes));
        let media_type = response.and_then(|response| response.media_type.as_deref());
        Response {
            status: exchange.status.unwrap_or(0),
            status_text: exchange.reason.as_deref().unwrap_or_default(),
            http_version: exchange.protocol.as_deref().unwrap_or_default(),
            cookies: [],
            headers: headers.map(pairs).unwrap_or_default(),
            content: Content { size: body, mime_type: media_type.unwrap_or("x-unknown") },
            redirect_url: headers.and_then(|headers| headers.get("location")).unwrap_or_default(),
            headers_size: head_bytes(response.and_then(|half| half.wire_head.as_ref())),
            body_size: body,
        }
    }
}

fn pairs(headers: &Headers) -> Vec<Pair<'_>> {
    headers.iter().map(|(name, value)| Pair { name, value }).collect()
}

/// From the first byte of a message to the blank line, that included.
fn head_bytes(head: Option<&WireHead>) -> i64 {
    size(head.map(|head| head.bytes().len() as u64))
}

fn size(bytes: Option<u64>) -> i64 {
    bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::fixture::{examples, known};
    use crate::record::ConnId;

    fn archive(records: Vec<Result<Record, crate::recording::ReadError>>) -> Value {
        let known = known(&records);
        let mut out = Vec::new();
        write(&mut records.into_iter(), &known, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_exchange_is_an_entry_with_its_connection() {
        let archive = archive(examples());
        let entry = &archive["log"]["entries"][0];
        assert_eq!(entry["startedDateTime"], "2026-03-01T12:00:01.000200000Z");
        assert_eq!(entry["request"]["method"], "GET");
        assert_eq!(entry["request"]["url"], "http://127.0.0.1:8080/a?b=1");
        assert_eq!(
            entry["request"]["queryString"][0],
            serde_json::json!({"name": "b", "value": "1"})
        );
        assert_eq!(entry["response"]["status"], 200);
        assert_eq!(entry["serverIPAddress"], "127.0.0.1");
        assert_eq!((&entry["connection"], &entry["_pid"]), (&"c1".into(), &812.into()));
        assert_eq!(entry["timings"]["ssl"], -1.0);
        let timings = &entry["timings"];
        let sum: f64 = ["connect", "send", "wait", "receive"]
            .iter()
            .map(|name| timings[name].as_f64().unwrap().max(0.0))
            .sum();
        assert!((entry["time"].as_f64().unwrap() - sum).abs() < 1e-9);
        // The second exchange of the examples has no time at all, and 12 events were lost.
        let comment = archive["log"]["comment"].as_str().unwrap();
        assert!(comment.contains("1 exchanges of unknown time are left out"), "{comment}");
        assert!(comment.contains("12 events were lost"), "{comment}");
    }

    #[test]
    fn what_two_ends_of_this_host_tell_is_one_entry() {
        use crate::tcp::Endpoint::{Client, Server};
        for endpoints in [[Some(Client), Some(Server)], [None, None]] {
            assert_eq!(connections_of_two_ends(endpoints), ["c1"], "{endpoints:?}");
        }
    }

    /// Which connections have entries, where both ends of one have the same exchanges.
    fn connections_of_two_ends(endpoints: [Option<crate::tcp::Endpoint>; 2]) -> Vec<String> {
        let mut records = examples();
        let clients: Vec<Record> = records.iter().flatten().cloned().collect();
        for record in clients {
            match record {
                Record::Exchange(exchange) if exchange.conn == ConnId(1) => {
                    let theirs = Exchange { conn: ConnId(2), ..(*exchange).clone() };
                    records.push(Ok(Record::Exchange(theirs.into())));
                }
                Record::Connection(client) if client.id == ConnId(1) => {
                    let server = crate::record::Connection {
                        id: ConnId(2),
                        endpoint: endpoints[1],
                        local: client.remote,
                        remote: client.local,
                        peer: Some(ConnId(1)),
                        ..(*client).clone()
                    };
                    records.push(Ok(Record::Connection(server.into())));
                }
                _ => {}
            }
        }
        for record in records.iter_mut().flatten() {
            if let Record::Connection(client) = record
                && client.id == ConnId(1)
            {
                let client = std::sync::Arc::make_mut(client);
                (client.endpoint, client.peer) = (endpoints[0], Some(ConnId(2)));
            }
        }
        let archive = archive(records);
        let entries = archive["log"]["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["connection"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_recording_that_breaks_off_is_a_whole_archive_of_what_was_there() {
        let mut records = examples();
        let source = std::io::Error::other("the disk is gone");
        records.insert(8, Err(crate::recording::ReadError::Io { offset: 7, source }));
        let known = known(&records);
        let mut out = Vec::new();
        write(&mut records.into_iter(), &known, &mut out).unwrap_err();
        let archive: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(archive["log"]["entries"].as_array().unwrap().len(), 1);
    }
    #[test]
    fn timings_are_at_least_minus_one_and_add_up_to_the_time() {
        let Ok(Record::Exchange(exchange)) = examples().remove(7) else { panic!("no exchange") };
        let some = [None, Some(0), Some(1_234)];
        let mut all = Vec::new();
        for connect_us in some {
            for tls_us in some {
                for send_us in some {
                    all.push((connect_us, tls_us, send_us));
                }
            }
        }
        for (connect_us, tls_us, send_us) in all {
            let timing = crate::record::Timing {
                connect_us,
                tls_us,
                send_us,
                wait_us: send_us,
                receive_us: None,
            };
            let exchange = Exchange { timing, ..(*exchange).clone() };
            let entry = serde_json::to_value(Entry::of(&exchange, None).unwrap()).unwrap();
            let timings = &entry["timings"];
            let ms = |name: &str| timings[name].as_f64().unwrap();
            let names = ["blocked", "dns", "connect", "ssl", "send", "wait", "receive"];
            assert!(names.iter().all(|name| ms(name) >= 0.0 || ms(name) == -1.0), "{timings}");
            assert!(ms("ssl") <= ms("connect"), "{timings}");
            let parts = names.iter().filter(|name| **name != "ssl").map(|name| ms(name).max(0.0));
            let time = entry["time"].as_f64().unwrap();
            assert!((time - parts.sum::<f64>()).abs() < 1e-9, "{timings}");
        }
    }
}
