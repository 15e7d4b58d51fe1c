//! The pane of the selected connection.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::{cell, put_line};
use crate::tui::model::Model;
use crate::tui::model::detail::{DetailLine, ExchangeLine, LifeStep, lines, title};
use crate::tui::text::{self, wrap};
use crate::tui::theme::Theme;

/// Columns of the bar that counts TIME_WAIT down.
const GAUGE_WIDTH: usize = 12;
/// Columns from which an exchange's answer has a place of its own.
const WIDE: usize = 70;

pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let Some(row) = model.selected() else { return };
    let room = usize::from(area.width.saturating_sub(4));
    let title = format!(" {} ", text::fit(&title(row), room));
    let block = Block::bordered().border_style(theme.dim).title(Span::styled(title, theme.heading));
    let inner = block.inner(area);
    Clear.render(area, buffer);
    block.render(area, buffer);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let width = usize::from(inner.width);
    let all: Vec<Line> = lines(model).iter().flat_map(|line| looks(line, width, theme)).collect();
    // The end may be scrolled up to the last line of the pane, not past it.
    let height = usize::from(inner.height);
    let first = model.panes.detail_scroll.min(all.len().saturating_sub(height));
    for (line, row) in all[first..].iter().zip(0..inner.height) {
        put_line(buffer, inner, row, line);
    }
    more(buffer, area, all.len().saturating_sub(first + height), theme);
}

/// Says how many lines are below the pane.
fn more(buffer: &mut Buffer, area: Rect, below: usize, theme: &Theme) {
    if below > 0 {
        let words = format!(" {below} more, PgDn ");
        let x = area.right().saturating_sub(words.len() as u16 + 2).max(area.x);
        let room = usize::from(area.right().saturating_sub(x));
        buffer.set_stringn(x, area.bottom() - 1, words, room, theme.accent);
    }
}

fn looks(line: &DetailLine, width: usize, theme: &Theme) -> Vec<Line<'static>> {
    match line {
        DetailLine::Blank => vec![Line::default()],
        DetailLine::Sentence(words, tone) => {
            let lines = wrap(&text::clean(words), width).into_iter();
            lines.map(|line| Line::styled(line, theme.tone(*tone))).collect()
        }
        DetailLine::LadderHeading(ladder) => vec![super::ladder::heading(ladder, width, theme)],
        DetailLine::Rung(rung) => vec![super::ladder::line(rung, width, theme)],
        DetailLine::LifeHeading => {
            let heading = format!("{:<11}  {:<15}  {:>8}  MEANS", "STATE", "SINCE (UTC)", "FOR");
            vec![Line::styled(heading, theme.dim)]
        }
        DetailLine::Life(step) => vec![life(step, width, theme)],
        DetailLine::Fact(name, value) => {
            let name = Span::styled(format!("{name:<9}"), theme.dim);
            let value = text::fit(value, width.saturating_sub(9)).into_owned();
            vec![Line::from(vec![name, Span::styled(value, theme.text)])]
        }
        DetailLine::ExchangesHeading(all, listed) => {
            let heading = match *all > *listed as u64 {
                true => format!("REQUESTS: {all}, the last {listed} of them"),
                false => format!("REQUESTS: {all}"),
            };
            vec![Line::styled(heading, theme.dim)]
        }
        DetailLine::Exchange(exchange) => vec![exchange_line(exchange, width, theme)],
    }
}

fn life(step: &LifeStep, width: usize, theme: &Theme) -> Line<'static> {
    let at = step.at.map_or_else(|| "before tracer".to_owned(), |at| text::time_of_day(at, 6));
    let lasted = step.lasted_us.map(text::duration).unwrap_or_default();
    let mut line = Line::from(vec![
        Span::styled(format!("{:<11}  ", step.state.name()), theme.state(step.state)),
        Span::styled(format!("{at:<15}  "), theme.dim),
        Span::styled(format!("{lasted:>8}  "), theme.text),
    ]);
    if let (Some(share), Some(left_us)) = (step.share_over(), step.left_us) {
        let left = text::duration(left_us / 1_000_000 * 1_000_000);
        line.push_span(Span::styled(gauge(share), theme.state(step.state)));
        line.push_span(Span::styled(format!(" {left} left  "), theme.text));
    }
    let room = width.saturating_sub(line.width());
    line.push_span(Span::styled(text::fit(step.meaning, room).into_owned(), theme.dim));
    line
}

/// A bar whose filled part shrinks as the time runs out.
fn gauge(share_over: f64) -> String {
    let left = ((1.0 - share_over) * GAUGE_WIDTH as f64).ceil().clamp(0.0, GAUGE_WIDTH as f64);
    let left = left as usize;
    format!("{}{}", "█".repeat(left), "░".repeat(GAUGE_WIDTH - left))
}

fn exchange_line(exchange: &ExchangeLine, width: usize, theme: &Theme) -> Line<'static> {
    let status = exchange.status.map_or_else(|| "...".to_owned(), |status| status.to_string());
    let wait = exchange.wait_us.map(text::duration).unwrap_or_default();
    let answer_width = if width >= WIDE { 30 } else { 0 };
    let request_width = width.saturating_sub(6 + 4 + 9 + answer_width);
    Line::from(vec![
        Span::styled(format!("{:<6}", format!("#{}", exchange.number)), theme.dim),
        Span::styled(cell(&exchange.request, request_width, false), theme.text),
        Span::styled(format!(" {status:>3}"), theme.status(exchange.status)),
        Span::styled(format!(" {wait:>8}"), theme.text),
        Span::styled(
            text::fit(&format!("  {}", exchange.answer), answer_width).into_owned(),
            theme.dim,
        ),
    ])
}
