//! What stands where, by the size of the terminal and by what is open.

use ratatui::layout::Rect;

use crate::tui::model::Panes;

/// Columns below which there is no table.
pub const MIN_WIDTH: u16 = 40;
/// Lines below which there is no table.
pub const MIN_HEIGHT: u16 = 8;
/// Columns from which the header needs one line only.
const ONE_LINE_HEADER_WIDTH: u16 = 150;
/// Columns from which table and detail stand side by side.
const SIDE_BY_SIDE_WIDTH: u16 = 170;
/// Lines from which table and detail stand one above the other.
const STACKED_HEIGHT: u16 = 36;

/// Where everything goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// There is no room for more than a sentence.
    Tiny,
    /// The table and what is open.
    Full(Screen),
}

/// The parts of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Figures about host and tracer.
    pub header: Rect,
    /// Population per state.
    pub lanes: Option<Rect>,
    /// What stands out.
    pub alarms: Option<Rect>,
    /// The connections.
    pub table: Option<Rect>,
    /// The selected connection.
    pub detail: Option<Rect>,
    /// The log.
    pub log: Option<Rect>,
    /// Keys, or the filter line.
    pub footer: Rect,
}

impl Plan {
    /// The plan for a terminal of the size of `area`, with so many alarms.
    #[must_use]
    pub fn new(area: Rect, panes: &Panes, alarms: usize) -> Plan {
        if area.width < MIN_WIDTH || area.height < MIN_HEIGHT {
            return Plan::Tiny;
        }
        let mut rest = area;
        let header = cut_top(&mut rest, if area.width >= ONE_LINE_HEADER_WIDTH { 1 } else { 2 });
        let footer = cut_bottom(&mut rest, 1);
        let covered = panes.detail && !has_room_for_both(area);
        let lane_lines = if covered { 0 } else { lane_lines(area) };
        let lanes = (lane_lines > 0).then(|| cut_top(&mut rest, lane_lines));
        let alarm_lines = if covered { 0 } else { alarm_lines(area).min(alarms as u16) };
        let alarms = (alarm_lines > 0).then(|| cut_top(&mut rest, alarm_lines));
        let log_lines = (area.height / 4).max(4);
        let log =
            (panes.log && rest.height > log_lines + 2).then(|| cut_bottom(&mut rest, log_lines));
        let (table, detail) = match panes.detail {
            false => (Some(rest), None),
            true if covered => (None, Some(rest)),
            true => split(area, rest),
        };
        Plan::Full(Screen { header, lanes, alarms, table, detail, log, footer })
    }

    /// Where the rows of the table stand.
    #[must_use]
    pub fn table(&self) -> Option<Rect> {
        match self {
            Plan::Full(screen) => screen.table,
            Plan::Tiny => None,
        }
    }

    /// Connections that the table has room for.
    #[must_use]
    pub fn page_rows(&self) -> usize {
        match self {
            Plan::Full(Screen { table: Some(table), .. }) => {
                usize::from(table.height.saturating_sub(1))
            }
            _ => 0,
        }
    }
}

impl Screen {
    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Rect {
        self.header.union(self.footer)
    }
}

fn has_room_for_both(area: Rect) -> bool {
    area.width >= SIDE_BY_SIDE_WIDTH || area.height >= STACKED_HEIGHT
}

fn split(area: Rect, rest: Rect) -> (Option<Rect>, Option<Rect>) {
    let mut table = rest;
    let detail = if area.width >= SIDE_BY_SIDE_WIDTH {
        let width = (rest.width * 45 / 100).min(110);
        table.width -= width;
        Rect { x: table.right(), width, ..rest }
    } else {
        cut_bottom(&mut table, rest.height * 3 / 5)
    };
    (Some(table), Some(detail))
}

/// Lines for the lanes: none where the table needs them more.
fn lane_lines(area: Rect) -> u16 {
    match (area.width, area.height) {
        (super::lanes::FULL_WIDTH.., 30..) => 4,
        (super::lanes::FULL_WIDTH.., 20..) => 3,
        (super::lanes::SMALL_WIDTH.., 14..) => 2,
        _ => 0,
    }
}

/// Lines for alarms at most.
fn alarm_lines(area: Rect) -> u16 {
    match area.height {
        30.. => 3,
        20.. => 2,
        12.. => 1,
        _ => 0,
    }
}

fn cut_top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let top = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    top
}

fn cut_bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect { y: rest.bottom(), height, ..*rest }
}
