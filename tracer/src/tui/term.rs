//! The terminal while the view has it: taken by a guard, given back whatever happens.

use std::io::{self, Stdout, stdout};
use std::sync::Once;

use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// The terminal in raw mode on its alternate screen, until this is dropped.
pub struct Screen {
    /// What ratatui draws to.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where stdout is no terminal, or does not obey.
    pub fn take() -> io::Result<Screen> {
        restore_on_panic();
        enable_raw_mode()?;
        // From here on a failure must give the terminal back: the guard exists before the next step.
        let guard = Restore;
        execute!(stdout(), EnterAlternateScreen, EnableMouseCapture)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        std::mem::forget(guard);
        Ok(Screen { terminal })
    }
}

/// Asks the terminal to take `text` into the clipboard (OSC 52). Over ssh too; one that does not know it ignores it.
///
/// # Errors
/// Where the terminal is gone.
pub fn copy(text: &str) -> io::Result<()> {
    execute!(stdout(), CopyToClipboard::to_clipboard_from(text))
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back. A terminal that is gone cannot be told of an error: none is reported.
pub fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
}

/// A panic in any thread gives the terminal back before its message is printed, or nobody could read it.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
    });
}
