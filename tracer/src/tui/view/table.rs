//! The table of connections: only the rows in sight, straight into the buffer.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{cell, is_figure, put_line};
use crate::record::Exchange;
use crate::tui::model::Model;
use crate::tui::model::detail::{address, request};
use crate::tui::model::order::Column;
use crate::tui::model::row::{Row, arrow};
use crate::tui::model::verdict::{Tone, Verdict, verdict};
use crate::tui::text::{self, fit, fit_end};
use crate::tui::theme::Theme;

/// Columns of the mark before each row.
const MARK_WIDTH: u16 = 2;

pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let columns = widths(area.width.saturating_sub(MARK_WIDTH));
    let gap = gap(area.width);
    put_line(buffer, area, 0, &heading(&columns, gap, model, theme));
    buffer.set_style(Rect { height: 1, ..area }, theme.ruled);
    if model.table.shown().is_empty() {
        return nothing(buffer, area, model, theme);
    }
    for (row, line) in model.rows_in_sight().zip(1..area.height) {
        draw_row(buffer, Rect { y: area.y + line, height: 1, ..area }, row, &columns, model, theme);
    }
}

/// Least, good, wanted and greatest width of a column.
fn bounds(column: Column) -> [u16; 4] {
    match column {
        Column::State => [11; 4],
        Column::Age => [9; 4],
        Column::Owner => [10, 13, 18, 32],
        Column::Local => [15, 15, 21, 45],
        Column::Remote => [17, 17, 23, 47],
        Column::Requests => [5; 4],
        Column::LastRequest => [14, 22, 40, 90],
        Column::Wait | Column::Rtt => [7; 4],
        Column::Verdict => [12, 17, 22, 50],
    }
}

/// The columns from the most to the least wanted.
const BY_WORTH: [Column; 10] = [
    Column::State,
    Column::Age,
    Column::Remote,
    Column::Verdict,
    Column::Owner,
    Column::LastRequest,
    Column::Local,
    Column::Wait,
    Column::Requests,
    Column::Rtt,
];
/// So many of them are there even if that makes them narrow; others only beside good ones.
const ESSENTIAL: usize = 6;

fn gap(width: u16) -> u16 {
    if width >= 150 { 2 } else { 1 }
}

/// The columns that fit into `room`, each with its width.
fn widths(room: u16) -> Vec<(Column, u16)> {
    let gap = gap(room + MARK_WIDTH);
    let needs = |columns: &[Column], goal: usize| -> u16 {
        columns.iter().map(|&column| bounds(column)[goal] + gap).sum()
    };
    let goal = |count: usize| usize::from(count > ESSENTIAL);
    let fits = |&count: &usize| needs(&BY_WORTH[..count], goal(count)) <= room + gap;
    let count = (0..=BY_WORTH.len()).rev().find(fits).unwrap_or(0);
    let chosen = &BY_WORTH[..count];
    let mut left = room + gap - needs(chosen, goal(count)).min(room + gap);
    let in_order = Column::ALL.into_iter().filter(|column| chosen.contains(column));
    let mut widths: Vec<_> = in_order.map(|column| (column, bounds(column)[goal(count)])).collect();
    for goal in 1..4 {
        left = widen(&mut widths, left, goal);
    }
    widths
}

/// Gives columns one each in turn until they have what they want or nothing is left.
fn widen(widths: &mut [(Column, u16)], mut left: u16, goal: usize) -> u16 {
    loop {
        let before = left;
        for (column, width) in widths.iter_mut() {
            if left > 0 && *width < bounds(*column)[goal] {
                *width += 1;
                left -= 1;
            }
        }
        if left == before {
            return left;
        }
    }
}

fn heading(columns: &[(Column, u16)], gap: u16, model: &Model, theme: &Theme) -> Line<'static> {
    let mut line = Line::from(" ".repeat(usize::from(MARK_WIDTH)));
    for &(column, width) in columns {
        let sorted = model.sort.column == column;
        let mark = match (sorted, model.sort.descending) {
            (false, _) => "",
            (true, false) => "▲",
            (true, true) => "▼",
        };
        let title =
            cell(&format!("{}{mark}", column.title()), usize::from(width), is_figure(column));
        line.push_span(Span::styled(title, if sorted { theme.heading } else { theme.dim }));
        line.push_span(" ".repeat(usize::from(gap)));
    }
    line
}

/// Why there is no row.
fn nothing(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let words = match model.filter_text() {
        Some(filter) if !model.table.is_empty() => {
            let filter = text::clean(filter);
            format!("None of {} connections matches {filter}", model.table.len())
        }
        _ => "No connection yet: every new one shows up here as it opens".to_owned(),
    };
    let line = Line::styled(format!("  {words}"), theme.dim);
    put_line(buffer, area, area.height.min(3) - 1, &line);
}

fn draw_row(
    buffer: &mut Buffer,
    area: Rect,
    row: &Row,
    columns: &[(Column, u16)],
    model: &Model,
    theme: &Theme,
) {
    let verdict = verdict(row, model.now());
    let selected = model.cursor.selected == Some(row.connection().id);
    let fading =
        row.ended().then(|| if row.is_nearly_gone(model.now()) { theme.faded } else { theme.dim });
    let mark = match (selected, verdict.tone) {
        (true, _) => ("▸", theme.accent),
        (false, Tone::Bad) => ("!", theme.bad),
        (false, _) => (" ", theme.text),
    };
    buffer.set_stringn(area.x, area.y, mark.0, 1, mark.1);
    let mut x = area.x + MARK_WIDTH;
    for &(column, width) in columns {
        let (value, style) = value(row, column, usize::from(width), &verdict, model, theme);
        let style = fading.filter(|_| column != Column::Verdict).unwrap_or(style);
        let value = cell(&value, usize::from(width), is_figure(column));
        buffer.set_stringn(x, area.y, value, usize::from(width), style);
        x += width + gap(area.width);
    }
    if selected {
        buffer.set_style(area, theme.selected);
    }
}

/// What stands in a cell, and its looks.
fn value<'a>(
    row: &Row,
    column: Column,
    width: usize,
    verdict: &'a Verdict,
    model: &Model,
    theme: &Theme,
) -> (Cow<'a, str>, Style) {
    let connection = row.connection();
    let plain = |text: String| (Cow::Owned(text), theme.text);
    match column {
        Column::State => (Cow::Borrowed(row.state().name()), theme.state(row.state())),
        Column::Age => plain(age(row, model)),
        Column::Owner => {
            plain(row.owner().map_or_else(|| "?".to_owned(), |owner| fit_owner(&owner, width)))
        }
        Column::Local => plain(fit_end(&address(&connection.local), width).into_owned()),
        Column::Remote => plain(format!(
            "{} {}",
            arrow(connection.endpoint),
            fit_end(&address(&connection.remote), width.saturating_sub(2))
        )),
        Column::Requests => plain(match row.exchanges() {
            0 => String::new(),
            exchanges => text::count(exchanges),
        }),
        Column::LastRequest => match row.last_exchange() {
            None => plain(String::new()),
            Some(exchange) => {
                (Cow::Owned(last_request(exchange, width)), theme.status(exchange.status))
            }
        },
        Column::Wait => plain(
            row.last_exchange()
                .and_then(|e| e.timing.wait_us)
                .map(text::duration)
                .unwrap_or_default(),
        ),
        Column::Rtt => plain(connection.srtt_us.map(text::duration).unwrap_or_default()),
        Column::Verdict => (Cow::Borrowed(&*verdict.words), theme.tone(verdict.tone)),
    }
}

/// The name gives way before the pid does.
fn fit_owner(owner: &str, width: usize) -> String {
    let owner = text::clean(owner);
    match owner.rfind('[') {
        Some(at) if owner.len() > width => {
            let (name, pid) = owner.split_at(at);
            format!("{}{pid}", fit(name, width.saturating_sub(pid.len())))
        }
        _ => owner.into_owned(),
    }
}

/// Time in the state; in TIME_WAIT what is left of it; at least (`>`) the tracer's own age where the begin
/// was not seen.
fn age(row: &Row, model: &Model) -> String {
    let now = model.now();
    if let Some(left_us) = row.time_wait_left_us(now) {
        return format!("{} left", text::duration(left_us / 1_000_000 * 1_000_000));
    }
    let started = model.host.as_ref().map(|host| host.started_at);
    match (row.since(), started) {
        (Some(since), _) => text::duration(now.since_us(since)),
        (None, Some(started)) => format!("> {}", text::duration(now.since_us(started))),
        (None, None) => "?".to_owned(),
    }
}

/// Method and target, and at the right edge the status, which is never cut.
fn last_request(exchange: &Exchange, width: usize) -> String {
    let status = match (exchange.status, exchange.complete) {
        (Some(status), true) => status.to_string(),
        (Some(status), false) => format!("{status}?"),
        (None, _) => "...".to_owned(),
    };
    let room = width.saturating_sub(status.len() + 1);
    format!("{} {status}", cell(&request(exchange), room, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_never_take_more_than_the_room_there_is() {
        for room in 0..300 {
            let columns = widths(room);
            let gaps = gap(room + MARK_WIDTH) * (columns.len() as u16).saturating_sub(1);
            let taken: u16 = columns.iter().map(|(_, width)| width).sum();
            assert!(taken + gaps <= room, "{columns:?} in {room}");
        }
    }

    #[test]
    fn eighty_columns_have_room_for_verdict_and_last_request() {
        let columns: Vec<Column> = widths(78).into_iter().map(|(column, _)| column).collect();
        assert!(columns.contains(&Column::Verdict) && columns.contains(&Column::LastRequest));
    }

    #[test]
    fn a_long_name_gives_way_before_its_pid() {
        assert_eq!(fit_owner("a-very-long-process[31337]", 14), "a-very…[31337]");
        assert_eq!(fit_owner("curl[812]", 14), "curl[812]");
    }
}
