//! One clock for everything downstream of decoding: nanoseconds since the Unix epoch that never step.
//!
//! The kernel stamps events with CLOCK_MONOTONIC. [`TimeAnchor`] is taken once at start and shifts those
//! stamps to wall-clock time by a constant, so order and differences are the kernel's own.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Nanoseconds since 1970-01-01T00:00:00Z. In JSON: RFC 3339 with nine decimals, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Nanoseconds from `earlier` to `self`; 0 where `earlier` is later.
    #[must_use]
    pub const fn since_ns(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole microseconds from `earlier` to `self`; 0 where `earlier` is later.
    #[must_use]
    pub const fn since_us(self, earlier: Timestamp) -> u64 {
        self.since_ns(earlier) / 1000
    }

    /// `self` moved forward by `ns` nanoseconds.
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ns))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = i128::from(self.0);
        match jiff::Timestamp::from_nanosecond(nanos) {
            Ok(t) => write!(f, "{t:.9}"),
            Err(_) => write!(f, "@{nanos}"),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = jiff::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let t: jiff::Timestamp = s.parse()?;
        Ok(Timestamp(u64::try_from(t.as_nanosecond()).unwrap_or(0)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(d).map(Timestamp)
        }
    }
}

/// The constant distance between CLOCK_MONOTONIC and the epoch, taken once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeAnchor {
    offset_ns: u64,
}

impl TimeAnchor {
    /// Ties a reading of CLOCK_REALTIME to one of CLOCK_MONOTONIC taken at the same moment.
    #[must_use]
    pub const fn new(realtime_ns: u64, monotonic_ns: u64) -> Self {
        TimeAnchor { offset_ns: realtime_ns.saturating_sub(monotonic_ns) }
    }

    /// The wall-clock time of a kernel time stamp (CLOCK_MONOTONIC, nanoseconds).
    #[must_use]
    pub const fn at(&self, monotonic_ns: u64) -> Timestamp {
        Timestamp(self.offset_ns.saturating_add(monotonic_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_rfc_3339_with_nine_decimals() {
        assert_eq!(
            Timestamp(1_700_000_000_000_000_001).to_string(),
            "2023-11-14T22:13:20.000000001Z"
        );
        assert_eq!(
            Timestamp(1_700_000_000_000_000_000).to_string(),
            "2023-11-14T22:13:20.000000000Z"
        );
    }

    #[test]
    fn a_timestamp_survives_json() {
        let t = Timestamp(1_700_000_000_123_456_789);
        let json = serde_json::to_string(&t).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
    }

    #[test]
    fn the_anchor_keeps_differences() {
        let anchor = TimeAnchor::new(1_700_000_000_000_000_000, 5_000);
        assert_eq!(anchor.at(7_000).since_ns(anchor.at(6_000)), 1_000);
        assert_eq!(anchor.at(5_000).0, 1_700_000_000_000_000_000);
    }
}
