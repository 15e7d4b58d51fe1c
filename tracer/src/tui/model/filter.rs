//! The filter in force and the line in which it is typed.

use crate::record::{Connection, Exchange};
use crate::tcp::TcpState;

/// Decides which connections are shown. The FILTER language implements it.
pub trait RowFilter: Send {
    /// Whether a connection in `state` is shown. Each of its latest exchanges is tried in turn; with none
    /// known, `exchange` is `None`, and conditions on requests do not hold.
    fn matches(
        &self,
        connection: &Connection,
        state: TcpState,
        exchange: Option<&Exchange>,
    ) -> bool;
}

/// Makes a filter of what was typed. The error is one sentence for a person.
pub type ParseFilter = fn(&str) -> Result<Box<dyn RowFilter>, String>;

/// The filter in force.
pub(super) struct ActiveFilter {
    pub(super) text: String,
    pub(super) filter: Box<dyn RowFilter>,
}

/// A key pressed in the filter line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A character.
    Insert(char),
    /// Takes away the character before the cursor.
    Backspace,
    /// Takes away the character at the cursor.
    Delete,
    /// Takes away all.
    Clear,
    /// One character back.
    Left,
    /// One character on.
    Right,
    /// To the begin.
    Home,
    /// To the end.
    End,
    /// Completes the word before the cursor; again: with the next offer.
    Complete,
    /// With the offer before.
    CompleteBack,
}

/// Characters that a filter may have.
const FILTER_CHARS: usize = 500;

/// The line in which a filter is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterLine {
    chars: Vec<char>,
    cursor: usize,
    /// What is wrong with it, if anything is.
    pub error: Option<String>,
    /// What the word before the cursor may become.
    pub offers: Vec<String>,
    /// Which of the offers stands in the line now, where one was taken.
    taken: Option<usize>,
}

impl FilterLine {
    /// A line that begins with `text`, the cursor at its end.
    #[must_use]
    pub fn new(text: &str) -> FilterLine {
        let chars: Vec<char> = text.chars().collect();
        FilterLine { cursor: chars.len(), chars, ..FilterLine::default() }
    }

    /// What was typed.
    #[must_use]
    pub fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// What was typed before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        self.chars.iter().take(self.cursor).collect()
    }

    /// The word before the cursor, up to it.
    #[must_use]
    pub fn word(&self) -> String {
        self.chars[self.word_start()..self.cursor].iter().collect()
    }

    /// The offer that stands in the line.
    #[must_use]
    pub fn taken(&self) -> Option<&str> {
        self.offers.get(self.taken?).map(String::as_str)
    }

    fn word_start(&self) -> usize {
        let (mut start, mut quoted) = (0, false);
        let mut chars = self.chars[..self.cursor].iter().enumerate();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => _ = chars.next(),
                '"' => quoted = !quoted,
                ' ' | '(' | ')' if !quoted => start = at + 1,
                _ => {}
            }
        }
        start.min(self.cursor)
    }

    /// Puts the next offer, or the one before, in the place of the word before the cursor.
    fn take_offer(&mut self, back: bool) {
        let count = self.offers.len();
        let next = match (self.taken, back) {
            (None, false) => 0,
            (None, true) => count.saturating_sub(1),
            (Some(at), false) => (at + 1) % count.max(1),
            (Some(at), true) => (at + count - 1) % count.max(1),
        };
        let Some(offer) = self.offers.get(next) else { return };
        let offer: Vec<char> = offer.chars().collect();
        let start = self.word_start();
        if self.chars.len() - (self.cursor - start) + offer.len() > FILTER_CHARS {
            return;
        }
        let end = start + offer.len();
        self.chars.splice(start..self.cursor, offer);
        self.cursor = end;
        self.taken = Some(next);
    }

    /// Does what a key asks for.
    pub fn edit(&mut self, edit: Edit) {
        if !matches!(edit, Edit::Complete | Edit::CompleteBack) {
            self.taken = None;
        }
        match edit {
            Edit::Complete => self.take_offer(false),
            Edit::CompleteBack => self.take_offer(true),
            Edit::Insert(c) if self.chars.len() < FILTER_CHARS && !c.is_control() => {
                self.chars.insert(self.cursor, c);
                self.cursor += 1;
            }
            Edit::Insert(_) => {}
            Edit::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.chars.remove(self.cursor);
            }
            Edit::Delete if self.cursor < self.chars.len() => {
                self.chars.remove(self.cursor);
            }
            Edit::Backspace | Edit::Delete => {}
            Edit::Clear => *self = FilterLine::default(),
            Edit::Left => self.cursor = self.cursor.saturating_sub(1),
            Edit::Right => self.cursor = (self.cursor + 1).min(self.chars.len()),
            Edit::Home => self.cursor = 0,
            Edit::End => self.cursor = self.chars.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_edits_at_its_cursor_in_characters_not_bytes() {
        let mut line = FilterLine::new("größe");
        for edit in [Edit::Left, Edit::Backspace, Edit::Insert('s'), Edit::Home, Edit::Delete] {
            line.edit(edit);
        }
        assert_eq!(line.text(), "röse");
        line.edit(Edit::End);
        line.edit(Edit::Delete);
        line.edit(Edit::Insert('\u{7}'));
        assert_eq!((line.text().as_str(), line.before_cursor().as_str()), ("röse", "röse"));
        line.edit(Edit::Clear);
        line.edit(Edit::Backspace);
        assert_eq!(line.text(), "");
    }

    #[test]
    fn completing_goes_through_the_offers_and_keeps_what_stands_around_the_word() {
        let mut line = FilterLine::new("pid:7 sta or port:80");
        (0.." or port:80".len()).for_each(|_| line.edit(Edit::Left));
        assert_eq!(line.word(), "sta");
        line.offers = vec!["state:".to_owned(), "status:".to_owned()];
        line.edit(Edit::Complete);
        assert_eq!(line.text(), "pid:7 state: or port:80");
        line.edit(Edit::Complete);
        assert_eq!(line.text(), "pid:7 status: or port:80");
        line.edit(Edit::CompleteBack);
        assert_eq!(line.before_cursor(), "pid:7 state:");
    }

    #[test]
    fn a_word_may_have_blanks_where_they_are_quoted_or_escaped() {
        assert_eq!(FilterLine::new(r#"port:80 comm:"my pro"#).word(), r#"comm:"my pro"#);
        assert_eq!(FilterLine::new(r"port:80 (comm:my\ pro").word(), r"comm:my\ pro");
        assert_eq!(FilterLine::new("port:80 ").word(), "");
    }

    #[test]
    fn the_line_has_an_end() {
        let mut line = FilterLine::default();
        (0..2 * FILTER_CHARS).for_each(|_| line.edit(Edit::Insert('x')));
        assert_eq!(line.text().len(), FILTER_CHARS);
    }
}
