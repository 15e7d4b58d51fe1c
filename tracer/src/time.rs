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
        f.write_str(Rfc3339::of(*self).text().ok_or(std::fmt::Error)?)
    }
}

const NS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01: years that begin in March have their leap day last.
const DAYS_TO_EPOCH: u64 = 719_468;
const DAYS_PER_ERA: u64 = 146_097;

/// A time as RFC 3339 text in UTC: a JSON line holds two or more, and this one needs no calendar library.
struct Rfc3339([u8; 30]);

impl Rfc3339 {
    /// No 64-bit number of nanoseconds lies beyond the year 2554: four digits always do.
    fn of(at: Timestamp) -> Self {
        let (seconds, ns) = (at.0 / NS_PER_SECOND, at.0 % NS_PER_SECOND);
        let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        for (place, number) in [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, second / 3600),
            (14..16, second / 60 % 60),
            (17..19, second % 60),
            (20..29, ns),
        ] {
            put_decimal(&mut text[place], number);
        }
        Rfc3339(text)
    }

    /// `Some` always: the text is ASCII.
    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

fn put_decimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01 (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
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
        if !s.is_human_readable() {
            return s.serialize_u64(self.0);
        }
        match Rfc3339::of(*self).text() {
            Some(text) => s.serialize_str(text),
            None => Err(serde::ser::Error::custom("a time that is no text")),
        }
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_time_is_written_as_the_calendar_library_writes_it(
            ns in any::<u64>(),
            day in 0..u64::MAX / NS_PER_SECOND / SECONDS_PER_DAY,
            around in -2_i64..2,
        ) {
            let midnight = day * SECONDS_PER_DAY * NS_PER_SECOND;
            for at in [ns, midnight, midnight.saturating_add_signed(around)] {
                let expected = jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap();
                prop_assert_eq!(Timestamp(at).to_string(), format!("{expected:.9}"));
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_and_leap_days_are_written_right() {
        let last = jiff::Timestamp::from_nanosecond(i128::from(u64::MAX)).unwrap();
        assert_eq!(Timestamp(u64::MAX).to_string(), format!("{last:.9}"));
        for text in [
            "1970-01-01T00:00:00.000000000Z",
            "2000-02-29T23:59:59.999999999Z",
            "2100-02-28T23:59:59.000000000Z",
            "2100-03-01T00:00:00.000000000Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

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
