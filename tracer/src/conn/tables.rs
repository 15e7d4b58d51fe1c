//! Connections and the names by which events call them: cookie, kernel address, four-tuple.
//!
//! The indexes hold keys only: what they are ordered by is read from the connection itself, so whatever an index
//! is made of (cookie, tuple, the small socket's address) changes through these functions alone.

use std::net::IpAddr;
use std::num::NonZeroU64;

use hashbrown::HashTable;
use slotmap::SlotMap;

use super::connection::{Connection, SmallKind, SmallSocket};
use crate::event::Tuple;
use crate::record::{ConnId, SocketAddress};

slotmap::new_key_type! {
    /// Where the tracker keeps a connection: good for as long as it is tracked, and never again for another one.
    pub struct Key;
}

#[derive(Default, Debug)]
pub(super) struct Tables {
    hashes: Hashes,
    /// Boxed: growing the table moves pointers, not lives.
    connections: SlotMap<Key, Box<Connection>>,
    by_cookie: HashTable<Key>,
    /// Timewait and request sockets, while they live: the youngest at an address.
    by_skaddr: HashTable<Key>,
    /// Both ends of every connection whose ports are known.
    by_pair: HashTable<Key>,
}

impl Tables {
    /// `seed` makes collisions unforeseeable for those who choose addresses and ports.
    pub fn new(seed: u64) -> Self {
        Tables { hashes: Hashes { seed }, ..Tables::default() }
    }

    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn get(&self, key: Key) -> Option<&Connection> {
        self.connections.get(key).map(Box::as_ref)
    }

    /// Not for changes of cookie, tuple and small socket.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections.get_mut(key).map(Box::as_mut)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &Connection)> {
        self.connections.iter().map(|(key, connection)| (key, connection.as_ref()))
    }

    pub fn insert(&mut self, connection: Box<Connection>) -> Key {
        let key = self.connections.insert(connection);
        self.index_tuple(key);
        key
    }

    pub fn remove(&mut self, key: Key) -> Option<Box<Connection>> {
        self.unindex_cookie(key);
        self.unindex_small(key);
        self.unindex_tuple(key);
        self.connections.remove(key)
    }

    pub fn by_cookie(&self, cookie: u64) -> Option<Key> {
        let is_it = |key: &Key| self.get(*key).is_some_and(|c| c.cookie() == Some(cookie));
        self.by_cookie.find(self.hashes.number(cookie), is_it).copied()
    }

    /// The youngest end with this tuple. Where the tuple has no interface and ends on several
    /// interfaces have it, it is not known which one is meant.
    pub fn by_tuple(&self, tuple: &Tuple) -> Option<Key> {
        let same = || {
            let with_hash = self.by_pair.iter_hash(self.hashes.pair(tuple));
            let ends = with_hash.filter_map(|key| Some((*key, self.get(*key)?)));
            ends.filter(|(_, c)| {
                c.tuple.on_any_interface() == tuple.on_any_interface()
                    && c.tuple.interface.agrees(tuple.interface)
            })
        };
        let (key, youngest) = same().max_by_key(|(_, c)| c.id)?;
        let is_another =
            |c: &Connection| !c.is_closed() && !c.tuple.interface.agrees(youngest.tuple.interface);
        (!same().any(|(_, c)| is_another(c))).then_some(key)
    }

    /// Whether ends on several interfaces have this tuple, so that it is not known which one is meant.
    pub fn is_ambiguous(&self, tuple: &Tuple) -> bool {
        let any = tuple.on_any_interface();
        let mut ends = self.by_pair.iter_hash(self.hashes.pair(tuple));
        let has_end =
            ends.any(|key| self.get(*key).is_some_and(|c| c.tuple.on_any_interface() == any));
        has_end && self.by_tuple(tuple).is_none()
    }

    pub fn by_skaddr(&self, skaddr: u64) -> Option<Key> {
        let is_it = |key: &Key| self.skaddr_of(*key) == skaddr;
        self.by_skaddr.find(self.hashes.number(skaddr), is_it).copied()
    }

    /// Every end with these two addresses, whatever the namespace.
    pub fn by_pair(&self, tuple: &Tuple) -> impl Iterator<Item = (Key, &Connection)> {
        let pair = (tuple.local, tuple.remote);
        self.by_pair
            .iter_hash(self.hashes.pair(tuple))
            .filter_map(|key| Some((*key, self.get(*key)?)))
            .filter(move |(_, c)| {
                pair == (c.tuple.local, c.tuple.remote) || pair == (c.tuple.remote, c.tuple.local)
            })
    }

    /// One of the ends with these two addresses.
    pub fn end_of_pair(&self, tuple: &Tuple, id: ConnId) -> Option<Key> {
        self.by_pair(tuple).find(|(_, c)| c.id == id).map(|(key, _)| key)
    }

    pub fn set_cookie(&mut self, key: Key, cookie: u64) {
        if self.get(key).is_none_or(|c| c.cookie() == Some(cookie)) {
            return;
        }
        self.unindex_cookie(key);
        let Tables { hashes, connections, by_cookie, .. } = self;
        let hash = hashes.number(cookie);
        // A cookie names one connection: its socket's latest.
        let older = by_cookie.find_entry(hash, |key| cookie_of(connections, *key) == Some(cookie));
        if let Ok(entry) = older {
            entry.remove();
        }
        if let Some(connection) = connections.get_mut(key) {
            connection.cookie = NonZeroU64::new(cookie);
        }
        by_cookie.insert_unique(hash, key, |key| {
            hashes.number(cookie_of(connections, *key).unwrap_or(0))
        });
    }

    /// Ties a living timewait or request socket to its connection. Address 0: not known yet.
    pub fn set_small(&mut self, key: Key, kind: SmallKind, skaddr: u64) {
        self.unindex_small(key);
        let Tables { hashes, connections, by_skaddr, .. } = self;
        let hash = hashes.number(skaddr);
        let older = by_skaddr.find_entry(hash, |key| skaddr_of(connections, *key) == skaddr);
        if let Ok(entry) = older {
            entry.remove();
        }
        let Some(connection) = connections.get_mut(key) else { return };
        connection.small = Some(SmallSocket::armed(kind, skaddr));
        connection.evidence.was_request |= kind == SmallKind::Request;
        if skaddr != 0 {
            by_skaddr.insert_unique(hash, key, |key| hashes.number(skaddr_of(connections, *key)));
        }
    }

    /// The small socket is gone and no longer of interest.
    pub fn clear_small(&mut self, key: Key) {
        self.unindex_small(key);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.small = None;
        }
    }

    /// The small socket is gone; what it was stays known.
    pub fn unindex_small(&mut self, key: Key) {
        let hash = self.hashes.number(self.skaddr_of(key));
        if let Ok(entry) = self.by_skaddr.find_entry(hash, |other| *other == key) {
            entry.remove();
        }
    }

    pub fn set_tuple(&mut self, key: Key, tuple: Tuple) {
        self.unindex_tuple(key);
        if let Some(connection) = self.connections.get_mut(key) {
            connection.tuple = tuple;
        }
        self.index_tuple(key);
    }

    fn skaddr_of(&self, key: Key) -> u64 {
        skaddr_of(&self.connections, key)
    }

    fn unindex_cookie(&mut self, key: Key) {
        let Some(cookie) = cookie_of(&self.connections, key) else { return };
        let found = self.by_cookie.find_entry(self.hashes.number(cookie), |other| *other == key);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    fn index_tuple(&mut self, key: Key) {
        let Tables { hashes, connections, by_pair, .. } = self;
        let Some(connection) = connections.get(key).filter(|c| c.tuple.is_whole()) else { return };
        by_pair.insert_unique(hashes.pair(&connection.tuple), key, |key| {
            connections.get(*key).map_or(0, |c| hashes.pair(&c.tuple))
        });
    }

    fn unindex_tuple(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        let hash = self.hashes.pair(&connection.tuple);
        if let Ok(entry) = self.by_pair.find_entry(hash, |other| *other == key) {
            entry.remove();
        }
    }
}

fn cookie_of(connections: &SlotMap<Key, Box<Connection>>, key: Key) -> Option<u64> {
    connections.get(key)?.cookie()
}

fn skaddr_of(connections: &SlotMap<Key, Box<Connection>>, key: Key) -> u64 {
    let small = connections.get(key).and_then(|connection| connection.small.as_ref());
    small.map_or(0, |small| small.skaddr)
}

/// Hashes of names, by multiplication with both halves folded together, as in wyhash.
#[derive(Clone, Copy, Default, Debug)]
struct Hashes {
    seed: u64,
}

/// Odd, with as many ones as zeroes, from wyhash.
const MIX: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

impl Hashes {
    fn number(self, number: u64) -> u64 {
        fold(number ^ self.seed ^ MIX[0], MIX[1])
    }

    /// The same for both ends.
    fn pair(self, tuple: &Tuple) -> u64 {
        let both = self.address(&tuple.local).wrapping_add(self.address(&tuple.remote));
        fold(both ^ self.seed, MIX[0])
    }

    fn address(self, address: &SocketAddress) -> u64 {
        let (high, low) = match address.ip {
            IpAddr::V4(ip) => (0, u64::from(ip.to_bits())),
            IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64, ip.to_bits() as u64),
        };
        let port = u64::from(address.port) << 32;
        fold(low ^ port ^ self.seed ^ MIX[0], fold(high ^ self.seed, MIX[0]) ^ MIX[1])
    }
}
