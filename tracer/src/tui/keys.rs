//! Which key asks for what.

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use super::model::Action;
use super::model::filter::Edit;
use crate::playback::Play;

/// What a key asks for; `typing` while the filter line is open.
#[must_use]
pub fn action(key: KeyEvent, typing: bool) -> Option<Action> {
    // Some terminals tell of the release too.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => Some(Action::Quit),
        KeyCode::Enter => Some(Action::Enter),
        KeyCode::Esc => Some(Action::Back),
        KeyCode::Tab if typing => Some(Action::Edit(Edit::Complete)),
        KeyCode::BackTab if typing => Some(Action::Edit(Edit::CompleteBack)),
        code if typing => edit(code, control).map(Action::Edit),
        KeyCode::Tab | KeyCode::BackTab => Some(Action::NextPage),
        KeyCode::Char(letter) => command(letter, control),
        code => movement(code),
    }
}

/// What the mouse asks for; `table` is where the rows stand.
#[must_use]
pub fn of_mouse(mouse: MouseEvent, table: Option<Rect>) -> Option<Action> {
    match mouse.kind {
        MouseEventKind::ScrollUp => Some(Action::Up),
        MouseEventKind::ScrollDown => Some(Action::Down),
        MouseEventKind::Down(MouseButton::Left) => {
            let table = table?;
            let is_on_it = table.contains(Position::new(mouse.column, mouse.row));
            is_on_it.then(|| Action::Pick(usize::from(mouse.row - table.y)))
        }
        _ => None,
    }
}

fn edit(code: KeyCode, control: bool) -> Option<Edit> {
    match code {
        KeyCode::Char('u') if control => Some(Edit::Clear),
        KeyCode::Char('a') if control => Some(Edit::Home),
        KeyCode::Char('e') if control => Some(Edit::End),
        KeyCode::Char(letter) if !control => Some(Edit::Insert(letter)),
        KeyCode::Backspace => Some(Edit::Backspace),
        KeyCode::Delete => Some(Edit::Delete),
        KeyCode::Left => Some(Edit::Left),
        KeyCode::Right => Some(Edit::Right),
        KeyCode::Home => Some(Edit::Home),
        KeyCode::End => Some(Edit::End),
        _ => None,
    }
}

fn command(letter: char, control: bool) -> Option<Action> {
    Some(match letter {
        'f' if control => Action::PageDown,
        'b' if control => Action::PageUp,
        _ if control => return None,
        'q' => Action::Quit,
        'j' => Action::Down,
        'k' => Action::Up,
        'g' => Action::First,
        'G' => Action::Last,
        'h' => Action::PreviousSort,
        's' => Action::NextSort,
        'S' => Action::ReverseSort,
        ' ' => Action::TogglePause,
        '/' => Action::EditFilter,
        '!' => Action::NextAlarm,
        'b' => Action::NextGrouping,
        'y' => Action::Copy,
        'Y' => Action::CopyFilter,
        'e' => Action::Export,
        'r' => Action::ToggleRecording,
        '.' => Action::Play(Play::Step),
        '+' | '>' => Action::Play(Play::Faster),
        '-' | '<' => Action::Play(Play::Slower),
        'l' => Action::ToggleLog,
        '?' => Action::ToggleHelp,
        _ => return None,
    })
}

fn movement(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Up => Action::Up,
        KeyCode::Down => Action::Down,
        KeyCode::Left => Action::PreviousSort,
        KeyCode::Right => Action::NextSort,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Home => Action::First,
        KeyCode::End => Action::Last,
        KeyCode::F(1) => Action::ToggleHelp,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers, typing: bool) -> Option<Action> {
        action(KeyEvent::new(code, modifiers), typing)
    }

    #[test]
    fn control_c_leaves_whatever_is_open() {
        for typing in [false, true] {
            let action = press(KeyCode::Char('c'), KeyModifiers::CONTROL, typing);
            assert_eq!(action, Some(Action::Quit));
        }
    }

    #[test]
    fn letters_are_typed_into_an_open_filter_line_and_are_commands_otherwise() {
        let q = |typing| press(KeyCode::Char('q'), KeyModifiers::NONE, typing);
        assert_eq!(q(false), Some(Action::Quit));
        assert_eq!(q(true), Some(Action::Edit(Edit::Insert('q'))));
    }

    #[test]
    fn a_click_picks_the_line_that_it_hits_in_the_table() {
        let click = |column, row| {
            let kind = MouseEventKind::Down(MouseButton::Left);
            let mouse = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
            of_mouse(mouse, Some(Rect::new(0, 5, 80, 10)))
        };
        assert_eq!(click(3, 7), Some(Action::Pick(2)));
        assert_eq!(click(3, 4), None);
    }

    #[test]
    fn a_released_key_does_nothing() {
        let mut key = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
        key.kind = KeyEventKind::Release;
        assert_eq!(action(key, false), None);
    }
}
