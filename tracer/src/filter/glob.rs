//! Patterns with `*` (any characters, none too) and `?` (one character).

use std::fmt::{self, Write as _};

/// A piece of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
}

/// A pattern for a whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    pieces: Vec<Piece>,
    any_case: bool,
}

impl Glob {
    /// A pattern of these pieces; `any_case` ignores the case of ASCII letters.
    pub(super) fn new(pieces: impl IntoIterator<Item = Piece>, any_case: bool) -> Self {
        let mut pieces: Vec<Piece> = pieces.into_iter().collect();
        pieces.dedup_by(|a, b| *a == Piece::Many && *b == Piece::Many);
        Glob { pieces, any_case }
    }

    /// Whether it is `*` alone.
    pub(super) fn is_anything(&self) -> bool {
        self.pieces == [Piece::Many]
    }

    /// Whether `text` as a whole fits. Time is at most the product of the two lengths.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (mut rest, mut at) = (text.chars(), 0);
        // Where to go on when what follows the last `*` does not fit: one character later.
        let mut retry: Option<(std::str::Chars<'_>, usize)> = None;
        loop {
            if self.pieces.get(at) == Some(&Piece::Many) {
                at += 1;
                retry = Some((rest.clone(), at));
                continue;
            }
            match (rest.next(), self.pieces.get(at)) {
                (None, None) => return true,
                (Some(c), Some(&piece)) if self.fits(c, piece) => at += 1,
                (None, Some(_)) => return false,
                (Some(_), _) => {
                    let Some((from, back)) = &mut retry else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    (rest, at) = (from.clone(), *back);
                }
            }
        }
    }

    fn fits(&self, c: char, piece: Piece) -> bool {
        match piece {
            Piece::One => true,
            Piece::Char(wanted) => {
                c == wanted || (self.any_case && c.eq_ignore_ascii_case(&wanted))
            }
            Piece::Many => false,
        }
    }
}

/// As it can be written in a filter: in quotes where it must be.
impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.pieces.iter().any(
            |piece| matches!(piece, Piece::Char(c) if c.is_whitespace() || matches!(c, '(' | ')')),
        );
        if quoted {
            f.write_char('"')?;
        }
        for piece in &self.pieces {
            match piece {
                Piece::One => f.write_char('?')?,
                Piece::Many => f.write_char('*')?,
                Piece::Char(c @ ('*' | '?' | '"' | '\\')) => write!(f, "\\{c}")?,
                Piece::Char(c) => f.write_char(*c)?,
            }
        }
        if quoted { f.write_char('"') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(pattern: &str) -> Glob {
        Glob::new(
            pattern.chars().map(|c| match c {
                '*' => Piece::Many,
                '?' => Piece::One,
                c => Piece::Char(c),
            }),
            false,
        )
    }

    /// The definition, without regard to time.
    fn fits(pieces: &[Piece], text: &[char]) -> bool {
        match (pieces.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Piece::Many, rest)), _) => {
                fits(rest, text) || text.split_first().is_some_and(|(_, text)| fits(pieces, text))
            }
            (Some((Piece::One, rest)), Some((_, text))) => fits(rest, text),
            (Some((Piece::Char(a), rest)), Some((b, text))) => a == b && fits(rest, text),
            _ => false,
        }
    }

    #[test]
    fn a_pattern_is_for_the_whole_text() {
        assert!(glob("/api/*").matches("/api/orders/7"));
        assert!(!glob("/api/*").matches("/v2/api/orders"));
        assert!(!glob("nginx").matches("nginx-debug"));
        assert!(glob("*.example.com").matches("www.example.com"));
        assert!(glob("?").matches("ü") && !glob("?").matches(""));
    }

    #[test]
    fn case_matters_unless_it_is_told_not_to() {
        assert!(!glob("get").matches("GET"));
        assert!(Glob::new("get".chars().map(Piece::Char), true).matches("GET"));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_exponential_time() {
        assert!(!glob(&"*a".repeat(200)).matches(&"a".repeat(199)));
        assert!(!glob(&format!("{}b", "a*".repeat(200))).matches(&"a".repeat(5000)));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[abc]{0,8}") {
            let glob = glob(&pattern);
            let text_chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(glob.matches(&text), fits(&glob.pieces, &text_chars));
        }
    }
}
