//! Filters on ports, which the kernel side knows: what they keep out costs no event, and they keep out nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use socket2::{Domain, Socket, Type};
use tracer::load::programs::Groups;
use tracer::load::{self, RingSizes};
use tracer::ports::PortSet;
use tracer::tcp::TcpState;
use tracer_common::Hook;

use support::environment;
use support::load::closed_by_clients;
use support::netns::Namespace;
use support::records::{Life, Line};
use support::tracing::{Run, Tracing};

const CONNECTIONS: u64 = 500;

/// A port that nobody uses.
const ELSEWHERE: u16 = 9;
const WATCHED: u16 = 8080;
const OTHER: u16 = 9090;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, environment::missing()) {
        environment::skip("kernel_filter", &why);
        return ExitCode::SUCCESS;
    }
    let trial = |name: &str, test: fn() -> Result<(), String>| {
        Trial::test(name, move || test().map_err(Failed::from))
    };
    let trials = vec![
        trial("what_a_filter_keeps_out_leaves_no_events", leaves_no_events),
        trial("a_filter_on_ports_leaves_out_nothing_else", || leaves_out_nothing_else(WATCHED)),
        trial("a_filter_on_port_0_leaves_out_nothing_else", || leaves_out_nothing_else(0)),
    ];
    // One after the other: each would be the other's noise.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A socket that connects has no local port yet, so it is told and taken back; nothing else is.
fn leaves_no_events() -> Result<(), String> {
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let ports = PortSet::of(ELSEWHERE..=ELSEWHERE);
    let loaded =
        load::load(RingSizes::default(), Groups::ALL, &ports).map_err(|e| e.to_string())?;
    let states = || loaded.counters.read(Hook::State);
    let before = states();
    closed_by_clients(&namespace, WATCHED, CONNECTIONS);
    for hook in Hook::ALL.into_iter().filter(|hook| !matches!(hook, Hook::State | Hook::Exec)) {
        let counted = loaded.counters.read(hook);
        if (counted.emitted, counted.lost) != (0, 0) {
            return Err(format!("{}: {counted:?}", hook.name()));
        }
    }
    let told = states().emitted - before.emitted;
    // Before 6.18 a child has no remote port at first: the server's end is told and taken back, too. Other programs of
    // the host may connect meanwhile.
    let bounds = 2 * CONNECTIONS..=4 * CONNECTIONS + 200;
    if bounds.contains(&told) && states().lost == 0 {
        Ok(())
    } else {
        Err(format!("{told} states for {CONNECTIONS} connections, {} lost", states().lost))
    }
}

/// Beside a run with a filter one without: what the filter lets through is what the other has of it.
fn leaves_out_nothing_else(watched: u16) -> Result<(), String> {
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let netns = namespace.inode();
    let everything = Tracing::start(&[])?;
    let filtered = Tracing::start(&[&format!("port:{watched}")])?;
    closed_by_clients(&namespace, OTHER, CONNECTIONS);
    closed_by_clients(&namespace, WATCHED, CONNECTIONS);
    namespace.run(|| {
        refused(WATCHED);
        refused(OTHER);
        // A port like any other to the kernel: there is a SYN, and a reset.
        refused(0);
        with_request(WATCHED, 0);
        with_request(OTHER, 0);
        // Here the watched port is the client's.
        with_request(OTHER, WATCHED);
        lives_twice();
    });
    let (everything, filtered) = (everything.stop(), filtered.stop());
    let whole = lives(&everything, netns);
    let is_watched = |life: &&Life| [life.local.port, life.remote.port].contains(&watched);
    let others = whole.iter().filter(|life| !is_watched(life)).count();
    let wanted = sorted(&everything, whole.iter().copied().filter(is_watched));
    let seen = sorted(&filtered, lives(&filtered, netns).into_iter());
    let many = usize::try_from(2 * CONNECTIONS).unwrap_or(usize::MAX);
    let least = if watched == 0 { 1 } else { many };
    if others < many || wanted.len() < least {
        return Err(format!("too little happened: {} and {others} others", wanted.len()));
    }
    let only = |these: &[String], those: &[String]| {
        let only = these.iter().filter(|life| !those.contains(life)).take(5);
        only.cloned().collect::<Vec<_>>().join("\n  ")
    };
    if wanted == seen {
        return Ok(());
    }
    Err(format!(
        "{} wanted, {} seen\n  wanted alone:\n  {}\n  seen alone:\n  {}",
        wanted.len(),
        seen.len(),
        only(&wanted, &seen),
        only(&seen, &wanted)
    ))
}

fn lives(run: &Run, netns: u32) -> Vec<&Life> {
    let lives = run.lines.iter().filter_map(|output| match &output.line {
        Line::Connection(life) if life.netns == Some(netns) => Some(&**life),
        _ => None,
    });
    lives.collect()
}

/// All that is said about each of the connections but ids and times, which differ between two runs.
fn sorted<'a>(run: &Run, lives: impl Iterator<Item = &'a Life>) -> Vec<String> {
    let mut lines = HashMap::<&str, [usize; 3]>::new();
    for output in &run.lines {
        let (conn, kind) = match &output.line {
            Line::Transition(line) => (&line.conn, 0),
            Line::Segment(line) => (&line.conn, 1),
            Line::Exchange(line) => (&line.conn, 2),
            _ => continue,
        };
        lines.entry(conn.as_str()).or_default()[kind] += 1;
    }
    let told = lives.map(|life| {
        let path: Vec<TcpState> = life.path();
        format!(
            "{} -> {} {:?} {path:?} {:?} by {:?}, peer {}, owner {:?} {:?}, bytes {:?} {:?}, lines {:?}",
            life.local(),
            life.remote(),
            life.endpoint,
            life.outcome,
            life.closed_by,
            life.peer.is_some(),
            life.pid,
            life.comm,
            life.bytes_sent,
            life.bytes_received,
            lines.get(life.id.as_str()).copied().unwrap_or_default(),
        )
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn refused(port: u16) {
    TcpStream::connect(here(port)).expect_err("nobody listens");
}

/// A client bound to a port of its own, or to none (0).
fn bound_client(to: u16, from: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    if from != 0 {
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        socket.bind(&here(from).into()).expect("bind");
    }
    socket.connect(&here(to).into()).expect("connect");
    socket.into()
}

fn with_request(to: u16, from: u16) {
    let listener = TcpListener::bind(here(to)).expect("listen");
    let mut client = bound_client(to, from);
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").expect("ask");
    assert!(server.read(&mut [0; 1024]).expect("be asked") > 0);
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("answer");
    assert!(client.read(&mut [0; 1024]).expect("be answered") > 0);
    drop(client);
    server.read_to_end(&mut Vec::new()).expect("the client closes");
}

/// One socket that connects to the port that is watched, is refused, and connects to the other: its second life is
/// none of the filter's.
fn lives_twice() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.connect(&here(WATCHED).into()).expect_err("nobody listens");
    let listener = TcpListener::bind(here(OTHER)).expect("listen");
    socket.connect(&here(OTHER).into()).expect("connect");
    drop((listener.accept().expect("accept"), socket));
}
