//! Lines of the ladder: the client's state, what passes, the server's state, when, and what it proves.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::cell;
use crate::tcp::TcpState;
use crate::tui::model::ladder::{Between, Ladder, Rung, Seen, Side};
use crate::tui::text::{self, fit};
use crate::tui::theme::Theme;

/// Columns of a state's name.
const STATE: usize = 11;
/// Columns of the time since the first line.
const SINCE: usize = 10;
/// Columns of what passes, at least and at most.
const BETWEEN: (usize, usize) = (34, 44);
/// Columns that are too few to say what a line proves.
const PROVES: usize = 20;

/// The columns of a ladder that is `width` wide.
#[derive(Clone, Copy)]
struct Columns {
    between: usize,
    proves: usize,
}

impl Columns {
    fn of(width: usize) -> Columns {
        let rest = width.saturating_sub(2 * (STATE + 1) + SINCE + 1);
        if rest < BETWEEN.1 + PROVES {
            return Columns { between: rest.min(BETWEEN.1), proves: 0 };
        }
        let between = (rest / 2).clamp(BETWEEN.0, BETWEEN.1);
        Columns { between, proves: rest.saturating_sub(between + 2) }
    }
}

/// Who stands on which side.
pub fn heading(ladder: &Ladder, width: usize, theme: &Theme) -> Line<'static> {
    let columns = Columns::of(width);
    let side = STATE + 1 + columns.between / 2;
    let client = cell(&ladder.client, side.saturating_sub(1), false);
    let room = width.saturating_sub(side + 1);
    let server = fit(&ladder.server, room).into_owned();
    Line::from(vec![
        Span::styled(client, theme.heading),
        Span::raw("  "),
        Span::styled(server, theme.heading),
    ])
}

/// One line.
pub fn line(rung: &Rung, width: usize, theme: &Theme) -> Line<'static> {
    let columns = Columns::of(width);
    let (words, style) = between(rung, columns.between, theme);
    let since = match rung.between {
        Between::Quiet(_) | Between::LeftOut(_) => String::new(),
        _ => format!("+{}", text::duration(rung.since_us)),
    };
    let mut spans = vec![
        state(rung.client, theme),
        Span::raw(" "),
        Span::styled(words, style),
        Span::raw(" "),
        state(rung.server, theme),
        Span::styled(format!("{since:>SINCE$}"), theme.dim),
    ];
    if columns.proves > 0 {
        let proves = fit(&rung.proves, columns.proves).into_owned();
        spans.push(Span::styled(format!("  {proves}"), theme.dim));
    }
    Line::from(spans)
}

fn state(state: Option<TcpState>, theme: &Theme) -> Span<'static> {
    let name = state.map_or("", TcpState::name);
    Span::styled(format!("{name:<STATE$}"), state.map_or(theme.text, |state| theme.state(state)))
}

fn between(rung: &Rung, width: usize, theme: &Theme) -> (String, Style) {
    match &rung.between {
        Between::Segment { from, words, repeated, seen } => {
            let head = if *seen == Seen::NotArriving { '✗' } else { '▶' };
            let style =
                if *repeated || *seen == Seen::NotArriving { theme.notice } else { theme.text };
            let style = if words.starts_with("RST") { theme.bad } else { style };
            (arrow(*from, words, '─', head, width), style)
        }
        Between::Message { from, words, status } => {
            (arrow(*from, words, '═', '▶', width), theme.status(*status))
        }
        Between::Quiet(us) => (centred(&format!("┆ {}", text::duration(*us)), width), theme.dim),
        Between::LeftOut(segments) => {
            let words = format!("{} not kept", text::plural(*segments, "segment"));
            (centred(&words, width), theme.dim)
        }
        Between::Nothing => (centred("", width), theme.dim),
    }
}

/// `├─ SYN seq 0 ──────▶│`, or the same from the right.
fn arrow(from: Side, words: &str, shaft: char, head: char, width: usize) -> String {
    // Two ends, the head, a piece of shaft before the words and a space on each side of them.
    let room = width.saturating_sub(6);
    let words = fit(words, room);
    let rest: String = std::iter::repeat_n(shaft, room.saturating_sub(words.width())).collect();
    let back = if head == '▶' { '◀' } else { head };
    match from {
        Side::Client => format!("├{shaft} {words} {rest}{head}│"),
        Side::Server => format!("│{back}{rest} {words} {shaft}┤"),
    }
}

fn centred(words: &str, width: usize) -> String {
    let room = width.saturating_sub(2);
    let words = fit(words, room);
    let left = (room - words.width().min(room)) / 2;
    let right = room.saturating_sub(left + words.width());
    format!("│{}{words}{}│", " ".repeat(left), " ".repeat(right))
}
