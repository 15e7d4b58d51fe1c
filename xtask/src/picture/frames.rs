//! What a screen shows, cut into pieces that can be drawn and compared.

use super::{
    colours::{Ink, Look, Rgb},
    glyphs,
};

/// What is seen at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub columns: u16,
    pub rows: Vec<Vec<Piece>>,
    /// The key that was just pressed.
    pub key: Option<String>,
}

/// Something at a column of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    pub column: u16,
    /// Columns.
    pub width: u16,
    pub shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Words of equal looks, with the spaces between them.
    Text {
        ink: Ink,
        text: String,
    },
    /// Lines and blocks, which no font draws without gaps.
    Drawn {
        colour: Rgb,
        glyphs: String,
    },
    Ground(Rgb),
    Underline(Rgb),
    /// Where a letter that is typed goes.
    Cursor,
}

impl Frame {
    pub fn of(screen: &vt100::Screen, key: Option<String>) -> Self {
        let (rows, columns) = screen.size();
        let (rows, columns) = (rows.get(), columns.get());
        let cursor = screen.cursor_position();
        let rows = (0..rows).map(|number| {
            let mut pieces = row(screen, number);
            if cursor.0 == number && !screen.hide_cursor() {
                pieces.push(Piece { column: cursor.1, width: 1, shape: Shape::Cursor });
            }
            pieces
        });
        Self { columns, rows: rows.collect(), key }
    }
}

/// What is behind the text first, then the text.
fn row(screen: &vt100::Screen, number: u16) -> Vec<Piece> {
    let mut behind = Vec::new();
    let mut text = Vec::new();
    let mut spaces = 0;
    let (_, columns) = screen.size();
    for column in 0..columns.get() {
        let Some(cell) = screen.cell(number, column) else { continue };
        let look = Look::of(cell);
        if let Some(ground) = look.ground {
            lengthen(&mut behind, column, Shape::Ground(ground));
        }
        if look.underline {
            lengthen(&mut behind, column, Shape::Underline(look.ink.colour));
        }
        // The right half of a wide letter: the left one has drawn both.
        if cell.is_wide_continuation() {
            continue;
        }
        let contents = cell.contents();
        if contents.trim().is_empty() {
            spaces += 1;
        } else {
            let width = if cell.is_wide() { 2 } else { 1 };
            add(&mut text, Glyph { column, width, ink: look.ink, contents }, spaces);
            spaces = 0;
        }
    }
    behind.append(&mut text);
    behind
}

/// One column more of something that stands alone or goes on.
fn lengthen(pieces: &mut Vec<Piece>, column: u16, shape: Shape) {
    let same = |piece: &&mut Piece| piece.shape == shape && piece.column + piece.width == column;
    match pieces.iter_mut().rev().find(same) {
        Some(piece) => piece.width += 1,
        None => pieces.push(Piece { column, width: 1, shape }),
    }
}

struct Glyph<'a> {
    column: u16,
    width: u16,
    ink: Ink,
    contents: &'a str,
}

/// Adds a letter to the last piece, if it belongs there, after `spaces` empty cells.
fn add(pieces: &mut Vec<Piece>, glyph: Glyph<'_>, spaces: usize) {
    let Glyph { column, width, ink, contents } = glyph;
    let drawn = contents.chars().all(glyphs::is_drawn);
    let last = pieces.last_mut().filter(|piece| match &piece.shape {
        Shape::Text { ink: last, text } => {
            // Letters of other fonts have other widths.
            *last == ink && !drawn && keeps_width(contents) && keeps_width(text)
        }
        Shape::Drawn { colour, glyphs } => {
            let is_same = glyphs::shade(glyphs) == glyphs::shade(contents);
            *colour == ink.colour && drawn && spaces == 0 && is_same
        }
        _ => false,
    });
    match last {
        Some(piece) => {
            match &mut piece.shape {
                Shape::Text { text, .. } => {
                    // Of ordinary spaces in a row browsers keep one.
                    let space = if spaces > 1 { "\u{a0}" } else { " " };
                    text.push_str(&space.repeat(spaces));
                    text.push_str(contents);
                }
                Shape::Drawn { glyphs, .. } => glyphs.push_str(contents),
                _ => {}
            }
            piece.width = column + width - piece.column;
        }
        None => {
            let contents = contents.to_owned();
            let shape = if drawn {
                Shape::Drawn { colour: ink.colour, glyphs: contents }
            } else {
                Shape::Text { ink, text: contents }
            };
            pieces.push(Piece { column, width, shape });
        }
    }
}

/// Whether every font for terminals has these letters, as wide as its others. What it does not have
/// comes from another font, and stands alone so that it moves nothing.
fn keeps_width(text: &str) -> bool {
    text.chars().all(|letter| letter < '\u{250}' || "…←→".contains(letter))
}

#[cfg(test)]
pub mod tests {
    use std::num::NonZeroU16;

    use super::*;

    /// A terminal of 20 columns and 2 rows that got `bytes`.
    pub fn screen(bytes: &str) -> vt100::Screen {
        let size = |cells| NonZeroU16::new(cells).unwrap();
        let mut parser = vt100::Parser::new(size(2), size(20), 0);
        parser.process(bytes.as_bytes());
        parser.screen().clone()
    }

    /// Columns, widths and texts of the first row.
    fn texts(bytes: &str) -> Vec<(u16, u16, String)> {
        let pieces = row(&screen(bytes), 0).into_iter();
        let texts = pieces.filter_map(|piece| match piece.shape {
            Shape::Text { text, .. } => Some((piece.column, piece.width, text)),
            Shape::Drawn { glyphs, .. } => Some((piece.column, piece.width, glyphs)),
            _ => None,
        });
        texts.collect()
    }

    fn of(column: u16, width: u16, text: &str) -> (u16, u16, String) {
        (column, width, text.to_owned())
    }

    #[test]
    fn words_of_equal_looks_stay_together() {
        assert_eq!(texts("ab cd  e"), [of(0, 8, "ab cd\u{a0}\u{a0}e")]);
        assert_eq!(texts("ab \x1b[1mcd"), [of(0, 2, "ab"), of(3, 2, "cd")]);
    }

    #[test]
    fn a_space_with_other_looks_does_not_part_words() {
        assert_eq!(texts("ab\x1b[31m \x1b[0mcd"), [of(0, 5, "ab cd")]);
    }

    #[test]
    fn a_wide_letter_stands_alone_and_takes_two_columns() {
        assert_eq!(texts("a日b"), [of(0, 1, "a"), of(1, 2, "日"), of(3, 1, "b")]);
    }

    #[test]
    fn lines_are_drawn_and_split_by_shade() {
        assert_eq!(texts("├──▶x"), [of(0, 4, "├──▶"), of(4, 1, "x")]);
        assert_eq!(texts("░░█"), [of(0, 2, "░░"), of(2, 1, "█")]);
    }

    #[test]
    fn ground_and_underline_cover_spaces_too() {
        let pieces = row(&screen("\x1b[7ma  b\x1b[0m \x1b[4mc d"), 0);
        let widths = |wanted: fn(&Shape) -> bool| {
            let pieces = pieces.iter().filter(|piece| wanted(&piece.shape));
            pieces.map(|piece| (piece.column, piece.width)).collect::<Vec<_>>()
        };
        assert_eq!(widths(|shape| matches!(shape, Shape::Ground(_))), [(0, 4)]);
        assert_eq!(widths(|shape| matches!(shape, Shape::Underline(_))), [(5, 3)]);
    }

    #[test]
    fn the_cursor_is_drawn_where_it_is_shown() {
        let cursors = |bytes| {
            let frame = Frame::of(&screen(bytes), None);
            let pieces = frame.rows.into_iter().flatten();
            pieces.filter(|piece| piece.shape == Shape::Cursor).map(|piece| piece.column).max()
        };
        assert_eq!(cursors("ab"), Some(2));
        assert_eq!(cursors("ab\x1b[?25l"), None);
    }
}
