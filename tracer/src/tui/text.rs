//! Text for cells: harmless, human, and no wider than its place.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::time::Timestamp;

/// Text from the network or a process with everything replaced that could steer a terminal.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers_a_terminal) {
        text.chars().map(|c| if steers_a_terminal(c) { '\u{fffd}' } else { c }).collect()
    } else {
        Cow::Borrowed(text)
    }
}

/// Control characters (C0, DEL, C1) and the marks that turn the direction of writing.
fn steers_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A duration as a person says it: `76 µs`, `3.1 ms`, `1.2 s`, `41 s`, `12 min`, `3.4 h`, `5 d`.
#[must_use]
pub fn duration(us: u64) -> String {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("min", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
    ];
    match UNITS.into_iter().find(|&(_, unit_us)| us >= unit_us) {
        None => format!("{us} µs"),
        // Cut, never rounded up: 59.9 s must not become 60 s before a minute is over.
        Some((name, unit_us)) if us / unit_us < 10 => {
            let tenths = us / (unit_us / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        Some((name, unit_us)) => format!("{} {name}", us / unit_us),
    }
}

/// A number of bytes: `612 B`, `1.4 KiB`, `38 MiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|&(_, unit)| bytes >= unit) {
        None => format!("{bytes} B"),
        Some((name, unit)) if bytes / unit < 10 => {
            // In u128: tenths of a tebibyte overflow u64 for the largest counts.
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        Some((name, unit)) => format!("{} {name}", bytes / unit),
    }
}

/// A count in at most five characters: `812`, `8.4k`, `371k`, `2.1M`.
#[must_use]
pub fn count(n: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
    match UNITS.into_iter().find(|&(_, unit)| n >= unit) {
        None => n.to_string(),
        Some((name, unit)) if n / unit < 10 => {
            let tenths = n / (unit / 10);
            format!("{}.{}{name}", tenths / 10, tenths % 10)
        }
        Some((name, unit)) => format!("{}{name}", n / unit),
    }
}

/// `1 event`, `3 events`.
#[must_use]
pub fn plural(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Time of day, UTC, with `decimals` (at most 9) digits of the second: `14:03:22.123`.
#[must_use]
pub fn time_of_day(at: Timestamp, decimals: u32) -> String {
    let seconds = at.0 / 1_000_000_000 % 86_400;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if decimals > 0 {
        let decimals = decimals.min(9);
        let fraction = at.0 % 1_000_000_000 / 10_u64.pow(9 - decimals);
        let _ = write!(text, ".{fraction:0width$}", width = decimals as usize);
    }
    text
}

/// `text` cut to `width` columns; where something was cut its last column is `…`.
#[must_use]
pub fn fit(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let Some(room) = width.checked_sub(1) else { return Cow::Borrowed("") };
    let mut cut = take_columns(text.chars(), room);
    cut.push('…');
    Cow::Owned(cut)
}

/// Like [`fit`], but keeps the end: of an address the port, of a path the file.
#[must_use]
pub fn fit_end(text: &str, width: usize) -> Cow<'_, str> {
    if text.width() <= width {
        return Cow::Borrowed(text);
    }
    let Some(room) = width.checked_sub(1) else { return Cow::Borrowed("") };
    let reversed = take_columns(text.chars().rev(), room);
    Cow::Owned(std::iter::once('…').chain(reversed.chars().rev()).collect())
}

fn take_columns(chars: impl Iterator<Item = char>, mut room: usize) -> String {
    chars
        .take_while(|c| {
            let width = c.width().unwrap_or(0);
            let fits = width <= room;
            room = room.saturating_sub(width);
            fits
        })
        .collect()
}

/// Breaks `text` at spaces into lines of at most `width` columns; longer words are cut.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&fit(word, width));
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        let said = [
            (0, "0 µs"),
            (76, "76 µs"),
            (999, "999 µs"),
            (3_100, "3.1 ms"),
            (44_003, "44 ms"),
            (1_250_000, "1.2 s"),
            (59_999_999, "59 s"),
            (720_000_000, "12 min"),
            (12_240_000_000, "3.4 h"),
            (432_000_000_000, "5.0 d"),
        ];
        for (us, text) in said {
            assert_eq!(duration(us), text);
        }
        assert!(duration(u64::MAX).ends_with(" d"));
    }

    #[test]
    fn bytes_and_counts_are_short() {
        assert_eq!(bytes(612), "612 B");
        assert_eq!(bytes(1434), "1.4 KiB");
        assert_eq!(bytes(38 << 20), "38 MiB");
        assert!(bytes(u64::MAX).ends_with("TiB"));
        assert_eq!(count(812), "812");
        assert_eq!(count(8_432), "8.4k");
        assert_eq!(count(371_000), "371k");
        assert_eq!(count(2_100_000), "2.1M");
        assert_eq!(plural(1, "event"), "1 event");
        assert_eq!(plural(0, "event"), "0 events");
    }

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(clean("\x1b[31mred\u{9b}2J\u{202e}"), "\u{fffd}[31mred\u{fffd}2J\u{fffd}");
        assert!(matches!(clean("/größe?q=日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn cut_text_says_so_and_keeps_its_width() {
        assert_eq!(fit("/api/orders", 11), "/api/orders");
        assert_eq!(fit("/api/orders", 6), "/api/…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit_end("[2001:db8::1]:443", 8), "…::1]:443".replace("…:", "…"));
        assert_eq!(fit_end("abc", 1), "…");
    }

    #[test]
    fn text_wraps_at_spaces() {
        assert_eq!(wrap("the other side has closed", 10), ["the other", "side has", "closed"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn time_of_day_has_the_wanted_decimals() {
        let at = Timestamp(1_700_000_000_123_456_789);
        assert_eq!(time_of_day(at, 0), "22:13:20");
        assert_eq!(time_of_day(at, 3), "22:13:20.123");
        assert_eq!(time_of_day(at, 6), "22:13:20.123456");
    }
}
