//! The program's and the kernel side's diagnostics.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Block, Borders, Widget};
use tui_logger::{TuiLoggerLevelOutput, TuiLoggerSmartWidget, TuiLoggerWidget, TuiWidgetState};

use crate::tui::theme::Theme;

pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    state: &TuiWidgetState,
    with_targets: bool,
    theme: &Theme,
) {
    if with_targets {
        return targets(buffer, area, state, theme);
    }
    let title = Span::styled(" log ", theme.heading);
    TuiLoggerWidget::default()
        .block(Block::new().borders(Borders::TOP).border_style(theme.dim).title(title))
        .style(theme.text)
        .style_error(theme.bad)
        .style_warn(theme.notice)
        .output_separator(' ')
        .output_timestamp(Some("%H:%M:%S".to_owned()))
        .output_level(Some(TuiLoggerLevelOutput::Long))
        .output_target(true)
        .output_file(false)
        .output_line(false)
        .state(state)
        .render(area, buffer);
}

/// The log beside the list of its targets: of each the levels that are kept and shown.
fn targets(buffer: &mut Buffer, area: Rect, state: &TuiWidgetState, theme: &Theme) {
    TuiLoggerSmartWidget::default()
        .border_style(theme.accent)
        .style(theme.text)
        .style_error(theme.bad)
        .style_warn(theme.notice)
        .highlight_style(theme.selected)
        .output_separator(' ')
        .output_timestamp(Some("%H:%M:%S".to_owned()))
        .output_level(Some(TuiLoggerLevelOutput::Long))
        .output_target(true)
        .output_file(false)
        .output_line(false)
        .title_target(" targets ")
        .title_log(" log ")
        .state(state)
        .render(area, buffer);
}
