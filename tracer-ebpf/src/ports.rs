//! Which connections are told of, where a filter names ports: what is not leaves each program after two look-ups.
//!
//! A filter on one end's port lets both ends of a connection through here: user space ties them together, and then
//! looks closely.

use crate::{
    kernel::global,
    maps::{PORTS_ARE_CHOSEN, WATCHED_PORTS},
    socket::SockCommon,
};

/// Whether all connections are told of. Decided at load: the verifier removes the other branch.
#[inline(always)]
pub fn are_all_watched() -> bool {
    global(&raw const PORTS_ARE_CHOSEN) == 0
}

/// Whether a connection with one of these ports is watched; port 0 is a port like any other.
#[inline(always)]
pub fn is_watched(local: u16, remote: u16) -> bool {
    // One branch for the verifier to follow, not two.
    are_all_watched() || (bit(local) | bit(remote)) & 1 == 1
}

/// The same for a socket of which only the address is known.
#[inline(always)]
pub fn is_socket_watched(sk: impl SockCommon, local: u16) -> bool {
    are_all_watched() || is_watched(local, sk.remote_port())
}

/// The port's bit, lowest in a word of others.
#[inline(always)]
fn bit(port: u16) -> u64 {
    let words = (&raw const WATCHED_PORTS).cast::<u64>();
    // Within: a u16 has no more than 1024 times 64 values.
    global(words.wrapping_add(usize::from(port >> 6))) >> (port & 63)
}
