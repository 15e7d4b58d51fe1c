//! A daemon: what it tells those who watch, what it keeps and what it counts are the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tracer::record::Record;
use tracer::recording::Reader;

use crate::support::daemon::Daemon;
use crate::support::environment;
use crate::support::netns::Namespace;
use crate::support::records::Line;
use crate::support::tracing::Tracing;
use crate::{CONNECTIONS, make_connections};

/// What a scraper reads at the address that the daemon has said.
fn figures(daemon: &Daemon) -> Result<String, String> {
    let address = daemon.said.split_once("http://").and_then(|(_, rest)| rest.split_once('/'));
    let (address, _) = address.ok_or_else(|| format!("no address in {:?}", daemon.said))?;
    let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(|e| e.to_string())?;
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.starts_with("HTTP/1.1 200 ") && text.trim_end().ends_with("# EOF") {
        Ok(text)
    } else {
        Err(format!("no figures: {text}"))
    }
}

/// The sum of the series whose name and labels begin so.
fn sum(figures: &str, begin: &str) -> u64 {
    let values = figures.lines().filter(|line| line.starts_with(begin));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

pub fn tells_keeps_and_counts() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let socket = folder.path().join("tracer.sock");
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let netns = namespace.inode();
    let mut daemon = Daemon::start(&socket, &["--metrics", "127.0.0.1:0"]);
    let from = socket.display().to_string();
    let watching = Tracing::start(&["--from", &from, &format!("netns:{netns}")])?;
    make_connections(&namespace);
    let is_end = |line: &Line| matches!(line, Line::Connection(c) if c.netns == Some(netns));
    let is_loss = |line: &Line| matches!(line, Line::Loss(_));
    let expected = usize::try_from(CONNECTIONS).expect("some thousands");
    // The servers' ends; the clients' are in TIME_WAIT for a minute.
    let all_told = watching.wait_until(Duration::from_secs(60), |lines| {
        lines.iter().filter(|output| is_end(&output.line)).count() >= expected
            || lines.iter().any(|output| is_loss(&output.line))
    });
    let figures = figures(&daemon)?;
    let kept = folder.path().join("kept.trace");
    let saved = Command::new(environment::tracer())
        .args(["record", "--from", &from, "-o"])
        .arg(&kept)
        .output()
        .map_err(|e| e.to_string())?;
    let ended = daemon.stop();
    let run = watching.stop();
    let told = run.lines.iter().filter(|output| is_end(&output.line)).count();
    let lost = run.lines.iter().any(|output| is_loss(&output.line));
    let mut reader = Reader::new(std::fs::File::open(&kept).map_err(|e| e.to_string())?)
        .map_err(|e| e.to_string())?;
    let kept = (&mut reader)
        .map_while(Result::ok)
        .filter(|record| matches!(record, Record::Connection(c) if c.netns == Some(netns)))
        .count();
    let counted = sum(&figures, "tracer_connections_ended_total{");
    println!("{told} ends told to who watched, {kept} kept, {counted} counted; lost: {lost}");
    if !all_told || !ended.success() || !run.status.success() || !run.unreadable.is_empty() {
        return Err(format!("{told} ends told; {ended}; {}: {}", run.status, run.stderr));
    }
    if !saved.status.success() || !reader.report().is_whole() {
        return Err(format!("what was kept is not whole: {}", reader.report()));
    }
    // What was lost is told, and then nothing more can be expected.
    if lost || sum(&figures, "tracer_events_lost_total{") > 0 {
        return Ok(());
    }
    // At its end it told those that were still open too.
    if (told, kept) == (2 * expected, 2 * expected) && counted >= CONNECTIONS {
        Ok(())
    } else {
        Err(format!("of {expected} connections {told} told, {kept} kept, {counted} counted"))
    }
}

/// A connection with one request, over within a millisecond or so. This process has both ends.
fn short_connection() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut client = TcpStream::connect(address).expect("a connection");
    let (mut server, _) = listener.accept().expect("its other end");
    client.write_all(b"GET /short HTTP/1.1\r\nhost: x\r\n\r\n").expect("ask");
    assert!(server.read(&mut [0; 1024]).expect("be asked") > 0);
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("answer");
    assert!(client.read(&mut [0; 1024]).expect("be answered") > 0);
}

/// Lines of a daemon name owner and ports of a connection that is over before the daemon's next block.
pub fn knows_short_connections() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let socket = folder.path().join("tracer.sock");
    let namespace = Namespace::new().map_err(|e| e.to_string())?;
    let _daemon = Daemon::start(&socket, &[]);
    let mut watch = Command::new(environment::tracer())
        .args(["watch", "--plain", "--from"])
        .arg(&socket)
        .arg(format!("netns:{}", namespace.inode()))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let stdout = watch.stdout.take().expect("stdout is piped");
    let (lines, told) = channel();
    std::thread::spawn(move || {
        let all = BufReader::new(stdout).lines().map_while(Result::ok);
        all.map(|line| lines.send(line)).take_while(Result::is_ok).count();
    });
    let next = || told.recv_timeout(Duration::from_secs(60)).map_err(|e| e.to_string());
    // The host's line: it watches.
    let result = next().and_then(|_| {
        namespace.run(short_connection);
        let mut requests = Vec::new();
        while requests.len() < 2 {
            requests.extend(Some(next()?).filter(|line| line.contains("GET ")));
        }
        Ok(requests)
    });
    watch.kill().and_then(|()| watch.wait()).map_err(|e| e.to_string())?;
    let owner = format!("[{}]", std::process::id());
    let requests = result?;
    println!("{}", requests.join("\n"));
    let is_known = |line: &String| line.contains(&owner) && !line.contains(":*");
    if requests.iter().all(is_known) {
        Ok(())
    } else {
        Err(format!("not by {owner}, or without a port: {requests:?}"))
    }
}
