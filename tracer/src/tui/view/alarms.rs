//! The lines that say what stands out, and why.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::put_line;
use crate::tui::model::Model;
use crate::tui::text::fit;
use crate::tui::theme::Theme;

pub fn draw(buffer: &mut Buffer, area: Rect, model: &Model, theme: &Theme) {
    let alarms = model.table.alarms();
    let more = alarms.len().saturating_sub(usize::from(area.height));
    for (alarm, row) in alarms.iter().zip(0..area.height) {
        let is_last = row + 1 == area.height;
        let rest = if is_last && more > 0 { format!(" (+{more})") } else { String::new() };
        let room = usize::from(area.width).saturating_sub(3 + rest.len());
        let line = Line::from(vec![
            Span::styled(" ! ", theme.bad),
            Span::styled(fit(&alarm.words, room).into_owned(), theme.notice),
            Span::styled(rest, theme.dim),
        ]);
        put_line(buffer, area, row, &line);
    }
}
