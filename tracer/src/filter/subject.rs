//! What a filter looks at, and what its terms find there.

use std::net::IpAddr;

use super::keys::Key;
use super::term::{Term, Test};
use crate::record::{ClosedBy, Connection, Exchange, Family, SocketAddress};
use crate::tcp::TcpState;

/// Which states `state:` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum States {
    /// All that the connection has been in.
    Life,
    /// The one it is in.
    Current,
    /// The two of a transition.
    Step {
        /// State before.
        from: TcpState,
        /// State after.
        to: TcpState,
    },
}

/// What is known of the line or row that a filter decides on.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its connection.
    pub connection: Option<&'a Connection>,
    /// Its exchange.
    pub exchange: Option<&'a Exchange>,
    /// What `state:` looks at.
    pub states: States,
}

/// A value that a term looks at.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Address(IpAddr),
    Text(&'a str),
}

/// Whether `term` is true of `subject`; `None` where what it looks at is unknown.
pub(super) fn truth(term: &Term, subject: &Subject<'_>) -> Option<bool> {
    let (mut known, mut unknown, mut matched) = (false, false, false);
    visit(term.key, subject, &mut |value| match value {
        None => unknown = true,
        Some(value) => {
            known = true;
            matched |= fits(&term.test, value);
        }
    });
    match term.test {
        Test::Known => Some(known),
        _ if matched => Some(true),
        _ if unknown => None,
        _ => Some(false),
    }
}

fn fits(test: &Test, value: Value<'_>) -> bool {
    match (test, value) {
        (Test::Known, _) => true,
        (Test::Number(range), Value::Number(number)) => range.contains(&number),
        (Test::Address(net), Value::Address(address)) => net.contains(&address),
        (Test::Text(glob), Value::Text(text)) => glob.matches(text),
        _ => false,
    }
}

/// Calls `f` with each value that `key` stands for; with `None` for one that is not known.
fn visit<'a>(key: Key, subject: &Subject<'a>, f: &mut dyn FnMut(Option<Value<'a>>)) {
    if key == Key::State {
        return visit_states(subject, f);
    }
    match (subject.connection, subject.exchange) {
        (_, Some(exchange)) if key.is_of_exchange() => visit_exchange(key, exchange, f),
        (Some(connection), _) if !key.is_of_exchange() => visit_connection(key, connection, f),
        _ => f(None),
    }
}

fn visit_states<'a>(subject: &Subject<'a>, f: &mut dyn FnMut(Option<Value<'a>>)) {
    let entries = subject.connection.map_or(&[][..], |connection| &connection.states[..]);
    let mut name = |state: TcpState| f(Some(Value::Text(state.name())));
    match subject.states {
        States::Step { from, to } => {
            name(from);
            name(to);
        }
        States::Current => match entries.last() {
            Some(entry) => name(entry.state),
            None => f(None),
        },
        States::Life if entries.is_empty() => f(None),
        States::Life => entries.iter().for_each(|entry| name(entry.state)),
    }
}

/// The kernel reports `CLOSE -> SYN_SENT` before it chooses a local port: 0 then is not a port yet. A socket that ends
/// with port 0 never was bound.
fn has_unknown_local_port(c: &Connection) -> bool {
    let is_connecting = c.states.last().is_some_and(|entry| entry.state == TcpState::SynSent);
    c.local.port == 0 && is_connecting && c.closed_at.is_none()
}

fn visit_connection<'a>(key: Key, c: &'a Connection, f: &mut dyn FnMut(Option<Value<'a>>)) {
    let port = |end: &SocketAddress| Some(Value::Number(end.port.into()));
    let local_port = || port(&c.local).filter(|_| !has_unknown_local_port(c));
    let host = |end: &SocketAddress| Some(Value::Address(end.ip.to_canonical()));
    let text = |text: Option<&'a str>| text.map(Value::Text);
    match key {
        Key::Lport => f(local_port()),
        Key::Rport => f(port(&c.remote)),
        Key::Port => [local_port(), port(&c.remote)].into_iter().for_each(f),
        Key::Lhost => f(host(&c.local)),
        Key::Rhost => f(host(&c.remote)),
        Key::Host => [&c.local, &c.remote].into_iter().for_each(|end| f(host(end))),
        Key::Role => f(c.endpoint.map(|role| Value::Text(role.name()))),
        Key::Outcome => f(c.outcome.name().map(Value::Text)),
        Key::ClosedBy => f(c.closed_by.map(|by| Value::Text(closed_by_name(by)))),
        Key::Family => f(Some(Value::Text(family_name(c.family)))),
        Key::Pid => f(c.pid.map(|pid| Value::Number(pid.into()))),
        Key::Netns => f(c.netns.map(|netns| Value::Number(netns.into()))),
        Key::Conn => f(Some(Value::Number(c.id.0))),
        Key::Comm => f(text(c.comm.as_deref())),
        Key::Cgroup => f(text(c.cgroup.as_deref())),
        Key::Container => f(text(c.container.as_deref())),
        Key::Exe => {
            f(text(c.exe.as_deref()));
            let file_name = c.exe.as_deref().and_then(|path| path.rsplit('/').next());
            f(file_name.map(Value::Text));
        }
        Key::State | Key::Method | Key::Status | Key::Path | Key::HostHeader => f(None),
    }
}

fn visit_exchange<'a>(key: Key, e: &'a Exchange, f: &mut dyn FnMut(Option<Value<'a>>)) {
    match key {
        Key::Method => f(e.method.as_deref().map(Value::Text)),
        Key::Status => f(e.status.map(|status| Value::Number(status.into()))),
        Key::Path => f(e.target.as_deref().map(|target| Value::Text(path(target)))),
        Key::HostHeader => {
            let host = named_host(e);
            f(host.map(Value::Text));
            f(host.map(|host| Value::Text(without_port(host))));
        }
        _ => f(None),
    }
}

/// The path of a request target (RFC 9112 section 3.2): without query, and without scheme and authority.
fn path(target: &str) -> &str {
    let target = target.split_once('?').map_or(target, |(path, _)| path);
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

/// The `host` field; where the request has none, what else says whom it was for.
fn named_host(exchange: &Exchange) -> Option<&str> {
    let field = exchange.request.as_ref().and_then(|request| request.headers.get("host"));
    field.or(exchange.authority.as_deref())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

const fn closed_by_name(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Local => "local",
        ClosedBy::Remote => "remote",
        ClosedBy::Both => "both",
    }
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;
    use crate::tcp::Endpoint;

    #[test]
    fn the_path_of_every_form_of_target_is_found() {
        for (target, expected) in [
            ("/a/b?c=/d", "/a/b"),
            ("http://example.com:80/a?b", "/a"),
            ("http://example.com", "/"),
            ("/redirect/http://example.com/", "/redirect/http://example.com/"),
            ("*", "*"),
            ("example.com:443", "example.com:443"),
        ] {
            assert_eq!(path(target), expected, "{target}");
        }
    }

    #[test]
    fn a_port_is_taken_off_a_host_and_an_address_left_whole() {
        for (host, expected) in [
            ("example.com:8080", "example.com"),
            ("example.com", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), expected, "{host}");
        }
    }

    #[test]
    fn names_are_those_of_the_records() {
        let json = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        for outcome in [
            Outcome::Graceful,
            Outcome::ResetByLocal,
            Outcome::ResetByRemote,
            Outcome::Refused,
            Outcome::TimedOut,
            Outcome::Unreachable,
            Outcome::Aborted,
            Outcome::Open,
        ] {
            assert_eq!(json(serde_json::to_value(outcome).unwrap()), outcome.name().unwrap());
        }
        for by in [ClosedBy::Local, ClosedBy::Remote, ClosedBy::Both] {
            assert_eq!(json(serde_json::to_value(by).unwrap()), closed_by_name(by));
        }
        for role in [Endpoint::Client, Endpoint::Server] {
            assert_eq!(json(serde_json::to_value(role).unwrap()), role.name());
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            assert_eq!(json(serde_json::to_value(family).unwrap()), family_name(family));
        }
    }
}
