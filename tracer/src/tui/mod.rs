//! The live view: [`model`] (values), [`keys`] and actions (what a person asks for), `view` (the drawing).

#[cfg(test)]
pub(crate) mod fixture;
pub mod keys;
pub mod model;
pub mod term;
pub mod text;
pub mod theme;
#[doc(hidden)] // for the benches
pub mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use crossterm::event::{self, Event};
use keys::Focus;
use model::export::Held;
use model::filter::ParseFilter;
use model::{Effect, Flow, LogKey, Model};
use ratatui::layout::Rect;
use theme::{Palette, Theme};
use tui_logger::{TuiWidgetEvent, TuiWidgetState};

use crate::export::Format;
use crate::playback::Play;
use crate::time::Timestamp;
use crate::view_update::Update;

/// Time between two frames at least.
const FRAME: Duration = Duration::from_millis(100);
/// Time between two looks at the channel at most: keys are answered at once, they wake the loop.
const LOOK: Duration = Duration::from_millis(50);
/// Batches taken from the channel before keys are looked at again.
const BATCHES_PER_LOOK: usize = 256;

/// How the view is to behave.
pub struct ViewOptions {
    /// The FILTER language.
    pub parse_filter: ParseFilter,
    /// The filter from the command line.
    pub filter: Option<String>,
    /// The colours.
    pub palette: Palette,
    /// Does what the view cannot do itself.
    pub tools: Box<dyn Tools>,
    /// The clock of the records' time stamps.
    pub clock: Box<dyn Fn() -> Timestamp + Send>,
    /// Stay when the channel closes (a recording at its end) instead of leaving.
    pub stay_when_ended: bool,
    /// Leaves the view when it becomes true: the program was asked to stop.
    pub stop: Arc<AtomicBool>,
}

/// What a person may ask for that reaches beyond the view. What became of it comes as an [`Update::Notice`].
pub trait Tools: Send {
    /// Writes these records to a file of this form.
    fn export(&mut self, held: Held, form: Format);
    /// Begins a recording, or ends the one that is written.
    fn toggle_recording(&mut self);
    /// Asks something of the player of a recording.
    fn play(&mut self, play: Play);
    /// Asks it to go to the next record that a filter lets through.
    fn play_to_next(&mut self, filter: &str);
}

/// Makes the `log` facade write to the view's log pane. Once per process, before anything logs.
///
/// # Errors
/// Where the process has a logger already.
pub fn init_logger(max_level: log::LevelFilter) -> anyhow::Result<()> {
    tui_logger::init_logger(max_level).context("the log pane cannot take the log")?;
    tui_logger::set_default_level(max_level);
    Ok(())
}

/// Shows what comes over `updates` until a person quits, [`ViewOptions::stop`] becomes true or the channel
/// closes. Takes the calling thread and the terminal, and gives both back.
///
/// # Errors
/// A filter that does not parse, and a terminal that is none or is gone.
pub fn run(updates: Receiver<Vec<Update>>, mut options: ViewOptions) -> anyhow::Result<()> {
    let mut model = Model::new(options.parse_filter);
    if let Some(filter) = &options.filter {
        model.set_filter(filter).map_err(anyhow::Error::msg)?;
    }
    let theme = Theme::new(options.palette, |name| std::env::var(name).ok());
    let mut screen = term::Screen::take().context("the live view needs a terminal on stdout")?;
    let log = TuiWidgetState::new();
    let mut next_frame = Instant::now();
    let mut table = None;
    while !options.stop.load(Ordering::Relaxed) {
        model.tick((options.clock)());
        take_updates(&updates, &mut model);
        if matches!(model.flow, Flow::Ended) && !options.stay_when_ended {
            break;
        }
        let input = event::poll(wait(next_frame)).context("the terminal cannot be read")?;
        match if input { take_keys(&mut model, table)? } else { None } {
            Some(Effect::Quit) => break,
            Some(Effect::Copy(text)) => term::copy(&text).context("the terminal is gone")?,
            Some(Effect::Export(held, form)) => options.tools.export(held, form),
            Some(Effect::Log(key)) => log.transition(in_log(key)),
            Some(Effect::Play(play)) => options.tools.play(play),
            Some(Effect::PlayToNext(filter)) => options.tools.play_to_next(&filter),
            Some(Effect::ToggleRecording) => options.tools.toggle_recording(),
            None => {}
        }
        // A key is answered at once; what the host does may wait for the next frame.
        if (input || Instant::now() >= next_frame) && model.take_dirty() {
            table = frame(&mut screen, &mut model, &theme, &log)?;
            next_frame = Instant::now() + FRAME;
        }
    }
    Ok(())
}

fn in_log(key: LogKey) -> TuiWidgetEvent {
    match key {
        LogKey::Up => TuiWidgetEvent::UpKey,
        LogKey::Down => TuiWidgetEvent::DownKey,
        LogKey::ShowLess => TuiWidgetEvent::LeftKey,
        LogKey::ShowMore => TuiWidgetEvent::RightKey,
        LogKey::KeepLess => TuiWidgetEvent::MinusKey,
        LogKey::KeepMore => TuiWidgetEvent::PlusKey,
        LogKey::Only => TuiWidgetEvent::FocusKey,
        LogKey::HideTargets => TuiWidgetEvent::HideKey,
        LogKey::Older => TuiWidgetEvent::PrevPageKey,
        LogKey::Newer => TuiWidgetEvent::NextPageKey,
    }
}

/// How long to wait for a key: never past the next frame, never longer than the channel may wait.
fn wait(next_frame: Instant) -> Duration {
    match next_frame.saturating_duration_since(Instant::now()) {
        Duration::ZERO => LOOK,
        until_frame => until_frame.min(LOOK),
    }
}

fn take_updates(updates: &Receiver<Vec<Update>>, model: &mut Model) {
    for _ in 0..BATCHES_PER_LOOK {
        if matches!(model.flow, Flow::Ended) || !model.has_room() {
            return;
        }
        match updates.try_recv() {
            Ok(batch) => model.offer(batch),
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => model.end(),
        }
    }
}

/// Takes all input there is.
///
/// `table` is where the rows stand, for clicks.
fn take_keys(model: &mut Model, table: Option<Rect>) -> anyhow::Result<Option<Effect>> {
    loop {
        match event::read().context("the terminal cannot be read")? {
            event @ (Event::Key(_) | Event::Mouse(_)) => {
                let action = match event {
                    Event::Key(key) => keys::action(key, Focus::of(model)),
                    Event::Mouse(mouse) => keys::of_mouse(mouse, table),
                    _ => None,
                };
                let effect = action.and_then(|action| model.act(action));
                if effect.is_some() {
                    return Ok(effect);
                }
                // The next key may move on from where this one led: the table must be right by then.
                model.settle(model.cursor.page_rows);
            }
            Event::Resize(..) => model.set_dirty(),
            _ => {}
        }
        if !event::poll(Duration::ZERO).context("the terminal cannot be read")? {
            return Ok(None);
        }
    }
}

/// Draws a frame; where its table stands.
fn frame(
    screen: &mut term::Screen,
    model: &mut Model,
    theme: &Theme,
    log: &TuiWidgetState,
) -> anyhow::Result<Option<Rect>> {
    screen.terminal.autoresize().context("the terminal is gone")?;
    let size = screen.terminal.size().context("the terminal is gone")?;
    let plan = view::Plan::new(
        Rect::from((ratatui::layout::Position::ORIGIN, size)),
        &model.panes,
        model.table.alarms().len(),
    );
    model.settle(plan.page_rows());
    let draw = |frame: &mut ratatui::Frame<'_>| view::draw(frame, model, &plan, theme, log);
    screen.terminal.draw(draw).context("the terminal is gone")?;
    Ok(plan.table())
}
