//! The PROXY protocol: a header in front of a connection's first bytes, in which a proxy names the client
//! that it speaks for (haproxy's `doc/proxy-protocol.txt`, versions 1 and 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::record::SocketAddress;

const V1: &[u8] = b"PROXY ";
/// Longest line of version 1, its CRLF included.
const V1_BYTES: usize = 107;
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED_BYTES: usize = 16;
/// The longest part of version 2 that is looked at: the fixed part, two IPv6 addresses, two ports.
const V2_KEPT_BYTES: usize = V2_FIXED_BYTES + 36;

/// What pushed bytes did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// All taken, the header goes on.
    More,
    /// The header ended with this many of them; the client's address, where it is named.
    Whole(usize, Option<SocketAddress>),
    /// It is no header. What was pushed before is [`ProxyHeader::bytes`].
    NoHeader,
}

/// Collects a header that comes in parts; at most [`V1_BYTES`] are kept.
#[derive(Debug, Default)]
pub(super) struct ProxyHeader {
    kept: Vec<u8>,
    /// Bytes taken beyond those kept.
    beyond_bytes: usize,
}

impl ProxyHeader {
    /// Whether a connection that begins with `bytes` may begin with a header.
    pub fn may_begin(bytes: &[u8]) -> bool {
        let begins =
            |signature: &[u8]| bytes.starts_with(signature) || signature.starts_with(bytes);
        begins(V1) || begins(V2)
    }

    /// The bytes kept so far: all that were pushed, unless the header is certain already.
    pub fn bytes(&self) -> &[u8] {
        &self.kept
    }

    /// Takes bytes up to the end of the header.
    pub fn push(&mut self, bytes: &[u8]) -> Pushed {
        let before = self.kept.len() + self.beyond_bytes;
        let room = V1_BYTES - self.kept.len().min(V1_BYTES);
        let kept = bytes.len().min(room);
        self.kept.extend_from_slice(&bytes[..kept]);
        if !ProxyHeader::may_begin(&self.kept) {
            self.kept.truncate(self.kept.len() - kept);
            return Pushed::NoHeader;
        }
        let end = if self.kept[0] == V1[0] { self.v1_end() } else { self.v2_end() };
        let Ok(end) = end else {
            self.kept.truncate(self.kept.len() - kept);
            return Pushed::NoHeader;
        };
        match end.filter(|&end| end <= before + bytes.len()) {
            Some(end) => Pushed::Whole(end - before, self.source(end)),
            None => {
                self.beyond_bytes += bytes.len() - kept;
                Pushed::More
            }
        }
    }

    /// `None` where the line goes on.
    fn v1_end(&self) -> Result<Option<usize>, NoHeader> {
        let family = self.kept.get(V1.len()..).unwrap_or_default();
        let goes_on = |word: &[u8]| family.starts_with(word) || word.starts_with(family);
        if ![&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"].into_iter().any(goes_on) {
            return Err(NoHeader);
        }
        match memchr::memchr(b'\n', &self.kept) {
            Some(lf) if self.kept[..lf].ends_with(b"\r") => Ok(Some(lf + 1)),
            None if self.kept.len() < V1_BYTES => Ok(None),
            _ => Err(NoHeader),
        }
    }

    /// `None` where the length is not there yet.
    fn v2_end(&self) -> Result<Option<usize>, NoHeader> {
        let Some(version) = self.kept.get(V2.len()) else { return Ok(None) };
        if version >> 4 != 2 || version & 0xf > 1 {
            return Err(NoHeader);
        }
        let Some(&[high, low]) = self.kept.get(14..V2_FIXED_BYTES) else { return Ok(None) };
        Ok(Some(V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]))))
    }

    fn source(&self, end: usize) -> Option<SocketAddress> {
        let header = &self.kept[..end.min(self.kept.len())];
        if header[0] == V1[0] { v1_source(header) } else { v2_source(header) }
    }
}

#[derive(Debug)]
struct NoHeader;

/// `PROXY TCP4 source destination source-port destination-port`; other words name no address.
fn v1_source(line: &[u8]) -> Option<SocketAddress> {
    let mut words = std::str::from_utf8(line).ok()?.trim_end_matches("\r\n").split(' ').skip(1);
    let family = words.next()?;
    let ip: IpAddr = words.next()?.parse().ok()?;
    let _destination: IpAddr = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    let fits = matches!((family, ip), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)));
    fits.then(|| SocketAddress { ip: ip.to_canonical(), port })
}

/// Of the command LOCAL and of families without ports the address is not the client's.
fn v2_source(header: &[u8]) -> Option<SocketAddress> {
    const PROXY: u8 = 0x21;
    let (fixed, rest) = header.split_at_checked(V2_FIXED_BYTES)?;
    if fixed[12] != PROXY {
        return None;
    }
    let addresses = &rest[..rest.len().min(V2_KEPT_BYTES - V2_FIXED_BYTES)];
    let (ip, port): (IpAddr, usize) = match fixed[13] >> 4 {
        1 => (Ipv4Addr::from(*addresses.first_chunk::<4>()?).into(), 8),
        2 => (Ipv6Addr::from(*addresses.first_chunk::<16>()?).into(), 32),
        _ => return None,
    };
    let port = u16::from_be_bytes(*addresses.get(port..)?.first_chunk::<2>()?);
    Some(SocketAddress { ip: ip.to_canonical(), port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&V2[..], &[command, family], &length, content].concat()
    }

    fn source(ip: &str, port: u16) -> Option<SocketAddress> {
        Some(SocketAddress { ip: ip.parse().unwrap(), port })
    }

    /// Headers and the client that each names.
    fn headers() -> Vec<(Vec<u8>, Option<SocketAddress>)> {
        let v4 = [192, 0, 2, 7, 192, 0, 2, 1, 220, 4, 0, 80];
        let v6: Vec<u8> =
            [&Ipv6Addr::LOCALHOST.octets()[..], &Ipv6Addr::UNSPECIFIED.octets(), &[1, 0], &[0, 80]]
                .concat();
        vec![
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 80\r\n".to_vec(), source("192.0.2.7", 56324)),
            (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(), source("2001:db8::1", 1)),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), None),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), source("192.0.2.7", 56324)),
            (v2(0x21, 0x21, &v6), source("::1", 256)),
            (v2(0x21, 0x11, &[&v4[..], &[4; 3000]].concat()), source("192.0.2.7", 56324)),
            (v2(0x21, 0x31, &[b'/'; 216]), None),
            (v2(0x21, 0x00, b""), None),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0x00, b""), None),
            (v2(0x21, 0x11, &v4[..8]), None),
        ]
    }

    #[test]
    fn other_first_bytes_are_no_header_and_what_was_taken_is_kept() {
        for (first, rest) in [
            (&b"P"[..], &b"OST / HTTP/1.1\r\n"[..]),
            (b"PROXY", b"-Y / HTTP/1.1\r\n"),
            (b"\r\n\r\n", b"GET / HTTP/1.1\r\n"),
            (b"PROXY TCP4 1.1.1.1", &[b'x'; 200]),
            (b"PROXY UNKNOWN", b"\n"),
            (b"PROXY TCP", b"5 "),
            (b"\r\n\r\n\0\r\nQUIT\n", b"\x11\x11\0\0"),
            (b"\r\n\r\n\0\r\nQUIT\n", b"\x22\x11\0\0"),
        ] {
            let mut header = ProxyHeader::default();
            assert_eq!(header.push(first), Pushed::More, "{first:?}");
            assert_eq!(header.push(rest), Pushed::NoHeader, "{first:?} {rest:?}");
            assert_eq!(header.bytes(), first);
        }
        assert!(!ProxyHeader::may_begin(b"GET /"));
    }

    proptest! {
        #[test]
        fn a_header_ends_where_it_ends_however_it_is_cut(
            which in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 0..50),
            size in 1usize..200,
        ) {
            let headers = headers();
            let (header, client) = which.get(&headers);
            let text = [&header[..], &tail].concat();
            let (mut reader, mut taken) = (ProxyHeader::default(), 0);
            for part in text.chunks(size) {
                match reader.push(part) {
                    Pushed::More => taken += part.len(),
                    Pushed::Whole(used, source) => {
                        prop_assert_eq!((taken + used, source), (header.len(), *client));
                        return Ok(());
                    }
                    Pushed::NoHeader => prop_assert!(false, "{text:?}"),
                }
            }
            prop_assert!(false, "no end of {text:?}");
        }

        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..300), v2 in any::<bool>()) {
            let text = if v2 { [&V2[..], &text].concat() } else { [V1, &text].concat() };
            let mut reader = ProxyHeader::default();
            for part in text.chunks(7) {
                if reader.push(part) != Pushed::More { break; }
                prop_assert!(reader.bytes().len() <= V1_BYTES);
            }
        }
    }
}
