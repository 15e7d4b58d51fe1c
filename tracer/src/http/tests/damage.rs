//! Damage to one message costs that message's exchange, and no other.

use proptest::prelude::*;

use super::properties::{
    Choices, conversation, in_order, partition, request_id, response_id, tape, timeless,
};
use super::*;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    /// No event of it came.
    Lost,
    /// The program knows that an event was lost.
    KnownToBeLost,
    /// Its length is known and none of its bytes.
    Uncaptured,
    /// Its first half is captured.
    Cut,
}

impl Wire {
    fn meet(&mut self, direction: Direction, packet: &[u8], fate: Fate) {
        let captured = match fate {
            Fate::Whole => packet,
            Fate::Uncaptured => b"",
            Fate::Cut => &packet[..packet.len() / 2],
            Fate::Lost | Fate::KnownToBeLost => {
                self.lose(direction, packet.len());
                if fate == Fate::KnownToBeLost {
                    self.lost();
                }
                return;
            }
        };
        self.packet(direction, captured, packet.len());
    }

    /// A message in packets; some of them, at least one, meet another fate where it is `damaged`.
    fn message(
        &mut self,
        direction: Direction,
        text: &str,
        damaged: bool,
        choices: &mut Choices<'_>,
    ) {
        let size = [3, 100, 700, 5000][choices.below(4)];
        let packets = partition(0..text.len(), size, choices);
        let first = choices.below(packets.len());
        let last = first + choices.below(packets.len() - first);
        let fates = [Fate::Lost, Fate::KnownToBeLost, Fate::Uncaptured, Fate::Cut];
        let fate = fates[choices.below(4)];
        for (i, packet) in packets.into_iter().enumerate() {
            let hit = damaged && (first..=last).contains(&i);
            let fate = if hit { fate } else { Fate::Whole };
            self.meet(direction, &text.as_bytes()[packet], fate);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        max_shrink_time: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_damaged_message_costs_no_other_exchange_of_a_client_that_waits(
        conversation in conversation(1..2), tape in tape(), of_request in any::<bool>(),
        which in any::<prop::sample::Index>(),
    ) {
        let whole = in_order(&conversation);
        let which = which.index(whole.len());
        let mut choices = Choices { tape: &tape, next: 0 };
        let mut wire = Wire::new();
        for (id, (request, response)) in conversation.bytes().into_iter().enumerate() {
            wire.message(Sent, &request, id == which && of_request, &mut choices);
            if choices.one_in(3) { wire.wait(); }
            wire.message(Received, &response, id == which && !of_request, &mut choices);
            if choices.one_in(3) { wire.wait(); }
        }
        if choices.one_in(2) { wire.end(); } else { wire.fin(Received).fin(Sent).close(); }
        for (id, (_, request, response, ..)) in whole.iter().enumerate() {
            let of = |e: &&Exchange| request_id(e) == Some(id) || response_id(e) == Some(id);
            let told: Vec<_> = wire.told.done.iter().filter(of).collect();
            if id == which {
                prop_assert!(told.len() <= 2);
                continue;
            }
            prop_assert_eq!(told.len(), 1, "exchange {} of {:?}", id, wire.told());
            let (_, told_request, told_response, _, complete, _) =
                timeless(told[0], CLIENT_SEQ, SERVER_SEQ);
            prop_assert!(complete, "{}", brief(told[0]));
            prop_assert_eq!((&told_request, &told_response), (request, response));
        }
        let ids = wire.told.done.iter().flat_map(|e| [request_id(e), response_id(e)]);
        prop_assert!(ids.flatten().all(|id| id < whole.len()), "{:?}", wire.told());
    }
}
