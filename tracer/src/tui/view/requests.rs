//! The requests of all connections, the routes they come to, and one of them with its headers.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::{cell, put_line};
use crate::record::{Exchange, Headers, Timing};
use crate::tui::model::Model;
use crate::tui::model::detail::{address, request};
use crate::tui::model::requests::{By, Entry, Route, total_us};
use crate::tui::model::row::{arrow, owner};
use crate::tui::text::{self, clean, fit};
use crate::tui::theme::Theme;

/// Columns of the bar that shows where the time went.
const BAR: usize = 16;
/// Columns from which there is room for the bar.
const WIDE: usize = 100;

pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let lines = usize::from(area.height.saturating_sub(1));
    let top = u16::try_from(model.requests.route_lines(lines)).unwrap_or(0).min(area.height);
    let width = usize::from(area.width);
    if top > 0 {
        put_line(buffer, area, 0, &route_heading(width, theme));
        for (route, row) in model.requests.routes().iter().zip(1..top - 1) {
            put_line(buffer, area, row, &route_line(route, width, theme));
        }
    }
    let list = Rect { y: area.y + top, height: area.height - top, ..area };
    put_line(buffer, list, 0, &heading(model.requests.by, width, theme));
    let page = model.requests.page_rows(lines);
    if model.requests.is_empty() {
        let waits =
            Line::styled("  no request seen yet; TLS and HTTP/2 are not looked into", theme.dim);
        put_line(buffer, list, 1, &waits);
    }
    for ((number, entry), row) in model.requests.in_sight(page).zip(1..) {
        let selected = model.requests.selected == Some(number);
        put_line(buffer, list, row, &entry_line(entry, width, selected, theme));
        if selected {
            let line = Rect { y: list.y + row, height: 1, ..list };
            buffer.set_style(line.intersection(list), theme.selected);
        }
    }
}

fn route_heading(width: usize, theme: &Theme) -> Line<'static> {
    let name = width.saturating_sub(46);
    let words = format!(
        "  {} {:>7} {:>7} {:>8} {:>8} {:>8}",
        cell("ROUTE", name, false),
        "COUNT",
        "FAILED",
        "P50",
        "P95",
        "P99"
    );
    Line::styled(words, theme.ruled)
}

fn route_line(route: &Route, width: usize, theme: &Theme) -> Line<'static> {
    let name = width.saturating_sub(46);
    let failed = if route.failed == 0 { theme.dim } else { theme.bad };
    let percent = route.failed as f64 * 100.0 / route.count.max(1) as f64;
    let time = |us: u64| format!(" {:>8}", text::duration(us));
    Line::from(vec![
        Span::styled(format!("  {}", cell(&clean(&route.name), name, false)), theme.text),
        Span::styled(format!(" {:>7}", text::count(route.count)), theme.text),
        Span::styled(format!(" {percent:>5.1} %"), failed),
        Span::styled(time(route.p50_us), theme.text),
        Span::styled(time(route.p95_us), theme.text),
        Span::styled(time(route.p99_us), theme.text),
    ])
}

/// Columns of the request, of the bar and of the answer's kind.
fn columns(width: usize) -> (usize, usize, usize) {
    let (bar, kind) = if width >= WIDE { (BAR, 24) } else { (0, 0) };
    (width.saturating_sub(2 + 13 + 4 + 9 + 5 + bar + kind + 4), bar, kind)
}

fn heading(by: By, width: usize, theme: &Theme) -> Line<'static> {
    let (request, bar, kind) = columns(width);
    let (time, total) = match by {
        By::Newest => ("TIME (UTC)▼", "TOTAL"),
        By::Slowest => ("TIME (UTC)", "TOTAL▼"),
    };
    let mut words =
        format!("  {time:<13}{:>4} {} {total:>9} {:>4}", "", cell("REQUEST", request, false), "#");
    if bar > 0 {
        words.push_str(&format!(
            "  {} {}",
            cell("WHERE IT WENT", bar, false),
            cell("ANSWER", kind, false)
        ));
    }
    Line::styled(fit(words.trim_end(), width).into_owned(), theme.ruled)
}

fn entry_line(entry: &Entry, width: usize, selected: bool, theme: &Theme) -> Line<'static> {
    let exchange = &entry.exchange;
    let (room, bar, kind) = columns(width);
    let at = exchange.request.as_ref().and_then(|request| request.at);
    let at = at.map_or_else(|| "?".to_owned(), |at| text::time_of_day(at, 3));
    let status = exchange.status.map_or_else(|| "...".to_owned(), |status| status.to_string());
    let total = total_us(&exchange.timing).map(text::duration).unwrap_or_default();
    let mark = if exchange.complete { "" } else { "?" };
    let mut spans = vec![
        Span::styled(if selected { "▸ " } else { "  " }, theme.accent),
        Span::styled(format!("{at:<13}"), theme.dim),
        Span::styled(format!("{status:>3}{mark:<1}"), theme.status(exchange.status)),
        Span::styled(format!(" {}", cell(&whole_request(exchange), room, false)), theme.text),
        Span::styled(format!(" {total:>9}"), theme.text),
        Span::styled(format!(" {:>4}", number(exchange)), theme.dim),
    ];
    if bar > 0 {
        spans.push(Span::raw("  "));
        spans.extend(waterfall(&exchange.timing, bar, theme));
        spans.push(Span::styled(format!(" {}", cell(&answer(exchange), kind, false)), theme.dim));
    }
    Line::from(spans)
}

/// `#3`: the third on its connection; `new`: the first on a new one.
fn number(exchange: &Exchange) -> String {
    match exchange.reused_connection {
        Some(false) => "new".to_owned(),
        _ => format!("#{}", exchange.number),
    }
}

fn whole_request(exchange: &Exchange) -> String {
    let authority = exchange.authority.as_deref().unwrap_or_default();
    match request(exchange).split_once(' ') {
        Some((method, target)) if target.starts_with('/') => {
            format!("{method} {}{target}", clean(authority))
        }
        _ => request(exchange),
    }
}

fn answer(exchange: &Exchange) -> String {
    let response = exchange.response.as_ref();
    let cached = response.and_then(|response| response.from_cache) == Some(true);
    let parts = [
        cached.then(|| "cached".to_owned()),
        response.and_then(|r| r.media_type.as_deref()).map(|kind| clean(kind).into_owned()),
        response.and_then(|r| r.body_bytes).map(text::bytes),
        exchange
            .missing_bytes
            .filter(|&missing| missing > 0)
            .map(|missing| format!("{} missing", text::bytes(missing))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Connect, TLS, send, wait, receive: each as wide as its share, and each with its own sign.
fn waterfall(timing: &Timing, width: usize, theme: &Theme) -> Vec<Span<'static>> {
    let parts = parts(timing, theme);
    let total: u64 = parts.iter().map(|(us, _, _)| us).sum();
    let mut left = width;
    let mut spans = Vec::new();
    for (us, sign, style) in parts {
        let share = (us as f64 / total.max(1) as f64 * width as f64).round() as usize;
        let columns = share.max(usize::from(us > 0)).min(left);
        left -= columns;
        spans.push(Span::styled(sign.repeat(columns), style));
    }
    spans.push(Span::raw(" ".repeat(left)));
    spans
}

fn parts(timing: &Timing, theme: &Theme) -> [(u64, &'static str, Style); 5] {
    [
        (timing.connect_us.unwrap_or(0), "░", theme.notice),
        (timing.tls_us.unwrap_or(0), "▒", theme.notice),
        (timing.send_us.unwrap_or(0), "▄", theme.accent),
        (timing.wait_us.unwrap_or(0), "█", theme.accent),
        (timing.receive_us.unwrap_or(0), "▂", theme.good),
    ]
}

/// The selected exchange with its headers.
pub fn detail(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let Some(entry) = model.requests.selected() else { return };
    let exchange = &entry.exchange;
    let room = usize::from(area.width.saturating_sub(4));
    let title = format!(" {} ", fit(&title(entry), room));
    let block = Block::bordered().border_style(theme.dim).title(Span::styled(title, theme.heading));
    let inner = block.inner(area);
    Clear.render(area, buffer);
    block.render(area, buffer);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let lines = detail_lines(exchange, theme);
    let height = usize::from(inner.height);
    let first = model.panes.detail_scroll.min(lines.len().saturating_sub(height));
    for (line, row) in lines[first..].iter().zip(0..inner.height) {
        put_line(buffer, inner, row, line);
    }
}

/// `c36 curl[812] 10.0.0.4:41007 → 10.0.0.9:80, new`
fn title(entry: &Entry) -> String {
    let exchange = &entry.exchange;
    let ends = entry.connection.as_deref().map(|connection| {
        let owner = owner(connection).unwrap_or_else(|| "owner unknown".to_owned());
        let arrow = arrow(connection.endpoint);
        format!(" {} {} {arrow} {}", clean(&owner), address(&connection.local), connection.remote)
    });
    format!("{}{}, {}", exchange.conn, ends.unwrap_or_default(), number(exchange))
}

fn detail_lines(exchange: &Exchange, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled(whole_request(exchange), theme.heading)];
    if let Some(request) = &exchange.request {
        lines.extend(header_lines(&request.headers, theme));
        lines.extend(
            request
                .body_bytes
                .filter(|bytes| *bytes > 0)
                .map(|bytes| Line::styled(format!("body of {}", text::bytes(bytes)), theme.dim)),
        );
    }
    lines.push(Line::default());
    let status = exchange.status.map_or_else(|| "no answer seen".to_owned(), |s| s.to_string());
    let reason = exchange.reason.as_deref().map(|reason| format!(" {}", clean(reason)));
    let words = format!("{status}{} {}", reason.unwrap_or_default(), answer(exchange));
    lines.push(Line::styled(words, theme.status(exchange.status)));
    if let Some(response) = &exchange.response {
        lines.extend(header_lines(&response.headers, theme));
    }
    lines.push(Line::default());
    lines.extend(timing_lines(&exchange.timing, theme));
    if !exchange.complete {
        let words = match exchange.missing_bytes {
            Some(missing) => format!("not seen whole: {} missing", text::bytes(missing)),
            None => "not seen whole".to_owned(),
        };
        lines.push(Line::styled(words, theme.bad));
    }
    lines
}

fn header_lines(headers: &Headers, theme: &Theme) -> Vec<Line<'static>> {
    let line = |(name, value): (&str, &str)| {
        Line::from(vec![
            Span::styled(format!("  {}: ", clean(name)), theme.dim),
            Span::styled(clean(value).into_owned(), theme.text),
        ])
    };
    headers.iter().map(line).collect()
}

fn timing_lines(timing: &Timing, theme: &Theme) -> Vec<Line<'static>> {
    const WIDTH: usize = 30;
    let names = ["connect", "TLS", "send", "wait", "receive"];
    let parts = parts(timing, theme);
    let longest = parts.iter().map(|(us, _, _)| *us).max().unwrap_or(0).max(1);
    let known = names.into_iter().zip(parts).filter(|(_, (us, _, _))| *us > 0);
    known
        .map(|(name, (us, sign, style))| {
            let columns = (us as f64 / longest as f64 * WIDTH as f64).ceil() as usize;
            Line::from(vec![
                Span::styled(format!("{name:<8}{:>9}  ", text::duration(us)), theme.text),
                Span::styled(sign.repeat(columns), style),
            ])
        })
        .collect()
}
