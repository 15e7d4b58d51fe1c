//! A film as one SVG that needs nothing else: no script, no font, no network.
//!
//! Each row is a strip of its own: what it shows one after the other stands side by side, and an animation in
//! steps moves it past a window. So a line that stays is written once, and a browser has little to lay out.

use std::{fmt::Write as _, time::Duration};

use super::{
    colours::{GROUND, Ink, Rgb, TEXT},
    film::Film,
    frames::{Frame, Piece, Shape},
    glyphs::{self, BASELINE, CELL},
};

/// What the window's title says.
const TITLE: &str = "tracer demo";
/// Around the text.
const PADDING: u32 = 16;
/// The height of the title bar.
const BAR: u32 = 40;
/// Fonts in which a column is about 0.6 of the size wide, as `CELL` has it; `textLength` sets right the rest.
const FONT: &str = "15px ui-monospace,SFMono-Regular,Menlo,\"Cascadia Mono\",\"DejaVu Sans Mono\",\
    \"Liberation Mono\",Consolas,monospace";

/// The whole film, again and again. Where motion is not wanted or not known, its still frame.
pub fn animation(film: &Film) -> String {
    let frames: Vec<&Frame> = film.shots().iter().map(|shot| &shot.frame).collect();
    let length = film.length().as_secs_f64().max(f64::MIN_POSITIVE);
    let percents = film.shots().iter().map(|shot| percent(shot.at, length)).collect();
    document(&frames, film.still(), Some(Motion { percents, length }))
}

/// The still frame alone.
pub fn still(film: &Film) -> String {
    let shot = film.shots().get(film.still());
    let frames: Vec<&Frame> = shot.map(|shot| &shot.frame).into_iter().collect();
    document(&frames, 0, None)
}

/// When each frame is seen, in percent of the length in seconds.
struct Motion {
    percents: Vec<f64>,
    length: f64,
}

fn percent(at: Duration, length: f64) -> f64 {
    (100_000.0 * at.as_secs_f64() / length).round() / 1000.0
}

/// Of the whole picture.
struct Size {
    width: u32,
    height: u32,
}

impl Size {
    fn of(frames: &[&Frame]) -> Self {
        let rows = frames.iter().map(|frame| frame.rows.len()).max().unwrap_or(0) as u32;
        let columns = frames.iter().map(|frame| frame.columns).max().unwrap_or(0);
        let columns = u32::from(columns);
        Self { width: columns * CELL.0 + 2 * PADDING, height: BAR + rows * CELL.1 + PADDING }
    }
}

/// `shown`: the number of the frame that is seen when nothing moves.
fn document(frames: &[&Frame], shown: usize, motion: Option<Motion>) -> String {
    let size = Size::of(frames);
    let Size { width, height } = size;
    let mut inks = Inks::default();
    let mut moves = String::new();
    let mut strips = String::new();
    let rows = frames.iter().map(|frame| frame.rows.len()).max().unwrap_or(0);
    let keys: Vec<String> = frames
        .iter()
        .map(|frame| frame.key.as_ref().map(|name| key(name, width)).unwrap_or_default())
        .collect();
    let lines = (0..rows).map(|row| {
        let y = BAR + row as u32 * CELL.1 + BASELINE;
        let pieces = frames.iter().map(|frame| frame.rows.get(row).map_or(&[][..], Vec::as_slice));
        let inks = &mut inks;
        let mut line = |pieces: &[Piece]| -> String {
            pieces.iter().map(|piece| element(piece, inks)).collect()
        };
        (y, pieces.map(&mut line).collect::<Vec<_>>())
    });
    let lines: Vec<(u32, Vec<String>)> = std::iter::once((0, keys)).chain(lines).collect();
    for (number, (y, contents)) in lines.iter().enumerate() {
        let strip = Strip::new(contents, width, *y);
        let at = strip.position(shown);
        let _ = writeln!(
            strips,
            "<g id=\"s{number}\" transform=\"translate(-{at})\">{}</g>",
            strip.text
        );
        if let Some(Motion { percents, length }) =
            motion.as_ref().filter(|_| strip.starts.len() > 1)
        {
            let _ = write!(
                moves,
                "@keyframes s{number}{{{}}}#s{number}{{animation:s{number} {length:.2}s step-end infinite}}",
                strip.keyframes(percents)
            );
        }
    }
    if motion.is_some() {
        moves.push_str("@media(prefers-reduced-motion:reduce){g{animation:none!important}}");
    }
    let classes = inks.css();
    let window = window(&size);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{TITLE}\">\n\
         <style>text{{font:{FONT};font-variant-ligatures:none}}{classes}{moves}</style>\n{window}\
         <svg width=\"{width}\" height=\"{height}\" fill=\"{TEXT}\">\n{strips}</svg>\n</svg>\n"
    )
}

/// What a row shows one after the other, side by side.
struct Strip {
    text: String,
    width: u32,
    /// The frames from which on the row shows something else.
    starts: Vec<usize>,
}

impl Strip {
    /// `contents`: those of the row in each frame, for a window of `width`.
    fn new(contents: &[String], width: u32, y: u32) -> Self {
        let mut strip = Self { text: String::new(), width, starts: Vec::new() };
        for (number, content) in contents.iter().enumerate() {
            if number > 0 && contents[number - 1] == *content {
                continue;
            }
            let x = strip.starts.len() as u32 * width + PADDING;
            if !content.is_empty() {
                let _ = write!(strip.text, "<g transform=\"translate({x} {y})\">{content}</g>");
            }
            strip.starts.push(number);
        }
        strip
    }

    /// How far to the left the strip is moved for a frame.
    fn position(&self, frame: usize) -> u32 {
        let passed = self.starts.iter().filter(|start| **start <= frame).count();
        passed.saturating_sub(1) as u32 * self.width
    }

    /// When it is moved, with the time of each frame.
    fn keyframes(&self, percents: &[f64]) -> String {
        let mut text = String::new();
        for start in &self.starts {
            let (percent, x) =
                (percents.get(*start).copied().unwrap_or(0.0), self.position(*start));
            let _ = write!(text, "{percent}%{{transform:translate(-{x}px)}}");
        }
        text
    }
}

/// What is behind the text: a window with a title.
fn window(size: &Size) -> String {
    let Size { width, height } = size;
    let mut text = format!(
        "<rect x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"10\" fill=\"{GROUND}\" stroke=\"#3d4654\"/>\n\
         <path d=\"M1 {y}V11A10 10 0 0 1 11 1H{right}A10 10 0 0 1 {edge} 11V{y}z\" fill=\"#222832\"/>\n",
        width - 1,
        height - 1,
        y = BAR - 6,
        right = width - 11,
        edge = width - 1,
    );
    for (number, colour) in ["#e0656d", "#e2b65b", "#77bb5f"].into_iter().enumerate() {
        let x = 20 + number * 20;
        let _ = writeln!(text, "<circle cx=\"{x}\" cy=\"17.5\" r=\"6\" fill=\"{colour}\"/>");
    }
    let middle = width / 2;
    let _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"22\" text-anchor=\"middle\" fill=\"#98a2b3\">{TITLE}</text>"
    );
    text
}

/// The key that was just pressed, at the right of the title bar.
fn key(name: &str, width: u32) -> String {
    let text = name.chars().count() as u32 * CELL.0;
    let x = width - 2 * PADDING - text - 8;
    format!(
        "<rect x=\"{}\" y=\"6\" width=\"{}\" height=\"23\" rx=\"5\" fill=\"#e5c07b\"/>\
         <text x=\"{x}\" y=\"22.5\" textLength=\"{text}\" font-weight=\"700\" fill=\"{GROUND}\">{}</text>",
        x - 8,
        text + 16,
        escape(name)
    )
}

/// A piece at its column, standing on the line y = 0.
fn element(piece: &Piece, inks: &mut Inks) -> String {
    let (x, width) = (u32::from(piece.column) * CELL.0, u32::from(piece.width) * CELL.0);
    let filled = |class: String, d: String| format!("<path{class} d=\"{d}\"/>");
    let (top, height) = (BASELINE, CELL.1);
    match &piece.shape {
        Shape::Text { ink, text } => {
            let class = inks.class(*ink);
            // What keeps the columns in any font.
            let length =
                if piece.width > 1 { format!(" textLength=\"{width}\"") } else { String::new() };
            format!("<text x=\"{x}\"{class}{length}>{}</text>", escape(text))
        }
        Shape::Drawn { colour, glyphs } => {
            let class = inks.class(plain(*colour));
            let opacity = match glyphs::shade(glyphs) {
                4 => String::new(),
                quarters => format!(" opacity=\".{}\"", 25 * u32::from(quarters)),
            };
            filled(class + &opacity, glyphs::path(glyphs, x))
        }
        Shape::Ground(colour) => {
            filled(inks.class(plain(*colour)), format!("M{x}-{top}h{width}v{height}h-{width}z"))
        }
        Shape::Underline(colour) => {
            filled(inks.class(plain(*colour)), format!("M{x} 2h{width}v1h-{width}z"))
        }
        Shape::Cursor => filled(String::new(), format!("M{x}-{}h2v16h-2z", top - 2)),
    }
}

fn plain(colour: Rgb) -> Ink {
    Ink { colour, bold: false, italic: false }
}

/// Looks and their classes. Ordinary text has none.
#[derive(Default)]
struct Inks(Vec<Ink>);

impl Inks {
    fn class(&mut self, ink: Ink) -> String {
        if ink == plain(TEXT) {
            return String::new();
        }
        let number = self.0.iter().position(|known| *known == ink).unwrap_or_else(|| {
            self.0.push(ink);
            self.0.len() - 1
        });
        format!(" class=\"i{number}\"")
    }

    fn css(&self) -> String {
        let mut css = String::new();
        for (number, ink) in self.0.iter().enumerate() {
            let weight = if ink.bold { ";font-weight:700" } else { "" };
            let slope = if ink.italic { ";font-style:italic" } else { "" };
            let _ = write!(css, ".i{number}{{fill:{}{weight}{slope}}}", ink.colour);
        }
        css
    }
}

/// Text as it stands in XML, which has no control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::frames::tests::screen;

    /// A film with a frame per second.
    fn film(screens: &[&str]) -> Film {
        let mut film = Film::default();
        for (number, bytes) in screens.iter().enumerate() {
            film.take(Duration::from_secs(number as u64), Frame::of(&screen(bytes), None));
        }
        film.end(Duration::from_secs(screens.len() as u64));
        film
    }

    /// Whether every element that begins ends, in its order.
    fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for tag in svg.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            match tag.strip_prefix('/') {
                Some(name) if open.pop() != Some(name) => return false,
                Some(_) => {}
                None if tag.ends_with('/') => {}
                None => open.push(tag.split(' ').next().unwrap_or_default()),
            }
        }
        open.is_empty()
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b> & \"c\""), "a&lt;b&gt; &amp; &quot;c&quot;");
        assert_eq!(escape("\u{1b}[0m\u{ffff}"), "\u{fffd}[0m\u{fffd}");
        let svg = animation(&film(&["<script>&"]));
        assert!(svg.contains("&lt;script&gt;&amp;") && !svg.contains("<script"));
    }

    #[test]
    fn a_row_moves_when_it_changes_and_only_then() {
        let strip = Strip::new(&["a", "a", "b", "", "b"].map(str::to_owned), 100, 7);
        assert_eq!(strip.starts, [0, 2, 3, 4]);
        assert_eq!([0, 1, 2, 4].map(|frame| strip.position(frame)), [0, 0, 100, 300]);
        assert_eq!(
            Strip::new(&["a", "b"].map(str::to_owned), 100, 7).keyframes(&[0.0, 33.333]),
            "0%{transform:translate(-0px)}33.333%{transform:translate(-100px)}"
        );
        assert_eq!(percent(Duration::from_secs(1), 3.0), 33.333);
    }

    #[test]
    fn a_line_that_stays_is_written_once() {
        let screens: Vec<String> = (0..9).map(|n| format!("\x1b[31mred\r\n│ {n}")).collect();
        let screens: Vec<&str> = screens.iter().map(String::as_str).collect();
        let svg = animation(&film(&screens));
        assert!(is_well_formed(&svg), "{svg}");
        assert_eq!(svg.matches(">red<").count(), 1, "{svg}");
        // It does not move; the second line does.
        assert_eq!(svg.matches("@keyframes").count(), 1);
        assert!(svg.contains("prefers-reduced-motion:reduce"));
    }

    #[test]
    fn words_are_as_wide_as_their_columns() {
        let svg = still(&film(&["ab\x1b[1m日本"]));
        assert!(svg.contains("<text x=\"0\" textLength=\"18\">ab</text>"), "{svg}");
        assert!(svg.contains("<text x=\"18\" class=\"i0\" textLength=\"18\">日</text>"), "{svg}");
        assert!(svg.contains("<text x=\"36\" class=\"i0\" textLength=\"18\">本</text>"), "{svg}");
    }

    #[test]
    fn the_still_has_one_frame_and_does_not_move() {
        let mut film = film(&["a", "b"]);
        film.mark_still();
        let svg = still(&film);
        assert!(svg.contains(">b<") && !svg.contains(">a<") && !svg.contains("keyframes"));
        // The animation shows the same frame where nothing moves.
        let width = Size::of(&[&film.shots()[0].frame]).width;
        let animation = animation(&film);
        assert!(animation.contains(&format!("id=\"s1\" transform=\"translate(-{width})\"")));
    }

    #[test]
    fn a_key_is_shown() {
        let mut film = Film::default();
        film.take(Duration::ZERO, Frame::of(&screen("a"), Some("Esc".to_owned())));
        assert!(still(&film).contains(">Esc</text>"));
    }
}
