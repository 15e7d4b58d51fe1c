//! What a person takes along: an address, the filter that selects a connection, a request as a curl command line.

use super::row::Row;
use crate::record::Exchange;

/// Header fields that curl makes itself, or that belong to one connection only.
const NOT_COPIED: [&str; 5] =
    ["host", "content-length", "connection", "transfer-encoding", "expect"];

/// The other end's address.
#[must_use]
pub fn address(row: &Row) -> String {
    row.connection().remote.to_string()
}

/// The filter that shows this connection, and others between the same two addresses.
#[must_use]
pub fn filter(row: &Row) -> String {
    let (local, remote) = (row.connection().local, row.connection().remote);
    format!("host:{} port:{} port:{}", remote.ip, local.port, remote.port)
}

/// The request as a command line. Redacted values stay redacted, and a body is not known.
#[must_use]
pub fn curl(exchange: &Exchange) -> Option<String> {
    let scheme = exchange.scheme.as_deref().unwrap_or("http");
    let authority = exchange.authority.as_deref()?;
    let target = exchange.target.as_deref().filter(|target| target.starts_with('/'))?;
    let mut command = String::from("curl");
    match exchange.method.as_deref()? {
        "GET" => {}
        "HEAD" => command.push_str(" --head"),
        method => command.push_str(&format!(" --request {}", quoted(method))),
    }
    let headers = exchange.request.iter().flat_map(|request| request.headers.iter());
    for (name, value) in headers.filter(|(name, _)| !NOT_COPIED.contains(name)) {
        command.push_str(&format!(" --header {}", quoted(&format!("{name}: {value}"))));
    }
    command.push_str(&format!(" {}", quoted(&format!("{scheme}://{authority}{target}"))));
    Some(command)
}

/// In single quotes, for a POSIX shell; control bytes left out: they could end the line that it is pasted into.
fn quoted(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{HeadersBuilder, Request};
    use crate::tui::fixture::exchange;

    #[test]
    fn a_request_becomes_a_command_line_that_a_shell_reads_as_it_is() {
        let mut headers = HeadersBuilder::with_capacity(64);
        headers.push(b"host", b"example.org");
        headers.push(b"x-note", b"it's $HOME\n");
        let request = Request { headers: headers.finish(), ..Request::default() };
        let exchange = Exchange {
            method: Some("POST".into()),
            target: Some("/a?b=c&d='".into()),
            request: Some(request),
            ..exchange(1, 1, 200)
        };
        assert_eq!(
            curl(&exchange).unwrap(),
            r"curl --request 'POST' --header 'x-note: it'\''s $HOME' 'http://127.0.0.1:8080/a?b=c&d='\'''"
        );
        assert_eq!(curl(&Exchange { target: None, ..exchange }), None);
    }
}
