//! Box drawing, blocks and arrow heads as shapes. Fonts draw them with gaps between the cells, or not at
//! all, and some systems show ◀ and ▶ as emoji.

use std::fmt::Write as _;

/// A cell, in the picture's own units.
pub const CELL: (u32, u32) = (9, 19);
/// From the top of a cell down to the line that letters stand on.
pub const BASELINE: u32 = 14;

/// The middle of a cell, where lines cross; lines are one unit wide.
const MIDDLE: (i32, i32) = (CELL.0 as i32 / 2, CELL.1 as i32 / 2);

/// x, y, width, height; y from the top of the cell.
type Rect = (f32, f32, f32, f32);

pub fn is_drawn(glyph: char) -> bool {
    !rects(glyph).is_empty() || arrow(glyph).is_some()
}

/// How much of the ground shade characters leave visible, in quarters of ink.
pub fn shade(glyphs: &str) -> u8 {
    match glyphs.chars().next() {
        Some('░') => 1,
        Some('▒') => 2,
        Some('▓') => 3,
        _ => 4,
    }
}

/// A row of glyphs as the `d` of an SVG path, from `x` on; y from the line that letters stand on.
pub fn path(glyphs: &str, x: u32) -> String {
    let mut joined: Vec<Rect> = Vec::new();
    let mut path = String::new();
    for (number, glyph) in glyphs.chars().enumerate() {
        let left = (x + number as u32 * CELL.0) as f32;
        for (x, y, width, height) in rects(glyph) {
            let x = x + left;
            let before = joined.iter_mut().find(|(x0, y0, width0, height0)| {
                (*y0, *height0) == (y, height) && *x0 + *width0 == x
            });
            match before {
                Some(before) => before.2 += width,
                None => joined.push((x, y, width, height)),
            }
        }
        if let Some((tip, base)) = arrow(glyph) {
            let middle = MIDDLE.1 as f32 + 0.5 - BASELINE as f32;
            let (tip, base) = (left + tip, left + base);
            let _ = write!(path, "M{base} {}v10L{tip} {middle}z", middle - 5.0);
        }
    }
    for (x, y, width, height) in joined {
        let _ = write!(path, "M{x} {}h{width}v{height}h-{width}z", y - BASELINE as f32);
    }
    path
}

/// The x of the tip and of the base.
fn arrow(glyph: char) -> Option<(f32, f32)> {
    match glyph {
        '▶' => Some((CELL.0 as f32, 0.0)),
        '◀' => Some((0.0, CELL.0 as f32)),
        _ => None,
    }
}

fn rects(glyph: char) -> Vec<Rect> {
    let (width, height) = (CELL.0 as f32, CELL.1 as f32);
    match glyph {
        // Lower eighths, the full block being the last of them.
        '▁'..='█' => {
            let part = height * (glyph as u32 - '▁' as u32 + 1) as f32 / 8.0;
            let part = part.round();
            vec![(0.0, height - part, width, part)]
        }
        '▀' => vec![(0.0, 0.0, width, (height / 2.0).round())],
        // Left eighths, from seven down to one.
        '▉'..='▏' => {
            let part = width * (8 - (glyph as u32 - '█' as u32)) as f32 / 8.0;
            vec![(0.0, 0.0, part, height)]
        }
        '░' | '▒' | '▓' => vec![(0.0, 0.0, width, height)],
        '┆' => [1.0, 8.0, 15.0].map(|y| (MIDDLE.0 as f32, y, 1.0, 3.0)).to_vec(),
        _ => strokes(glyph).map(crossing).unwrap_or_default(),
    }
}

/// Which ways lines go from the middle of the cell.
#[derive(Clone, Copy)]
struct Strokes {
    up: bool,
    right: bool,
    down: bool,
    left: bool,
    /// Those to the sides are double.
    double: bool,
}

fn strokes(glyph: char) -> Option<Strokes> {
    let ways = match glyph {
        '─' | '═' => "rl",
        '│' => "ud",
        '┌' | '╭' => "rd",
        '┐' | '╮' => "dl",
        '└' | '╰' => "ur",
        '┘' | '╯' => "ul",
        '├' | '╞' => "urd",
        '┤' | '╡' => "udl",
        '┬' => "rdl",
        '┴' => "url",
        '┼' | '╪' => "urdl",
        _ => return None,
    };
    let goes = |way| ways.contains(way);
    Some(Strokes {
        up: goes('u'),
        right: goes('r'),
        down: goes('d'),
        left: goes('l'),
        double: "═╞╡╪".contains(glyph),
    })
}

fn crossing(strokes: Strokes) -> Vec<Rect> {
    let (width, height) = (CELL.0 as f32, CELL.1 as f32);
    let (x, y) = (MIDDLE.0 as f32, MIDDLE.1 as f32);
    let mut rects = Vec::new();
    if strokes.up || strokes.down {
        let top = if strokes.up { 0.0 } else { y };
        let bottom = if strokes.down { height } else { y + 1.0 };
        rects.push((x, top, 1.0, bottom - top));
    }
    if strokes.left || strokes.right {
        let left = if strokes.left { 0.0 } else { x };
        let right = if strokes.right { width } else { x + 1.0 };
        let lines: &[f32] = if strokes.double { &[y - 2.0, y + 2.0] } else { &[y] };
        rects.extend(lines.iter().map(|y| (left, *y, right - left, 1.0)));
    }
    rects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_left_to_the_font() {
        assert!("─│┌┐└┘├┤┬┴┼═┆▁▄█░▒▓◀▶".chars().all(is_drawn));
        assert!("aZ9 ·µ…→●✗".chars().all(|letter| !is_drawn(letter)));
    }

    #[test]
    fn a_line_over_several_cells_is_one_rectangle() {
        assert_eq!(path("───", 0), "M0 -5h27v1h-27z");
        assert_eq!(path("──", 18), "M18 -5h18v1h-18z");
        assert_eq!(path("══", 0).matches('M').count(), 2);
    }

    #[test]
    fn lines_meet_at_the_borders_of_cells() {
        let vertical = rects('│');
        assert_eq!(vertical, [(4.0, 0.0, 1.0, 19.0)]);
        assert_eq!(rects('├')[0], vertical[0]);
        // From the middle to the right, where the next cell's line begins.
        assert_eq!(rects('├')[1], (4.0, 9.0, 5.0, 1.0));
        assert_eq!(rects('┘'), [(4.0, 0.0, 1.0, 10.0), (0.0, 9.0, 5.0, 1.0)]);
    }

    #[test]
    fn blocks_grow_from_the_ground_and_the_full_one_fills_the_cell() {
        let heights: Vec<_> = "▁▂▃▄▅▆▇█".chars().map(|block| rects(block)[0].3).collect();
        assert!(heights.is_sorted_by(|a, b| a < b));
        assert_eq!(rects('█'), [(0.0, 0.0, 9.0, 19.0)]);
        assert_eq!(path("██", 0), "M0 -14h18v19h-18z");
    }

    #[test]
    fn left_blocks_shrink_to_an_eighth() {
        assert_eq!(rects('▌')[0].2, 4.5);
        assert_eq!(rects('▏')[0].2, 1.125);
    }

    #[test]
    fn an_arrow_head_fills_its_cell() {
        assert_eq!(path("▶", 0), "M0 -9.5v10L9 -4.5z");
        assert_eq!(path("◀", 9), "M18 -9.5v10L9 -4.5z");
    }
}
