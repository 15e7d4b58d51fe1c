//! Pictures of the screens, as plain text.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use tui_logger::TuiWidgetState;

use super::{Plan, draw};
use crate::record::{ConnId, Connection, Exchange, Loss, Record};
use crate::tcp::TcpState;
use crate::tui::fixture::{NOW, mixed_updates, stats};
use crate::tui::model::filter::{Edit, RowFilter};
use crate::tui::model::{Action, Model};
use crate::tui::theme::{Palette, Theme};
use crate::view_update::{Stats, Update};

struct ByState(TcpState);

impl RowFilter for ByState {
    fn matches(&self, _: &Connection, state: TcpState, _: Option<&Exchange>) -> bool {
        state == self.0
    }
}

/// Knows `state:` alone.
fn parse(text: &str) -> Result<Box<dyn RowFilter>, String> {
    let name =
        text.strip_prefix("state:").ok_or("only state: is known here, as in state:syn_sent")?;
    let state = TcpState::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name));
    Ok(Box::new(ByState(state.ok_or_else(|| format!("{name:?} is no TCP state"))?)))
}

fn empty() -> Model {
    let mut model = Model::new(parse);
    model.tick(NOW);
    model
}

fn mixed() -> Model {
    let mut model = empty();
    model.offer(mixed_updates());
    model.settle(20);
    model
}

fn picture_in(model: &mut Model, width: u16, height: u16, locale: &str) -> String {
    let theme = Theme::new(Palette::Dark, |name| (name == "LANG").then(|| locale.to_owned()));
    let plan = Plan::new(Rect::new(0, 0, width, height), &model.panes, model.table.alarms().len());
    model.settle(plan.page_rows());
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, &plan, &theme, &TuiWidgetState::new())).unwrap();
    let picture = terminal.backend().to_string();
    // The quotes at each end keep what is at the right edge in sight; spaces before it say nothing.
    picture.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

pub(super) fn picture(model: &mut Model, width: u16, height: u16) -> String {
    picture_in(model, width, height, "C.UTF-8")
}

/// One snapshot for each of the three sizes.
fn pictures(name: &str, model: impl Fn() -> Model) {
    for (width, height) in [(80, 24), (120, 40), (20, 5)] {
        let picture = picture(&mut model(), width, height);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), picture);
        });
    }
}

fn select(model: &mut Model, id: u64) {
    model.act(Action::First);
    model.settle(20);
    while model.cursor.selected != Some(ConnId(id)) {
        let before = model.cursor.selected;
        model.act(Action::Down);
        model.settle(20);
        assert_ne!(model.cursor.selected, before, "c{id} is not in the table");
    }
}

fn typed(model: &mut Model, text: &str) {
    model.act(Action::EditFilter);
    text.chars().for_each(|c| {
        model.act(Action::Edit(Edit::Insert(c)));
    });
}

#[test]
fn an_empty_view_says_that_it_waits() {
    pictures("empty", empty);
}

#[test]
fn every_state_and_every_end_has_its_row() {
    pictures("mixed", mixed);
}

#[test]
fn the_detail_tells_the_life_of_the_selected_connection() {
    pictures("detail", || {
        let mut model = mixed();
        select(&mut model, 7);
        model.act(Action::Enter);
        model
    });
}

#[test]
fn the_detail_of_a_busy_connection_lists_its_last_requests() {
    pictures("detail_requests", || {
        let mut model = mixed();
        select(&mut model, 3);
        model.act(Action::Enter);
        model
    });
}

#[test]
fn requests_have_a_page_of_their_own_with_their_routes() {
    pictures("requests", || {
        let mut model = mixed();
        model.act(Action::NextPage);
        model
    });
}

#[test]
fn connections_stand_together_by_process_and_by_what_else_is_asked_for() {
    pictures("groups", || {
        let mut model = mixed();
        model.act(Action::NextGrouping);
        model
    });
    pictures("groups_by_host", || {
        let mut model = mixed();
        for action in [Action::NextGrouping, Action::NextGrouping, Action::NextSort, Action::Down] {
            model.act(action);
            model.settle(20);
        }
        model
    });
}

#[test]
fn a_word_in_the_filter_line_is_completed_by_tab() {
    pictures("completing", || {
        let mut model = mixed();
        typed(&mut model, "sta");
        model.act(Action::Edit(Edit::Complete));
        model
    });
}

#[test]
fn the_slowest_request_is_three_keys_away_with_its_headers() {
    pictures("slowest", || {
        let mut model = mixed();
        for action in [Action::NextPage, Action::NextSort, Action::Enter] {
            model.settle(20);
            model.act(action);
        }
        model
    });
}

#[test]
fn both_ends_of_a_connection_make_one_ladder() {
    use crate::tcp::Direction::{Received, Sent};
    let mut model = mixed();
    let client = crate::tui::fixture::connection(21);
    let life = [(TcpState::SynRecv, 1_250_040), (TcpState::Established, 1_249_990)];
    let server = Connection {
        id: ConnId(22),
        endpoint: Some(crate::tcp::Endpoint::Server),
        peer: Some(client.id),
        local: client.remote,
        remote: client.local,
        comm: Some("nginx".into()),
        pid: Some(455),
        states: crate::tui::fixture::states(&life),
        ..crate::tui::fixture::connection(22)
    };
    let client = Connection { peer: Some(server.id), ..client };
    let ends = [client, server].map(|end| Update::Connection(std::sync::Arc::new(end)));
    model.offer(ends.into());
    let segment = crate::tui::fixture::segment;
    model.offer(vec![
        segment(21, 1_250_070, Sent, "S", 0),
        segment(22, 1_250_050, Received, "S", 0),
        segment(22, 1_250_035, Sent, "SA", 0),
        segment(21, 1_250_010, Received, "SA", 0),
    ]);
    let request = crate::tui::fixture::exchange(21, 1, 404);
    model.offer(vec![Update::Record(Record::Exchange(std::sync::Arc::new(request)))]);
    select(&mut model, 21);
    model.act(Action::Enter);
    for (width, height) in [(80, 24), (120, 40), (250, 30)] {
        let picture = picture(&mut model, width, height);
        insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("ladder_{width}x{height}"), picture);
        });
    }
}

#[test]
fn what_stands_out_is_said_with_its_reason() {
    pictures("alarms", || {
        let mut model = mixed();
        model.tick(NOW.plus_ns(1_000_000_000));
        model
    });
}

#[test]
fn one_key_leads_to_what_the_next_alarm_shows() {
    let mut model = mixed();
    model.tick(NOW.plus_ns(1_000_000_000));
    typed(&mut model, "state:syn_sent");
    model.act(Action::Enter);
    let examples: Vec<ConnId> = model.table.alarms().iter().map(|alarm| alarm.example).collect();
    assert!(examples.len() > 1);
    let seen: Vec<Option<ConnId>> = (0..=examples.len())
        .map(|_| {
            model.settle(20);
            model.act(Action::NextAlarm);
            model.settle(20);
            model.cursor.selected
        })
        .collect();
    let around = examples.iter().chain([&examples[0]]).copied().map(Some);
    assert_eq!(seen, around.collect::<Vec<_>>());
    assert!(model.panes.detail);
}

#[test]
fn help_names_the_keys() {
    pictures("help", || {
        let mut model = mixed();
        model.act(Action::ToggleHelp);
        model
    });
}

#[test]
fn the_forms_to_export_to_are_offered_with_their_keys() {
    let mut model = mixed();
    model.act(Action::ChooseForm);
    let footer = |model: &mut Model| picture(model, 80, 24).lines().last().unwrap().to_owned();
    let offered = footer(&mut model);
    assert!(
        offered.contains("export as: j JSON lines  c CSV  h HAR  p Perfetto  w pcapng  b a page")
    );
    model.act(Action::Back);
    assert!(!footer(&mut model).contains("export as"));
}

#[test]
fn a_wrong_filter_is_told_while_it_is_typed() {
    pictures("filter_error", || {
        let mut model = mixed();
        typed(&mut model, "state:syn_snt");
        model.act(Action::Enter);
        model
    });
}

#[test]
fn a_filter_in_force_is_named_with_what_it_shows() {
    pictures("filtered", || {
        let mut model = mixed();
        typed(&mut model, "state:close_wait");
        model.act(Action::Enter);
        model
    });
}

#[test]
fn losses_stand_in_the_header() {
    pictures("lossy", || {
        let mut model = mixed();
        let loss = Loss { at: NOW, hook: "payload".to_owned(), events: 1200 };
        let stats = Stats { lost: 1200, updates_dropped: 40, hooks_attached: 7, ..stats() };
        model.offer(vec![Update::Record(Record::Loss(loss)), Update::Stats(stats)]);
        model
    });
}

#[test]
fn http_that_was_not_seen_stands_in_the_header_beside_lost_events() {
    let mut model = mixed();
    let losses = [("http_missing_bytes", 70_000), ("http_malformed", 2), ("http_framing", 1)];
    let losses = losses.map(|(hook, events)| Loss { at: NOW, hook: hook.to_owned(), events });
    model.offer(losses.into_iter().map(|loss| Update::Record(Record::Loss(loss))).collect());
    let screen = picture(&mut model, 200, 30);
    assert!(screen.contains("HTTP unseen 68 KiB, 1 place, 2 messages"), "{screen}");
    assert!(screen.contains("lost 0 "), "no event was lost: {screen}");
}

#[test]
fn a_wide_screen_has_table_and_detail_side_by_side() {
    let mut model = mixed();
    select(&mut model, 3);
    model.act(Action::Enter);
    let picture = picture(&mut model, 250, 30);
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("detail_250x30", picture);
    });
}

#[test]
fn without_a_utf8_locale_the_screen_is_ascii() {
    let mut model = mixed();
    select(&mut model, 7);
    for open in [Action::Enter, Action::ToggleHelp] {
        model.act(open);
        assert!(picture_in(&mut model, 120, 40, "C").is_ascii());
    }
}

#[test]
fn no_size_panics_whatever_is_open() {
    for (width, height) in
        (0..=200).step_by(7).flat_map(|w| (0..=50).step_by(3).map(move |h| (w, h)))
    {
        let mut model = mixed();
        select(&mut model, 7);
        let opens = [Action::ToggleLog, Action::Enter, Action::EditFilter, Action::ToggleHelp];
        let requests = [Action::NextPage, Action::Down, Action::Enter];
        for open in opens.into_iter().chain([Action::Back, Action::Back]).chain(requests) {
            model.act(open);
            picture(&mut model, width.max(1), height.max(1));
        }
    }
}
