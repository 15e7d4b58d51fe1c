//! Connections and the keys by which events name them.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::connection::Connection;
use crate::event::Tuple;
use crate::record::{ConnId, SocketAddress};

/// An unordered pair of addresses: the same for both ends.
type Pair = (SocketAddress, SocketAddress);

#[derive(Default, Debug)]
pub(super) struct Tables {
    /// Boxed: growing the table moves pointers, not lives.
    connections: FxHashMap<ConnId, Box<Connection>>,
    by_cookie: FxHashMap<u64, ConnId>,
    /// The youngest end with this tuple.
    by_tuple: FxHashMap<Tuple, ConnId>,
    /// Timewait and request sockets by kernel address, while they live.
    by_skaddr: FxHashMap<u64, ConnId>,
    by_pair: FxHashMap<Pair, SmallVec<[ConnId; 2]>>,
}

fn pair(tuple: &Tuple) -> Pair {
    if tuple.local <= tuple.remote {
        (tuple.local, tuple.remote)
    } else {
        (tuple.remote, tuple.local)
    }
}

impl Tables {
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    pub fn get(&self, id: ConnId) -> Option<&Connection> {
        self.connections.get(&id).map(Box::as_ref)
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.connections.get_mut(&id).map(Box::as_mut)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values().map(Box::as_ref)
    }

    pub fn insert(&mut self, connection: Box<Connection>) {
        let id = connection.id;
        self.index_tuple(id, connection.tuple);
        if let Some(cookie) = connection.cookie {
            self.by_cookie.insert(cookie, id);
        }
        self.connections.insert(id, connection);
    }

    pub fn remove(&mut self, id: ConnId) -> Option<Box<Connection>> {
        let connection = self.connections.remove(&id)?;
        if let Some(cookie) = connection.cookie {
            remove_if(&mut self.by_cookie, &cookie, id);
        }
        self.unindex_tuple(id, &connection.tuple);
        for small in [connection.timewait, connection.request].into_iter().flatten() {
            remove_if(&mut self.by_skaddr, &small.skaddr, id);
        }
        Some(connection)
    }

    pub fn by_cookie(&self, cookie: u64) -> Option<ConnId> {
        self.by_cookie.get(&cookie).copied()
    }

    pub fn by_tuple(&self, tuple: &Tuple) -> Option<ConnId> {
        self.by_tuple.get(tuple).copied()
    }

    pub fn by_skaddr(&self, skaddr: u64) -> Option<ConnId> {
        self.by_skaddr.get(&skaddr).copied()
    }

    /// Every end with these two addresses, this one included, whatever the namespace.
    pub fn by_pair(&self, tuple: &Tuple) -> &[ConnId] {
        self.by_pair.get(&pair(tuple)).map_or(&[], SmallVec::as_slice)
    }

    pub fn set_cookie(&mut self, id: ConnId, cookie: u64) {
        if let Some(connection) = self.connections.get_mut(&id) {
            if let Some(old) = connection.cookie.replace(cookie) {
                remove_if(&mut self.by_cookie, &old, id);
            }
            self.by_cookie.insert(cookie, id);
        }
    }

    /// Ties a living timewait or request socket to its connection.
    pub fn set_skaddr(&mut self, id: ConnId, skaddr: u64) {
        self.by_skaddr.insert(skaddr, id);
    }

    pub fn unset_skaddr(&mut self, id: ConnId, skaddr: u64) {
        remove_if(&mut self.by_skaddr, &skaddr, id);
    }

    pub fn set_tuple(&mut self, id: ConnId, tuple: Tuple) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let old = std::mem::replace(&mut connection.tuple, tuple);
        if old != tuple {
            self.unindex_tuple(id, &old);
            self.index_tuple(id, tuple);
        }
    }

    fn index_tuple(&mut self, id: ConnId, tuple: Tuple) {
        if !tuple.is_whole() {
            return;
        }
        self.by_tuple.insert(tuple, id);
        self.by_pair.entry(pair(&tuple)).or_default().push(id);
    }

    fn unindex_tuple(&mut self, id: ConnId, tuple: &Tuple) {
        remove_if(&mut self.by_tuple, tuple, id);
        if let std::collections::hash_map::Entry::Occupied(mut ends) =
            self.by_pair.entry(pair(tuple))
        {
            ends.get_mut().retain(|end| *end != id);
            if ends.get().is_empty() {
                ends.remove();
            }
        }
    }
}

/// Removes `key` unless it names another connection by now.
fn remove_if<K: std::hash::Hash + Eq>(map: &mut FxHashMap<K, ConnId>, key: &K, id: ConnId) {
    if map.get(key) == Some(&id) {
        map.remove(key);
    }
}
