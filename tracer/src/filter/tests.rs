//! The language as a whole.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::record::{ConnId, Exchange, Record, Transition};
use crate::tcp::TcpState;

const EXAMPLES: &str = include_str!("../../../docs/schema/examples.jsonl");

fn examples() -> Vec<Record> {
    EXAMPLES.lines().map(|line| Record::from_json(line).unwrap()).collect()
}

/// `c1`: curl 812 from 127.0.0.1:41234 to :8080, client, over, graceful.
fn curl() -> Arc<Connection> {
    let found = examples().into_iter().find_map(|record| match record {
        Record::Connection(c) if c.id == ConnId(1) => Some(c),
        _ => None,
    });
    found.unwrap()
}

/// `c9`: nearly nothing is known of it.
fn stranger() -> Arc<Connection> {
    let found = examples().into_iter().find_map(|record| match record {
        Record::Connection(c) if c.id == ConnId(9) => Some(c),
        _ => None,
    });
    found.unwrap()
}

/// `GET /a?b=1` of `c1`, answered 200.
fn get() -> Arc<Exchange> {
    let found = examples().into_iter().find_map(|record| match record {
        Record::Exchange(e) if e.conn == ConnId(1) => Some(e),
        _ => None,
    });
    found.unwrap()
}

fn post_answered(status: u16) -> Arc<Exchange> {
    Arc::new(Exchange { method: Some("POST".into()), status: Some(status), ..(*get()).clone() })
}

fn filter(text: &str) -> Filter {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> String {
    text.parse::<Filter>().expect_err(text).to_string()
}

/// Whether `text` holds for `c1` with its exchange.
fn holds(text: &str) -> bool {
    let (connection, exchange) = (curl(), get());
    filter(text).matches(&Subject {
        connection: Some(&connection),
        exchange: Some(&exchange),
        states: States::Life,
    })
}

#[test]
fn every_key_finds_its_value_and_only_that() {
    for (yes, no) in [
        ("port:8080", "port:80"),
        ("port:41234", "port:41235"),
        ("lport:41234", "lport:8080"),
        ("rport:8080", "rport:41234"),
        ("port:8000-8100", "port:1-1000"),
        ("rport:8080-", "rport:8081-"),
        ("rport:-8080", "rport:-8079"),
        ("host:127.0.0.1", "host:127.0.0.2"),
        ("lhost:127.0.0.0/8", "rhost:10.0.0.0/8"),
        ("host:::ffff:127.0.0.1", "host:::1"),
        ("state:time_wait", "state:closing"),
        ("state:FIN-WAIT2", "state:last-ack"),
        ("state:fin_wait*", "state:*_ack"),
        ("role:client", "role:server"),
        ("outcome:graceful", "outcome:timed_out"),
        ("outcome:*", "outcome:reset_by_*"),
        ("closed_by:local", "closed_by:both"),
        ("family:ipv4", "family:ipv6"),
        ("pid:812", "pid:81"),
        ("comm:curl", "comm:CURL"),
        ("comm:c?r*", "comm:cur"),
        ("exe:curl", "exe:bin"),
        ("exe:/usr/bin/*", "exe:/bin/curl"),
        ("cgroup:/user.slice", "cgroup:/system.slice/*"),
        ("not container:*", "container:*"),
        ("netns:4026531840", "netns:4026531841"),
        ("conn:c1", "conn:c2"),
        ("method:get", "method:post"),
        ("status:2xx", "status:5xx"),
        ("status:200", "status:404"),
        ("status:100-299", "status:400-499"),
        ("path:/a", "path:/a?b=1"),
        ("path:/*", "path:/api/*"),
        ("host_header:127.0.0.1", "host_header:example.com"),
        ("HOST-HEADER:127.0.0.1:8080", "host_header:127.0.0.1:80"),
    ] {
        assert!(holds(yes), "{yes}");
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn words_side_by_side_mean_and_which_binds_closer_than_or() {
    assert!(holds("comm:curl port:8080"));
    assert!(!holds("comm:curl port:80"));
    assert!(holds("comm:wget port:80 or comm:curl AND port:8080"));
    assert!(!holds("comm:wget (port:80 or comm:curl)"));
    assert!(holds("not comm:wget not port:80"));
    assert!(!holds("not (comm:wget or port:8080)"));
}

#[test]
fn quotes_keep_spaces_and_a_backslash_takes_a_meaning_away() {
    let connection = Connection { comm: Some("my (odd) *app".into()), ..(*curl()).clone() };
    let finds =
        |text: &str| filter(text).matches_connection(&connection, std::iter::empty(), States::Life);
    assert!(finds(r#"comm:"my (odd) *app""#));
    assert!(finds(r"comm:my\ \(odd\)\ \*app"));
    assert!(!finds(r#"comm:"\*my (odd) app""#));
    assert!(finds(r#"comm:"my "*"#));
}

#[test]
fn the_empty_filter_lets_everything_through() {
    for text in ["", "  \t "] {
        assert!(filter(text).is_all());
        assert!(holds(text));
    }
    assert_eq!(filter(""), Filter::all());
}

#[test]
fn what_is_unknown_neither_fits_nor_fits_not() {
    let stranger = stranger();
    let finds =
        |text: &str| filter(text).matches_connection(&stranger, std::iter::empty(), States::Life);
    for text in
        ["comm:curl", "not comm:curl", "pid:1-", "not pid:1", "role:client", "not role:client"]
    {
        assert!(!finds(text), "{text}");
    }
    assert!(finds("comm:curl or port:443"));
    assert!(!finds("not (comm:curl or port:80)"));
    assert!(!finds("not (comm:curl or port:443)"));
    assert!(finds("not (comm:curl port:80)"));
}

#[test]
fn port_0_is_found_at_either_end_once_it_is_known() {
    let finds = |connection: &Connection, text: &str| {
        filter(text).matches_connection(connection, std::iter::empty(), States::Life)
    };
    let with_ports = |local: u16, remote: u16| {
        let mut connection = (*curl()).clone();
        (connection.local.port, connection.remote.port) = (local, remote);
        connection
    };
    let to_port_0 = with_ports(20_371, 0);
    for text in ["port:0", "rport:0", "rport:*", "not lport:0", "port:-100"] {
        assert!(finds(&to_port_0, text), "{text}");
    }
    let never_bound = with_ports(0, 443);
    for text in ["port:0", "lport:0", "lport:*", "not rport:0"] {
        assert!(finds(&never_bound, text), "{text}");
    }
    let mut connecting = with_ports(0, 443);
    connecting.closed_at = None;
    connecting.states.retain(|entry| entry.state == TcpState::SynSent);
    for text in ["port:0", "lport:0", "lport:*", "not lport:0", "not port:80"] {
        assert!(!finds(&connecting, text), "{text}");
    }
}

#[test]
fn a_star_asks_whether_a_value_is_known_and_has_always_an_answer() {
    let stranger = stranger();
    let finds =
        |text: &str| filter(text).matches_connection(&stranger, std::iter::empty(), States::Life);
    assert!(finds("not comm:* not pid:* container:* not method:*"));
    assert!(!finds("comm:*") && !finds("not container:*") && !finds("status:*"));
    assert!(!holds("not method:*"));
}

#[test]
fn all_terms_about_exchanges_must_fit_the_same_exchange() {
    let (connection, exchanges) = (curl(), [get(), post_answered(503)]);
    let finds = |text: &str| {
        let exchanges = exchanges.iter().map(|exchange| &**exchange);
        filter(text).matches_connection(&connection, exchanges, States::Life)
    };
    assert!(finds("method:GET status:200") && finds("method:POST status:5xx"));
    assert!(!finds("method:GET status:5xx"));
    assert!(finds("not method:GET"));
}

#[test]
fn the_live_view_looks_at_the_current_state() {
    let stranger = stranger();
    let finds =
        |text: &str, states| filter(text).matches_connection(&stranger, std::iter::empty(), states);
    assert!(finds("state:established", States::Life));
    assert!(!finds("state:established", States::Current));
    assert!(finds("state:close_wait", States::Current));
}

#[test]
fn errors_point_at_the_place_and_say_the_way_out() {
    let errors: Vec<String> = [
        "prot:443",
        "comm:nginx  443",
        "timed_out",
        "comm=nginx",
        "zzz:1",
        "port:http",
        "port:70000",
        "port:20-10",
        "status:9999",
        "host:localhost",
        "state:timewait",
        "role:",
        "comm:\"my app",
        "comm:a or",
        "or comm:a",
        "(port:1 or port:2",
        "port:1)",
        "()",
        "comm:\u{1b}[31m prot:1",
        "comm:a\\",
    ]
    .into_iter()
    .map(error)
    .collect();
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn the_length_and_depth_of_a_filter_are_bounded() {
    assert!(filter(&"port:1 ".repeat(64)).has(|_| true));
    assert!(error(&"port:1 ".repeat(65)).starts_with("a filter has at most 64 terms"));
    assert!(error(&"(".repeat(100_000)).starts_with("nested deeper than 64 levels"));
    assert!(error(&"not ".repeat(100_000)).starts_with("nested deeper than 64 levels"));
}

#[test]
fn every_completion_is_understood() {
    for completion in completions() {
        for value in completion.values {
            filter(&format!("{}:{value}", completion.key));
        }
    }
}

fn transition(conn: u64, from: TcpState, to: TcpState) -> Record {
    let found = examples().into_iter().find_map(|record| match record {
        Record::Transition(t) => Some(Transition { conn: ConnId(conn), from, to, ..t }),
        _ => None,
    });
    Record::Transition(found.unwrap())
}

#[test]
fn a_live_stream_shows_a_connection_from_its_first_fitting_exchange_on() {
    let connection = curl();
    let mut selector = Selector::new(filter("port:8080 status:5xx"));
    let step = transition(1, TcpState::FinWait1, TcpState::FinWait2);
    assert!(!selector.passes(&step, Some(&connection)));
    assert!(!selector.passes(&Record::Exchange(get()), Some(&connection)));
    assert!(!selector.passes(&step, Some(&connection)));
    assert!(selector.passes(&Record::Exchange(post_answered(500)), Some(&connection)));
    assert!(!selector.passes(&Record::Exchange(get()), Some(&connection)));
    assert!(selector.passes(&step, Some(&connection)));
    assert!(selector.shows(&connection));
    assert!(selector.passes(&Record::Connection(connection.clone()), Some(&connection)));
    assert!(selector.lives.is_empty(), "a connection that is over is forgotten");
}

#[test]
fn a_transition_line_fits_by_the_states_it_leaves_and_enters() {
    let connection = curl();
    let mut selector = Selector::new(filter("state:time_wait"));
    let mut passes = |from, to| selector.passes(&transition(1, from, to), Some(&connection));
    assert!(!passes(TcpState::SynSent, TcpState::Established));
    assert!(passes(TcpState::FinWait2, TcpState::TimeWait));
    assert!(passes(TcpState::TimeWait, TcpState::Close));
}

#[test]
fn host_and_loss_lines_always_pass() {
    let mut selector = Selector::new(filter("port:1"));
    for record in examples() {
        let always = matches!(record, Record::Host(_) | Record::Loss(_));
        assert_eq!(selector.passes(&record, None), always, "{record:?}");
    }
}

#[test]
fn in_a_recording_lines_before_the_connection_record_are_decided_by_it() {
    let records = [
        transition(1, TcpState::Close, TcpState::SynSent),
        transition(1, TcpState::FinWait2, TcpState::TimeWait),
        Record::Exchange(get()),
        Record::Exchange(post_answered(500)),
        Record::Connection(curl()),
        transition(9, TcpState::Established, TcpState::CloseWait),
        Record::Connection(stranger()),
    ];
    let passing = |text: &str| -> Vec<usize> {
        let mut selector = Selector::new(filter(text));
        records.iter().for_each(|record| selector.learn(record));
        (0..records.len()).filter(|i| selector.passes(&records[*i], None)).collect()
    };
    assert_eq!(passing("comm:curl"), [0, 1, 2, 3, 4]);
    assert_eq!(passing("comm:curl status:5xx"), [0, 1, 3, 4]);
    assert_eq!(passing("comm:curl state:time_wait"), [1, 2, 3, 4]);
    assert_eq!(passing("state:close_wait or status:200"), [0, 1, 2, 4, 5, 6]);
    assert_eq!(passing("method:GET status:5xx"), [0; 0]);
    assert_eq!(passing(""), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn lines_of_a_connection_that_nothing_is_known_of_are_counted() {
    let mut selector = Selector::new(filter("port:8080"));
    let step = transition(1, TcpState::Close, TcpState::SynSent);
    selector.learn(&step);
    assert!(!selector.passes(&step, None));
    assert_eq!(selector.undecided(), 1);
}

#[test]
fn memory_is_bounded_and_what_is_forgotten_is_counted() {
    let mut selector = Selector::with_bound(filter("status:200"), 2);
    for conn in [1, 100, 1000] {
        let exchange = Exchange { conn: ConnId(conn), ..(*get()).clone() };
        assert!(selector.passes(&Record::Exchange(Arc::new(exchange)), None));
    }
    assert_eq!((selector.lives.len(), selector.forgotten()), (2, 1));
    let mut step =
        |conn| selector.passes(&transition(conn, TcpState::Close, TcpState::SynSent), None);
    assert_eq!([1, 100, 1000].map(&mut step), [false, true, true]);
}

fn term() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "port:443",
            "lport:1-1023",
            "rport:1024-",
            "host:10.0.0.0/8",
            "rhost:::1",
            "host:2001:db8::/32",
            "pid:*",
            "pid:812",
            "state:time-wait",
            "role:Server",
            "status:5xx",
            "status:100-250",
            "conn:c3-c9",
            "netns:-7",
            "path:/api/*",
            "cgroup:**",
        ])
        .prop_map(str::to_owned),
        // Any text at all, with everything that has a meaning taken away from it or not.
        r#"comm:"([^"\\]|\\.){1,10}""#,
        r"exe:([^\s()\x22\\]|\\.){1,10}",
    ]
}

fn expression() -> impl Strategy<Value = String> {
    term().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("not ({a})")),
            inner.clone().prop_map(|a| format!("not {a}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} or {b}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("(({a}) OR {b})")),
        ]
    })
}

proptest! {
    #[test]
    fn what_a_filter_is_written_as_parses_to_the_same(text in expression()) {
        let Ok(filter) = text.parse::<Filter>() else {
            prop_assert!(text.len() > 64, "{}", text);
            return Ok(());
        };
        let written = filter.to_string();
        prop_assert_eq!(written.parse::<Filter>(), Ok(filter), "{}", written);
    }

    #[test]
    fn no_text_panics_and_every_error_points_into_it(text in r#"([a-z_]{0,6}:?|[()"\\* ]|and|or|not|.){0,20}"#) {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(error.span().end <= text.len());
            prop_assert!(text.get(error.span()).is_some());
            prop_assert_eq!(error.to_string().lines().count(), 3 + usize::from(error.hint().is_some()));
        }
    }

    /// What the selector remembers as bits gives the same answers as looking at the records.
    #[test]
    fn the_selector_agrees_with_the_filter(text in expression(), statuses in prop::collection::vec(100u16..600, 0..4)) {
        let Ok(filter) = text.parse::<Filter>() else { return Ok(()) };
        let connection = curl();
        let exchanges: Vec<_> = statuses.into_iter().map(post_answered).collect();
        let expected = filter.matches_connection(&connection, exchanges.iter().map(|e| &**e), States::Life);
        let mut live = Selector::new(filter.clone());
        let mut recorded = Selector::new(filter);
        for exchange in &exchanges {
            live.passes(&Record::Exchange(exchange.clone()), Some(&connection));
            recorded.learn(&Record::Exchange(exchange.clone()));
        }
        let line = Record::Connection(connection);
        recorded.learn(&line);
        prop_assert_eq!(live.passes(&line, None), expected);
        prop_assert_eq!(recorded.passes(&line, None), expected);
    }
}
