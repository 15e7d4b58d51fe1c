//! What a `loss` record counts.

use super::Loss;

/// Unit of [`Loss::events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossUnit {
    /// Kernel events.
    Events,
    /// Bytes of HTTP streams.
    Bytes,
    /// Places in HTTP streams.
    Places,
    /// HTTP messages.
    Messages,
}

impl Loss {
    /// What [`Loss::events`] counts. It follows from the name; docs/schema lists the names.
    #[must_use]
    pub fn unit(&self) -> LossUnit {
        match self.hook.as_str() {
            "http_missing_bytes" | "http_head_bytes" => LossUnit::Bytes,
            "http_held" | "http_framing" => LossUnit::Places,
            "http_outstanding" | "http_malformed" => LossUnit::Messages,
            _ => LossUnit::Events,
        }
    }

    /// Kernel events among them: only those can be added up over all `loss` records.
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        if self.unit() == LossUnit::Events { self.events } else { 0 }
    }
}

impl LossUnit {
    /// Its name for one of them; an `s` makes the plural.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            LossUnit::Events => "event",
            LossUnit::Bytes => "byte",
            LossUnit::Places => "place",
            LossUnit::Messages => "message",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineCounters;
    use crate::time::Timestamp;

    fn loss(hook: &str) -> Loss {
        Loss { at: Timestamp(1), hook: hook.to_owned(), events: 7 }
    }

    #[test]
    fn only_kernel_events_add_up() {
        assert_eq!(loss("payload").lost_events(), 7);
        assert_eq!(loss("a hook of a later version").lost_events(), 7);
        assert_eq!(loss("http_missing_bytes").lost_events(), 0);
    }

    #[test]
    fn every_loss_of_the_http_engine_has_a_unit_of_its_own() {
        for (name, _) in EngineCounters::default().losses() {
            let is_http = name.starts_with("http_");
            assert_eq!(loss(name).unit() != LossUnit::Events, is_http, "{name}");
            assert_eq!(loss(name).unit() == LossUnit::Bytes, name.ends_with("_bytes"), "{name}");
        }
    }
}
