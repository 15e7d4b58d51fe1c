//! What is known of millions of connection ends, in 64 bytes each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::known::End;
use crate::record::{ConnId, SocketAddress, Text};
use crate::tcp::Endpoint;
use crate::time::Timestamp;

/// Ends that get their memory together: one piece of memory for all would be copied whole whenever it grows.
const CHUNK: usize = 4096;
/// Most different IPv6 addresses; some 50 bytes each.
const MAX_ADDRESSES: usize = 1 << 18;
/// Most different names of processes.
const MAX_NAMES: usize = 1 << 16;

/// Ends by their places, which are given in order from 0.
#[derive(Debug, Default)]
pub(super) struct PackedEnds {
    chunks: Vec<Vec<Packed>>,
    len: u32,
    /// IPv6 addresses, which ends have by number. They come from the network, so their hash is one that is hard to collide.
    addresses: IndexSet<Ipv6Addr>,
    names: IndexSet<Text, FxBuildHasher>,
}

/// An [`End`] whose addresses and names lie elsewhere. `flags` says which of the others there are.
#[derive(Clone, Copy, Debug)]
struct Packed {
    opened_at: u64,
    closed_at: u64,
    peer: u64,
    local_ip: u32,
    remote_ip: u32,
    pid: u32,
    netns: u32,
    lost_events: u32,
    isn_sent: u32,
    isn_received: u32,
    local_port: u16,
    remote_port: u16,
    comm: u16,
    flags: u16,
}

const _: () = assert!(size_of::<Packed>() == 64, "docs/performance.md says so");

/// Bits of [`Packed::flags`].
mod flag {
    pub const CLIENT: u16 = 1;
    pub const SERVER: u16 = 1 << 1;
    pub const PEER: u16 = 1 << 2;
    pub const PID: u16 = 1 << 3;
    pub const COMM: u16 = 1 << 4;
    pub const NETNS: u16 = 1 << 5;
    pub const OPENED: u16 = 1 << 6;
    pub const CLOSED: u16 = 1 << 7;
    pub const ISN_SENT: u16 = 1 << 8;
    pub const ISN_RECEIVED: u16 = 1 << 9;
    pub const LOCAL_V6: u16 = 1 << 10;
    pub const REMOTE_V6: u16 = 1 << 11;
}

impl PackedEnds {
    /// Its place; `None` where there is no room for it.
    pub fn push(&mut self, end: &End) -> Option<u32> {
        let packed = self.pack(end)?;
        let place = self.len;
        self.len = place.checked_add(1)?;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(packed),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(packed);
                self.chunks.push(chunk);
            }
        }
        Some(place)
    }

    /// False where there is no room for it, or no such place: what was there stays.
    pub fn replace(&mut self, place: u32, end: &End) -> bool {
        let Some(packed) = self.pack(end) else { return false };
        let chunk = self.chunks.get_mut(place as usize / CHUNK);
        let Some(kept) = chunk.and_then(|chunk| chunk.get_mut(place as usize % CHUNK)) else {
            return false;
        };
        *kept = packed;
        true
    }

    pub fn get(&self, place: u32) -> Option<End> {
        let chunk = self.chunks.get(place as usize / CHUNK)?;
        Some(self.unpack(chunk.get(place as usize % CHUNK)?))
    }

    /// All ends, by their places.
    pub fn iter(&self) -> impl Iterator<Item = End> {
        self.chunks.iter().flatten().map(|packed| self.unpack(packed))
    }

    fn pack(&mut self, end: &End) -> Option<Packed> {
        let mut flags = match end.endpoint {
            Some(Endpoint::Client) => flag::CLIENT,
            Some(Endpoint::Server) => flag::SERVER,
            None => 0,
        };
        let mut note = |is_there: bool, bit: u16| flags |= if is_there { bit } else { 0 };
        note(end.peer.is_some(), flag::PEER);
        note(end.pid.is_some(), flag::PID);
        note(end.comm.is_some(), flag::COMM);
        note(end.netns.is_some(), flag::NETNS);
        note(end.opened_at.is_some(), flag::OPENED);
        note(end.closed_at.is_some(), flag::CLOSED);
        note(end.isn_sent.is_some(), flag::ISN_SENT);
        note(end.isn_received.is_some(), flag::ISN_RECEIVED);
        note(end.local.ip.is_ipv6(), flag::LOCAL_V6);
        note(end.remote.ip.is_ipv6(), flag::REMOTE_V6);
        Some(Packed {
            opened_at: end.opened_at.map_or(0, |at| at.0),
            closed_at: end.closed_at.map_or(0, |at| at.0),
            peer: end.peer.map_or(0, |peer| peer.0),
            local_ip: self.pack_address(end.local.ip)?,
            remote_ip: self.pack_address(end.remote.ip)?,
            pid: end.pid.unwrap_or(0),
            netns: end.netns.unwrap_or(0),
            lost_events: u32::try_from(end.lost_events).unwrap_or(u32::MAX),
            isn_sent: end.isn_sent.unwrap_or(0),
            isn_received: end.isn_received.unwrap_or(0),
            local_port: end.local.port,
            remote_port: end.remote.port,
            comm: match &end.comm {
                Some(comm) => self.pack_name(comm)?,
                None => 0,
            },
            flags,
        })
    }

    fn pack_address(&mut self, ip: IpAddr) -> Option<u32> {
        let ip = match ip {
            IpAddr::V4(ip) => return Some(ip.to_bits()),
            IpAddr::V6(ip) => ip,
        };
        let number = match self.addresses.get_index_of(&ip) {
            Some(number) => number,
            None if self.addresses.len() < MAX_ADDRESSES => self.addresses.insert_full(ip).0,
            None => return None,
        };
        u32::try_from(number).ok()
    }

    fn pack_name(&mut self, name: &Text) -> Option<u16> {
        let number = match self.names.get_index_of(name) {
            Some(number) => number,
            None if self.names.len() < MAX_NAMES => self.names.insert_full(name.clone()).0,
            None => return None,
        };
        u16::try_from(number).ok()
    }

    fn unpack(&self, packed: &Packed) -> End {
        let has = |bit: u16| packed.flags & bit != 0;
        let endpoint = match (has(flag::CLIENT), has(flag::SERVER)) {
            (true, _) => Some(Endpoint::Client),
            (false, true) => Some(Endpoint::Server),
            (false, false) => None,
        };
        let address = |ip, is_v6, port| SocketAddress { ip: self.unpack_address(ip, is_v6), port };
        let name = || self.names.get_index(usize::from(packed.comm)).cloned();
        End {
            endpoint,
            local: address(packed.local_ip, has(flag::LOCAL_V6), packed.local_port),
            remote: address(packed.remote_ip, has(flag::REMOTE_V6), packed.remote_port),
            peer: has(flag::PEER).then_some(ConnId(packed.peer)),
            pid: has(flag::PID).then_some(packed.pid),
            comm: has(flag::COMM).then(name).flatten(),
            netns: has(flag::NETNS).then_some(packed.netns),
            opened_at: has(flag::OPENED).then_some(Timestamp(packed.opened_at)),
            closed_at: has(flag::CLOSED).then_some(Timestamp(packed.closed_at)),
            lost_events: u64::from(packed.lost_events),
            isn_sent: has(flag::ISN_SENT).then_some(packed.isn_sent),
            isn_received: has(flag::ISN_RECEIVED).then_some(packed.isn_received),
        }
    }

    fn unpack_address(&self, ip: u32, is_v6: bool) -> IpAddr {
        if !is_v6 {
            return IpAddr::V4(Ipv4Addr::from_bits(ip));
        }
        let known = self.addresses.get_index(ip as usize);
        IpAddr::V6(known.copied().unwrap_or(Ipv6Addr::UNSPECIFIED))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddress> {
        let ip = prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
            any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        ];
        (ip, any::<u16>()).prop_map(|(ip, port)| SocketAddress { ip, port })
    }

    fn end() -> impl Strategy<Value = End> {
        let who = (
            prop::option::of(prop::sample::select(vec![Endpoint::Client, Endpoint::Server])),
            address(),
            address(),
            prop::option::of(any::<u64>().prop_map(ConnId)),
            prop::option::of(any::<u32>()),
            prop::option::of("[a-z]{0,3}".prop_map(Text::from)),
        );
        let what = (
            prop::option::of(any::<u32>()),
            prop::option::of(any::<u64>().prop_map(Timestamp)),
            prop::option::of(any::<u64>().prop_map(Timestamp)),
            any::<u32>().prop_map(u64::from),
            prop::option::of(any::<u32>()),
            prop::option::of(any::<u32>()),
        );
        (who, what).prop_map(|(who, what)| {
            let (endpoint, local, remote, peer, pid, comm) = who;
            let (netns, opened_at, closed_at, lost_events, isn_sent, isn_received) = what;
            End {
                endpoint,
                local,
                remote,
                peer,
                pid,
                comm,
                netns,
                opened_at,
                closed_at,
                lost_events,
                isn_sent,
                isn_received,
            }
        })
    }

    proptest! {
        #[test]
        fn an_end_comes_out_as_it_went_in(ends in prop::collection::vec(end(), 1..40), other in end()) {
            let mut packed = PackedEnds::default();
            for (place, end) in ends.iter().enumerate() {
                prop_assert_eq!(packed.push(end), Some(place as u32));
            }
            prop_assert!(packed.iter().eq(ends.iter().cloned()));
            prop_assert!(packed.replace(0, &other));
            prop_assert_eq!(packed.get(0), Some(other));
            prop_assert_eq!(packed.get(ends.len() as u32), None);
        }
    }

    #[test]
    fn an_end_with_a_name_too_many_is_not_kept() {
        let mut packed = PackedEnds::default();
        let nowhere = SocketAddress { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };
        let end = |comm: usize| End {
            endpoint: None,
            local: nowhere,
            remote: nowhere,
            peer: None,
            pid: None,
            comm: Some(Text::from(comm.to_string())),
            netns: None,
            opened_at: None,
            closed_at: None,
            lost_events: 0,
            isn_sent: None,
            isn_received: None,
        };
        for comm in 0..MAX_NAMES {
            assert!(packed.push(&end(comm)).is_some());
        }
        assert_eq!(packed.push(&end(MAX_NAMES)), None);
        assert!(packed.push(&end(7)).is_some(), "a known name costs nothing");
        assert_eq!(packed.get(MAX_NAMES as u32), Some(end(7)));
    }
}
