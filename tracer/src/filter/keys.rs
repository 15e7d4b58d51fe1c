//! The keys of the filter language: one table for parser, help and completions.

/// A key: what a term looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Port,
    Lport,
    Rport,
    Host,
    Lhost,
    Rhost,
    State,
    Role,
    Outcome,
    ClosedBy,
    Family,
    Pid,
    Comm,
    Exe,
    Cgroup,
    Container,
    Netns,
    Conn,
    Method,
    Status,
    Path,
    HostHeader,
}

/// What a value of a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A number or a range up to `max`.
    Number { max: u64 },
    /// An address or a prefix.
    Network,
    /// A pattern; letter case matters.
    Text,
    /// A pattern; letter case does not matter.
    AnyCase,
    /// A pattern that must fit one of the key's known values.
    OneOf,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct KeyInfo {
    pub key: Key,
    pub name: &'static str,
    pub form: Form,
    /// What it looks at, for help and completions.
    pub about: &'static str,
    /// Values worth offering; for [`Form::OneOf`] all there are.
    pub values: &'static [&'static str],
}

const STATES: &[&str] = &[
    "listen",
    "syn_sent",
    "syn_recv",
    "established",
    "fin_wait1",
    "fin_wait2",
    "closing",
    "time_wait",
    "close_wait",
    "last_ack",
    "close",
];
const OUTCOMES: &[&str] = &[
    "graceful",
    "reset_by_local",
    "reset_by_remote",
    "refused",
    "timed_out",
    "unreachable",
    "aborted",
    "open",
];
const METHODS: &[&str] =
    &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
const STATUSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx"];

const PORT: Form = Form::Number { max: u16::MAX as u64 };
const U32: Form = Form::Number { max: u32::MAX as u64 };

const fn row(
    key: Key,
    name: &'static str,
    form: Form,
    about: &'static str,
    values: &'static [&'static str],
) -> KeyInfo {
    KeyInfo { key, name, form, about, values }
}

/// Every key, in the order in which they are offered.
pub(super) const KEYS: [KeyInfo; 22] = [
    row(Key::Port, "port", PORT, "port of either end: 443, 1000-2000", &[]),
    row(Key::Lport, "lport", PORT, "port of this end", &[]),
    row(Key::Rport, "rport", PORT, "port of the other end", &[]),
    row(Key::Host, "host", Form::Network, "address of either end: 10.0.0.0/8, ::1", &[]),
    row(Key::Lhost, "lhost", Form::Network, "address of this end", &[]),
    row(Key::Rhost, "rhost", Form::Network, "address of the other end", &[]),
    row(Key::State, "state", Form::OneOf, "TCP state", STATES),
    row(Key::Role, "role", Form::OneOf, "end this is", &["client", "server"]),
    row(Key::Outcome, "outcome", Form::OneOf, "way the connection ended", OUTCOMES),
    row(
        Key::ClosedBy,
        "closed_by",
        Form::OneOf,
        "end that closed first",
        &["local", "remote", "both"],
    ),
    row(Key::Family, "family", Form::OneOf, "address family", &["ipv4", "ipv6"]),
    row(Key::Pid, "pid", U32, "process id", &[]),
    row(Key::Comm, "comm", Form::Text, "process name", &[]),
    row(Key::Exe, "exe", Form::Text, "binary, by its path or file name", &[]),
    row(Key::Cgroup, "cgroup", Form::Text, "cgroup path", &[]),
    row(Key::Container, "container", Form::Text, "container id", &["*"]),
    row(Key::Netns, "netns", U32, "inode number of the network namespace", &[]),
    row(Key::Conn, "conn", Form::Number { max: u64::MAX }, "id of the connection: c17", &[]),
    row(Key::Method, "method", Form::AnyCase, "request method", METHODS),
    row(
        Key::Status,
        "status",
        Form::Number { max: 999 },
        "status code: 404, 5xx, 400-499",
        STATUSES,
    ),
    row(Key::Path, "path", Form::Text, "path of the request, without its query: /api/*", &[]),
    row(Key::HostHeader, "host_header", Form::AnyCase, "host that the request names", &[]),
];

impl Key {
    /// The key's row.
    pub(super) fn info(self) -> &'static KeyInfo {
        &KEYS[self as usize]
    }

    /// The key of that name, in any case and with `-` for `_`.
    pub(super) fn from_name(name: &str) -> Option<Key> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        KEYS.iter().find(|row| row.name == name).map(|row| row.key)
    }

    /// Whether it looks at an exchange rather than at a connection.
    pub(super) const fn is_of_exchange(self) -> bool {
        matches!(self, Key::Method | Key::Status | Key::Path | Key::HostHeader)
    }
}

/// The candidate most like `name`, if one is much like it.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let score = |candidate: &str| strsim::jaro_winkler(&name, &candidate.to_ascii_lowercase());
    candidates
        .map(|candidate| (candidate, score(candidate)))
        .filter(|(_, score)| *score > 0.75)
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpState;

    #[test]
    fn every_key_stands_in_its_own_row() {
        for (i, row) in KEYS.iter().enumerate() {
            assert_eq!(row.key as usize, i, "{}", row.name);
            assert_eq!(Key::from_name(row.name), Some(row.key));
        }
    }

    #[test]
    fn every_state_can_be_asked_for() {
        let names: Vec<String> = TcpState::ALL.iter().map(|s| s.name().to_lowercase()).collect();
        assert_eq!(names, STATES);
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key_and_nonsense_finds_none() {
        let near = |name| nearest(name, KEYS.iter().map(|row| row.name));
        assert_eq!(near("prot"), Some("port"));
        assert_eq!(near("methd"), Some("method"));
        assert_eq!(near("hostheader"), Some("host_header"));
        assert_eq!(near("zzz"), None);
    }
}
