//! Colours and weights by meaning. Colour is never the only sign: every meaning has its word or mark too.

use ratatui::style::{Color, Modifier, Style};

use super::model::verdict::Tone;
use crate::tcp::TcpState;

/// Which colours to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// As the environment says: NO_COLOR, COLORFGBG, else for a dark ground.
    #[default]
    Auto,
    /// For a dark ground.
    Dark,
    /// For a light ground.
    Light,
    /// No colours at all.
    Plain,
}

/// The looks of everything on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Ordinary text.
    pub text: Style,
    /// Text that may be passed over.
    pub dim: Style,
    /// Text that is about to go.
    pub faded: Style,
    /// Headings and the name.
    pub heading: Style,
    /// Keys, and what can be acted on.
    pub accent: Style,
    /// As it should be.
    pub good: Style,
    /// Worth a look.
    pub notice: Style,
    /// Wrong or missing.
    pub bad: Style,
    /// A line with a rule under it.
    pub ruled: Style,
    /// The selected row.
    pub selected: Style,
    /// Lanes where a connection opens.
    opening: Style,
    /// Lanes where this end has closed.
    closed_here: Style,
    /// Lanes where the other end has closed.
    closed_there: Style,
    /// Whether the terminal can show more than ASCII.
    pub unicode: bool,
}

impl Theme {
    /// The looks for a palette and an environment, asked by variable name.
    #[must_use]
    pub fn new(palette: Palette, environment: impl Fn(&str) -> Option<String>) -> Theme {
        let unicode = speaks_utf8(&environment);
        let theme = match palette {
            Palette::Auto if is_set(environment("NO_COLOR")) => Theme::plain(),
            Palette::Auto if has_light_ground(environment("COLORFGBG")) => Theme::light(),
            Palette::Auto | Palette::Dark => Theme::dark(),
            Palette::Light => Theme::light(),
            Palette::Plain => Theme::plain(),
        };
        Theme { unicode, ..theme }
    }

    fn plain() -> Theme {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        Theme {
            text: Style::new(),
            dim: Style::new().add_modifier(Modifier::DIM),
            faded: Style::new().add_modifier(Modifier::DIM),
            heading: bold,
            accent: bold,
            good: Style::new(),
            notice: bold,
            bad: bold.add_modifier(Modifier::UNDERLINED),
            ruled: Style::new().add_modifier(Modifier::UNDERLINED),
            selected: Style::new().add_modifier(Modifier::REVERSED),
            opening: Style::new(),
            closed_here: Style::new(),
            closed_there: Style::new(),
            unicode: true,
        }
    }

    /// The terminal's own sixteen colours: whoever chose them can read them.
    fn dark() -> Theme {
        let theme = Theme::coloured(
            Color::Cyan,
            Color::Green,
            Color::Yellow,
            Color::LightRed,
            Color::Magenta,
        );
        Theme { faded: Style::new().fg(Color::Indexed(239)), ..theme }
    }

    /// Darker tones from the 256 colours: on white, yellow and cyan cannot be read.
    fn light() -> Theme {
        let tone = Color::Indexed;
        let theme = Theme::coloured(tone(25), tone(28), tone(130), tone(160), tone(90));
        Theme { faded: Style::new().fg(tone(250)), ..theme }
    }

    fn coloured(accent: Color, good: Color, notice: Color, bad: Color, there: Color) -> Theme {
        let colour = |colour| Style::new().fg(colour);
        Theme {
            heading: colour(accent).add_modifier(Modifier::BOLD),
            accent: colour(accent),
            good: colour(good),
            notice: colour(notice),
            bad: colour(bad).add_modifier(Modifier::BOLD),
            opening: colour(notice),
            closed_here: colour(accent),
            closed_there: colour(there),
            ..Theme::plain()
        }
    }

    /// The looks of a state.
    #[must_use]
    pub fn state(&self, state: TcpState) -> Style {
        match state {
            TcpState::SynSent | TcpState::SynRecv => self.opening,
            TcpState::Established => self.good,
            TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::TimeWait => {
                self.closed_here
            }
            TcpState::CloseWait | TcpState::LastAck => self.closed_there,
            TcpState::Close | TcpState::Listen => self.dim,
        }
    }

    /// The looks of a status code, by its class.
    #[must_use]
    pub fn status(&self, status: Option<u16>) -> Style {
        match status.map(|status| status / 100) {
            Some(2) => self.good,
            Some(3) => self.accent,
            Some(4) => self.notice,
            Some(5) => self.bad,
            _ => self.text,
        }
    }

    /// The looks of a verdict.
    #[must_use]
    pub fn tone(&self, tone: Tone) -> Style {
        match tone {
            Tone::Calm => self.text,
            Tone::Notice => self.notice,
            Tone::Bad => self.bad,
        }
    }
}

/// A variable counts as set when it is not empty (no-color.org).
fn is_set(value: Option<String>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

/// COLORFGBG is `foreground;background`, where 7 and 15 are the light grounds.
fn has_light_ground(colorfgbg: Option<String>) -> bool {
    let ground = colorfgbg.as_deref().and_then(|value| value.rsplit(';').next());
    matches!(ground, Some("7" | "15"))
}

/// The first of LC_ALL, LC_CTYPE and LANG that is set decides, as in setlocale(3).
fn speaks_utf8(environment: impl Fn(&str) -> Option<String>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(environment);
    let locale = set.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(variables: &[(&str, &str)]) -> Theme {
        Theme::new(Palette::Auto, |name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn no_color_takes_every_colour_away() {
        let theme = theme(&[("NO_COLOR", "1"), ("LANG", "C.UTF-8")]);
        let styles = TcpState::ALL.map(|state| theme.state(state));
        assert!(styles.iter().chain([&theme.bad, &theme.good]).all(|style| style.fg.is_none()));
    }

    #[test]
    fn an_empty_no_color_counts_as_unset() {
        assert!(theme(&[("NO_COLOR", "")]).good.fg.is_some());
    }

    #[test]
    fn a_light_ground_gets_other_colours_than_a_dark_one() {
        let (light, dark) = (theme(&[("COLORFGBG", "0;15")]), theme(&[("COLORFGBG", "15;0")]));
        assert_ne!(light.notice, dark.notice);
    }

    #[test]
    fn only_a_utf8_locale_gets_more_than_ascii() {
        assert!(theme(&[("LANG", "de_DE.UTF-8")]).unicode);
        assert!(!theme(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).unicode);
        assert!(theme(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]).unicode);
        assert!(!theme(&[]).unicode);
    }
}
