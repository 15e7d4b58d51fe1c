//! The pages of `trace_pipe_raw` (the kernel's include/linux/ring_buffer.h), and the one event read from them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer::tcp::TcpState;

use super::witness::Told;

/// A page begins with the time of its first event and the length of what follows.
const PAGE_HEADER_BYTES: usize = 16;
/// The upper bits of the length are flags.
const LENGTH_MASK: u64 = 0xf_ffff;

const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;

/// The events of a page: time, and the record.
pub fn events(page: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    let (Some(mut time), Some(length)) = (u64_at(page, 0), u64_at(page, 8)) else {
        return found;
    };
    let end = PAGE_HEADER_BYTES + (length & LENGTH_MASK) as usize;
    let page = &page[..end.min(page.len())];
    let mut at = PAGE_HEADER_BYTES;
    while let Some(header) = u32_at(page, at) {
        let (kind, delta) = (header & 0x1f, u64::from(header >> 5));
        let next = u32_at(page, at + 4).unwrap_or(0);
        let far = (u64::from(next) << 27) + delta;
        let mut step = 8;
        match kind {
            PADDING if delta == 0 => break,
            PADDING => step = 4 + next as usize,
            TIME_EXTEND => time += far,
            TIME_STAMP => time = far,
            _ => {
                time += delta;
                let (from, bytes) =
                    if kind == 0 { (8, next as usize - 4) } else { (4, kind as usize * 4) };
                step = from + bytes;
                found.extend(page.get(at + from..at + step).map(|record| (time, record)));
            }
        }
        at += step;
    }
    found
}

/// Where the fields of `inet_sock_set_state` lie, by the event's `format` file.
#[derive(Clone, Debug)]
pub struct Format {
    id: u16,
    offsets: HashMap<String, usize>,
}

impl Format {
    /// Reads a `format` file.
    pub fn parse(text: &str) -> Option<Format> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID: "))?.trim().parse().ok()?;
        let field = |line: &str| -> Option<(String, usize)> {
            let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
            let name = declaration.rsplit(' ').next()?.split('[').next()?.to_owned();
            let offset = rest.trim().strip_prefix("offset:")?.split(';').next()?.parse().ok()?;
            Some((name, offset))
        };
        Some(Format { id, offsets: text.lines().filter_map(field).collect() })
    }

    /// Reads a record; `None` for other events and other protocols.
    pub fn read(&self, at_ns: u64, record: &[u8]) -> Option<Told> {
        let at = |name: &str| self.offsets.get(name).copied();
        let short = |name| u16_at(record, at(name)?);
        let state = |name| TcpState::from_kernel(u8::try_from(u32_at(record, at(name)?)?).ok()?);
        if short("common_type")? != self.id || i32::from(short("protocol")?) != libc::IPPROTO_TCP {
            return None;
        }
        let ipv4 = i32::from(short("family")?) == libc::AF_INET;
        let end = |v4, v6, port| -> Option<SocketAddr> {
            let ip = if ipv4 {
                IpAddr::V4(Ipv4Addr::from(bytes_at::<4>(record, at(v4)?)?))
            } else {
                IpAddr::V6(Ipv6Addr::from(bytes_at::<16>(record, at(v6)?)?)).to_canonical()
            };
            Some(SocketAddr::new(ip, short(port)?))
        };
        Some(Told {
            at_ns,
            socket: u64_at(record, at("skaddr")?)?,
            local: end("saddr", "saddr_v6", "sport")?,
            remote: end("daddr", "daddr_v6", "dport")?,
            from: state("oldstate")?,
            to: state("newstate")?,
            task: u32_at(record, at("common_pid")?)?,
        })
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_ne_bytes)
}
