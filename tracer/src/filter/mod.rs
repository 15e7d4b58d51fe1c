//! The FILTER language: which connections, exchanges and lines somebody wants to see (docs/schema/filter.md).
//!
//! Pure: text in, [`Filter`] out; a [`Subject`] in, yes or no out. [`Selector`] applies a filter to a stream
//! of records and remembers what it needs to know of each connection.

mod error;
mod glob;
mod keys;
mod lexer;
mod parser;
mod ports;
mod selector;
mod subject;
mod term;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use smallvec::SmallVec;

pub use error::FilterError;
pub use selector::Selector;
pub use subject::{States, Subject};

use self::keys::{KEYS, Key};
use self::parser::Node;
use self::term::Term;
use crate::record::{Connection, Exchange};

/// A parsed filter. `Display` writes it so that it parses to the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
    root: Node,
}

/// A key of the language with the values worth offering, for completion as one types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The key, without its colon.
    pub key: &'static str,
    /// What it looks at.
    pub about: &'static str,
    /// Known values; none where any number or text will do.
    pub values: &'static [&'static str],
}

/// All keys with their known values.
pub fn completions() -> impl Iterator<Item = Completion> {
    KEYS.iter().map(|row| Completion { key: row.name, about: row.about, values: row.values })
}

/// `text` as the value of a key that takes patterns: it fits itself and nothing else.
#[must_use]
pub fn literal(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_alphanumeric() || "-_./@+%,".contains(c)) {
            value.push('\\');
        }
        value.push(c);
    }
    value
}

impl Filter {
    /// The filter that lets everything through.
    #[must_use]
    pub const fn all() -> Self {
        Filter { terms: Vec::new(), root: Node::And(Vec::new()) }
    }

    /// Understands words as they come from a command line.
    ///
    /// # Errors
    /// [`FilterError`] with the place in the words, joined by spaces.
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> Result<Self, FilterError> {
        words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ").parse()
    }

    /// Whether it lets everything through because it says nothing.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.terms.is_empty()
    }

    /// It in words; `None` where it lets everything through.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        (!self.is_all()).then(|| self.to_string())
    }

    /// Whether any of its terms asks about an exchange.
    #[must_use]
    pub fn is_about_exchanges(&self) -> bool {
        self.has(Key::is_of_exchange)
    }

    /// Whether it holds for `subject`. Where that hangs on something unknown it does not.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.root
            .evaluate(&mut |i| self.terms.get(i).and_then(|term| subject::truth(term, subject)))
            == Some(true)
    }

    /// Whether it holds for a connection with any one of its exchanges, or without one where it has none.
    #[must_use]
    pub fn matches_connection<'a>(
        &self,
        connection: &Connection,
        exchanges: impl IntoIterator<Item = &'a Exchange>,
        states: States,
    ) -> bool {
        let holds =
            |exchange| self.matches(&Subject { connection: Some(connection), exchange, states });
        let mut exchanges = exchanges.into_iter().peekable();
        if exchanges.peek().is_none() {
            holds(None)
        } else {
            exchanges.any(|exchange| holds(Some(exchange)))
        }
    }

    /// What each term for which `wanted` holds says about `subject`.
    fn truths(&self, subject: &Subject<'_>, wanted: impl Fn(Key) -> bool) -> Truths {
        let mut truths = Truths::default();
        for (i, term) in self.terms.iter().enumerate().filter(|(_, term)| wanted(term.key)) {
            truths.set(i, subject::truth(term, subject));
        }
        truths
    }

    /// Decides by what is known of the terms.
    fn decide(&self, truths: Truths) -> Option<bool> {
        self.root.evaluate(&mut |i| truths.get(i))
    }

    fn has(&self, wanted: impl Fn(Key) -> bool) -> bool {
        self.terms.iter().any(|term| wanted(term.key))
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        match parser::parse(text) {
            Ok((terms, root)) => Ok(Filter { terms, root }),
            Err(problem) => Err(problem.in_text(text)),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.write(&self.terms, f)
    }
}

/// What is known of up to [`parser::MAX_TERMS`] terms: a bit for known, a bit for true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Truths {
    known: u64,
    holds: u64,
}

/// Distinct [`Truths`] of a connection's exchanges; most have one or two.
type TruthSet = SmallVec<[Truths; 1]>;

impl Truths {
    const fn set(&mut self, term: usize, truth: Option<bool>) {
        if let Some(holds) = truth {
            self.known |= 1 << term;
            self.holds |= (holds as u64) << term;
        }
    }

    const fn get(self, term: usize) -> Option<bool> {
        if self.known >> term & 1 == 1 { Some(self.holds >> term & 1 == 1) } else { None }
    }

    /// Both together; they are about different terms.
    const fn with(self, other: Truths) -> Truths {
        Truths { known: self.known | other.known, holds: self.holds | other.holds }
    }
}
