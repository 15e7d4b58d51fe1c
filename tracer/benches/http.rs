//! What an HTTP exchange costs user space: payload slices to [`tracer::http::Exchange`]s, these to records,
//! and records to a recording or to JSON lines. `cargo bench --bench http`; one item is one exchange.

use std::hint::black_box;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tracer::http::{Exchange, Exchanges, HttpConnection, RecordContext, Slice};
use tracer::record::{ConnId, Host, Record, SocketAddress};
use tracer::recording::Writer;
use tracer::tcp::Direction::{self, Received, Sent};
use tracer::time::Timestamp;

/// The program's own allocator: allocations are part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exchanges played in one go.
const EXCHANGES: usize = 1_000;
/// 2023-11-14T22:13:20Z.
const START: Timestamp = Timestamp(1_700_000_000_000_000_000);
/// First sequence numbers, the client's near the wrap.
const CLIENT_SEQ: u32 = u32::MAX - 20_000;
const SERVER_SEQ: u32 = 5;

/// What passes between a client and a server of its kind.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// A keep-alive client and a static file of nginx, message by message in a packet of its own.
    KeepAlive,
    /// A browser behind a login: cookies, a bearer token, secrets in the query; an API's answer. No two heads are alike.
    Browser,
    /// The answer comes in chunks, in three packets.
    Chunked,
    /// As `KeepAlive`, but each exchange opens and closes a connection.
    ConnectionEach,
}

const ALL: [Traffic; 4] =
    [Traffic::KeepAlive, Traffic::Browser, Traffic::Chunked, Traffic::ConnectionEach];

const STATIC_REQUEST: &str = "GET /assets/site.css?v=31 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/css,*/*;q=0.1\r\nAccept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n";
const STATIC_RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.2\r\n\
    Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: text/html\r\nContent-Length: 615\r\n\
    Last-Modified: Tue, 03 Oct 2023 11:00:00 GMT\r\nConnection: keep-alive\r\n\
    ETag: \"651bf3c0-267\"\r\nAccept-Ranges: bytes\r\n\r\n";
const STATIC_BODY_BYTES: usize = 615;

const BROWSER_REQUEST: &str = "GET /api/orders?page=000002&access_token=1f3870be HTTP/1.1\r\n\
    Host: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 \
    Firefox/128.0\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Referer: https://shop.example.com/orders?page=1&sort=date\r\n\
    Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl\r\n\
    Cookie: sid=9b74c9897bac770ffc029102a200c5de; theme=dark; consent=1\r\n\
    Connection: keep-alive\r\n\r\n";
const BROWSER_RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.26.2\r\n\
    Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/json; charset=utf-8\r\n\
    Content-Length: 28\r\nConnection: keep-alive\r\nCache-Control: private, max-age=0\r\n\
    Set-Cookie: sid=9b74c9897bac770ffc02902-000002; Path=/; HttpOnly; SameSite=Lax\r\n\
    Vary: Accept-Encoding\r\n\r\n{\"orders\":[],\"page\":2,\"n\":0}";

const CHUNKED_RESPONSE: [&str; 3] = [
    "HTTP/1.1 200 OK\r\nServer: nginx/1.26.2\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\
    Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n\
    10\r\n0123456789abcdef\r\n",
    "20\r\n0123456789abcdef0123456789abcdef\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
];

type Packets = Vec<(Direction, Vec<u8>)>;

impl Traffic {
    /// [`EXCHANGES`] exchanges.
    fn exchanges(self) -> Vec<Packets> {
        (0..EXCHANGES).map(|number| self.exchange(number)).collect()
    }

    fn exchange(self, number: usize) -> Packets {
        let client = |text: &str| (Sent, text.as_bytes().to_vec());
        let server = |text: &str| (Received, text.as_bytes().to_vec());
        match self {
            Traffic::KeepAlive | Traffic::ConnectionEach => {
                let response = format!("{STATIC_RESPONSE}{}", "x".repeat(STATIC_BODY_BYTES));
                vec![client(STATIC_REQUEST), server(&response)]
            }
            Traffic::Browser => {
                let own = |text: &str| text.replace("000002", &format!("{number:06}"));
                vec![client(&own(BROWSER_REQUEST)), server(&own(BROWSER_RESPONSE))]
            }
            Traffic::Chunked => {
                let mut packets = vec![client(STATIC_REQUEST)];
                packets.extend(CHUNKED_RESPONSE.map(server));
                packets
            }
        }
    }

    /// Exchanges on each connection.
    fn by_connection(self) -> usize {
        match self {
            Traffic::ConnectionEach => 1,
            _ => EXCHANGES,
        }
    }
}

/// One connection, from its first payload to its end.
pub fn play(exchanges: &[Packets], out: &mut Exchanges) {
    let mut http = HttpConnection::new(Some(true));
    let (mut sent, mut received) = (CLIENT_SEQ, SERVER_SEQ);
    http.start(Sent, sent);
    http.start(Received, received);
    let mut at = START;
    for (direction, captured) in exchanges.iter().flatten() {
        at = at.plus_ns(12_345);
        let seq = if *direction == Sent { &mut sent } else { &mut received };
        let packet_bytes = captured.len() as u32;
        http.data(
            *direction,
            at,
            Slice { seq: *seq, packet_bytes, offset_bytes: 0, captured },
            out,
        );
        *seq = seq.wrapping_add(packet_bytes);
    }
    http.fin(Sent, at, sent, out);
    http.fin(Received, at, received, out);
    http.close(at, out);
}

fn play_all(traffic: Traffic, exchanges: &[Packets], out: &mut Exchanges) {
    exchanges.chunks(traffic.by_connection()).for_each(|connection| play(connection, out));
}

fn told(traffic: Traffic) -> Vec<Exchange> {
    let mut out = Exchanges::default();
    play_all(traffic, &traffic.exchanges(), &mut out);
    assert_eq!(out.done.iter().filter(|exchange| exchange.complete()).count(), EXCHANGES);
    out.done
}

fn to_record(exchange: Exchange) -> Record {
    Record::Exchange(Arc::new(exchange.into_record(&RecordContext {
        conn: ConnId(17),
        scheme: "http",
        connect_us: Some(120),
        tls_us: None,
        server: Some(SocketAddress { ip: [127, 0, 0, 1].into(), port: 8080 }),
        client_isn: Some(0),
        server_isn: Some(0),
        show_secrets: false,
    })))
}

fn records(traffic: Traffic) -> Vec<Record> {
    told(traffic).into_iter().map(to_record).collect()
}

fn host() -> Arc<Host> {
    Arc::new(Host {
        schema: 1,
        version: "0.1.0".to_owned(),
        hostname: "bench".to_owned(),
        kernel: "6.18.44".to_owned(),
        started_at: START,
        hooks: Default::default(),
        show_secrets: false,
        filter: None,
    })
}

fn record(records: &[Record]) -> Vec<u8> {
    let Ok(mut writer) = Writer::new(Vec::new(), &host(), START) else { return Vec::new() };
    for record in records {
        // Writing into memory cannot fail.
        let _ = writer.write(record, START);
    }
    writer.finish().map(|(_, sink)| sink).unwrap_or_default()
}

fn json_lines(records: &[Record], out: &mut Vec<u8>) {
    for record in records {
        // Writing into memory cannot fail.
        let _ = record.write_json_line(&mut *out);
    }
}

/// Slices of packets to exchanges.
#[divan::bench(args = ALL)]
fn engine(bencher: Bencher, traffic: Traffic) {
    let packets = traffic.exchanges();
    bencher
        .counter(ItemsCount::new(EXCHANGES))
        .with_inputs(Exchanges::default)
        .bench_local_refs(|out| play_all(traffic, &packets, out));
}

/// Slices of packets to records, which are dropped at once: what every mode with HTTP pays.
#[divan::bench(args = ALL)]
fn slices_to_records(bencher: Bencher, traffic: Traffic) {
    let packets = traffic.exchanges();
    let mut out = Exchanges::default();
    bencher.counter(ItemsCount::new(EXCHANGES)).bench_local(|| {
        for connection in packets.chunks(traffic.by_connection()) {
            play(connection, &mut out);
            out.done.drain(..).for_each(|exchange| drop(black_box(to_record(exchange))));
        }
    });
}

/// Records to a recording in memory: packing, compression, checksums.
#[divan::bench(args = ALL)]
fn records_to_recording(bencher: Bencher, traffic: Traffic) {
    let records = records(traffic);
    bencher
        .counter(ItemsCount::new(EXCHANGES))
        .counter(BytesCount::new(record(&records).len()))
        .bench_local(|| record(black_box(&records)));
}

/// Records to JSON lines in memory.
#[divan::bench(args = ALL)]
fn records_to_json(bencher: Bencher, traffic: Traffic) {
    let records = records(traffic);
    let mut lines = Vec::new();
    json_lines(&records, &mut lines);
    bencher.counter(ItemsCount::new(EXCHANGES)).counter(BytesCount::new(lines.len())).bench_local(
        || {
            lines.clear();
            json_lines(black_box(&records), &mut lines);
        },
    );
}

fn main() {
    divan::main();
}
