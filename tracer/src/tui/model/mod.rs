//! What the view knows: values only. No terminal, no clock: time comes in with [`Model::tick`].

mod action;
pub mod alarms;
pub mod completion;
pub mod copy;
pub mod detail;
pub mod export;
pub mod filter;
pub mod forms;
pub mod groups;
pub mod ladder;
pub mod lanes;
pub mod order;
pub mod passed;
pub mod requests;
pub mod row;
pub mod table;
#[cfg(test)]
mod tests;
pub mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use action::{Action, Effect, LogKey};
use filter::{ActiveFilter, FilterLine, ParseFilter};
use groups::Groups;
use order::Sort;
use requests::Requests;
use row::Row;
use table::{MAX_ROWS, Table};

use crate::record::{ConnId, Host, Loss, LossUnit, Record};
use crate::time::Timestamp;
use crate::view_update::{Notice, PlayStatus, Stats, Update};

/// Updates that are held back while paused; after that the channel fills and the pipeline counts.
pub const MAX_HELD: usize = 100_000;
/// Hooks whose losses are told apart; the rest is summed as `other`.
const MAX_LOSS_HOOKS: usize = 32;

/// How long a notice stays, nanoseconds.
const NOTICE_NS: u64 = 10_000_000_000;

/// Whether the picture moves.
#[derive(Debug, Default)]
pub enum Flow {
    /// It shows what is.
    #[default]
    Live,
    /// It shows what was; what has come since is held back.
    Paused {
        /// Updates held back, oldest first.
        held: Vec<Update>,
    },
    /// Nothing more will come.
    Ended,
}

/// The row that is looked at, and the part of the table in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The connection; `None`: the top of the table stays in sight.
    pub selected: Option<ConnId>,
    /// Its position in the table.
    pub index: usize,
    /// Position of the first row in sight.
    pub top: usize,
    /// Rows in sight.
    pub page_rows: usize,
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The table of connections.
    #[default]
    Connections,
    /// The requests of all connections.
    Requests,
    /// Connections taken together.
    Groups,
}

/// What is open beside the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Panes {
    /// The selected connection's story.
    pub detail: bool,
    /// Lines of it that are scrolled away.
    pub detail_scroll: usize,
    /// The log.
    pub log: bool,
    /// Whether keys go to the log: its targets and levels.
    pub log_keys: bool,
    /// The forms that can be exported to.
    pub forms: bool,
    /// The keys.
    pub help: bool,
}

/// The state of the view.
pub struct Model {
    /// What fills the screen.
    pub page: Page,
    /// The connections.
    pub table: Table,
    /// The exchanges.
    pub requests: Requests,
    /// The groups.
    pub groups: Groups,
    /// What is looked at.
    pub cursor: Cursor,
    /// What is open.
    pub panes: Panes,
    /// By what the table is sorted.
    pub sort: Sort,
    /// Live or paused.
    pub flow: Flow,
    /// The filter line, while it is open.
    pub editing: Option<FilterLine>,
    /// The last figures about the run.
    pub stats: Stats,
    /// The host record.
    pub host: Option<Arc<Host>>,
    /// Events lost, by hook.
    pub losses: BTreeMap<String, u64>,
    /// What the HTTP engine did not see or keep, by unit.
    pub unseen_http: BTreeMap<LossUnit, u64>,
    /// Where the recording stands that is played; `None` for what happens now.
    pub play: Option<PlayStatus>,
    /// Whether who tells all this has gone.
    pub is_away: bool,
    /// What became of something that was asked for, and until when it is told.
    notice: Option<(Timestamp, Notice)>,
    /// Of a recording: records in each of as many parts of its time; empty where that is not known.
    pub time_line: Vec<u64>,
    filter: Option<ActiveFilter>,
    parse_filter: ParseFilter,
    now: Timestamp,
    /// The time as it is, paused or not.
    clock: Timestamp,
    dirty: bool,
}

impl Model {
    /// An empty view. `parse_filter` is the FILTER language.
    #[must_use]
    pub fn new(parse_filter: ParseFilter) -> Model {
        Model::with_bound(parse_filter, MAX_ROWS)
    }

    fn with_bound(parse_filter: ParseFilter, max_rows: usize) -> Model {
        Model {
            page: Page::default(),
            table: Table::new(max_rows),
            requests: Requests::default(),
            groups: Groups::default(),
            cursor: Cursor::default(),
            panes: Panes::default(),
            sort: Sort::NEWEST_FIRST,
            flow: Flow::Live,
            editing: None,
            stats: Stats::default(),
            host: None,
            losses: BTreeMap::new(),
            unseen_http: BTreeMap::new(),
            play: None,
            is_away: false,
            notice: None,
            time_line: Vec::new(),
            filter: None,
            parse_filter,
            now: Timestamp::default(),
            clock: Timestamp::default(),
            dirty: true,
        }
    }

    /// The time that is shown: stands still while paused.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The filter in force, as it was typed.
    #[must_use]
    pub fn filter_text(&self) -> Option<&str> {
        self.filter.as_ref().map(|active| active.text.as_str())
    }

    /// What became of what was asked for last.
    #[must_use]
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref().map(|(_, notice)| notice)
    }

    /// The selected row.
    #[must_use]
    pub fn selected(&self) -> Option<&Row> {
        self.cursor.selected.and_then(|id| self.table.row(id))
    }

    /// The rows in sight, top to bottom.
    pub fn rows_in_sight(&self) -> impl Iterator<Item = &Row> {
        let shown = self.table.shown().iter().skip(self.cursor.top).take(self.cursor.page_rows);
        shown.filter_map(|&id| self.table.row(id))
    }

    /// Whether there is anything new to draw since the last call.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Something outside the model changed: the frame is to be drawn anew.
    pub fn set_dirty(&mut self) {
        self.dirty = true;
    }

    /// Whether more updates may be offered; while paused the backlog is bounded.
    #[must_use]
    pub fn has_room(&self) -> bool {
        !matches!(&self.flow, Flow::Paused { held } if held.len() >= MAX_HELD)
    }

    /// Time has passed. Call it before [`Model::offer`], and at least once a second.
    pub fn tick(&mut self, now: Timestamp) {
        // Told by the clock, not by the time in the picture: a pause does not hold it.
        if self.notice.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.notice = None;
            self.dirty = true;
        }
        self.clock = now;
        if !matches!(self.flow, Flow::Live) {
            return;
        }
        self.now = self.now.max(now);
        self.dirty |= self.table.expire(self.now, self.cursor.selected);
        self.dirty |= self.table.advance(self.now);
    }

    /// Takes updates. While paused, changes of connections are held back; figures and losses are not.
    pub fn offer(&mut self, batch: Vec<Update>) {
        for update in batch {
            match &mut self.flow {
                Flow::Paused { held } if !is_about_the_run(&update) => held.push(update),
                _ => self.apply(update),
            }
        }
        self.dirty = true;
    }

    /// No updates will come any more.
    pub fn end(&mut self) {
        self.resume();
        self.flow = Flow::Ended;
        self.dirty = true;
    }

    fn apply(&mut self, update: Update) {
        let now = self.now;
        match update {
            Update::Connection(connection) | Update::Record(Record::Connection(connection)) => {
                self.table.connection(connection, now);
            }
            Update::Record(Record::Transition(transition)) => {
                self.table.transition(&transition, now);
            }
            Update::Record(Record::Exchange(exchange)) => {
                self.table.exchange(&exchange);
                let row = self.table.row(exchange.conn);
                let peer = row.and_then(|row| self.table.row(row.connection().peer?));
                self.requests.push(exchange, row, peer);
            }
            Update::Record(Record::Segment(segment)) => self.table.segment(&segment),
            Update::Record(Record::Host(host)) => self.host = Some(host),
            Update::Record(Record::Loss(loss)) => self.lost(loss),
            Update::Stats(stats) => self.stats = stats,
            Update::Play(status) => {
                self.stats.lost = status.lost;
                self.play = Some(status);
            }
            Update::Away(is_away) => self.is_away = is_away,
            Update::Restart(at) => self.restart(at),
            Update::TimeLine(records) => self.time_line = records,
            Update::Notice(notice) => self.show_notice(notice),
            Update::Resync(connections) => self.table.resync(connections, now),
        }
    }

    fn show_notice(&mut self, notice: Notice) {
        self.notice = Some((self.clock.plus_ns(NOTICE_NS), notice));
    }

    /// Nothing has happened yet; how it is looked at stays.
    fn restart(&mut self, at: Timestamp) {
        self.table = Table::new(MAX_ROWS);
        let by = std::mem::take(&mut self.requests).by;
        self.requests.by = by;
        self.groups.set_stale();
        self.losses.clear();
        self.unseen_http.clear();
        self.now = at;
    }

    fn lost(&mut self, loss: Loss) {
        let sum = match loss.unit() {
            LossUnit::Events => {
                let is_known = self.losses.contains_key(&loss.hook);
                let has_room = is_known || self.losses.len() < MAX_LOSS_HOOKS;
                let name = if has_room { loss.hook } else { "other".to_owned() };
                self.losses.entry(name).or_default()
            }
            unit => self.unseen_http.entry(unit).or_default(),
        };
        *sum = sum.saturating_add(loss.events);
    }

    fn resume(&mut self) {
        if let Flow::Paused { held } = std::mem::take(&mut self.flow) {
            held.into_iter().for_each(|update| self.apply(update));
        }
    }

    /// Sorts what changed and brings the cursor to where its connection now stands. To be called once
    /// before a frame is drawn, with the number of rows the table has room for.
    pub fn settle(&mut self, page_rows: usize) {
        self.table.settle(self.sort, self.filter.as_ref());
        self.cursor.page_rows = page_rows;
        match self.page {
            Page::Connections => {}
            Page::Requests => self.requests.settle(self.filter.as_ref(), self.now, page_rows),
            Page::Groups => self.groups.settle(&self.table, self.now, page_rows),
        }
        self.follow();
        self.keep_in_sight();
    }

    /// The selected connection keeps its line on the screen while others move around it.
    fn follow(&mut self) {
        let Some(id) = self.cursor.selected else { return self.cursor.top = 0 };
        let cursor = &mut self.cursor;
        if let Some(index) = self.table.position(id, self.sort) {
            cursor.top = (cursor.top + index).saturating_sub(cursor.index);
            cursor.index = index;
        } else {
            cursor.index = cursor.index.min(self.table.shown().len().saturating_sub(1));
            cursor.selected = self.table.shown().get(cursor.index).copied();
        }
    }

    fn keep_in_sight(&mut self) {
        let Cursor { index, page_rows, selected, .. } = self.cursor;
        let top = &mut self.cursor.top;
        if selected.is_some() {
            *top = (*top).clamp((index + 1).saturating_sub(page_rows.max(1)), index);
        }
        *top = (*top).min(self.table.shown().len().saturating_sub(page_rows));
    }
}

/// Whether an update is about the run and not about a connection: such ones are shown while paused too.
fn is_about_the_run(update: &Update) -> bool {
    matches!(
        update,
        Update::Stats(_)
            | Update::Notice(_)
            | Update::Away(_)
            | Update::Record(Record::Host(_) | Record::Loss(_))
    )
}
