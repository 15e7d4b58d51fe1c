//! The two ends of one connection, when both are on this host, in whatever namespaces.

use std::num::NonZeroU64;

use super::Connection;
use super::lone_ends::LONE_NS;
use super::tables::Key;
use super::tracker::{Change, Tracker};
use crate::event::{Isns, Tuple};
use crate::tcp::{Direction, Endpoint, TcpState};
use crate::time::Timestamp;

impl Tracker {
    /// Looks for the other end of a connection that has none yet.
    pub(super) fn pair_up(&mut self, id: Key, at: Timestamp) {
        let Some(connection) = self.tables.get(id) else { return };
        if connection.peer().is_some() || !connection.tuple.is_whole() {
            return;
        }
        if connection.tuple.local == connection.tuple.remote {
            self.set_peers(id, id); // connected to itself
            return;
        }
        if let Some(peer) = self.find_peer(connection) {
            self.set_peers(id, peer);
        } else if let Some(isns) = young_isns(connection, at) {
            self.pair_up_translated(id, isns, at);
        }
    }

    /// Looks for the other end by initial sequence numbers, where address translation stands
    /// between the two.
    fn pair_up_translated(&mut self, id: Key, isns: Isns, at: Timestamp) {
        let other = self.lone_ends.get(isns.mirrored());
        let fits = |other: &Key| {
            let ends = self.tables.get(id).zip(self.tables.get(*other));
            ends.is_some_and(|(one, other)| is_translated_end(one, other))
        };
        if let Some(other) = other.filter(fits) {
            self.set_peers(id, other);
        }
        // Kept though it has its other end: a listener's answers to it are found here too.
        if !self.lone_ends.insert(isns, id, at, self.limits.connections) {
            self.counters.pending_dropped += 1;
        }
    }

    /// The connection that a listener's SYN+ACK is of: the one with its tuple that answers this
    /// SYN, or one whose SYN+ACK passes the egress hook under translated addresses.
    pub(super) fn find_answering(&self, tuple: &Tuple, isns: Isns) -> Option<Key> {
        let received = |key| self.tables.get(key).and_then(|c| c.isn(Direction::Received));
        let same = self.tables.by_pair(tuple).filter(|(key, c)| {
            c.tuple.on_any_interface() == tuple.on_any_interface()
                && received(*key) == Some(isns.received)
        });
        let answering = same.max_by_key(|(_, c)| c.id).map(|(key, _)| key);
        let unknown = || self.tables.by_tuple(tuple).filter(|key| received(*key).is_none());
        answering.or_else(unknown).or_else(|| self.lone_ends.get(isns))
    }

    fn find_peer(&self, connection: &Connection) -> Option<Key> {
        let ends = self.tables.by_pair(&connection.tuple);
        let candidates = ends.filter(|(_, other)| is_other_end(connection, other));
        let mut best: Option<(u8, Key)> = None;
        let mut ties = 0;
        for (key, other) in candidates {
            let Some(score) = likeness(connection, other) else { continue };
            match best {
                Some((top, _)) if score < top => {}
                Some((top, _)) if score == top => ties += 1,
                _ => {
                    best = Some((score, key));
                    ties = 0;
                }
            }
        }
        // Two candidates that look the same: unknown rather than guessed.
        best.filter(|_| ties == 0).map(|(_, id)| id)
    }

    fn set_peers(&mut self, a: Key, b: Key) {
        for (end, other) in [(a, b), (b, a)] {
            let peer = self.tables.get(other).map(|connection| connection.id);
            if let Some(connection) = self.tables.get_mut(end) {
                connection.peer = peer.and_then(|id| NonZeroU64::new(id.0));
                self.changes.push(Change::Paired(end));
            }
            if a == b {
                break;
            }
        }
    }

    /// This end has closed. Where its FIN was acknowledged, an orphaned other end in FIN_WAIT2 has taken it.
    pub(super) fn peer_closed(&mut self, id: Key, at: Timestamp) {
        let Some(connection) = self.tables.get(id) else { return };
        let was_last_ack =
            connection.life.iter().rev().nth(1).is_some_and(|s| s.state == TcpState::LastAck);
        if !was_last_ack || connection.evidence.errno != 0 {
            return;
        }
        let fin_at = connection.evidence.sent.fin_at.get().unwrap_or(at);
        let peer = connection.peer().filter(|peer| *peer != connection.id);
        // One behind address translation has another tuple: its step shows in the next look at the
        // socket table.
        if let Some(peer) = peer.and_then(|peer| self.tables.end_of_pair(&connection.tuple, peer)) {
            self.infer_time_wait(peer, fin_at);
        }
    }
}

/// The initial sequence numbers of an end that opened a moment ago.
fn young_isns(connection: &Connection, at: Timestamp) -> Option<Isns> {
    let is_young = |opened_at| at.since_ns(opened_at) <= LONE_NS;
    connection.isns().filter(|_| connection.opened_at().is_some_and(is_young))
}

/// Whether two ends whose sequence numbers are the same can be those of one connection.
fn is_translated_end(a: &Connection, b: &Connection) -> bool {
    let is_client_and_server = matches!(
        (a.endpoint, b.endpoint),
        (Some(Endpoint::Client), Some(Endpoint::Server))
            | (Some(Endpoint::Server), Some(Endpoint::Client))
    );
    is_client_and_server && b.peer().is_none() && !began_after_end(a, b) && !began_after_end(b, a)
}

fn is_other_end(a: &Connection, b: &Connection) -> bool {
    a.id != b.id
        && b.peer().is_none()
        && a.tuple.local == b.tuple.remote
        && a.tuple.remote == b.tuple.local
        // Loopback leads nowhere else, and each namespace has the same addresses on its own.
        && (a.tuple.netns == b.tuple.netns || !a.tuple.remote.ip.is_loopback())
        // One that ended before the other began is an older user of the same addresses.
        && !began_after_end(a, b)
        && !began_after_end(b, a)
        // So is one whose handshake was over before the tracer began: most often a TIME_WAIT that gives way.
        && !began_after_handshake(a, b)
        && !began_after_handshake(b, a)
}

/// Whether `a` was seen to open and `b` was past that when the tracer began.
fn began_after_handshake(a: &Connection, b: &Connection) -> bool {
    let is_past = |state: TcpState| !matches!(state, TcpState::SynSent | TcpState::SynRecv);
    a.opened_at().is_some() && b.older && b.life.iter().next().is_some_and(|s| is_past(s.state))
}

fn began_after_end(a: &Connection, b: &Connection) -> bool {
    matches!((a.opened_at(), b.closed_at()), (Some(opened), Some(closed)) if opened > closed)
}

/// How well two ends fit; `None` where their initial sequence numbers say that they are not one connection.
fn likeness(a: &Connection, b: &Connection) -> Option<u8> {
    let mut score = u8::from(a.tuple.netns == b.tuple.netns);
    for (mine, theirs) in [
        (a.isn(Direction::Sent), b.isn(Direction::Received)),
        (a.isn(Direction::Received), b.isn(Direction::Sent)),
    ] {
        match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine == theirs => score += 2,
            (Some(_), Some(_)) => return None,
            _ => {}
        }
    }
    Some(score)
}
