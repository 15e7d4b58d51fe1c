//! Those who watch live, as the tracing thread has them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::engine::Output;
use crate::recording::Figures;
use crate::time::Timestamp;

/// Looks that may wait for a client: more than a second of them. One that is behind farther is cut off, and begins anew.
const WAITING_LOOKS: usize = 256;
/// Looks follow one another at once while much happens; what they found goes together.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What was found since the last one.
#[derive(Debug, Default)]
pub struct Look {
    /// In order.
    pub outputs: Vec<Output>,
    /// When the last of them were told.
    pub at: Timestamp,
    /// Figures about the run, about once a second.
    pub figures: Option<Figures>,
    /// The run is over: nothing follows.
    pub is_last: bool,
}

/// Clients that watch live. All get the same looks, which they share.
pub struct Audience {
    clients: Vec<SyncSender<Arc<Look>>>,
    next: Look,
    told: Instant,
    cut_off: u64,
}

impl Default for Audience {
    fn default() -> Self {
        Audience { clients: Vec::new(), next: Look::default(), told: Instant::now(), cut_off: 0 }
    }
}

impl Audience {
    /// One more, from the next output on.
    pub fn admit(&mut self) -> Receiver<Arc<Look>> {
        self.tell();
        let (client, looks) = sync_channel(WAITING_LOOKS);
        self.clients.push(client);
        looks
    }

    /// Whether nobody watches.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many watch.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.clients.len()
    }

    /// Clients that fell too far behind, so far.
    #[must_use]
    pub const fn cut_off(&self) -> u64 {
        self.cut_off
    }

    /// Takes one look's outputs, none included, at its time.
    pub fn take(&mut self, outputs: &[Output], at: Timestamp) {
        if self.is_empty() {
            return;
        }
        self.next.at = at;
        self.next.outputs.extend_from_slice(outputs);
        if self.told.elapsed() >= LOOK_EVERY {
            self.tell();
        }
    }

    /// Takes figures about the run.
    pub fn take_figures(&mut self, figures: Figures) {
        self.next.figures = Some(figures);
    }

    /// The run is over.
    pub fn end(&mut self) {
        self.next.is_last = true;
        self.tell();
        self.clients.clear();
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let next = std::mem::take(&mut self.next);
        if next.outputs.is_empty() && next.figures.is_none() && !next.is_last {
            return;
        }
        let look = Arc::new(next);
        let cut_off = &mut self.cut_off;
        self.clients.retain(|client| match client.try_send(Arc::clone(&look)) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                *cut_off += 1;
                log::warn!("a client reads too slowly and is cut off; it may begin anew");
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Loss, Record};

    fn output(events: u64) -> Output {
        let hook = "payload".to_owned();
        Output::Record(Record::Loss(Loss { at: Timestamp(events), hook, events }))
    }

    fn numbers(look: &Look) -> Vec<u64> {
        let number = |output: &Output| match output {
            Output::Record(Record::Loss(loss)) => loss.events,
            other => panic!("{other:?}"),
        };
        look.outputs.iter().map(number).collect()
    }

    #[test]
    fn each_client_gets_everything_from_where_it_came_to_the_end() {
        let mut audience = Audience::default();
        audience.take(&[output(1)], Timestamp(1));
        let first = audience.admit();
        audience.take(&[output(2), output(3)], Timestamp(1));
        let second = audience.admit();
        audience.take(&[output(4)], Timestamp(1));
        audience.end();
        let told = |looks: &Receiver<Arc<Look>>| {
            let looks: Vec<_> = looks.iter().collect();
            assert!(looks.last().is_some_and(|look| look.is_last));
            looks.iter().flat_map(|look| numbers(look)).collect::<Vec<_>>()
        };
        assert_eq!(told(&first), [2, 3, 4]);
        assert_eq!(told(&second), [4]);
        assert!(audience.is_empty());
    }

    #[test]
    fn a_client_that_does_not_read_is_cut_off_and_the_others_go_on() {
        let mut audience = Audience::default();
        let (stuck, reader) = (audience.admit(), audience.admit());
        for number in 0..WAITING_LOOKS as u64 + 10 {
            audience.take(&[output(number)], Timestamp(1));
            audience.tell();
            assert_eq!(numbers(&reader.recv().unwrap()), [number]);
        }
        assert_eq!((audience.len(), audience.cut_off()), (1, 1));
        assert_eq!(stuck.iter().count(), WAITING_LOOKS, "it gets what waited, and no last look");
    }

    #[test]
    fn a_client_that_is_gone_is_forgotten() {
        let mut audience = Audience::default();
        drop(audience.admit());
        audience.take(&[output(1)], Timestamp(1));
        audience.tell();
        assert!(audience.is_empty());
        assert_eq!(audience.cut_off(), 0);
    }
}
