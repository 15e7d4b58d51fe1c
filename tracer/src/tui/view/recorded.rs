//! Pictures of the screens over a real run: a recording of `tracer demo`, played.
//!
//! `fixtures/demo.trace` was made with `tracer record host:127.84.67.80` beside `tracer demo --plain --for 11s`.

use std::io::Cursor;

use super::tests::picture;
use crate::playback::{Player, Source};
use crate::record::{ConnId, Record};
use crate::recording::{Ahead, Reader, Sight, tail};
use crate::tcp::Endpoint;
use crate::tui::model::{Action, Model};

const RECORDING: &[u8] = include_bytes!("../fixtures/demo.trace");
const STEP_NS: u64 = 100_000_000;

fn records() -> impl Iterator<Item = Record> {
    Reader::new(RECORDING).unwrap().map(Result::unwrap)
}

struct Played(Ahead<&'static [u8]>);

impl Source for Played {
    fn look(&mut self) -> Option<Sight> {
        self.0.look().unwrap()
    }

    fn read(&mut self) -> Option<Record> {
        self.0.read()
    }

    fn is_full(&self) -> bool {
        self.0.is_full()
    }
}

/// The view as it is so long after the recording's begin.
fn after(seconds: u64) -> Model {
    let played = || Played(Ahead::new(RECORDING).unwrap());
    let end = tail(Cursor::new(RECORDING)).unwrap().unwrap().last_at;
    let mut player = Player::new(played, end).unwrap();
    let begin = player.begins_at();
    let mut model = Model::new(|_| Err("no filter here".to_owned()));
    let mut updates = Vec::new();
    model.tick(begin);
    player.begin(&mut updates);
    for step in 1..=seconds * 1_000_000_000 / STEP_NS {
        model.offer(std::mem::take(&mut updates));
        player.pass(STEP_NS, &mut updates);
        model.tick(begin.plus_ns(step * STEP_NS));
    }
    model.offer(updates);
    model.settle(20);
    model
}

/// The client's end that asked for `target`.
fn client_of(target: &str) -> ConnId {
    let clients: Vec<ConnId> = records()
        .filter_map(|record| match record {
            Record::Connection(c) if c.endpoint == Some(Endpoint::Client) => Some(c.id),
            _ => None,
        })
        .collect();
    records()
        .find_map(|record| match record {
            Record::Exchange(e)
                if e.target.as_deref() == Some(target) && clients.contains(&e.conn) =>
            {
                Some(e.conn)
            }
            _ => None,
        })
        .expect("the demo asks for it")
}

fn pictures(name: &str, model: impl Fn() -> Model) {
    for (width, height) in [(80, 24), (120, 40), (250, 80)] {
        let picture = picture(&mut model(), width, height);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("recorded_{name}_{width}x{height}"), picture);
        });
    }
}

#[test]
fn the_connections_of_a_real_run() {
    pictures("connections", || after(7));
}

#[test]
fn a_connection_of_a_real_run_with_the_gap_in_its_answer() {
    pictures("ladder", || {
        let mut model = after(11);
        model.cursor.selected = Some(client_of("/late"));
        model.act(Action::Enter);
        model
    });
}

#[test]
fn a_connection_of_a_real_run_with_many_requests() {
    pictures("ladder_requests", || {
        let mut model = after(11);
        model.cursor.selected = Some(client_of("/hello?number=1"));
        model.act(Action::Enter);
        model
    });
}

#[test]
fn the_requests_of_a_real_run_slowest_first_with_the_headers_of_the_slowest() {
    pictures("requests", || {
        let mut model = after(11);
        for action in [Action::NextPage, Action::NextSort, Action::Enter] {
            model.act(action);
            model.settle(20);
        }
        model
    });
}

#[test]
fn the_groups_of_a_real_run() {
    pictures("groups", || {
        let mut model = after(7);
        model.act(Action::NextGrouping);
        model
    });
}

#[test]
fn nothing_of_a_real_run_is_shown_before_it_happened() {
    let early = after(1);
    let late = after(12);
    assert!(early.table.len() < late.table.len());
    let now = early.now();
    for id in early.table.shown() {
        let row = early.table.row(*id).unwrap();
        assert!(row.states().all(|entry| entry.at.is_none_or(|at| at <= now)), "{id:?}");
        assert!(row.recent().all(|exchange| {
            let at = exchange.request.as_ref().and_then(|request| request.at);
            at.is_none_or(|at| at <= now)
        }));
    }
}
