//! A terminal's colours as a browser needs them.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rgb(pub u8, pub u8, pub u8);

/// Behind everything.
pub const GROUND: Rgb = Rgb(0x16, 0x1a, 0x21);
/// Text without a colour of its own.
pub const TEXT: Rgb = Rgb(0xd3, 0xd9, 0xe3);

/// The colours that each terminal chooses for itself: readable on `GROUND`, and none shrill.
const SIXTEEN: [Rgb; 16] = [
    Rgb(0x2b, 0x31, 0x3c),
    Rgb(0xe0, 0x6c, 0x75),
    Rgb(0x8c, 0xc9, 0x70),
    Rgb(0xe5, 0xc0, 0x7b),
    Rgb(0x61, 0xaf, 0xef),
    Rgb(0xd3, 0x8a, 0xea),
    Rgb(0x56, 0xc8, 0xd8),
    Rgb(0xc0, 0xc7, 0xd2),
    Rgb(0x6b, 0x75, 0x85),
    Rgb(0xff, 0x7b, 0x82),
    Rgb(0xa5, 0xe0, 0x88),
    Rgb(0xf5, 0xd6, 0x97),
    Rgb(0x84, 0xc4, 0xff),
    Rgb(0xe5, 0xa6, 0xf8),
    Rgb(0x7d, 0xdd, 0xea),
    Rgb(0xff, 0xff, 0xff),
];

/// How a cell looks, with nothing left to look up: reverse, dim and the terminal's own colours are
/// worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    pub ink: Ink,
    /// None: the ground that is behind everything.
    pub ground: Option<Rgb>,
    pub underline: bool,
}

/// How the text of a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ink {
    pub colour: Rgb,
    pub bold: bool,
    pub italic: bool,
}

impl Look {
    pub fn of(cell: &vt100::Cell) -> Self {
        let mut colour = resolve(cell.fgcolor(), TEXT);
        let mut ground = resolve(cell.bgcolor(), GROUND);
        if cell.inverse() {
            std::mem::swap(&mut colour, &mut ground);
        }
        if cell.dim() {
            colour = colour.towards(ground);
        }
        Self {
            ink: Ink { colour, bold: cell.bold(), italic: cell.italic() },
            ground: (ground != GROUND).then_some(ground),
            underline: cell.underline(),
        }
    }
}

impl Rgb {
    /// Nearer to `other`, as dim text is to what is behind it; it stays readable.
    fn towards(self, other: Self) -> Self {
        let mix = |own: u8, other: u8| ((u16::from(own) * 3 + u16::from(other) * 2) / 5) as u8;
        Self(mix(self.0, other.0), mix(self.1, other.1), mix(self.2, other.2))
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

fn resolve(colour: vt100::Color, default: Rgb) -> Rgb {
    match colour {
        vt100::Color::Default => default,
        vt100::Color::Idx(index) => indexed(index),
        vt100::Color::Rgb(red, green, blue) => Rgb(red, green, blue),
    }
}

/// The 256 colours: the terminal's sixteen, a cube of six levels, greys.
fn indexed(index: u8) -> Rgb {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let level = |number: u8| LEVELS[usize::from(number % 6)];
    match index {
        0..=15 => SIXTEEN[usize::from(index)],
        16..=231 => {
            let number = index - 16;
            Rgb(level(number / 36), level(number / 6), level(number))
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            Rgb(grey, grey, grey)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::frames::tests::screen;

    fn look(bytes: &str) -> Look {
        let screen = screen(bytes);
        Look::of(screen.cell(0, 0).unwrap())
    }

    #[test]
    fn the_256_colours_are_those_of_xterm() {
        assert_eq!(indexed(1), SIXTEEN[1]);
        assert_eq!(indexed(16), Rgb(0, 0, 0));
        assert_eq!(indexed(25), Rgb(0, 95, 175));
        assert_eq!(indexed(130), Rgb(175, 95, 0));
        assert_eq!(indexed(231), Rgb(255, 255, 255));
        assert_eq!(indexed(232), Rgb(8, 8, 8));
        assert_eq!(indexed(255), Rgb(238, 238, 238));
    }

    #[test]
    fn sixteen_256_and_rgb_are_told_apart() {
        assert_eq!(look("x").ink.colour, TEXT);
        assert_eq!(look("\x1b[32mx").ink.colour, SIXTEEN[2]);
        assert_eq!(look("\x1b[91mx").ink.colour, SIXTEEN[9]);
        assert_eq!(look("\x1b[38;5;160mx").ink.colour, Rgb(215, 0, 0));
        assert_eq!(look("\x1b[38;2;1;2;3mx").ink.colour, Rgb(1, 2, 3));
        assert_eq!(look("\x1b[44mx").ground, Some(SIXTEEN[4]));
        assert_eq!(look("x").ground, None);
    }

    #[test]
    fn reverse_swaps_text_and_ground() {
        let reversed = look("\x1b[32;7mx");
        assert_eq!((reversed.ink.colour, reversed.ground), (GROUND, Some(SIXTEEN[2])));
    }

    #[test]
    fn dim_lies_between_text_and_ground() {
        let dim = look("\x1b[2mx").ink.colour;
        assert!(GROUND.0 < dim.0 && dim.0 < TEXT.0);
    }

    #[test]
    fn weights_are_kept() {
        let look = look("\x1b[1;3;4mx");
        assert!(look.ink.bold && look.ink.italic && look.underline);
    }

    #[test]
    fn a_colour_is_written_as_browsers_read_it() {
        assert_eq!(Rgb(1, 0xab, 255).to_string(), "#01abff");
    }
}
