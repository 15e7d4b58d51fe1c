//! The page of groups: connections taken together, and what stands out in each.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{cell, put_line};
use crate::tui::model::Model;
use crate::tui::model::groups::{Group, GroupBy, GroupOrder};
use crate::tui::text::{self, fit};
use crate::tui::theme::Theme;

/// Columns of the mark before each group.
const MARK_WIDTH: usize = 2;
/// Columns of the name at least and at most.
const NAME_WIDTH: (usize, usize) = (14, 64);
/// Columns of a figure, its gap included.
const FIGURE_WIDTH: usize = 9;

/// A column of figures.
struct Figure {
    title: &'static str,
    value: fn(&Group) -> Option<String>,
    /// How it looks where it is not nothing.
    style: fn(&Theme) -> Style,
    /// The order that it decides.
    order: Option<GroupOrder>,
}

const fn figure(
    title: &'static str,
    value: fn(&Group) -> Option<String>,
    style: fn(&Theme) -> Style,
    order: Option<GroupOrder>,
) -> Figure {
    Figure { title, value, style, order }
}

fn plain(theme: &Theme) -> Style {
    theme.text
}

fn bad(theme: &Theme) -> Style {
    theme.bad
}

fn counted(figure: u64) -> Option<String> {
    (figure > 0).then(|| text::count(figure))
}

/// From the most to the least wanted.
const FIGURES: [Figure; 10] = [
    figure("CONNS", |g| counted(u64::from(g.connections)), plain, Some(GroupOrder::Largest)),
    figure("STUCK", |g| counted(u64::from(g.stuck)), bad, Some(GroupOrder::Worst)),
    figure("FAILED", |g| counted(u64::from(g.failed)), bad, None),
    figure("REQ", |g| counted(g.requests), plain, Some(GroupOrder::Busiest)),
    figure("BAD", |g| counted(u64::from(g.bad_requests)), bad, None),
    figure("WAIT p95", |g| g.wait_p95_us.map(text::duration), plain, Some(GroupOrder::Slowest)),
    figure("OPEN", |g| counted(u64::from(g.open)), plain, None),
    figure("CL_WAIT", |g| counted(u64::from(g.close_wait)), |theme| theme.notice, None),
    figure("OPENING", |g| counted(u64::from(g.opening)), plain, None),
    figure("TIME_W", |g| counted(u64::from(g.time_wait)), plain, None),
];

pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let (name_width, figures) = columns(usize::from(area.width));
    put_line(buffer, area, 0, &heading(name_width, figures, model, theme));
    buffer.set_style(Rect { height: 1, ..area }, theme.ruled);
    if model.groups.is_empty() {
        let line = Line::styled("  No connection to group", theme.dim);
        return put_line(buffer, area, area.height.min(3) - 1, &line);
    }
    let lines = usize::from(area.height.saturating_sub(1));
    for (group, row) in model.groups.in_sight(lines).zip(1..) {
        put_line(buffer, area, row, &line(group, name_width, figures, model, theme));
        if model.groups.selected.as_deref() == Some(&group.filter) {
            buffer.set_style(Rect { y: area.y + row, height: 1, ..area }, theme.selected);
        }
    }
}

/// The width of the name, and the figures that fit beside it.
fn columns(width: usize) -> (usize, &'static [Figure]) {
    let room = width.saturating_sub(MARK_WIDTH + NAME_WIDTH.0);
    let figures = &FIGURES[..(room / FIGURE_WIDTH).min(FIGURES.len())];
    let left = width.saturating_sub(MARK_WIDTH + figures.len() * FIGURE_WIDTH);
    (left.min(NAME_WIDTH.1), figures)
}

fn heading(name_width: usize, figures: &[Figure], model: &Model, theme: &Theme) -> Line<'static> {
    let by = cell(model.groups.by.title(), name_width, false);
    let mut line = Line::from(vec![Span::raw("  "), Span::styled(by, theme.heading)]);
    for figure in figures {
        let sorts = figure.order == Some(model.groups.order);
        let title = format!("{}{}", figure.title, if sorts { "▼" } else { "" });
        let style = if sorts { theme.heading } else { theme.dim };
        line.push_span(Span::styled(cell(&title, FIGURE_WIDTH, true), style));
    }
    line
}

fn line(
    group: &Group,
    name_width: usize,
    figures: &[Figure],
    model: &Model,
    theme: &Theme,
) -> Line<'static> {
    let mark = match model.groups.selected.as_deref() == Some(&group.filter) {
        true => Span::styled("▸ ", theme.accent),
        false if group.stuck + group.failed > 0 => Span::styled("! ", theme.bad),
        false => Span::raw("  "),
    };
    let name = match &group.name {
        Some(name) => Span::styled(shown_name(name, name_width), theme.text),
        None => Span::styled(cell(unknown(model.groups.by), name_width, false), theme.dim),
    };
    let mut line = Line::from(vec![mark, name]);
    for figure in figures {
        let value = (figure.value)(group).unwrap_or_default();
        line.push_span(Span::styled(cell(&value, FIGURE_WIDTH, true), (figure.style)(theme)));
    }
    line
}

fn shown_name(name: &str, width: usize) -> String {
    cell(&fit(&text::clean(name), width.saturating_sub(1)), width, false)
}

/// What is said of connections whose group is not known.
fn unknown(by: GroupBy) -> &'static str {
    match by {
        GroupBy::Process => "owner unknown",
        GroupBy::Remote => "address unknown",
        GroupBy::Port => "unknown which end it is",
        GroupBy::Container => "no container known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_figures_never_take_more_than_the_room_there_is() {
        for width in 40..300 {
            let (name, figures) = columns(width);
            assert!(MARK_WIDTH + name + figures.len() * FIGURE_WIDTH <= width, "{width}");
            assert!(name >= NAME_WIDTH.0, "{width}");
        }
    }
}
