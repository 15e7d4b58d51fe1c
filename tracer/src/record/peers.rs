//! The two ends of a connection on one host report the same exchanges: which of them stands for both.

use super::ConnId;
use crate::tcp::Endpoint;

/// A connection end, as far as this takes it.
pub type End = (ConnId, Option<Endpoint>);

/// Whether the exchanges of `end` stand for those of `peer` too: of the client's end, and where it is not known which
/// end that is, of the one with the lower id. Exactly one of two ends stands for both.
#[must_use]
pub fn stands_for_both(end: End, peer: End) -> bool {
    const fn rank(endpoint: Option<Endpoint>) -> u8 {
        match endpoint {
            Some(Endpoint::Client) => 0,
            None => 1,
            Some(Endpoint::Server) => 2,
        }
    }
    (rank(end.1), end.0) <= (rank(peer.1), peer.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_of_two_ends_stands_for_both_and_that_is_the_clients_where_it_is_known() {
        let endpoints = [None, Some(Endpoint::Client), Some(Endpoint::Server)];
        for first in endpoints {
            for second in endpoints {
                let ends = ((ConnId(1), first), (ConnId(2), second));
                assert_ne!(stands_for_both(ends.0, ends.1), stands_for_both(ends.1, ends.0));
            }
            let server = (ConnId(1), Some(Endpoint::Server));
            assert_eq!(stands_for_both((ConnId(2), first), server), first != server.1);
        }
        let itself = (ConnId(1), None);
        assert!(stands_for_both(itself, itself));
    }
}
