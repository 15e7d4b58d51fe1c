//! The live view: taking in changes, and drawing.

use std::hint::black_box;
use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use tracer::engine::{Output, TellChanged};
use tracer::record::{ConnId, Connection};
use tracer::time::Timestamp;
use tracer::tui::model::Model;
use tracer::tui::theme::{Palette, Theme};
use tracer::tui::view::{self, Plan};
use tracer::view_update::Update;
use tui_logger::TuiWidgetState;

use super::{Prepared, Workload};
use crate::support::drive::{self, ANCHOR, Driver};
use crate::support::traffic::{Load, Until};

pub const UPDATE: Workload = Workload {
    name: "view update",
    about: "20,000 changes into a view of many connections",
    small: 2_000,
    large: 100_000,
    prepare: updating,
};

pub const DRAW: Workload = Workload {
    name: "view draw",
    about: "frames of 200 by 60 of a view of many connections, a tenth of a second apart",
    small: 2_000,
    large: 100_000,
    prepare: drawing,
};

const WIDTH: u16 = 200;
const HEIGHT: u16 = 60;
const CHANGES: usize = 20_000;
const FRAMES: usize = 10;
const FRAME_NS: u64 = 100_000_000;
/// The idle connections' numbers begin behind those of the changing ones.
const FIRST_IDLE: u64 = 1_000_000;

/// `ends` standing connection ends, as they were told last.
fn idle(ends: usize) -> Vec<Arc<Connection>> {
    let load = Load { until: Until::Open, ..Load::churn(ends / 2) };
    let mut driver = Driver::new(TellChanged::Never);
    drive::in_parts(&mut driver, &load);
    let connections = driver.engine.connections();
    assert_eq!(connections.len(), ends, "connection ends that stand");
    let renumbered = connections.iter().map(|connection| {
        let id = ConnId(FIRST_IDLE + connection.id.0);
        Arc::new(Connection { id, ..(**connection).clone() })
    });
    renumbered.collect()
}

/// What a view is told of [`CHANGES`] changes of connections that come and go, and when it ends.
fn changes() -> (Vec<Update>, Timestamp) {
    let mut updates = Vec::new();
    let load = Load { until: Until::TimeWait, ..Load::churn(CHANGES / 24) };
    let tape = load.tape();
    drive::straight(&mut Driver::new(TellChanged::Together), &tape, |outputs| {
        updates.extend(outputs.filter_map(|output| match output {
            Output::Record(record) => Some(Update::Record(record)),
            Output::Changed(connection) => Some(Update::Connection(connection)),
            Output::Lasting(_) => None,
        }));
    });
    assert!(updates.len() >= CHANGES, "{} changes", updates.len());
    updates.truncate(CHANGES);
    (updates, ANCHOR.at(tape.last_ns()))
}

/// A view of idle connections.
fn model(idle: &[Arc<Connection>], now: Timestamp) -> Model {
    let mut model = Model::new(|_| Err("no filter here".to_owned()));
    model.tick(now);
    model.offer(vec![Update::Resync(idle.to_vec())]);
    model.settle(usize::from(HEIGHT));
    model
}

fn updating(ends: usize) -> Prepared {
    let idle = idle(ends);
    let (changes, now) = changes();
    Prepared {
        amounts: vec![(changes.len(), "change")],
        ready: Box::new(move || {
            let mut model = model(&idle, now);
            let changes = changes.clone();
            Box::new(move || {
                model.offer(changes);
                model.settle(usize::from(HEIGHT));
                assert!(model.table.len() > ends, "{} rows", model.table.len());
                Box::new(model)
            })
        }),
    }
}

fn drawing(ends: usize) -> Prepared {
    let idle = idle(ends);
    let now = ANCHOR.at(60_000_000_000);
    Prepared {
        amounts: vec![(FRAMES, "frame")],
        ready: Box::new(move || {
            let mut model = model(&idle, now);
            let theme = Theme::new(Palette::Dark, |_| Some("C.UTF-8".to_owned()));
            let Ok(mut terminal) = Terminal::new(TestBackend::new(WIDTH, HEIGHT));
            let log = TuiWidgetState::new();
            Box::new(move || {
                for frame in 1..=FRAMES as u64 {
                    model.tick(now.plus_ns(frame * FRAME_NS));
                    draw(&mut terminal, &mut model, &theme, &log);
                }
                assert!(terminal.backend().to_string().contains(":8080"), "an empty screen");
                Box::new(black_box((terminal, model)))
            })
        }),
    }
}

fn draw(
    terminal: &mut Terminal<TestBackend>,
    model: &mut Model,
    theme: &Theme,
    log: &TuiWidgetState,
) {
    let plan = Plan::new(Rect::new(0, 0, WIDTH, HEIGHT), &model.panes, model.table.alarms().len());
    model.settle(plan.page_rows());
    // Drawing into memory cannot fail.
    _ = terminal.draw(|frame| view::draw(frame, model, &plan, theme, log));
}
