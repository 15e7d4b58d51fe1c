//! Durations as people write them.

use std::time::Duration;

/// Longest time that can be asked for: a year, in seconds.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not understood.
    #[error("not a time; write it like 30s, 5m, 1h30m or 500ms")]
    NotATime,
    /// A number alone.
    #[error("a time needs a unit: {0}s for seconds, {0}m for minutes")]
    NoUnit(String),
    /// Nothing, or less.
    #[error("the time must be longer than nothing")]
    TooShort,
    /// More than a year.
    #[error("the time must not be longer than a year")]
    TooLong,
}

/// The duration that `text` says: `30s`, `5m`, `1h30m`, `2d`, `500ms`.
///
/// # Errors
/// [`DurationError`], also for nothing and for more than a year.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let span: jiff::Span = text.parse().map_err(|_not_a_span| DurationError::NotATime)?;
    // A day is 24 hours here: the clock that is measured with knows no summer time.
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let signed = span.to_duration(relative).map_err(|_months_or_years| DurationError::NotATime)?;
    let duration = Duration::try_from(signed).map_err(|_negative| DurationError::TooShort)?;
    if duration.is_zero() {
        return Err(DurationError::TooShort);
    }
    if duration.as_secs() > MAX_SECONDS { Err(DurationError::TooLong) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1500),
            ("2d", 172_800_000),
            ("10 seconds", 10_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_the_way_out() {
        for (text, error) in [
            ("30", DurationError::NoUnit("30".to_owned())),
            ("", DurationError::NotATime),
            ("soon", DurationError::NotATime),
            ("0s", DurationError::TooShort),
            ("-5s", DurationError::TooShort),
            ("400d", DurationError::TooLong),
            ("2 months", DurationError::NotATime),
            ("99999999999999999999h", DurationError::NotATime),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }
}
