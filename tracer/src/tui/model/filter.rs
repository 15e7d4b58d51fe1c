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
}

impl FilterLine {
    /// A line that begins with `text`, the cursor at its end.
    #[must_use]
    pub fn new(text: &str) -> FilterLine {
        let chars: Vec<char> = text.chars().collect();
        FilterLine { cursor: chars.len(), chars, error: None }
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

    /// Does what a key asks for.
    pub fn edit(&mut self, edit: Edit) {
        match edit {
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
    fn the_line_has_an_end() {
        let mut line = FilterLine::default();
        (0..2 * FILTER_CHARS).for_each(|_| line.edit(Edit::Insert('x')));
        assert_eq!(line.text().len(), FILTER_CHARS);
    }
}
