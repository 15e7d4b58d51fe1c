//! What the live view costs beside 100,000 connections and 20,000 changes a second. `cargo bench --bench view`.
//!
//! Times are this thread's processor time: what others take meanwhile is not in them.

mod support;

use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use support::counting::{Counting, live_bytes};
use support::drive::{self, ANCHOR, Driver};
use support::traffic::{Load, Until};
use tracer::engine::{Output, TellChanged};
use tracer::filter::{Filter, States, Subject};
use tracer::record::{ConnId, Connection, Exchange};
use tracer::tcp::TcpState;
use tracer::time::Timestamp;
use tracer::tui::model::filter::{Edit, RowFilter};
use tracer::tui::model::{Action, Model};
use tracer::tui::theme::{Palette, Theme};
use tracer::tui::view::{self, Plan};
use tracer::view_update::Update;
use tui_logger::TuiWidgetState;

/// Connection ends in the table.
const ENDS: usize = 100_000;
const FRAMES: usize = 300;
const FRAMES_PER_S: usize = 10;
const CHANGES_PER_S: usize = 20_000;
const WIDTH: u16 = 200;
const HEIGHT: u16 = 60;
/// The idle connections' numbers begin behind those of the changing ones.
const FIRST_IDLE: u64 = 10_000_000;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The FILTER language on rows, as the program has it.
struct Rows(Filter);

impl RowFilter for Rows {
    fn matches(&self, connection: &Connection, _: TcpState, exchange: Option<&Exchange>) -> bool {
        self.0.matches(&Subject { connection: Some(connection), exchange, states: States::Current })
    }
}

fn parse(text: &str) -> Result<Box<dyn RowFilter>, String> {
    let filter: Filter = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Box::new(Rows(filter)))
}

/// A view on a terminal in memory.
struct Screen {
    model: Model,
    terminal: Terminal<TestBackend>,
    theme: Theme,
    log: TuiWidgetState,
}

impl Screen {
    fn new() -> Screen {
        let Ok(terminal) = Terminal::new(TestBackend::new(WIDTH, HEIGHT));
        let theme = Theme::new(Palette::Dark, |_| Some("C.UTF-8".to_owned()));
        Screen { model: Model::new(parse), terminal, theme, log: TuiWidgetState::new() }
    }

    fn frame(&mut self) {
        let Screen { model, terminal, theme, log } = self;
        let alarms = model.table.alarms().len();
        let plan = Plan::new(Rect::new(0, 0, WIDTH, HEIGHT), &model.panes, alarms);
        model.settle(plan.page_rows());
        // Drawing into memory cannot fail.
        _ = terminal.draw(|frame| view::draw(frame, model, &plan, theme, log));
    }

    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            self.model.act(*action);
            self.model.settle(self.model.cursor.page_rows);
        }
        self.frame();
    }
}

fn updates_of(outputs: impl Iterator<Item = Output>) -> impl Iterator<Item = Update> {
    outputs.filter_map(|output| match output {
        Output::Record(record) => Some(Update::Record(record)),
        Output::Changed(connection) => Some(Update::Connection(connection)),
        Output::Lasting(_) => None,
    })
}

/// Standing connection ends without HTTP, as they were told last.
fn idle() -> Vec<Arc<Connection>> {
    let mut driver = Driver::new(TellChanged::Never);
    drive::in_parts(&mut driver, &Load { until: Until::Open, ..Load::states(ENDS / 2) });
    let connections = driver.engine.connections().into_iter();
    let renumbered = connections.map(|connection| {
        let id = ConnId(FIRST_IDLE + connection.id.0);
        Arc::new(Connection { id, ..(*connection).clone() })
    });
    renumbered.collect()
}

/// Connections that come, carry a request and go; the time of the last.
fn changes() -> (Vec<Update>, Timestamp) {
    let wanted = FRAMES * CHANGES_PER_S / FRAMES_PER_S;
    let tape = Load { until: Until::TimeWait, ..Load::churn(wanted / 24) }.tape();
    let mut updates = Vec::new();
    drive::straight(&mut Driver::new(TellChanged::Together), &tape, |outputs| {
        updates.extend(updates_of(outputs))
    });
    assert!(updates.len() >= wanted, "{} changes of {wanted}", updates.len());
    (updates, ANCHOR.at(tape.last_ns()))
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

fn timed(work: impl FnOnce()) -> Duration {
    let before = cpu();
    work();
    cpu() - before
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn main() {
    let (changes, begin) = changes();
    let mut screen = Screen::new();
    screen.model.tick(begin);
    let before = live_bytes();
    screen.model.offer(vec![Update::Resync(idle())]);
    screen.frame();
    let bytes = (live_bytes() - before) / screen.model.table.len();
    println!("{} connections without HTTP: {bytes} bytes each", screen.model.table.len());

    let mut chunks = changes.chunks(CHANGES_PER_S / FRAMES_PER_S).map(<[Update]>::to_vec);
    let (mut takes, mut frames) = (Vec::new(), Vec::new());
    for (frame, chunk) in (1..=FRAMES as u64).zip(&mut chunks) {
        screen.model.tick(begin.plus_ns(frame * 1_000_000_000 / FRAMES_PER_S as u64));
        takes.push(timed(|| screen.model.offer(chunk)));
        frames.push(timed(|| screen.frame()));
    }
    let all: Duration = takes.iter().chain(&frames).sum();
    let share = 100.0 * all.as_secs_f64() / (frames.len() as f64 / FRAMES_PER_S as f64);
    println!(
        "{} frames of {WIDTH}x{HEIGHT}, {CHANGES_PER_S} changes/s: median {:.2} ms, p99 {:.2} ms; taking the changes p99 {:.2} ms",
        frames.len(),
        ms(percentile(&mut frames, 50)),
        ms(percentile(&mut frames, 99)),
        ms(percentile(&mut takes, 99)),
    );
    println!("{FRAMES_PER_S} frames/s: {share:.1} % of a core");

    let keys: [(&str, &[Action]); 10] = [
        ("j", &[Action::Down]),
        ("G", &[Action::Last]),
        ("Enter (detail)", &[Action::Enter]),
        ("s (all sorted anew)", &[Action::NextSort]),
        ("Tab (requests)", &[Action::NextPage]),
        ("b (groups)", &[Action::NextGrouping]),
        ("b (by host)", &[Action::NextGrouping]),
        ("Tab (connections)", &[Action::NextPage]),
        ("/", &[Action::EditFilter]),
        ("space", &[Action::TogglePause]),
    ];
    for (name, actions) in keys {
        println!("{name}: {:.1} ms", ms(timed(|| screen.act(actions))));
    }
    let letters =
        "port:80 comm:".chars().map(|c| timed(|| screen.act(&[Action::Edit(Edit::Insert(c))])));
    println!("a letter of a filter, the slowest: {:.1} ms", ms(letters.max().unwrap_or_default()));
    screen.act(&[Action::Edit(Edit::Insert('*'))]);
    println!("Enter (filter): {:.1} ms", ms(timed(|| screen.act(&[Action::Enter]))));
}
