//! The life cycle in its small form: population per state, and how lively its entry is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{cell, put_line};
use crate::tcp::TcpState;
use crate::tui::model::lanes::{LANE_SECONDS, Lane, Lanes};
use crate::tui::text;
use crate::tui::theme::Theme;

/// Columns that the full form needs.
pub const FULL_WIDTH: u16 = 116;
/// Columns that the short form needs.
pub const SMALL_WIDTH: u16 = 76;
/// Columns of a lane at most: wider ones are hard to read as one line.
const MAX_LANE_WIDTH: usize = 22;

const GROUPS: [(&str, &[TcpState]); 4] = [
    ("opening", &[TcpState::SynSent, TcpState::SynRecv]),
    ("open", &[TcpState::Established]),
    (
        "closed here first",
        &[TcpState::FinWait1, TcpState::FinWait2, TcpState::Closing, TcpState::TimeWait],
    ),
    ("closed there first", &[TcpState::CloseWait, TcpState::LastAck]),
];

pub fn draw(buffer: &mut Buffer, area: Rect, lanes: &Lanes, theme: &Theme) {
    if area.height >= 3 && area.width >= FULL_WIDTH {
        full(buffer, area, lanes, theme);
    } else {
        small(buffer, area, lanes, theme);
    }
}

fn full(buffer: &mut Buffer, area: Rect, lanes: &Lanes, theme: &Theme) {
    let width = (usize::from(area.width) / 9).saturating_sub(1).min(MAX_LANE_WIDTH);
    let [mut titles, mut names, mut figures] = [(); 3].map(|()| Line::from(" "));
    for (title, states) in GROUPS {
        let group = cell(&rule(title, width * states.len() - 1), width * states.len() + 1, false);
        titles.push_span(Span::styled(group, theme.dim));
        for &state in states {
            names.push_span(Span::styled(
                cell(state.name(), width, false),
                name_style(lanes, state, theme),
            ));
            push_figures(&mut figures, lanes, state, width, theme);
        }
        names.push_span(" ");
        figures.push_span(" ");
    }
    for (row, line) in (0..).zip([titles, names, figures]) {
        put_line(buffer, area, row, &line);
    }
}

/// `title ──────` of `width` columns.
fn rule(title: &str, width: usize) -> String {
    let line = "─".repeat(width.saturating_sub(title.len() + 1));
    format!("{title} {line}")
}

/// Population, a mark where some are stuck, and entries per second as a sparkline.
fn push_figures(
    line: &mut Line<'static>,
    lanes: &Lanes,
    state: TcpState,
    width: usize,
    theme: &Theme,
) {
    let lane = lanes.lane(state);
    line.push_span(Span::styled(cell(&population(lane), 6, false), figure_style(lane, theme)));
    let room = width.saturating_sub(7).min(LANE_SECONDS);
    let spark = sparkline(lanes.entries(state).skip(LANE_SECONDS - room));
    line.push_span(Span::styled(cell(&spark, width - 6, false), theme.state(state)));
}

fn population(lane: &Lane) -> String {
    let stuck = if lane.stuck > 0 { "!" } else { "" };
    format!("{}{stuck}", text::count(u64::from(lane.population)))
}

fn figure_style(lane: &Lane, theme: &Theme) -> Style {
    match (lane.stuck, lane.population) {
        (1.., _) => theme.bad,
        (0, 0) => theme.dim,
        _ => theme.text,
    }
}

fn name_style(lanes: &Lanes, state: TcpState, theme: &Theme) -> Style {
    if lanes.lane(state).population == 0 { theme.dim } else { theme.state(state) }
}

/// Eight heights, the largest value the highest; nothing at all where nothing happened.
fn sparkline(values: impl Iterator<Item = u32>) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<u32> = values.collect();
    let highest = values.iter().copied().max().unwrap_or(0);
    let height = |value: u32| {
        let step = (u64::from(value) * 7).div_ceil(u64::from(highest.max(1)));
        HEIGHTS[step.min(7) as usize]
    };
    if highest == 0 { String::new() } else { values.into_iter().map(height).collect() }
}

fn small(buffer: &mut Buffer, area: Rect, lanes: &Lanes, theme: &Theme) {
    let [mut names, mut figures] = [(); 2].map(|()| Line::from(" "));
    for state in GROUPS.iter().flat_map(|(_, states)| states.iter().copied()) {
        let name = short_name(state);
        let width = name.len() + 1;
        names.push_span(Span::styled(cell(name, width, false), name_style(lanes, state, theme)));
        let lane = lanes.lane(state);
        figures.push_span(Span::styled(
            cell(&population(lane), width, false),
            figure_style(lane, theme),
        ));
    }
    put_line(buffer, area, 0, &names);
    put_line(buffer, area, 1, &figures);
}

/// The longest names shortened, so that nine fit into eighty columns.
fn short_name(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "ESTAB",
        TcpState::FinWait1 => "FIN_W1",
        TcpState::FinWait2 => "FIN_W2",
        _ => state.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_is_as_high_as_its_largest_value() {
        assert_eq!(sparkline([0, 1, 4, 8].into_iter()), "▁▂▅█");
        assert_eq!(sparkline([0, 0].into_iter()), "");
        assert_eq!(sparkline([u32::MAX].into_iter()), "█");
    }

    #[test]
    fn the_short_names_fit_into_their_width() {
        let names = GROUPS.iter().flat_map(|(_, states)| states.iter());
        let width: usize = names.map(|&state| short_name(state).len() + 1).sum();
        assert!(width <= usize::from(SMALL_WIDTH));
    }
}
