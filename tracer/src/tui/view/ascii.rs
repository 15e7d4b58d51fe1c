//! The screen for a terminal that knows ASCII only.

use ratatui::buffer::Buffer;

/// Replaces every cell that is not ASCII by its nearest sign.
pub fn fold(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            cell.set_symbol(nearest(cell.symbol()));
        }
    }
}

fn nearest(symbol: &str) -> &'static str {
    match symbol {
        "─" | "—" => "-",
        "═" => "=",
        "│" | "‖" | "┆" => "|",
        "┌" | "┐" | "└" | "┘" | "├" | "┤" => "+",
        "→" | "▸" | "▶" => ">",
        "←" | "◀" => "<",
        "↑" | "▲" => "^",
        "↓" | "▼" => "v",
        "µ" | "μ" => "u",
        "·" | "▁" => ".",
        "…" => "~",
        "●" => "*",
        "○" => "o",
        "•" => "o",
        "■" | "█" => "#",
        "✗" => "x",
        "▂" | "░" => "-",
        "▃" | "▄" => "=",
        "▅" | "▆" => "+",
        "▇" => "*",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn nothing_but_ascii_is_left() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        buffer.set_string(0, 0, "→ 76 µs … ▁▇ 日 ✗ •●", Style::new());
        fold(&mut buffer);
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()));
        let text: String = buffer.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(text.trim_end(), "> 76 us ~ .* ?  x o*");
    }
}
