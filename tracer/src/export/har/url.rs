//! The URL of a request, in a form that every URL parser accepts.
//!
//! A target and a host are bytes from the network. What a URL cannot hold is escaped, and an authority that is none is
//! replaced by the server's address: the request's header fields still have it as it was.

use std::net::Ipv6Addr;

use url::Url;

use crate::export::known::End;
use crate::record::Exchange;

/// Stands for a server whose name and address are unknown (RFC 6761 section 6.4).
const UNKNOWN_HOST: &str = "unknown.invalid";

/// The effective request URI (RFC 9112 section 3.3) of an exchange at `end`. It always parses, has a host and no
/// fragment.
pub(super) fn of(exchange: &Exchange, end: Option<&End>) -> String {
    let target = exchange.target.as_deref().unwrap_or_default();
    let server = end.and_then(End::server).map(|server| server.to_string());
    let server = server.as_deref().unwrap_or(UNKNOWN_HOST);
    let scheme = exchange.scheme.as_deref().unwrap_or("http");
    let (scheme, userinfo, authority, path) = match absolute_form(target) {
        Some((scheme, authority, path)) => {
            let (userinfo, authority) =
                authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
            (scheme, userinfo, authority, path)
        }
        None => {
            // `OPTIONS *` and CONNECT have no path.
            let has_path = target != "*" && exchange.method.as_deref() != Some("CONNECT");
            let path = if has_path { target } else { "" };
            (scheme, "", exchange.authority.as_deref().unwrap_or_default(), path)
        }
    };
    let authority = host_and_port(authority).unwrap_or_else(|| server.to_owned());
    let mut url = format!("{scheme}://");
    if !userinfo.is_empty() {
        push_escaped(&mut url, userinfo, is_userinfo_byte);
        url.push('@');
    }
    url += &authority;
    if !path.starts_with('/') {
        url.push('/');
    }
    push_escaped(&mut url, path, is_path_byte);
    // A scheme may have rules of its own.
    if Url::parse(&url).is_ok_and(|url| url.has_host()) { url } else { format!("http://{server}/") }
}

/// The decoded parameters of a URL's query.
pub(super) fn query(url: &str) -> impl Iterator<Item = (String, String)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// Scheme, authority and the rest of `http://b:81/x?y` (RFC 9112 section 3.2.2).
fn absolute_form(target: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    is_scheme.then(|| (scheme, &rest[..end], &rest[end..]))
}

/// Host and port as a URL has them; `None` for an authority that no URL can have.
fn host_and_port(authority: &str) -> Option<String> {
    if authority.is_empty() {
        return None;
    }
    // Some clients leave the brackets of an IPv6 address out.
    if let Ok(address) = authority.parse::<Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    // The parser would pass over blanks, and take a path or a user for what they are not.
    if authority.bytes().any(|b| b <= b' ' || b"/?#@\\".contains(&b)) {
        return None;
    }
    let parsed = Url::parse(&format!("http://{authority}/")).ok()?;
    let host = parsed.host_str().filter(|host| host.bytes().all(is_host_byte))?;
    // The default port of the scheme is left out by the parser; the request named it.
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let has_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    Some(if has_port { format!("{host}:{}", parsed.port_or_known_default()?) } else { host.into() })
}

/// What a host may have (RFC 3986 section 3.2.2), without escapes.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'[' | b']' | b'*' | b'+' | b',')
}

/// Unreserved bytes and sub-delimiters (RFC 3986 section 2).
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')')
        || matches!(byte, b'*' | b'+' | b',' | b';' | b'=')
}

const fn is_userinfo_byte(byte: u8) -> bool {
    is_plain(byte) || byte == b':'
}

/// A request has no fragment: `#` is a byte of its path or query like any other.
const fn is_path_byte(byte: u8) -> bool {
    is_plain(byte) || matches!(byte, b':' | b'@' | b'/' | b'?')
}

/// Appends `text`, with every byte escaped that is not `allowed`. An escape that is there already stays one.
fn push_escaped(url: &mut String, text: &str, allowed: fn(u8) -> bool) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let bytes = text.as_bytes();
    for (place, &byte) in bytes.iter().enumerate() {
        let behind = bytes.get(place + 1..place + 3);
        let is_escape =
            byte == b'%' && behind.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        if is_escape || allowed(byte) {
            url.push(char::from(byte));
        } else {
            url.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::fixture::examples;
    use crate::record::Record;

    fn exchange(method: &str, target: &str, authority: Option<&str>) -> Exchange {
        let Ok(Record::Exchange(exchange)) = examples().remove(7) else { panic!("no exchange") };
        Exchange {
            method: Some(method.into()),
            target: Some(target.into()),
            authority: authority.map(Into::into),
            ..(*exchange).clone()
        }
    }

    fn url(method: &str, target: &str, authority: Option<&str>) -> String {
        of(&exchange(method, target, authority), None)
    }

    #[test]
    fn targets_of_every_form_make_a_url() {
        for (method, target, authority, expected) in [
            ("GET", "/x", Some("a:1"), "http://a:1/x"),
            ("GET", "http://b/x", Some("a:1"), "http://b/x"),
            ("GET", "http://b:81?x#y", Some("a:1"), "http://b:81/?x%23y"),
            ("GET", "/to/http://b/x", Some("a:1"), "http://a:1/to/http://b/x"),
            ("GET", "x", Some("a:1"), "http://a:1/x"),
            ("OPTIONS", "*", Some("a:1"), "http://a:1/"),
            ("CONNECT", "c:443", Some("c:443"), "http://c:443/"),
            (
                "CONNECT",
                "[2001:db8::1]:443",
                Some("[2001:db8::1]:443"),
                "http://[2001:db8::1]:443/",
            ),
            ("GET", "/x", Some("[::1]:8080"), "http://[::1]:8080/x"),
            ("GET", "/x", Some("::1"), "http://[::1]/x"),
            ("GET", "/x", Some("a:80"), "http://a:80/x"),
            ("GET", "/x", None, "http://unknown.invalid/x"),
        ] {
            assert_eq!(url(method, target, authority), expected, "{target} at {authority:?}");
        }
    }

    #[test]
    fn what_a_url_cannot_hold_is_escaped() {
        for (target, expected) in [
            ("/q?a=1&&b=%zz&c&=d&e=%C3%A4+%20x#frag", "/q?a=1&&b=%25zz&c&=d&e=%C3%A4+%20x%23frag"),
            ("/<script>\"\\x", "/%3Cscript%3E%22%5Cx"),
            ("/a b\t{}|^`[]", "/a%20b%09%7B%7D%7C%5E%60%5B%5D"),
            ("/\u{1}\u{7f}ä\u{fffd}%", "/%01%7F%C3%A4%EF%BF%BD%25"),
        ] {
            assert_eq!(url("GET", target, Some("a")), format!("http://a{expected}"));
        }
        let with_user = "http://[redacted]@b:81/x";
        assert_eq!(url("GET", with_user, None), "http://%5Bredacted%5D@b:81/x");
    }

    #[test]
    fn an_authority_that_is_none_gives_way_to_the_server() {
        for authority in
            ["a b\"><i>", "a:99999", "a:b", "[::1", "1.2.3.4.5", "xn--a", "a@b/", "", ":80", "a\"b"]
        {
            let found = url("GET", "/x", Some(authority));
            assert_eq!(found, "http://unknown.invalid/x", "{authority}");
        }
        assert_eq!(url("GET", "/x", Some("B\u{fc}cher.test")), "http://xn--bcher-kva.test/x");
        assert_eq!(url("GET", "http://a b/x", Some("c")), "http://unknown.invalid/x");
        assert_eq!(url("GET", "file://a:80/x", Some("c")), "http://unknown.invalid/");
    }

    #[test]
    fn the_query_is_decoded_as_the_url_has_it() {
        let url = url("GET", "/q?a=1&&b=%zz&c&=d&e=%C3%A4+%20x#frag", Some("a"));
        let found: Vec<_> = query(&url).collect();
        let expected = [("a", "1"), ("b", "%zz"), ("c", ""), ("", "d"), ("e", "\u{e4}  x#frag")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    fn odd() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ -~]{0,30}",
            "(http|https|ftp|file|ws|a+b)://[ -~]{0,30}",
            "/[a-z%?&=#/]{0,30}",
            "\\[?[0-9a-f:.]{0,20}\\]?(:[0-9]{0,6})?",
        ]
    }

    proptest! {
        #[test]
        fn any_target_and_authority_make_a_url_that_parses_to_what_was_meant(
            method in "GET|CONNECT|OPTIONS",
            target in odd(),
            authority in proptest::option::of(odd()),
        ) {
            let url = of(&exchange(&method, &target, authority.as_deref()), None);
            let parsed = Url::parse(&url).unwrap();
            prop_assert!(parsed.has_host() && parsed.fragment().is_none(), "{url}");
            prop_assert!(url.is_ascii() && !url.bytes().any(|b| b <= b' ' || b == 0x7f), "{url}");
            let pairs: Vec<_> = parsed.query_pairs().map(|(n, v)| (n.into(), v.into())).collect();
            prop_assert_eq!(query(&url).collect::<Vec<(String, String)>>(), pairs);
        }
    }
}
