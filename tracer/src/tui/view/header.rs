//! The lines that are always there: what the host does, how much of it was seen, what that costs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::put_line;
use crate::record::LossUnit;
use crate::tcp::TcpState;
use crate::tui::model::{Flow, MAX_HELD, Model};
use crate::tui::text;
use crate::tui::theme::Theme;
use crate::view_update::PlayStatus;

const OPENING: [TcpState; 2] = [TcpState::SynSent, TcpState::SynRecv];
const CLOSING: [TcpState; 6] = [
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::Closing,
    TcpState::TimeWait,
    TcpState::CloseWait,
    TcpState::LastAck,
];

pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let (host, run) = (host_parts(model, theme), run_parts(model, area.width, theme));
    if area.height == 1 {
        let both = host.into_iter().chain(run).collect();
        put_line(buffer, area, 0, &joined(both, area.width, theme));
    } else {
        put_line(buffer, area, 0, &joined(host, area.width, theme));
        put_line(buffer, area, 1, &joined(run, area.width, theme));
    }
}

/// What may stand in the header, the most important first.
type Parts = Vec<(String, Style)>;

/// The parts that fit, none of them cut.
fn joined(parts: Parts, width: u16, theme: &Theme) -> Line<'static> {
    let mut line = Line::default();
    for (text, style) in parts {
        let before = if line.spans.is_empty() { " " } else { " · " };
        if line.width() + before.chars().count() + text.width() <= usize::from(width) {
            line.push_span(Span::styled(before, theme.dim));
            line.push_span(Span::styled(text, style));
        }
    }
    line
}

/// What the host does.
fn host_parts(model: &Model, theme: &Theme) -> Parts {
    let mut parts = vec![("tracer".to_owned(), theme.heading)];
    if let Some(host) = &model.host {
        parts.push((text::fit(&text::clean(&host.hostname), 24).into_owned(), theme.text));
    }
    parts.push(flow(model, theme));
    let lanes = model.table.lanes();
    let opening = lanes.population(&OPENING);
    let counts = format!(
        "{opening} opening {} open {} closing",
        lanes.population(&[TcpState::Established]),
        lanes.population(&CLOSING)
    );
    parts.push((counts, theme.text));
    let rate = text::count(model.stats.events_per_s.round().max(0.0) as u64);
    if model.play.is_none() {
        parts.push((format!("{rate} events/s"), theme.text));
    }
    parts
}

/// Where a recording stands: `▶ 2x 10:35:22.3, 5.1 s of 10.0 s`.
fn play(status: &PlayStatus, theme: &Theme) -> (String, Style) {
    let time = status.at.to_string();
    let time = time.get(11..21).unwrap_or(&time);
    let [done, all] = [status.at, status.end].map(|t| text::duration(t.since_us(status.begin)));
    let speed =
        status.speed.map_or_else(|| "as fast as it can".to_owned(), |speed| format!("{speed}x"));
    match (status.has_ended, status.is_paused) {
        (true, _) => (format!("■ ended {time}, {all}"), theme.notice),
        (_, true) => (format!("‖ STOPPED {time}, {done} of {all}"), theme.notice),
        (_, false) => (format!("▶ {speed} {time}, {done} of {all}"), theme.good),
    }
}

fn flow(model: &Model, theme: &Theme) -> (String, Style) {
    if let Some(status) = &model.play {
        return play(status, theme);
    }
    match &model.flow {
        Flow::Live if model.is_away => ("○ DAEMON GONE, looking for it".to_owned(), theme.bad),
        Flow::Live => ("● live".to_owned(), theme.good),
        Flow::Paused { held } if held.len() >= MAX_HELD => {
            ("‖ PAUSED, no room for more changes".to_owned(), theme.bad)
        }
        Flow::Paused { held } => {
            (format!("‖ PAUSED, {} wait", text::plural(held.len() as u64, "change")), theme.notice)
        }
        Flow::Ended => ("■ ended".to_owned(), theme.notice),
    }
}

/// How much of it was seen, what is shown, what it costs.
fn run_parts(model: &Model, width: u16, theme: &Theme) -> Parts {
    let stats = &model.stats;
    let sure = if stats.lost > 0 { theme.bad } else { theme.text };
    let memory = text::bytes(stats.rss_bytes);
    // A recording costs nobody anything, its hooks are those of another run, and how much that saw is not in it.
    if model.play.is_some() {
        let only = model.host.as_ref().and_then(|host| host.filter.as_deref());
        let recording = match only {
            None => ("a recording".to_owned(), theme.dim),
            Some(only) => {
                (format!("a recording of only {}", text::fit(&text::clean(only), 24)), theme.notice)
            }
        };
        let mut parts = vec![(losses(model), sure)];
        parts.extend(unseen_http(model, theme));
        parts.extend([filter(model, width, theme), recording]);
        parts.extend(time_line(model, theme));
        return parts;
    }
    let mut parts = vec![(completeness(stats.seen, stats.lost), sure), (losses(model), sure)];
    parts.extend(unseen_http(model, theme));
    parts.push(filter(model, width, theme));
    parts.push((format!("self {:.1}% CPU {memory}", stats.cpu_percent), theme.text));
    if model.table.turned_away() > 0 {
        let words = format!("no room for {}!", text::count(model.table.turned_away()));
        parts.push((words, theme.bad));
    }
    if stats.updates_dropped > 0 {
        let words = format!("view skipped {}", text::count(stats.updates_dropped));
        parts.push((words, theme.notice));
    }
    parts.push(match &stats.recording {
        Some(path) => (format!("● rec {}", text::fit_end(&text::clean(path), 30)), theme.bad),
        None => ("not recording".to_owned(), theme.dim),
    });
    parts.push(hooks(model, theme));
    parts
}

/// Seen of what happened, never rounded up to all of it.
fn completeness(seen: u64, lost: u64) -> String {
    match u128::from(seen) + u128::from(lost) {
        0 => "seen -".to_owned(),
        happened => {
            let share = u128::from(seen) * 10_000 / happened;
            format!("seen {}.{:04}", share / 10_000, share % 10_000)
        }
    }
}

/// When how much happened in the recording, and where it stands: `▁▁▇▂│▁▃▁`.
fn time_line(model: &Model, theme: &Theme) -> Option<(String, Style)> {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (play, counts) = (model.play?, &model.time_line);
    let most = *counts.iter().max().filter(|most| **most > 0)?;
    let whole = play.end.since_ns(play.begin).max(1);
    let done = u128::from(play.at.since_ns(play.begin)) * counts.len() as u128 / u128::from(whole);
    let mut line = String::new();
    for (part, &count) in (0..).zip(counts) {
        if part == done {
            line.push('│');
        }
        // What happened at all is seen: not one of a million is nothing.
        let height = (u128::from(count) * 7).div_ceil(u128::from(most)) as usize;
        line.push(if count == 0 { ' ' } else { BARS[height.min(7)] });
    }
    if done >= counts.len() as u128 {
        line.push('│');
    }
    Some((line, theme.accent))
}

fn losses(model: &Model) -> String {
    let lost = text::count(model.stats.lost);
    let largest = model.losses.iter().max_by_key(|(_, events)| **events);
    match largest {
        Some((hook, _)) if model.losses.len() == 1 => {
            format!("lost {lost} ({})", text::clean(hook))
        }
        Some((hook, _)) => format!("lost {lost} (most {})", text::clean(hook)),
        None => format!("lost {lost}"),
    }
}

/// What of HTTP is not shown: `HTTP unseen 70.1 KB, 2 messages`.
fn unseen_http(model: &Model, theme: &Theme) -> Option<(String, Style)> {
    let amount = |(unit, amount): (&LossUnit, &u64)| match unit {
        LossUnit::Bytes => text::bytes(*amount),
        other => text::plural(*amount, other.name()),
    };
    let amounts: Vec<String> = model.unseen_http.iter().map(amount).collect();
    (!amounts.is_empty()).then(|| (format!("HTTP unseen {}", amounts.join(", ")), theme.bad))
}

fn filter(model: &Model, width: u16, theme: &Theme) -> (String, Style) {
    let room = if width < 100 { 24 } else { 48 };
    match model.filter_text() {
        None => ("no filter".to_owned(), theme.dim),
        Some(filter) => (format!("filter {}", text::fit(&text::clean(filter), room)), theme.notice),
    }
}

fn hooks(model: &Model, theme: &Theme) -> (String, Style) {
    let (attached, total) = (model.stats.hooks_attached, model.stats.hooks_total);
    let style = if attached < total { theme.notice } else { theme.text };
    (format!("hooks {attached}/{total}"), style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn the_time_line_shows_when_how_much_happened_and_where_it_stands() {
        let mut model = Model::new(|_| Err(String::new()));
        let theme = Theme::new(crate::tui::theme::Palette::default(), |_| None);
        assert_eq!(time_line(&model, &theme), None);
        let status = |at| PlayStatus {
            at: Timestamp(at),
            begin: Timestamp(1_000),
            end: Timestamp(1_400),
            speed: None,
            is_paused: false,
            has_ended: false,
            lost: 0,
        };
        model.time_line = vec![1, 0, 1_000_000, 500_000];
        for (at, drawn) in [(1_000, "│▂ █▅"), (1_250, "▂ │█▅"), (1_400, "▂ █▅│")]
        {
            model.play = Some(status(at));
            assert_eq!(time_line(&model, &theme).unwrap().0, drawn);
        }
    }

    #[test]
    fn completeness_is_never_rounded_up_to_one() {
        assert_eq!(completeness(0, 0), "seen -");
        assert_eq!(completeness(10, 0), "seen 1.0000");
        assert_eq!(completeness(99_999_999, 1), "seen 0.9999");
        assert_eq!(completeness(u64::MAX, u64::MAX), "seen 0.5000");
    }
}
