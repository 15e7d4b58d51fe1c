//! Cuts a filter's text into words and parentheses.

use std::ops::Range;

use super::error::Problem;

/// A character of a word; `literal` where a backslash took its special meaning away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WordChar {
    pub c: char,
    pub literal: bool,
    /// Its place in the text.
    pub at: usize,
}

/// A piece of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(Vec<WordChar>),
}

/// A piece with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub span: Range<usize>,
}

/// All pieces of `text`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let end = at + c.len_utf8();
        match c {
            _ if c.is_whitespace() => at = end,
            '(' | ')' => {
                let kind = if c == '(' { TokenKind::Open } else { TokenKind::Close };
                tokens.push(Token { kind, span: at..end });
                at = end;
            }
            _ => {
                let (word, end) = word(text, at)?;
                let span = at..end;
                tokens.push(Token {
                    kind: keyword(&text[span.clone()]).unwrap_or(TokenKind::Word(word)),
                    span,
                });
                at = end;
            }
        }
    }
    Ok(tokens)
}

fn keyword(word: &str) -> Option<TokenKind> {
    [("and", TokenKind::And), ("or", TokenKind::Or), ("not", TokenKind::Not)]
        .into_iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, kind)| kind)
}

/// The word that begins at `start`, and where it ends.
fn word(text: &str, start: usize) -> Result<(Vec<WordChar>, usize), Problem> {
    let mut word = Vec::new();
    let mut quote: Option<usize> = None;
    let mut chars = text[start..].char_indices().map(|(i, c)| (start + i, c));
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => quote = if quote.is_some() { None } else { Some(at) },
            '\\' => {
                let Some((at, c)) = chars.next() else {
                    return Err(Problem::new(
                        at..at + 1,
                        "a backslash needs a character behind it",
                    ));
                };
                word.push(WordChar { c, literal: true, at });
            }
            _ if quote.is_none() && (c.is_whitespace() || matches!(c, '(' | ')')) => {
                return Ok((word, at));
            }
            _ => word.push(WordChar { c, literal: false, at }),
        }
    }
    match quote {
        Some(at) => {
            Err(Problem::new(at..text.len(), "this quote is not closed")
                .hint("add a \" at the end"))
        }
        None => Ok((word, text.len())),
    }
}
