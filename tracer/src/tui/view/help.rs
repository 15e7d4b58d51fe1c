//! The list of keys and signs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::put_line;
use crate::tui::theme::Theme;

const KEYS: [(&str, &str); 27] = [
    ("↑ ↓ j k wheel", "select a connection; the selection follows it"),
    ("PgUp PgDn", "one page; in the detail: scroll"),
    ("Home End g G", "first, last"),
    ("Enter", "its whole story"),
    ("Esc", "back; let go of the selection"),
    ("space", "pause and go on; nothing is missed meanwhile"),
    ("s h ← →", "sort by another column"),
    ("S", "sort the other way round"),
    ("/", "filter: port:443 comm:nginx state:time_wait"),
    ("!", "to the next alarm"),
    ("Tab", "connections, requests, groups"),
    ("b", "groups: by process, remote host, port, container"),
    ("y Y", "copy address or curl command; the filter that selects it"),
    ("e", "export what is selected, else what is shown, in any form"),
    ("r", "begin and end a recording of everything"),
    (". + -", "in a recording: the next record, faster, slower"),
    ("[ ] c n", "10 s back or on; to the selected's begin; to the next match"),
    ("l", "log"),
    ("L", "the log's targets, and what is kept and shown of each"),
    ("q Ctrl-C", "quit"),
    ("", ""),
    ("→ ← ?", "opened here, accepted here, unknown"),
    ("! at a row", "stuck, failed, or something about it was lost"),
    ("n?", "an answer of which something is missing"),
    ("░ ▒ ▄ █ ▂", "connect, TLS, send, wait, receive"),
    ("• ● in a lane", "one, several on their way; the longer there the farther right"),
    ("times", "UTC; TIME_WAIT counts down from 60 s"),
];

pub fn draw(buffer: &mut Buffer, whole: Rect, theme: &Theme) {
    let area = centred(whole, 68, KEYS.len() as u16 + 2);
    let block = Block::bordered()
        .border_style(theme.accent)
        .title(Span::styled(" keys and signs ", theme.heading))
        .title_bottom(Span::styled(" ? or Esc closes ", theme.dim));
    let inner = block.inner(area);
    Clear.render(area, buffer);
    block.render(area, buffer);
    for ((key, does), row) in KEYS.iter().zip(0..) {
        let line = Line::from(vec![
            Span::styled(format!(" {key:<14}"), theme.accent),
            Span::styled(*does, theme.text),
        ]);
        put_line(buffer, inner, row, &line);
    }
}

fn centred(whole: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(whole.width), height.min(whole.height));
    Rect {
        x: whole.x + (whole.width - width) / 2,
        y: whole.y + (whole.height - height) / 2,
        width,
        height,
    }
}
