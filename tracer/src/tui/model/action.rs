//! What a person asks for, and what it does to the model.

use super::filter::{ActiveFilter, Edit, FilterLine};
use super::{Flow, Model};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up; in an open detail pane: scroll it.
    PageUp,
    /// One page down; in an open detail pane: scroll it.
    PageDown,
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Stop the picture, or let it go on.
    TogglePause,
    /// Sort by the next column.
    NextSort,
    /// Sort by the column before.
    PreviousSort,
    /// Sort the other way round.
    ReverseSort,
    /// Open the filter line.
    EditFilter,
    /// A key in the filter line.
    Edit(Edit),
    /// Open the selected connection; in the filter line: put it into force.
    Enter,
    /// Close what is open: help, filter line, detail, then let go of the selection.
    Back,
    /// Open or close the log.
    ToggleLog,
    /// Open or close the list of keys.
    ToggleHelp,
}

/// What the model cannot do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Leave the view.
    Quit,
}

impl Model {
    /// Does what a key asks for.
    pub fn act(&mut self, action: Action) -> Option<Effect> {
        self.dirty = true;
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Up => self.go_to(self.cursor.index.saturating_sub(1)),
            Action::Down => self.go_to(self.cursor.index + 1),
            Action::PageUp if self.panes.detail => self.scroll_detail(-5),
            Action::PageDown if self.panes.detail => self.scroll_detail(5),
            Action::PageUp => self.go_to(self.cursor.index.saturating_sub(self.page())),
            Action::PageDown => self.go_to(self.cursor.index + self.page()),
            Action::First => self.go_to(0),
            Action::Last => self.go_to(usize::MAX),
            Action::TogglePause => self.toggle_pause(),
            Action::NextSort => self.sort_by(self.sort.next()),
            Action::PreviousSort => self.sort_by(self.sort.previous()),
            Action::ReverseSort => self.sort_by(self.sort.reversed()),
            Action::EditFilter => {
                self.editing = Some(FilterLine::new(self.filter_text().unwrap_or_default()));
            }
            Action::Edit(edit) => self.edit_filter(edit),
            Action::Enter if self.editing.is_some() => self.apply_filter(),
            Action::Enter => self.open_detail(),
            Action::Back => self.back(),
            Action::ToggleLog => self.panes.log = !self.panes.log,
            Action::ToggleHelp => self.panes.help = !self.panes.help,
        }
        None
    }

    fn page(&self) -> usize {
        self.cursor.page_rows.saturating_sub(1).max(1)
    }

    /// Selects the row at `index`, or the last one. With nothing selected yet, the first in sight.
    fn go_to(&mut self, index: usize) {
        let shown = self.table.shown();
        let index = index.min(shown.len().saturating_sub(1));
        let index = match self.cursor.selected {
            None if index == 1 => 0,
            _ => index,
        };
        self.cursor.selected = shown.get(index).copied();
        self.cursor.index = index;
        self.panes.detail_scroll = 0;
    }

    fn scroll_detail(&mut self, lines: isize) {
        self.panes.detail_scroll = self.panes.detail_scroll.saturating_add_signed(lines);
    }

    fn toggle_pause(&mut self) {
        match self.flow {
            Flow::Live => self.flow = Flow::Paused { held: Vec::new() },
            Flow::Paused { .. } => self.resume(),
            Flow::Ended => {}
        }
    }

    fn sort_by(&mut self, sort: super::Sort) {
        self.sort = sort;
        self.table.set_stale();
    }

    fn edit_filter(&mut self, edit: Edit) {
        let parse = self.parse_filter;
        if let Some(line) = &mut self.editing {
            line.edit(edit);
            let text = line.text();
            line.error = if text.trim().is_empty() { None } else { parse(&text).err() };
        }
    }

    /// Puts the typed filter into force; a wrong one stays in the line with its error.
    fn apply_filter(&mut self) {
        let Some(line) = &mut self.editing else { return };
        let text = line.text().trim().to_owned();
        if text.is_empty() {
            self.filter = None;
        } else {
            match (self.parse_filter)(&text) {
                Ok(filter) => self.filter = Some(ActiveFilter { text, filter }),
                Err(error) => {
                    line.error = Some(error);
                    return;
                }
            }
        }
        self.editing = None;
        self.table.set_stale();
    }

    fn open_detail(&mut self) {
        if self.cursor.selected.is_none() {
            self.go_to(0);
        }
        self.panes.detail = self.cursor.selected.is_some();
        self.panes.detail_scroll = 0;
    }

    fn back(&mut self) {
        if self.panes.help {
            self.panes.help = false;
        } else if self.editing.is_some() {
            self.editing = None;
        } else if self.panes.detail {
            self.panes.detail = false;
        } else {
            self.cursor.selected = None;
            self.cursor.index = 0;
        }
    }

    /// Puts a filter into force as if it had been typed: the one from the command line.
    ///
    /// # Errors
    /// The parser's sentence, where the filter is wrong.
    pub fn set_filter(&mut self, text: &str) -> Result<(), String> {
        let filter = (self.parse_filter)(text)?;
        self.filter = Some(ActiveFilter { text: text.to_owned(), filter });
        self.table.set_stale();
        Ok(())
    }
}
