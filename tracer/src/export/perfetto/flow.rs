//! Arrows: the numbers that join events of one exchange or one handshake, at both ends of it.

use crate::export::Known;
use crate::record::{ConnId, Connection};

/// Exchanges count from 1, so this is the handshake's.
const HANDSHAKE: u32 = 0;

/// The arrow from SYN_SENT over SYN_RECV to both ends' ESTABLISHED, where the other end is on this host.
pub fn of_handshake(connection: &Connection) -> Option<u64> {
    joined(connection.id.min(connection.peer?), HANDSHAKE)
}

/// The arrow from a request to its answer, over the other end where that is sure to count the same.
pub fn of_exchange(known: &Known, conn: ConnId, number: u64) -> Option<u64> {
    let number = u32::try_from(number).ok().filter(|number| *number != HANDSHAKE)?;
    joined(peer_that_counts_alike(known, conn).map_or(conn, |peer| peer.min(conn)), number)
}

/// `None` for what has no room in it: no arrow is better than a wrong one.
fn joined(conn: ConnId, number: u32) -> Option<u64> {
    Some(u64::from(u32::try_from(conn.0).ok()?) << 32 | u64::from(number))
}

/// The other end, if both ends saw the connection's first byte and all that followed it. An older end counts from what it saw
/// first, and one that lost something may have missed an exchange.
fn peer_that_counts_alike(known: &Known, conn: ConnId) -> Option<ConnId> {
    let saw_all = |id| known.end(id).filter(|end| end.opened_at.is_some() && end.lost_events == 0);
    let peer = saw_all(conn)?.peer?;
    (saw_all(peer)?.peer == Some(conn)).then_some(peer)
}
