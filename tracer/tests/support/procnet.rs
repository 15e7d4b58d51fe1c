//! `/proc/net/tcp`: what the kernel itself says about its sockets, timewait and request sockets included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer::tcp::TcpState;

/// A line of `/proc/net/tcp` or `tcp6`; IPv4-mapped addresses as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcSocket {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: TcpState,
}

/// The TCP sockets of the namespace in which process `pid` lives.
pub fn sockets(pid: u32) -> Vec<ProcSocket> {
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|name| std::fs::read_to_string(format!("/proc/{pid}/net/{name}")).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(parse).collect::<Vec<_>>())
        .collect()
}

/// The state of one end, `None` when there is no such socket.
pub fn state(pid: u32, local: SocketAddr, remote: SocketAddr) -> Option<TcpState> {
    sockets(pid).iter().find(|s| s.local == local && s.remote == remote).map(|s| s.state)
}

fn parse(line: &str) -> Option<ProcSocket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = address(words.next()?)?;
    let remote = address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    Some(ProcSocket { local, remote, state: TcpState::from_kernel(state)? })
}

/// `0100007F:1F90`: 32-bit groups of the address in host order, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let groups = ip
        .as_bytes()
        .chunks(8)
        .map(|group| u32::from_str_radix(std::str::from_utf8(group).ok()?, 16).ok())
        .collect::<Option<Vec<u32>>>()?;
    let bytes: Vec<u8> = groups.iter().flat_map(|group| group.to_ne_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}
