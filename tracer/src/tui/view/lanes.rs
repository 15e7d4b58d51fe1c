//! The life cycle in its small form: population per state, and how lively its entry is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{cell, put_line};
use crate::tcp::TcpState;
use crate::time::Timestamp;
use crate::tui::model::lanes::{LANE_SECONDS, Lane, Lanes};
use crate::tui::model::row::lane_span_us;
use crate::tui::model::table::Table;
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

/// Time in a state that takes a connection one step into its lane, microseconds.
const FIRST_STEP_US: f64 = 20_000.0;
/// For so long it is shown as having just come, microseconds.
const JUST_CAME_US: u64 = 400_000;

pub fn draw(buffer: &mut Buffer, area: Rect, table: &Table, now: Timestamp, theme: &Theme) {
    if area.height >= 3 && area.width >= FULL_WIDTH {
        full(buffer, area, table, now, theme);
    } else {
        small(buffer, area, table, now, theme);
    }
}

fn full(buffer: &mut Buffer, area: Rect, table: &Table, now: Timestamp, theme: &Theme) {
    let lanes = table.lanes();
    let width = (usize::from(area.width) / 9).saturating_sub(1).min(MAX_LANE_WIDTH);
    let [mut titles, mut names, mut figures, mut dots] = [(); 4].map(|()| Line::from(" "));
    for (title, states) in GROUPS {
        let group = cell(&rule(title, width * states.len() - 1), width * states.len() + 1, false);
        titles.push_span(Span::styled(group, theme.dim));
        for &state in states {
            names.push_span(Span::styled(
                cell(state.name(), width, false),
                name_style(lanes, state, theme),
            ));
            push_figures(&mut figures, lanes, state, width, theme);
            push_dots(&mut dots, table, state, now, width, theme);
        }
        names.push_span(" ");
        figures.push_span(" ");
        dots.push_span(" ");
    }
    for (row, line) in (0..).zip([titles, names, figures, dots]) {
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

/// The youngest connections of a lane on their way through it: each comes in at the left and goes right the longer it
/// stays, in ever smaller steps; at the right end it has been there for longer than it should.
fn push_dots(
    line: &mut Line<'static>,
    table: &Table,
    state: TcpState,
    now: Timestamp,
    width: usize,
    theme: &Theme,
) {
    let mut cells = [(0_u32, false); MAX_LANE_WIDTH];
    let cells = &mut cells[..width.saturating_sub(2).max(1)];
    for age_us in table.youngest_us(state, now) {
        let (count, is_news) = &mut cells[place(age_us, lane_span_us(state), cells.len())];
        *count += 1;
        *is_news |= age_us < JUST_CAME_US;
    }
    let last = cells.len() - 1;
    for (at, (count, is_news)) in cells.iter().enumerate() {
        let dot = match count {
            0 => " ",
            1..=2 => "•",
            _ => "●",
        };
        let style = match (is_news, at == last && table.lanes().lane(state).stuck > 0) {
            (_, true) => theme.bad,
            (true, _) => theme.heading,
            _ => theme.state(state),
        };
        line.push_span(Span::styled(dot, style));
    }
    line.push_span(" ".repeat(width - cells.len()));
}

/// Which of `cells` a connection stands in, by the logarithm of its time there.
fn place(age_us: u64, span_us: u64, cells: usize) -> usize {
    let steps = |us: u64| (us as f64 / FIRST_STEP_US).ln_1p();
    let share = steps(age_us) / steps(span_us);
    ((share * cells as f64) as usize).min(cells - 1)
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

fn small(buffer: &mut Buffer, area: Rect, table: &Table, now: Timestamp, theme: &Theme) {
    let lanes = table.lanes();
    let [mut names, mut figures] = [(); 2].map(|()| Line::from(" "));
    for state in GROUPS.iter().flat_map(|(_, states)| states.iter().copied()) {
        let name = short_name(state);
        let width = name.len() + 1;
        names.push_span(Span::styled(cell(name, width, false), name_style(lanes, state, theme)));
        let lane = lanes.lane(state);
        // No room for dots: the figure lights up where somebody has just come.
        let is_news = table.youngest_us(state, now).any(|age_us| age_us < JUST_CAME_US);
        let style = match figure_style(lane, theme) {
            style if is_news && lane.stuck == 0 => style.patch(theme.heading),
            style => style,
        };
        figures.push_span(Span::styled(cell(&population(lane), width, false), style));
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
    fn a_connection_goes_right_in_its_lane_and_never_leaves_it_by_age() {
        let places: Vec<usize> = [0, 20_000, 200_000, 2_000_000, 60_000_000, u64::MAX]
            .map(|age_us| place(age_us, 60_000_000, 12))
            .into();
        assert_eq!(places, [0, 1, 3, 6, 11, 11]);
    }

    #[test]
    fn the_short_names_fit_into_their_width() {
        let names = GROUPS.iter().flat_map(|(_, states)| states.iter());
        let width: usize = names.map(|&state| short_name(state).len() + 1).sum();
        assert!(width <= usize::from(SMALL_WIDTH));
    }
}
