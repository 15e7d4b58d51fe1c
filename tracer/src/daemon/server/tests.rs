use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use tempfile::TempDir;

use super::super::connect::{Answer, ask};
use super::super::{Audience, protocol};
use super::*;
use crate::export::fixture::EXAMPLES;
use crate::recording::{Figures, Kept, Reader, Report, Told};
use crate::view_update::Stats;

const DEADLINE: Duration = Duration::from_secs(20);

/// A daemon's socket in a directory of its own.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: TempDir::new().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("tracer.sock")
    }

    fn listen(&self) -> Server {
        Server::listen(&self.socket()).unwrap()
    }

    fn ask(&self, want: Want) -> anyhow::Result<Answer> {
        ask(&self.socket(), want)
    }

    fn refusal(&self, want: Want) -> String {
        self.ask(want).unwrap_err().to_string()
    }
}

fn records() -> Vec<Record> {
    EXAMPLES.lines().map(|line| Record::from_json(line).unwrap()).collect()
}

fn host() -> Arc<Host> {
    let host = records().into_iter().find_map(|record| match record {
        Record::Host(host) => Some(host),
        _ => None,
    });
    host.unwrap()
}

fn connection(id: u64, port: u16) -> Arc<Connection> {
    let found = records().into_iter().find_map(|record| match record {
        Record::Connection(connection) => Some(connection),
        _ => None,
    });
    let mut connection = (*found.unwrap()).clone();
    connection.id = ConnId(id);
    connection.local.port = port;
    connection.remote.port = port;
    Arc::new(connection)
}

fn ended(connection: &Arc<Connection>) -> Output {
    Output::Record(Record::Connection(Arc::clone(connection)))
}

/// What the tracing thread is asked for next.
fn next_ask(server: &Server) -> Ask {
    let until = Instant::now() + DEADLINE;
    while Instant::now() < until {
        if let Some(ask) = server.asks().next() {
            return ask;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody asked");
}

/// Answers a client that wants to watch.
fn answer_live(server: &Server, audience: &mut Audience, connections: Vec<Arc<Connection>>) {
    let Ask::Live(answer) = next_ask(server) else { panic!("not to watch") };
    let live = Live { host: host(), connections, at: host().started_at, looks: audience.admit() };
    assert!(answer.send(live).is_ok(), "the client waits");
}

/// Everything that a daemon tells, up to where it hangs up.
fn told(answer: Answer) -> (Vec<Told>, Report) {
    let mut reader = Reader::new(answer).unwrap();
    let mut all = Vec::new();
    while let Some(told) = reader.next_block().unwrap() {
        all.extend(told);
    }
    (all, reader.report().clone())
}

/// A client that asks, on a thread of its own, and what it was told.
fn client(place: &Place, want: Want) -> thread::JoinHandle<(Vec<Told>, Report)> {
    let socket = place.socket();
    thread::spawn(move || told(ask(&socket, want).unwrap()))
}

fn note(connection: &Arc<Connection>) -> Told {
    Told::Note(Arc::clone(connection))
}

fn record_of(connection: &Arc<Connection>) -> Told {
    Told::Record(Record::Connection(Arc::clone(connection)))
}

#[test]
fn who_watches_is_told_what_is_open_and_from_then_on_what_happens() {
    let place = Place::new();
    let (server, mut audience) = (place.listen(), Audience::default());
    let client = client(&place, Want::Live { filter: None });
    let (open, new) = (connection(1, 80), connection(2, 443));
    answer_live(&server, &mut audience, vec![Arc::clone(&open)]);
    audience.take(&[Output::Changed(Arc::clone(&new)), ended(&open)], host().started_at);
    let figures = Figures { at: host().started_at, stats: Stats { seen: 7, ..Stats::default() } };
    audience.take_figures(figures.clone());
    audience.end();
    let (told, report) = client.join().unwrap();
    let expected = [
        Told::Record(Record::Host(host())),
        note(&open),
        note(&new),
        record_of(&open),
        Told::Figures(figures),
    ];
    assert_eq!(told, expected);
    assert!(report.claimed.is_some(), "the end of the run is told");
}

#[test]
fn what_changes_often_is_told_once_a_block_and_last_as_it_is() {
    let place = Place::new();
    let (server, mut audience) = (place.listen(), Audience::default());
    let client = client(&place, Want::Live { filter: None });
    answer_live(&server, &mut audience, Vec::new());
    let changes: Vec<Output> =
        (1..=1000).map(|port| Output::Changed(connection(1, port))).collect();
    audience.take(&changes, host().started_at);
    audience.end();
    let (told, _) = client.join().unwrap();
    let ports: Vec<u16> = told
        .iter()
        .filter_map(|told| match told {
            Told::Note(connection) => Some(connection.local.port),
            _ => None,
        })
        .collect();
    assert_eq!(ports.first(), Some(&1), "told at once when it is new");
    assert_eq!(ports.last(), Some(&1000));
    assert!(ports.len() < 20, "{}", ports.len());
}

/// The only exchange of the examples that says everything, on a connection.
fn exchange(id: u64) -> Output {
    let found = records().into_iter().find_map(|record| match record {
        Record::Exchange(exchange) => Some((*exchange).clone()),
        _ => None,
    });
    let exchange = crate::record::Exchange { conn: ConnId(id), ..found.unwrap() };
    Output::Record(Record::Exchange(Arc::new(exchange)))
}

fn record(output: &Output) -> Told {
    match output {
        Output::Record(record) => Told::Record(record.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_comes_behind_what_was_known_of_its_connection_when_it_was_made() {
    let place = Place::new();
    let (server, mut audience) = (place.listen(), Audience::default());
    let client = client(&place, Want::Live { filter: None });
    answer_live(&server, &mut audience, Vec::new());
    // A short connection: all of it is in one look.
    let (unbound, bound, owned) = (connection(1, 0), connection(1, 40_000), connection(1, 40_001));
    let outputs = [
        Output::Changed(Arc::clone(&unbound)),
        Output::Changed(Arc::clone(&bound)),
        exchange(1),
        exchange(1),
        Output::Changed(Arc::clone(&owned)),
        exchange(1),
        ended(&owned),
    ];
    audience.take(&outputs, host().started_at);
    audience.end();
    let (told, _) = client.join().unwrap();
    let expected = [
        note(&unbound),
        note(&bound),
        record(&exchange(1)),
        record(&exchange(1)),
        note(&owned),
        record(&exchange(1)),
        record_of(&owned),
    ];
    assert_eq!(told[1..], expected);
}

#[test]
fn a_connection_that_passes_a_filter_by_its_exchange_alone_is_known_with_it() {
    let place = Place::new();
    let (server, mut audience) = (place.listen(), Audience::default());
    let client = client(&place, Want::Live { filter: Some("status:200".to_owned()) });
    answer_live(&server, &mut audience, Vec::new());
    let connection = connection(1, 40_000);
    let outputs = [Output::Changed(Arc::clone(&connection)), exchange(1), exchange(1)];
    audience.take(&outputs, host().started_at);
    audience.end();
    let (told, _) = client.join().unwrap();
    assert_eq!(told[1..], [note(&connection), record(&exchange(1)), record(&exchange(1))]);
}

#[test]
fn a_filter_is_the_clients_own() {
    let place = Place::new();
    let (server, mut audience) = (place.listen(), Audience::default());
    let http = client(&place, Want::Live { filter: Some("port:80".to_owned()) });
    answer_live(&server, &mut audience, vec![connection(1, 80), connection(2, 443)]);
    let all = client(&place, Want::Live { filter: None });
    answer_live(&server, &mut audience, Vec::new());
    audience.take(&[ended(&connection(1, 80)), ended(&connection(2, 443))], host().started_at);
    audience.end();
    let (told_http, _) = http.join().unwrap();
    let (told_all, _) = all.join().unwrap();
    let filters = [&told_http, &told_all].map(|told| match &told[0] {
        Told::Record(Record::Host(host)) => host.filter.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(filters, [Some("port:80".to_owned()), None], "the stream says what it leaves out");
    assert_eq!(told_http[1..], [note(&connection(1, 80)), record_of(&connection(1, 80))]);
    assert_eq!(told_all[1..], [record_of(&connection(1, 80)), record_of(&connection(2, 443))]);
}

#[test]
fn what_the_run_leaves_out_is_not_told_and_the_stream_says_both() {
    let filtered =
        Arc::new(Host { filter: Some("port:80 or port:81".to_owned()), ..(*host()).clone() });
    let (told, filter) = both_filters(&filtered, "port:81 or port:443".parse().unwrap());
    assert_eq!(told.filter.as_deref(), Some("(port:80 or port:81) (port:81 or port:443)"));
    let mut selected = Selected::new(filter);
    let passes = [80, 81, 443].map(|port| selected.passes_open(&connection(1, port)));
    assert_eq!(passes, [false, true, false]);
}

#[test]
fn who_is_cut_off_knows_that_the_run_goes_on_without_it() {
    let place = Place::new();
    let (server, mut audience) = (place.listen(), Audience::default());
    let client = client(&place, Want::Live { filter: None });
    answer_live(&server, &mut audience, vec![connection(1, 80)]);
    drop(audience);
    let (told, report) = client.join().unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(report.claimed, None);
}

#[test]
fn what_was_kept_comes_as_a_whole_recording() {
    let place = Place::new();
    let server = place.listen();
    let now = host().started_at;
    let mut kept = Writer::new(Kept::new(60_000_000_000, 1 << 20), &host(), now).unwrap();
    let told_before: Vec<Record> = records().into_iter().skip(1).collect();
    told_before.iter().for_each(|record| kept.write(record, now).unwrap());
    kept.flush().unwrap();
    let client = client(&place, Want::History { last_ms: Some(60_000) });
    let Ask::History(60_000_000_000, answer) = next_ask(&server) else { panic!("not history") };
    let open = connection(99, 80);
    let blocks = kept.sink().share(60_000_000_000, now);
    let connections = vec![Arc::clone(&open)];
    assert!(answer.send(History { host: host(), blocks, connections, at: now }).is_ok());
    let (told, report) = client.join().unwrap();
    let mut expected = vec![Record::Host(host())];
    expected.extend(told_before);
    expected.push(Record::Connection(open));
    let told: Vec<Record> = told
        .into_iter()
        .filter_map(|told| match told {
            Told::Record(record) => Some(record),
            _ => None,
        })
        .collect();
    assert_eq!(told, expected);
    assert!(report.is_whole());
}

#[test]
fn what_cannot_be_had_is_refused_in_words() {
    let place = Place::new();
    let _server = place.listen();
    let refused = place.refusal(Want::Live { filter: Some("prot:80".to_owned()) });
    assert!(refused.contains("refuses: the filter: ") && refused.contains("port"), "{refused}");
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("{\"error\":\"the request is none"), "{said}");
}

#[test]
fn clients_are_bounded_and_one_that_says_nothing_gives_its_place_back() {
    let place = Place::new();
    let server = place.listen();
    let silent: Vec<UnixStream> =
        (0..MAX_CLIENTS).map(|_| UnixStream::connect(place.socket()).unwrap()).collect();
    let refused = place.refusal(Want::Live { filter: None });
    assert!(refused.contains("there are 32 clients already"), "{refused}");
    // They are told that nothing came, and so hung up on.
    for mut stream in silent {
        let mut said = String::new();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.contains("no request came"), "{said}");
    }
    server.see_off();
    assert_eq!(server.clients.load(Ordering::Relaxed), 0);
}

#[test]
fn only_its_user_may_connect_and_a_socket_left_behind_is_replaced() {
    let place = Place::new();
    let socket = place.socket();
    drop(UnixListener::bind(&socket).unwrap());
    let server = place.listen();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let second = Server::listen(&socket).err().unwrap().to_string();
    assert!(second.contains("a daemon listens at"), "{second}");
    drop(server);
    assert!(!socket.exists());
    let nobody = place.refusal(Want::Live { filter: None });
    assert!(nobody.contains("tracer daemon --socket"), "{nobody}");
}

#[test]
fn a_file_is_never_taken_for_a_socket() {
    let place = Place::new();
    fs::write(place.socket(), "precious").unwrap();
    let refused = Server::listen(&place.socket()).err().unwrap().to_string();
    assert!(refused.contains("is no socket"), "{refused}");
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[test]
fn a_client_of_another_version_is_told_so() {
    let place = Place::new();
    let _server = place.listen();
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    let request = Request { tracer: protocol::VERSION + 1, want: Want::Live { filter: None } };
    protocol::send(&request, &mut stream).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("version 2 and this daemon version 1"), "{said}");
}
