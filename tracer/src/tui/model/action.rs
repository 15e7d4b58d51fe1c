//! What a person asks for, and what it does to the model.

use super::export::{self, Held};
use super::filter::{ActiveFilter, Edit, FilterLine};
use super::forms::FORMS;
use super::requests::By;
use super::{Flow, Model, Page, completion, copy};
use crate::export::Format;
use crate::playback::Play;
use crate::time::Timestamp;
use crate::view_update::Notice;

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
    /// Close what is open: help, the forms, filter line, detail, then let go of the selection.
    Back,
    /// Select what stands in this line of the table, its heading being line 0; picked again it opens.
    Pick(usize),
    /// Open what the next alarm shows.
    NextAlarm,
    /// To the next page: connections, requests, groups.
    NextPage,
    /// To the groups; there: group by something else.
    NextGrouping,
    /// Copy the address of the selected connection, or the selected request as a curl command line.
    Copy,
    /// Copy the filter that shows the selected connection.
    CopyFilter,
    /// Ask for the form in which what is selected, or else what is shown, is to be written to a file.
    ChooseForm,
    /// Write it in this form.
    Export(Format),
    /// Begin a recording, or end it.
    ToggleRecording,
    /// Ask something of the player of a recording.
    Play(Play),
    /// Some time on in the recording, or back where it is negative, seconds.
    Skip(i64),
    /// In a recording to the begin of the selected connection.
    ToItsBegin,
    /// In a recording to the next record that the filter lets through.
    ToNextMatch,
    /// Open or close the log.
    ToggleLog,
    /// Choose targets and levels in the log, or leave that.
    ToggleLogKeys,
    /// A key for the log.
    Log(LogKey),
    /// Open or close the list of keys.
    ToggleHelp,
}

/// What the model cannot do itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Put this into the terminal's clipboard.
    Copy(String),
    /// Write this to a file of this form.
    Export(Held, Format),
    /// Begin a recording, or end it.
    ToggleRecording,
    /// Ask this of the player.
    Play(Play),
    /// Ask the player to go to the next record that this filter lets through.
    PlayToNext(String),
    /// Tell the log.
    Log(LogKey),
    /// Leave the view.
    Quit,
}

/// What a key does in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKey {
    /// The target above.
    Up,
    /// The target below.
    Down,
    /// Of this target show less.
    ShowLess,
    /// Of this target show more.
    ShowMore,
    /// Of this target keep less.
    KeepLess,
    /// Of this target keep more.
    KeepMore,
    /// Show this target alone, or all.
    Only,
    /// Hide the list of targets, or show it.
    HideTargets,
    /// Older lines.
    Older,
    /// Newer lines.
    Newer,
}

impl Model {
    /// Does what a key asks for.
    pub fn act(&mut self, action: Action) -> Option<Effect> {
        self.dirty = true;
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Up => self.go_to(self.index().saturating_sub(1)),
            Action::Down => self.go_to(self.index() + 1),
            Action::PageUp if self.panes.detail => self.scroll_detail(-5),
            Action::PageDown if self.panes.detail => self.scroll_detail(5),
            Action::PageUp => self.go_to(self.index().saturating_sub(self.page_lines())),
            Action::PageDown => self.go_to(self.index() + self.page_lines()),
            Action::First => self.go_to(0),
            Action::Last => self.go_to(usize::MAX),
            Action::TogglePause if self.play.is_some() => {
                return Some(Effect::Play(Play::TogglePause));
            }
            Action::TogglePause => self.toggle_pause(),
            Action::Skip(seconds) => return self.skip(seconds).map(Effect::Play),
            Action::ToNextMatch => return self.next_match(),
            Action::ToItsBegin => return self.to_its_begin().map(Effect::Play),
            Action::Play(play) => return self.play.is_some().then_some(Effect::Play(play)),
            Action::NextSort | Action::PreviousSort | Action::ReverseSort
                if self.page != Page::Connections =>
            {
                self.turn_order();
            }
            Action::NextSort => self.sort_by(self.sort.next()),
            Action::PreviousSort => self.sort_by(self.sort.previous()),
            Action::ReverseSort => self.sort_by(self.sort.reversed()),
            Action::EditFilter => {
                // One goes on behind what is there, or takes it away with Ctrl-U.
                let begun = self.filter_text().map(|text| format!("{text} ")).unwrap_or_default();
                self.editing = Some(FilterLine::new(&begun));
                self.offer_words();
            }
            Action::Edit(edit) => self.edit_filter(edit),
            Action::Enter if self.editing.is_some() => self.apply_filter(),
            Action::Enter if self.panes.forms => return Some(self.export(FORMS[0].1)),
            Action::Enter if self.page == Page::Groups => self.enter_group(),
            Action::Enter => self.open_detail(),
            Action::Back => self.back(),
            Action::Pick(line) => self.pick(line),
            Action::NextAlarm => self.next_alarm(),
            Action::NextPage => self.next_page(),
            Action::NextGrouping => self.next_grouping(),
            Action::Copy => return self.copied().map(Effect::Copy),
            Action::CopyFilter => return self.selected().map(copy::filter).map(Effect::Copy),
            Action::ChooseForm => self.panes.forms = true,
            Action::Export(form) => return Some(self.export(form)),
            Action::ToggleRecording => return Some(Effect::ToggleRecording),
            Action::ToggleLog => {
                self.panes.log = !self.panes.log;
                self.panes.log_keys = false;
            }
            Action::ToggleLogKeys => {
                self.panes.log = true;
                self.panes.log_keys = !self.panes.log_keys;
            }
            Action::Log(key) => return Some(Effect::Log(key)),
            Action::ToggleHelp => self.panes.help = !self.panes.help,
        }
        None
    }

    fn export(&mut self, form: Format) -> Effect {
        self.panes.forms = false;
        Effect::Export(export::held(self), form)
    }

    fn skip(&self, seconds: i64) -> Option<Play> {
        let by_ns = seconds.saturating_mul(1_000_000_000);
        Some(Play::To(Timestamp(self.play?.at.0.saturating_add_signed(by_ns))))
    }

    fn next_match(&mut self) -> Option<Effect> {
        self.play?;
        if let Some(filter) = self.filter_text() {
            return Some(Effect::PlayToNext(filter.to_owned()));
        }
        let text = "n goes to the next record that the filter lets through; / sets a filter";
        self.show_notice(Notice { text: text.to_owned(), is_failure: false });
        None
    }

    fn to_its_begin(&self) -> Option<Play> {
        self.play?;
        let begin = self.selected()?.states().find_map(|entry| entry.at)?;
        Some(Play::To(begin))
    }

    fn page_lines(&self) -> usize {
        self.cursor.page_rows.saturating_sub(1).max(1)
    }

    /// Place of the selection on the page in sight.
    fn index(&self) -> usize {
        match self.page {
            Page::Connections => self.cursor.index,
            Page::Requests => self.requests.index,
            Page::Groups => self.groups.index,
        }
    }

    fn pick(&mut self, line: usize) {
        let (above, top, rows) = match self.page {
            Page::Connections => (1, self.cursor.top, self.table.shown().len()),
            Page::Requests => {
                let above = self.requests.route_lines(self.cursor.page_rows) + 1;
                (above, self.requests.top, self.requests.len())
            }
            Page::Groups => (1, self.groups.top, self.groups.len()),
        };
        let Some(index) = line.checked_sub(above).map(|line| top + line) else { return };
        if index >= rows {
            return;
        }
        if self.has_selection() && index == self.index() {
            self.act(Action::Enter);
        } else {
            self.select(index);
        }
    }

    /// The alarm behind the one that is looked at, or the first. A filter that hides it is lifted.
    fn next_alarm(&mut self) {
        let alarms = self.table.alarms();
        let current = alarms.iter().position(|alarm| Some(alarm.example) == self.cursor.selected);
        let next = current.map_or(0, |index| index + 1);
        let Some(alarm) = alarms.get(next).or(alarms.first()) else { return };
        let example = alarm.example;
        if self.table.row(example).is_some_and(|row| !row.shown) {
            self.filter = None;
            self.set_stale();
        }
        self.page = Page::Connections;
        self.cursor.selected = Some(example);
        self.panes.detail = true;
        self.panes.detail_scroll = 0;
    }

    fn next_page(&mut self) {
        self.page = match self.page {
            Page::Connections => Page::Requests,
            Page::Requests => Page::Groups,
            Page::Groups => Page::Connections,
        };
        self.panes.detail = false;
        self.set_others_stale();
    }

    fn next_grouping(&mut self) {
        if self.page == Page::Groups {
            self.groups.by = self.groups.by.next();
            self.groups.selected = None;
        }
        self.page = Page::Groups;
        self.panes.detail = false;
        self.set_others_stale();
    }

    /// Shows the connections of the selected group, of those that were shown.
    fn enter_group(&mut self) {
        if !self.has_selection() {
            self.go_to(0);
        }
        let Some(group) = self.groups.selected() else { return };
        let filter = match self.filter_text() {
            Some(filter) => format!("({filter}) {}", group.filter),
            None => group.filter.clone(),
        };
        match self.set_filter(&filter) {
            Ok(()) => self.page = Page::Connections,
            Err(error) => log::warn!("the group cannot be shown by the filter {filter}: {error}"),
        }
    }

    /// Another order on a page other than the connections'.
    fn turn_order(&mut self) {
        if self.page == Page::Groups {
            self.groups.order = self.groups.order.next();
        } else {
            self.requests.by = match self.requests.by {
                By::Newest => By::Slowest,
                By::Slowest => By::Newest,
            };
        }
        self.set_others_stale();
    }

    /// Everything is to be filtered and sorted anew.
    fn set_stale(&mut self) {
        self.table.set_stale();
        self.set_others_stale();
    }

    fn set_others_stale(&mut self) {
        self.requests.set_stale();
        self.groups.set_stale();
    }

    fn copied(&self) -> Option<String> {
        match self.page {
            Page::Connections => self.selected().map(copy::address),
            Page::Groups => self.groups.selected().map(|group| group.filter.clone()),
            Page::Requests => copy::curl(&self.requests.selected()?.exchange),
        }
    }

    /// Selects the row at `index`, or the last one. With nothing selected yet, the first in sight.
    fn go_to(&mut self, index: usize) {
        // With nothing selected yet, one down is the first.
        let index = if !self.has_selection() && index == 1 { 0 } else { index };
        self.select(index);
    }

    fn select(&mut self, index: usize) {
        self.panes.detail_scroll = 0;
        match self.page {
            Page::Connections => {}
            Page::Requests => return self.requests.go_to(index),
            Page::Groups => return self.groups.go_to(index),
        }
        let shown = self.table.shown();
        let index = index.min(shown.len().saturating_sub(1));
        self.cursor.selected = shown.get(index).copied();
        self.cursor.index = index;
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
        self.table.set_unsorted();
    }

    fn edit_filter(&mut self, edit: Edit) {
        let parse = self.parse_filter;
        if let Some(line) = &mut self.editing {
            line.edit(edit);
            let text = line.text();
            line.error = if text.trim().is_empty() { None } else { parse(&text).err() };
        }
        if !matches!(edit, Edit::Complete | Edit::CompleteBack) {
            self.offer_words();
        }
    }

    /// Looks for what may stand at the cursor of the filter line. While offers are gone through they stay.
    fn offer_words(&mut self) {
        if let Some(line) = &mut self.editing {
            line.offers = completion::offers(&line.word(), &self.table);
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
                    line.offers.clear();
                    return;
                }
            }
        }
        self.editing = None;
        self.set_stale();
    }

    fn open_detail(&mut self) {
        if !self.has_selection() {
            self.go_to(0);
        }
        self.panes.detail = self.has_selection();
        self.panes.detail_scroll = 0;
    }

    fn has_selection(&self) -> bool {
        match self.page {
            Page::Connections => self.cursor.selected.is_some(),
            Page::Requests => self.requests.selected.is_some(),
            Page::Groups => self.groups.selected.is_some(),
        }
    }

    fn back(&mut self) {
        if self.panes.help {
            self.panes.help = false;
        } else if self.panes.forms {
            self.panes.forms = false;
        } else if self.panes.log_keys {
            self.panes.log_keys = false;
        } else if self.editing.is_some() {
            self.editing = None;
        } else if self.panes.detail {
            self.panes.detail = false;
        } else if self.page == Page::Requests {
            self.requests.selected = None;
        } else if self.page == Page::Groups {
            if self.groups.selected.take().is_none() {
                self.page = Page::Connections;
            }
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
        self.set_stale();
        Ok(())
    }
}
