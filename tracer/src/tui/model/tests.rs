use std::sync::Arc;

use proptest::prelude::*;

use super::detail::life;
use super::filter::{Edit, RowFilter};
use super::lanes::LANE_SECONDS;
use super::order::Column;
use super::table::FADE_NS;
use super::verdict::{Tone, verdict};
use super::*;
use crate::record::{ClosedBy, Connection, Exchange, Loss, Outcome};
use crate::tcp::{Endpoint, TcpState};
use crate::tui::fixture::{
    NOW, ago, connection, exchange, mixed, mixed_updates, states, transition,
};

struct ByOwner(String);

impl RowFilter for ByOwner {
    fn matches(&self, connection: &Connection, _: TcpState, _: Option<&Exchange>) -> bool {
        connection.comm.as_deref() == Some(&self.0)
    }
}

fn parse(text: &str) -> Result<Box<dyn RowFilter>, String> {
    let name = text.strip_prefix("comm:").ok_or_else(|| format!("{text} is no condition"))?;
    Ok(Box::new(ByOwner(name.to_owned())))
}

const PAGE: usize = 10;

fn model() -> Model {
    let mut model = Model::new(parse);
    model.tick(NOW);
    model
}

fn opened(id: u64) -> Update {
    Update::Connection(Arc::new(connection(id)))
}

fn changed(id: u64, from: TcpState, to: TcpState, at: Timestamp) -> Update {
    Update::Record(Record::Transition(transition(id, from, to, at)))
}

fn ended(id: u64) -> Update {
    let steps = [(TcpState::SynSent, 900), (TcpState::Established, 800), (TcpState::Close, 0)];
    Update::Connection(Arc::new(Connection {
        closed_at: Some(NOW),
        states: states(&steps),
        outcome: Outcome::ResetByRemote,
        closed_by: Some(ClosedBy::Remote),
        ..connection(id)
    }))
}

fn offer(model: &mut Model, updates: impl IntoIterator<Item = Update>) {
    model.offer(updates.into_iter().collect());
    model.settle(PAGE);
}

fn shown(model: &Model) -> Vec<u64> {
    model.table.shown().iter().map(|id| id.0).collect()
}

fn population(model: &Model) -> u32 {
    model.table.lanes().population(&TcpState::ALL)
}

fn act(model: &mut Model, actions: &[Action]) {
    for &action in actions {
        model.act(action);
        model.settle(PAGE);
    }
}

fn type_filter(model: &mut Model, text: &str) {
    act(model, &[Action::EditFilter, Action::Edit(Edit::Clear)]);
    text.chars().for_each(|c| act(model, &[Action::Edit(Edit::Insert(c))]));
    act(model, &[Action::Enter]);
}

#[test]
fn what_happened_last_stands_on_top() {
    let mut model = model();
    offer(&mut model, (1..=3).map(opened));
    offer(&mut model, [changed(1, TcpState::Established, TcpState::FinWait1, ago(5))]);
    assert_eq!(shown(&model), [1, 3, 2]);
}

#[test]
fn the_selection_follows_its_connection_and_keeps_its_line() {
    let mut model = model();
    offer(&mut model, (1..=50).map(opened));
    act(&mut model, &[Action::Down; 15]);
    let selected = model.cursor.selected.unwrap();
    let line = model.cursor.index - model.cursor.top;
    offer(&mut model, (51..=60).map(opened));
    assert_eq!(model.cursor.selected, Some(selected));
    assert_eq!(model.cursor.index, 24);
    assert_eq!(model.cursor.index - model.cursor.top, line);
    assert_eq!(model.table.shown()[24], selected);
}

#[test]
fn the_first_key_down_selects_the_first_row() {
    let mut model = model();
    offer(&mut model, (1..=3).map(opened));
    assert_eq!(model.cursor.selected, None);
    act(&mut model, &[Action::Down]);
    assert_eq!(model.cursor.selected, Some(ConnId(3)));
    act(&mut model, &[Action::Last]);
    assert_eq!(model.cursor.selected, Some(ConnId(1)));
    act(&mut model, &[Action::Back]);
    assert_eq!(model.cursor.selected, None);
}

#[test]
fn keys_on_an_empty_table_do_nothing() {
    let mut model = model();
    act(&mut model, &[Action::Down, Action::Up, Action::Last, Action::PageDown, Action::Enter]);
    assert_eq!((model.cursor.selected, model.panes.detail), (None, false));
}

#[test]
fn an_ended_connection_fades_for_ten_seconds_and_then_goes() {
    let mut model = model();
    offer(&mut model, [opened(1), opened(2), ended(1)]);
    assert_eq!(population(&model), 1);
    model.tick(NOW.plus_ns(FADE_NS - 1));
    model.settle(PAGE);
    assert_eq!(shown(&model).len(), 2);
    model.tick(NOW.plus_ns(FADE_NS));
    model.settle(PAGE);
    assert_eq!(shown(&model), [2]);
}

#[test]
fn the_selected_connection_does_not_fade_under_the_eye() {
    let mut model = model();
    offer(&mut model, [opened(1), opened(2), ended(1)]);
    act(&mut model, &[Action::First]);
    assert_eq!(model.cursor.selected, Some(ConnId(1)));
    model.tick(NOW.plus_ns(3 * FADE_NS));
    model.settle(PAGE);
    assert_eq!(model.cursor.selected, Some(ConnId(1)));
    act(&mut model, &[Action::Back]);
    model.tick(NOW.plus_ns(4 * FADE_NS));
    model.settle(PAGE);
    assert_eq!(shown(&model), [2]);
}

#[test]
fn a_change_that_a_snapshot_tells_too_counts_once() {
    let mut model = model();
    let at = ago(10);
    let change = changed(1, TcpState::Established, TcpState::FinWait1, at);
    let mut snapshot = connection(1);
    snapshot.states.push(crate::record::StateEntry { state: TcpState::FinWait1, at: Some(at) });
    let snapshot = Update::Connection(Arc::new(snapshot));
    for updates in
        [[change.clone(), snapshot.clone(), change.clone()], [snapshot, change.clone(), change]]
    {
        offer(&mut model, [opened(1)].into_iter().chain(updates));
        let row = model.table.row(ConnId(1)).unwrap();
        let life: Vec<TcpState> = row.states().map(|entry| entry.state).collect();
        assert_eq!(life, [TcpState::SynSent, TcpState::Established, TcpState::FinWait1]);
    }
    assert_eq!(model.table.lanes().lane(TcpState::FinWait1).population, 1);
}

#[test]
fn what_was_never_told_of_is_counted_and_makes_no_row() {
    let mut model = model();
    let stranger = Update::Record(Record::Exchange(Arc::new(exchange(9, 1, 200))));
    offer(&mut model, [stranger, changed(9, TcpState::SynSent, TcpState::Established, NOW)]);
    assert_eq!((model.table.unknown(), model.table.len()), (2, 0));
}

#[test]
fn at_its_bound_the_table_lets_ended_connections_go_first_and_counts_the_rest() {
    let mut model = Model::with_bound(parse, 3);
    model.tick(NOW);
    offer(&mut model, [opened(1), opened(2), opened(3), ended(2), opened(4), opened(5)]);
    assert_eq!(shown(&model), [4, 3, 1]);
    assert_eq!(model.table.turned_away(), 1);
    assert_eq!(population(&model), 3);
}

#[test]
fn after_a_resync_the_table_holds_what_was_named_and_what_still_fades() {
    let mut model = model();
    offer(&mut model, [opened(1), opened(2), opened(3), ended(3)]);
    offer(&mut model, [Update::Resync(vec![Arc::new(connection(2)), Arc::new(connection(4))])]);
    let mut ids = shown(&model);
    ids.sort_unstable();
    assert_eq!(ids, [2, 3, 4]);
    assert_eq!(population(&model), 2);
}

#[test]
fn a_resync_keeps_what_was_known_of_requests() {
    let mut model = model();
    let answered = Update::Record(Record::Exchange(Arc::new(exchange(1, 7, 200))));
    offer(&mut model, [opened(1), answered, Update::Resync(vec![Arc::new(connection(1))])]);
    assert_eq!(model.table.row(ConnId(1)).unwrap().exchanges(), 7);
}

#[test]
fn nothing_is_missed_while_paused() {
    let mut model = model();
    offer(&mut model, [opened(1)]);
    act(&mut model, &[Action::TogglePause]);
    let loss = Loss { at: NOW, hook: "state".to_owned(), events: 5 };
    let change = changed(1, TcpState::Established, TcpState::CloseWait, NOW);
    offer(&mut model, [change, opened(2), Update::Record(Record::Loss(loss))]);
    model.tick(NOW.plus_ns(1_000_000_000));
    assert_eq!((shown(&model), model.now()), (vec![1], NOW));
    assert_eq!(model.losses["state"], 5, "losses are told at once");
    act(&mut model, &[Action::TogglePause]);
    assert_eq!(shown(&model), [1, 2]);
    assert_eq!(model.table.row(ConnId(1)).unwrap().state(), TcpState::CloseWait);
}

#[test]
fn a_paused_view_stops_taking_updates_when_its_backlog_is_full() {
    let mut model = model();
    act(&mut model, &[Action::TogglePause]);
    assert!(model.has_room());
    model.offer((0..MAX_HELD as u64).map(opened).collect());
    assert!(!model.has_room());
    act(&mut model, &[Action::TogglePause]);
    assert!(model.has_room());
    assert_eq!(model.table.len(), MAX_HELD);
}

#[test]
fn a_filter_hides_what_does_not_match_also_later_ones() {
    let mut model = model();
    offer(&mut model, mixed_updates());
    type_filter(&mut model, "comm:nginx");
    let nginx = mixed().iter().filter(|c| c.comm.as_deref() == Some("nginx")).count();
    assert_eq!(shown(&model).len(), nginx);
    offer(&mut model, [opened(100)]);
    assert_eq!(shown(&model).len(), nginx);
    type_filter(&mut model, "");
    assert_eq!(shown(&model).len(), mixed().len() + 1);
}

#[test]
fn a_wrong_filter_stays_in_its_line_and_the_old_one_in_force() {
    let mut model = model();
    type_filter(&mut model, "comm:nginx");
    type_filter(&mut model, "nonsense");
    let line = model.editing.as_ref().unwrap();
    assert_eq!(line.error.as_deref(), Some("nonsense is no condition"));
    assert_eq!(model.filter_text(), Some("comm:nginx"));
    act(&mut model, &[Action::Back]);
    assert!(model.editing.is_none());
}

#[test]
fn time_wait_counts_down_from_sixty_seconds() {
    let mut model = model();
    let change = changed(1, TcpState::FinWait2, TcpState::TimeWait, NOW);
    offer(&mut model, [opened(1), change]);
    let left_us = |seconds: u64| {
        let now = NOW.plus_ns(seconds * 1_000_000_000);
        model.table.row(ConnId(1)).unwrap().time_wait_left_us(now)
    };
    assert_eq!(left_us(0), Some(60_000_000));
    assert_eq!(left_us(19), Some(41_000_000));
    // Linux' timer wheel lets it live up to 62 s.
    assert_eq!(left_us(61), Some(0));
}

#[test]
fn every_state_but_the_last_has_lasted_until_the_next() {
    let row = Row::new(Arc::new(mixed().remove(6)));
    let steps = life(&row, NOW);
    let lasted: Vec<_> = steps.iter().map(|step| step.lasted_us.unwrap()).collect();
    assert_eq!(lasted, [1_050, 3_239_000, 10_000, 50_000, 19_000_000]);
    assert!(steps[4].current && !steps[3].current);
}

#[test]
fn who_closed_first_follows_from_the_states_before_the_record_says_it() {
    let closed_by = |id: usize| Row::new(Arc::new(mixed().remove(id))).closed_by();
    assert_eq!(closed_by(6), Some(ClosedBy::Local), "FIN_WAIT1 first");
    assert_eq!(closed_by(8), Some(ClosedBy::Remote), "CLOSE_WAIT first");
    assert_eq!(closed_by(2), None, "nobody has");
    let steps = [(TcpState::Established, 9), (TcpState::FinWait1, 5), (TcpState::Closing, 1)];
    let crossed = Connection { states: states(&steps), ..connection(1) };
    assert_eq!(Row::new(Arc::new(crossed)).closed_by(), Some(ClosedBy::Both));
}

#[test]
fn a_row_that_lost_events_says_so_before_anything_else() {
    let lossy = Row::new(Arc::new(Connection { lost_events: 1, ..connection(1) }));
    assert_eq!(verdict(&lossy, NOW).words, "missed 1 event!");
    assert_eq!(verdict(&lossy, NOW).tone, Tone::Bad);
}

#[test]
fn ends_are_told_in_plain_words() {
    let words = |id: usize| verdict(&Row::new(Arc::new(mixed().remove(id))), NOW).words;
    let told = [(0, "no answer"), (6, "closed by us"), (7, "not closed here"), (9, "refused")];
    for (id, expected) in told {
        assert_eq!(words(id), expected);
    }
    assert_eq!(words(10), "reset by remote");
    assert_eq!(words(2), "", "there is nothing to say of a standing connection");
}

#[test]
fn a_connection_that_stays_too_long_counts_as_stuck_in_its_lane() {
    let mut model = model();
    offer(&mut model, mixed_updates());
    model.tick(NOW.plus_ns(1_000_000_000));
    let stuck = |state| model.table.lanes().lane(state).stuck;
    assert_eq!((stuck(TcpState::SynSent), stuck(TcpState::CloseWait)), (1, 1));
    assert_eq!((stuck(TcpState::Established), stuck(TcpState::TimeWait)), (0, 0));
}

#[test]
fn what_stood_before_the_tracer_did_not_enter_its_state_now() {
    let mut model = model();
    let older = Connection { older_than_tracer: true, ..connection(1) };
    offer(&mut model, [Update::Connection(Arc::new(older)), opened(2)]);
    let entries: Vec<u32> = model.table.lanes().entries(TcpState::Established).collect();
    assert_eq!(entries[LANE_SECONDS - 1], 1);
}

#[test]
fn a_rows_memory_is_bounded_whatever_the_requests_are() {
    let mut model = model();
    offer(&mut model, [opened(1)]);
    for number in 1..=100 {
        let mut huge = exchange(1, number, 200);
        huge.target = Some("/ä".repeat(10_000).into());
        huge.request.as_mut().unwrap().headers =
            vec![("x", "y".repeat(1000)); 100].into_iter().collect();
        offer(&mut model, [Update::Record(Record::Exchange(Arc::new(huge)))]);
    }
    let row = model.table.row(ConnId(1)).unwrap();
    assert_eq!((row.exchanges(), row.recent().count()), (100, row::RECENT_EXCHANGES));
    let last = row.last_exchange().unwrap();
    assert!(last.target.as_ref().unwrap().len() <= 512);
    assert!(last.request.as_ref().unwrap().headers.is_empty());
}

#[test]
fn a_connection_without_requests_takes_less_than_a_kibibyte() {
    let largest = mixed().into_iter().map(|c| Row::new(Arc::new(c)).size_bytes()).max();
    assert!(largest.unwrap() < 1024 - 64, "{largest:?}, and the table's own share comes on top");
}

#[test]
fn losses_of_many_hooks_are_summed_in_bounded_space() {
    let mut model = model();
    let loss = |i: usize| Loss { at: NOW, hook: format!("hook{i}"), events: 1 };
    offer(&mut model, (0..100).map(|i| Update::Record(Record::Loss(loss(i)))));
    assert_eq!(model.losses.len(), MAX_LOSS_HOOKS + 1);
    assert_eq!(model.losses.values().sum::<u64>(), 100);
}

#[test]
fn when_the_channel_closes_a_paused_view_shows_all_that_came() {
    let mut model = model();
    act(&mut model, &[Action::TogglePause]);
    offer(&mut model, [opened(1)]);
    model.end();
    model.settle(PAGE);
    assert_eq!(shown(&model), [1]);
    assert!(matches!(model.flow, Flow::Ended));
}

proptest! {
    /// However updates come in, the order kept by merging is the order that sorting would give, and the
    /// lanes hold what the rows say.
    #[test]
    fn merging_gives_the_order_that_sorting_gives(
        steps in prop::collection::vec((0u64..40, 0usize..6, 0u64..5_000), 1..120),
        column in 0usize..Column::ALL.len(),
        descending: bool,
    ) {
        let sort = Sort { column: Column::ALL[column], descending };
        let mut model = model();
        model.sort = sort;
        for (id, what, us) in steps {
            let state = TcpState::ALL[(us % 11) as usize];
            let update = match what {
                0 | 1 => opened(id),
                2 => changed(id, TcpState::Established, state, NOW.plus_ns(us * 1000)),
                3 => Update::Record(Record::Exchange(Arc::new(exchange(id, us, 200)))),
                4 => ended(id),
                _ => {
                    model.tick(model.now().plus_ns(us * 1_000_000));
                    continue;
                }
            };
            offer(&mut model, [update]);
        }
        model.settle(PAGE);
        let merged = shown(&model);
        model.table.set_stale();
        model.settle(PAGE);
        prop_assert_eq!(&merged, &shown(&model));
        let lasting = merged.iter().filter(|id| !model.table.row(ConnId(**id)).unwrap().ended());
        prop_assert_eq!(population(&model) as usize, lasting.count());
    }
}

#[test]
fn a_click_selects_a_line_and_a_second_one_opens_it() {
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    model.tick(NOW);
    model.offer(mixed_updates());
    model.settle(PAGE);
    let second = model.table.shown()[1];
    model.act(Action::Pick(2));
    assert_eq!((model.cursor.selected, model.panes.detail), (Some(second), false));
    model.act(Action::Pick(2));
    assert!(model.panes.detail);
    model.act(Action::Pick(0));
    model.act(Action::Pick(10_000));
    assert_eq!(model.cursor.selected, Some(second), "the heading and empty lines are nobody's");
}

#[test]
fn what_is_copied_is_the_address_the_filter_or_the_request() {
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    model.tick(NOW);
    model.offer(mixed_updates());
    model.settle(PAGE);
    assert_eq!(model.act(Action::Copy), None);
    model.act(Action::First);
    let row = model.selected().unwrap();
    let (remote, port) = (row.connection().remote, row.connection().local.port);
    assert_eq!(model.act(Action::Copy), Some(Effect::Copy(remote.to_string())));
    let filter = format!("host:{} port:{port} port:{}", remote.ip, remote.port);
    assert_eq!(model.act(Action::CopyFilter), Some(Effect::Copy(filter)));
    model.act(Action::NextPage);
    model.settle(PAGE);
    model.act(Action::First);
    let Some(Effect::Copy(command)) = model.act(Action::Copy) else { panic!("nothing copied") };
    assert!(command.starts_with("curl '") || command.starts_with("curl --"), "{command}");
}

#[test]
fn an_exchange_that_both_ends_tell_stands_once_among_the_requests() {
    let mut model = Model::new(|_| Err("no filters here".to_owned()));
    let client = Connection { peer: Some(ConnId(2)), ..connection(1) };
    let server =
        Connection { endpoint: Some(Endpoint::Server), peer: Some(ConnId(1)), ..connection(2) };
    model.offer([client, server].map(|end| Update::Connection(Arc::new(end))).into());
    let exchanges = [exchange(2, 1, 200), exchange(1, 1, 200)];
    model.offer(exchanges.map(|e| Update::Record(Record::Exchange(Arc::new(e)))).into());
    model.act(Action::NextPage);
    model.settle(PAGE);
    let told: Vec<_> = model.requests.in_sight(PAGE).map(|(_, e)| e.exchange.conn).collect();
    assert_eq!(told, [ConnId(1)]);
}
