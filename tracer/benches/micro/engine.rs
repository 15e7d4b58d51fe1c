//! Events of whole lives, from raw bytes to records: decode, tracker, HTTP and all.

use divan::Bencher;
use divan::counter::ItemsCount;

use crate::support::check::Told;
use crate::support::drive::{self, Driver};
use crate::support::tape::Tape;
use crate::support::traffic::Load;

type Drive = fn(&Tape, &mut dyn FnMut(Vec<tracer::engine::Output>)) -> Driver;

const STRAIGHT: Drive = |tape, each| drive::straight(tape, each);
const MERGED: Drive = |tape, each| drive::merged(tape, each);

fn run(bencher: Bencher<'_, '_>, load: Load, items: usize, drive: Drive) {
    let tape = load.tape();
    let mut told = Told::default();
    let driver = drive(&tape, &mut |outputs| told.take(outputs));
    told.check(&load, &driver);
    bencher
        .counter(ItemsCount::new(items))
        .bench_local(|| drive(&tape, &mut |outputs| drop(divan::black_box(outputs))));
}

const STATES: Load = Load::states(5_000);
const CHURN: Load = Load::churn(5_000);
const KEEP_ALIVE: Load = Load::keep_alive(16);

/// Connections that carry nothing, counted in connections.
#[divan::bench(sample_count = 20)]
fn states_per_connection(bencher: Bencher<'_, '_>) {
    run(bencher, STATES, STATES.connections, STRAIGHT);
}

/// The same, counted in state changes.
#[divan::bench(sample_count = 20)]
fn states_per_transition(bencher: Bencher<'_, '_>) {
    run(bencher, STATES, STATES.told_transitions(), STRAIGHT);
}

/// A connection for every request, counted in connections.
#[divan::bench(sample_count = 20)]
fn churn_per_connection(bencher: Bencher<'_, '_>) {
    run(bencher, CHURN, CHURN.connections, STRAIGHT);
}

/// A thousand requests on every connection, counted in exchanges told: each is told by both ends.
#[divan::bench(sample_count = 20)]
fn keep_alive_per_exchange(bencher: Bencher<'_, '_>) {
    run(bencher, KEEP_ALIVE, KEEP_ALIVE.told_exchanges(), STRAIGHT);
}

/// Churn out of two rings, through the merger.
#[divan::bench(sample_count = 20)]
fn merged_churn_per_connection(bencher: Bencher<'_, '_>) {
    run(bencher, CHURN, CHURN.connections, MERGED);
}

/// Keep-alive out of two rings, through the merger.
#[divan::bench(sample_count = 20)]
fn merged_keep_alive_per_exchange(bencher: Bencher<'_, '_>) {
    run(bencher, KEEP_ALIVE, KEEP_ALIVE.told_exchanges(), MERGED);
}
