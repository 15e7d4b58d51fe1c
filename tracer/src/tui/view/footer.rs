//! The last line: the keys that apply now, or the filter line.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::put_line;
use crate::tui::model::filter::FilterLine;
use crate::tui::model::forms::FORMS;
use crate::tui::model::{Flow, Model, Page};
use crate::tui::text::{clean, fit};
use crate::tui::theme::Theme;

/// Draws it; the column of the text cursor, where there is one.
pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) -> Option<u16> {
    match (&model.editing, model.notice()) {
        (Some(line), _) => Some(filter_line(buffer, area, line, theme)),
        (None, Some(notice)) if !model.panes.forms => {
            let style = if notice.is_failure { theme.bad } else { theme.notice };
            let text =
                fit(&clean(&notice.text), usize::from(area.width).saturating_sub(2)).into_owned();
            put_line(buffer, area, 0, &Line::styled(format!(" {text}"), style));
            None
        }
        (None, _) => {
            let position = position(model);
            let room = area.width.saturating_sub(position.width() as u16 + 1);
            put_line(buffer, area, 0, &keys(model, usize::from(room), theme));
            let x = area.right().saturating_sub(position.width() as u16 + 1).max(area.x);
            buffer.set_stringn(x, area.y, position, usize::from(area.width), theme.dim);
            None
        }
    }
}

/// The keys of the log, while they go there.
const LOG_KEYS: [(&str, &str); 6] = [
    ("↑ ↓", "target"),
    ("← →", "level shown"),
    ("- +", "level kept"),
    ("f", "only this one"),
    ("PgUp", "older"),
    ("Esc", "back"),
];

/// The keys that matter now, as many as fit.
fn keys(model: &Model, room: usize, theme: &Theme) -> Line<'static> {
    if model.panes.forms {
        let keys: Vec<_> = FORMS.iter().map(|(key, _, name)| (key.to_string(), *name)).collect();
        let back = [("Esc", "back")];
        let all = keys.iter().map(|(key, name)| (key.as_str(), *name)).chain(back);
        return line_of("export as:", all, room, theme);
    }
    if model.panes.log_keys {
        return line_of("", LOG_KEYS.iter().copied(), room, theme);
    }
    let pause = if matches!(model.flow, Flow::Paused { .. }) { "go on" } else { "pause" };
    let other = match model.page {
        Page::Connections => "requests",
        Page::Requests => "groups",
        Page::Groups => "connections",
    };
    let enter = match (model.page, model.panes.detail) {
        (Page::Groups, _) => [("Enter", "its connections"), ("b", "group by")],
        (_, true) => [("Esc", "back"), ("PgDn", "scroll")],
        (_, false) => [("Enter", "detail"), ("s", "sort")],
    };
    let before = [("?", "keys"), ("q", "quit"), ("space", pause), ("/", "filter")];
    let after = match model.page {
        Page::Groups => [("Tab", other), ("s", "sort"), ("y", "copy its filter"), ("l", "log")],
        _ => [("Tab", other), ("b", "groups"), ("y", "copy"), ("l", "log")],
    };
    let play = [
        (".", "step"),
        ("+ -", "speed"),
        ("[ ]", "10 s back, on"),
        ("c", "to its begin"),
        ("n", "next match"),
    ];
    let play = match (model.play, model.filter_text()) {
        (Some(_), Some(_)) => &play[..],
        (Some(_), None) => &play[..play.len() - 1],
        (None, _) => &[][..],
    };
    let files = [
        ("e", "export"),
        ("r", if model.stats.recording.is_some() { "end recording" } else { "record" }),
    ];
    let alarm = [("!", "next alarm")];
    let alarm = if model.table.alarms().is_empty() { &[][..] } else { &alarm[..] };
    let all = before.iter().chain(play).chain(alarm).chain(&enter).chain(&after).chain(&files);
    line_of("", all.copied(), room, theme)
}

/// As many of `keys` as fit, behind what they are about, where that needs a word.
fn line_of<'a>(
    about: &'static str,
    keys: impl Iterator<Item = (&'a str, &'a str)>,
    room: usize,
    theme: &Theme,
) -> Line<'static> {
    let mut line = Line::from(" ");
    if !about.is_empty() {
        line.push_span(Span::styled(about, theme.text));
        line.push_span(" ");
    }
    for (key, does) in keys {
        if line.width() + key.width() + does.len() + 2 <= room {
            line.push_span(Span::styled(key.to_owned(), theme.accent));
            line.push_span(Span::styled(format!(" {does}  "), theme.dim));
        }
    }
    line
}

/// `14 of 812`.
fn position(model: &Model) -> String {
    if model.page == Page::Requests {
        let (requests, all) = (&model.requests, model.requests.len());
        return match requests.selected {
            Some(_) => format!("{} of {all}", requests.index + 1),
            None => format!("last {all} requests"),
        };
    }
    if model.page == Page::Groups {
        let (groups, all) = (&model.groups, model.groups.len());
        let left_out = match groups.left_out() {
            0 => String::new(),
            left_out => format!(", {left_out} more not shown"),
        };
        return match groups.selected {
            Some(_) => format!("{} of {all} groups{left_out}", groups.index + 1),
            None => format!("{all} groups{left_out}"),
        };
    }
    let (shown, all) = (model.table.shown().len(), model.table.len());
    match model.cursor.selected {
        Some(_) => format!("{} of {shown}", model.cursor.index + 1),
        None if shown < all => format!("{shown} of {all} shown"),
        None => format!("{all} shown"),
    }
}

/// What Tab makes of the word before the cursor, in turn.
fn offers(line: &FilterLine, theme: &Theme) -> Span<'static> {
    let next = line.taken().and_then(|taken| line.offers.iter().position(|offer| offer == taken));
    let next = next.map_or(0, |at| at + 1);
    let offers: Vec<_> = line.offers.iter().cycle().skip(next).take(line.offers.len()).collect();
    let words: Vec<_> = offers.iter().map(|offer| clean(offer)).collect();
    Span::styled(format!("Tab: {}", words.join("  ")), theme.dim)
}

/// The filter as it is typed, and beside it what is wrong with it.
fn filter_line(buffer: &mut Buffer, area: Rect, line: &FilterLine, theme: &Theme) -> u16 {
    const PROMPT: &str = " / ";
    let width = usize::from(area.width);
    let (text, before) = (line.text(), line.before_cursor());
    let hint = match &line.error {
        _ if !line.offers.is_empty() && !text.is_empty() => offers(line, theme),
        Some(error) => Span::styled(format!("✗ {}", clean(error)), theme.bad),
        None if text.is_empty() => {
            let example =
                "port:443 comm:nginx state:time_wait status:5xx  (Tab completes, Enter: all)";
            Span::styled(example, theme.dim)
        }
        None => Span::styled("Enter applies, Esc leaves it", theme.dim),
    };
    let shown = clean(&text).into_owned();
    let gap = if text.is_empty() { " " } else { "   " };
    let room = width.saturating_sub(PROMPT.len() + shown.width() + gap.len());
    let hint = Span::styled(fit(&hint.content, room).into_owned(), hint.style);
    let all = Line::from(vec![
        Span::styled(PROMPT, theme.accent),
        Span::styled(shown, theme.text),
        Span::raw(gap),
        hint,
    ]);
    put_line(buffer, area, 0, &all);
    let column = (PROMPT.len() + clean(&before).width()).min(width.saturating_sub(1));
    area.x + column as u16
}
