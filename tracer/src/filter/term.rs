//! One word of a filter, `key:value`.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};

use ipnet::IpNet;

use super::error::Problem;
use super::glob::{Glob, Piece};
use super::keys::{Form, KEYS, Key, nearest};
use super::lexer::WordChar;

/// A key with what its value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub key: Key,
    pub test: Test,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// `*`: it is known.
    Known,
    Number(RangeInclusive<u64>),
    Address(IpNet),
    Text(Glob),
}

impl Term {
    /// The term that `word` says; `span` is its place.
    pub(super) fn parse(word: &[WordChar], span: Range<usize>) -> Result<Term, Problem> {
        let Some(colon) = word.iter().position(|w| w.c == ':' && !w.literal) else {
            return Err(bare_word(&text(word), span));
        };
        let (name, value) = (text(&word[..colon]), &word[colon + 1..]);
        let key_span = span.start..word[colon].at;
        let key = Key::from_name(&name).ok_or_else(|| no_such_key(&name, key_span))?;
        if value.is_empty() {
            return Err(Problem::new(span, format!("{} has no value", key.info().name))
                .hint(what_it_takes(key)));
        }
        let test = test(key, value, word[colon].at + 1..span.end)?;
        Ok(Term { key, test })
    }
}

fn text(word: &[WordChar]) -> String {
    word.iter().map(|w| w.c).collect()
}

fn no_such_key(name: &str, span: Range<usize>) -> Problem {
    let hint = match nearest(name, KEYS.iter().map(|row| row.name)) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("keys are {}", KEYS.map(|row| row.name).join(", ")),
    };
    Problem::new(span, format!("there is no key {name:?}")).hint(hint)
}

/// A word without a key: guess which one was meant.
fn bare_word(word: &str, span: Range<usize>) -> Problem {
    let known = |row: &&super::keys::KeyInfo| {
        row.values.iter().any(|value| value.eq_ignore_ascii_case(word))
    };
    let key = if word.parse::<u16>().is_ok() {
        "port"
    } else if network(word).is_some() {
        "host"
    } else if word.starts_with('/') {
        "path"
    } else {
        KEYS.iter().find(known).map_or("comm", |row| row.name)
    };
    let hint = match word.split_once('=') {
        Some((name, value)) => format!("did you mean {name}:{value}?"),
        None => format!("did you mean {key}:{word}?"),
    };
    Problem::new(span, format!("{word:?} has no key")).hint(hint)
}

fn test(key: Key, value: &[WordChar], span: Range<usize>) -> Result<Test, Problem> {
    let any_case = matches!(key.info().form, Form::AnyCase | Form::OneOf);
    let glob = Glob::new(value.iter().map(|w| piece(key, *w)), any_case);
    if glob.is_anything() {
        return Ok(Test::Known);
    }
    match key.info().form {
        Form::Number { max } => {
            number_range(key, &text(value), max).map(Test::Number).ok_or_else(|| {
                wrong_value(key, &text(value), span, &format!("a number or a range up to {max}"))
            })
        }
        Form::Network => network(&text(value)).map(Test::Address).ok_or_else(|| {
            wrong_value(key, &text(value), span, "an address or a prefix (names are not looked up)")
        }),
        Form::Text | Form::AnyCase => Ok(Test::Text(glob)),
        Form::OneOf if key.info().values.iter().any(|known| glob.matches(known)) => {
            Ok(Test::Text(glob))
        }
        Form::OneOf => Err(no_such_value(key, &text(value), span)),
    }
}

fn piece(key: Key, word: WordChar) -> Piece {
    match word.c {
        '*' if !word.literal => Piece::Many,
        '?' if !word.literal => Piece::One,
        // `state:time-wait` is how ss writes it.
        '-' if key.info().form == Form::OneOf => Piece::Char('_'),
        c => Piece::Char(c),
    }
}

fn wrong_value(key: Key, value: &str, span: Range<usize>, wanted: &str) -> Problem {
    Problem::new(span, format!("{value:?} is not {wanted}")).hint(what_it_takes(key))
}

fn what_it_takes(key: Key) -> String {
    let row = key.info();
    match row.form {
        Form::OneOf => format!("{} is one of {}", row.name, row.values.join(", ")),
        _ => format!("{} is the {}", row.name, row.about),
    }
}

fn no_such_value(key: Key, value: &str, span: Range<usize>) -> Problem {
    let row = key.info();
    let hint = match nearest(value, row.values.iter().copied()) {
        Some(near) => format!("did you mean {}:{near}?", row.name),
        None => what_it_takes(key),
    };
    Problem::new(span, format!("{} is never {value:?}", row.name)).hint(hint)
}

/// `80`, `1000-2000`, `1000-`, `-1023`, for a status `5xx`, for a connection `c17`.
fn number_range(key: Key, value: &str, max: u64) -> Option<RangeInclusive<u64>> {
    if key == Key::Status
        && let Some(class) = class_of(value)
    {
        return Some(class * 100..=class * 100 + 99);
    }
    let number = |text: &str| {
        let digits = if key == Key::Conn { text.strip_prefix('c').unwrap_or(text) } else { text };
        let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|number| all_digits && *number <= max)
    };
    let range = match value.split_once('-') {
        None => number(value).map(|n| n..=n)?,
        Some(("", high)) => 0..=number(high)?,
        Some((low, "")) => number(low)?..=max,
        Some((low, high)) => number(low)?..=number(high)?,
    };
    (!range.is_empty()).then_some(range)
}

/// 5 for `5xx`.
fn class_of(value: &str) -> Option<u64> {
    match value.as_bytes() {
        [digit @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] => Some(u64::from(digit - b'0')),
        _ => None,
    }
}

fn network(value: &str) -> Option<IpNet> {
    let bare = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')).unwrap_or(value);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    bare.parse::<IpNet>().ok().map(|net| net.trunc())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.key.info().name)?;
        let c = if self.key == Key::Conn { "c" } else { "" };
        match &self.test {
            Test::Known => f.write_str("*"),
            Test::Text(glob) => glob.fmt(f),
            Test::Address(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Test::Address(net) => net.fmt(f),
            Test::Number(range) => match (*range.start(), *range.end()) {
                (low, high) if low == high => write!(f, "{c}{low}"),
                (low, high)
                    if self.key == Key::Status && low % 100 == 0 && low > 0 && high == low + 99 =>
                {
                    write!(f, "{}xx", low / 100)
                }
                (low, high) => write!(f, "{c}{low}-{c}{high}"),
            },
        }
    }
}
