//! Draws the model. Nothing here changes it, sorts, or looks at a row that is out of sight.

mod alarms;
mod ascii;
mod detail;
mod footer;
mod groups;
mod header;
mod help;
mod ladder;
mod lanes;
mod layout;
mod log;
#[cfg(test)]
mod recorded;
mod requests;
mod table;
#[cfg(test)]
mod tests;

pub use layout::{Plan, Screen};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;
use tui_logger::TuiWidgetState;

use super::model::order::Column;
use super::model::{Model, Page};
use super::text::{fit, wrap};
use super::theme::Theme;
use crate::tcp::TcpState;

/// Draws one frame after `plan`.
pub fn draw(
    frame: &mut Frame<'_>,
    model: &Model,
    plan: &Plan,
    theme: &Theme,
    log: &TuiWidgetState,
) {
    match plan {
        Plan::Tiny => tiny(frame, model, theme),
        Plan::Full(screen) => full(frame, model, screen, theme, log),
    }
    if !theme.unicode {
        ascii::fold(frame.buffer_mut());
    }
}

type Draw = fn(&mut Buffer, Rect, &Model, &Theme);

fn full(
    frame: &mut Frame<'_>,
    model: &Model,
    screen: &Screen,
    theme: &Theme,
    log: &TuiWidgetState,
) {
    let buffer = frame.buffer_mut();
    header::draw(buffer, screen.header, model, theme);
    if let Some(area) = screen.lanes {
        lanes::draw(buffer, area, &model.table, model.now(), theme);
    }
    if let Some(area) = screen.alarms {
        alarms::draw(buffer, area, model, theme);
    }
    let (list, detail): (Draw, Draw) = match model.page {
        Page::Connections => (table::draw, detail::draw),
        Page::Requests => (requests::draw, requests::detail),
        Page::Groups => (groups::draw, detail::draw),
    };
    if let Some(area) = screen.table {
        list(buffer, area, model, theme);
    }
    if let Some(area) = screen.detail {
        detail(buffer, area, model, theme);
    }
    if let Some(area) = screen.log {
        log::draw(buffer, area, log, model.panes.log_keys, theme);
    }
    let cursor = footer::draw(buffer, screen.footer, model, theme);
    if model.panes.help {
        help::draw(buffer, screen.whole(), theme);
    }
    if let Some(column) = cursor.filter(|_| !model.panes.help) {
        frame.set_cursor_position(Position::new(column, screen.footer.y));
    }
}

/// Too small for a table: the figures that matter most, and what would be enough.
fn tiny(frame: &mut Frame<'_>, model: &Model, theme: &Theme) {
    let area = frame.area();
    let open = model.table.lanes().population(&[TcpState::Established]);
    let figures = format!(
        "{open} open, lost {}. Too small: {}x{}, needs {}x{}. q quits",
        model.stats.lost,
        area.width,
        area.height,
        layout::MIN_WIDTH,
        layout::MIN_HEIGHT
    );
    for (line, y) in wrap(&figures, usize::from(area.width)).iter().zip(area.top()..area.bottom()) {
        frame.buffer_mut().set_stringn(area.x, y, line, usize::from(area.width), theme.text);
    }
}

/// Writes `line` into the `row`-th line of `area`, cut at its edge.
fn put_line(buffer: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    if row < area.height {
        buffer.set_line(area.x, area.y + row, line, area.width);
    }
}

/// `text` in exactly `width` columns, cut where it is longer.
fn cell(text: &str, width: usize, right: bool) -> String {
    use unicode_width::UnicodeWidthStr;
    let text = fit(text, width);
    let space = " ".repeat(width.saturating_sub(text.width()));
    if right { format!("{space}{text}") } else { format!("{text}{space}") }
}

/// Whether a column's values are figures, which stand at its right edge.
fn is_figure(column: Column) -> bool {
    matches!(column, Column::Age | Column::Requests | Column::Wait | Column::Rtt)
}
