//! Which key asks for what.

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use super::model::filter::Edit;
use super::model::forms;
use super::model::{Action, LogKey, Model};
use crate::playback::Play;

/// Seconds that a key skips in a recording.
const SKIP_S: i64 = 10;

/// Where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// To the page.
    Page,
    /// Into the open filter line.
    FilterLine,
    /// To the log.
    Log,
    /// To the forms that can be exported to.
    Forms,
}

impl Focus {
    /// Where they go now.
    #[must_use]
    pub fn of(model: &Model) -> Focus {
        match &model.editing {
            Some(_) => Focus::FilterLine,
            None if model.panes.forms => Focus::Forms,
            None if model.panes.log_keys => Focus::Log,
            None => Focus::Page,
        }
    }
}

/// What a key asks for.
#[must_use]
pub fn action(key: KeyEvent, focus: Focus) -> Option<Action> {
    // Some terminals tell of the release too.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let typing = focus == Focus::FilterLine;
    match key.code {
        KeyCode::Char('c') if control => Some(Action::Quit),
        KeyCode::Enter => Some(Action::Enter),
        KeyCode::Esc => Some(Action::Back),
        KeyCode::Tab if typing => Some(Action::Edit(Edit::Complete)),
        KeyCode::BackTab if typing => Some(Action::Edit(Edit::CompleteBack)),
        code if typing => edit(code, control).map(Action::Edit),
        code if focus == Focus::Log => of_log(code),
        KeyCode::Char(letter) if focus == Focus::Forms => forms::by_key(letter).map(Action::Export),
        _ if focus == Focus::Forms => None,
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

fn of_log(code: KeyCode) -> Option<Action> {
    let key = match code {
        KeyCode::Char('l') => return Some(Action::ToggleLog),
        KeyCode::Char('L') => return Some(Action::ToggleLogKeys),
        KeyCode::Char('?') => return Some(Action::ToggleHelp),
        KeyCode::Char('q') => return Some(Action::Quit),
        KeyCode::Up | KeyCode::Char('k') => LogKey::Up,
        KeyCode::Down | KeyCode::Char('j') => LogKey::Down,
        KeyCode::Left => LogKey::ShowLess,
        KeyCode::Right => LogKey::ShowMore,
        KeyCode::Char('-') => LogKey::KeepLess,
        KeyCode::Char('+') => LogKey::KeepMore,
        KeyCode::Char('f') => LogKey::Only,
        KeyCode::Char('h') => LogKey::HideTargets,
        KeyCode::PageUp => LogKey::Older,
        KeyCode::PageDown => LogKey::Newer,
        _ => return None,
    };
    Some(Action::Log(key))
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
        'e' => Action::ChooseForm,
        'r' => Action::ToggleRecording,
        '.' => Action::Play(Play::Step),
        ']' => Action::Skip(SKIP_S),
        '[' => Action::Skip(-SKIP_S),
        'c' => Action::ToItsBegin,
        'n' => Action::ToNextMatch,
        '+' | '>' => Action::Play(Play::Faster),
        '-' | '<' => Action::Play(Play::Slower),
        'l' => Action::ToggleLog,
        'L' => Action::ToggleLogKeys,
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
    use crate::export::Format;

    fn press(code: KeyCode, modifiers: KeyModifiers, focus: Focus) -> Option<Action> {
        action(KeyEvent::new(code, modifiers), focus)
    }

    #[test]
    fn control_c_leaves_whatever_is_open() {
        for focus in [Focus::Page, Focus::FilterLine, Focus::Log, Focus::Forms] {
            let action = press(KeyCode::Char('c'), KeyModifiers::CONTROL, focus);
            assert_eq!(action, Some(Action::Quit));
        }
    }

    #[test]
    fn letters_are_typed_into_an_open_filter_line_and_are_commands_otherwise() {
        let q = |focus| press(KeyCode::Char('q'), KeyModifiers::NONE, focus);
        assert_eq!(q(Focus::Page), Some(Action::Quit));
        assert_eq!(q(Focus::FilterLine), Some(Action::Edit(Edit::Insert('q'))));
    }

    #[test]
    fn in_the_log_the_arrows_choose_targets_and_what_is_shown_of_them() {
        let press = |code| press(code, KeyModifiers::NONE, Focus::Log);
        assert_eq!(press(KeyCode::Down), Some(Action::Log(LogKey::Down)));
        assert_eq!(press(KeyCode::Right), Some(Action::Log(LogKey::ShowMore)));
        assert_eq!(press(KeyCode::Esc), Some(Action::Back));
        assert_eq!(press(KeyCode::Char('s')), None);
    }

    #[test]
    fn where_a_form_is_chosen_its_letter_takes_it_and_others_do_nothing() {
        let press = |code| press(code, KeyModifiers::NONE, Focus::Forms);
        assert_eq!(press(KeyCode::Char('h')), Some(Action::Export(Format::Har)));
        assert_eq!(press(KeyCode::Char('q')), None);
        assert_eq!(press(KeyCode::Down), None);
        assert_eq!(press(KeyCode::Esc), Some(Action::Back));
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
        assert_eq!(action(key, Focus::Page), None);
    }
}
