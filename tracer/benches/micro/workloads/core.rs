//! From a ring's bytes to records: decode, tracker, HTTP, and all of it together.

use std::hint::black_box;

use tracer::conn::{Limits, Tracker};
use tracer::decode::decode;
use tracer::engine::TellChanged;
use tracer::event::Event;
use tracer::time::Timestamp;
use tracer_common::Kind;

use super::{Prepared, Workload};
use crate::support::check::Told;
use crate::support::drive::{self, ANCHOR, Driver};
use crate::support::tape::Tape;
use crate::support::traffic::Load;

/// Exchanges of a keep-alive connection.
const KEPT_ALIVE: usize = 1_000;

pub const DECODE_STATES: Workload = Workload {
    name: "decode states",
    about: "bytes of states, timers, segments and owners to events",
    small: 100,
    large: 1_000,
    prepare: |connections| decoding(&Load::states(connections), |kind| kind != Kind::Payload as u8),
};

pub const DECODE_PAYLOADS: Workload = Workload {
    name: "decode payloads",
    about: "bytes of captured payload to events",
    small: 500,
    large: 5_000,
    prepare: |connections| decoding(&Load::churn(connections), |kind| kind == Kind::Payload as u8),
};

pub const TRACK: Workload = Workload {
    name: "track",
    about: "events of whole lives to changes: the tracker alone",
    small: 500,
    large: 20_000,
    prepare: tracking,
};

pub const STATES: Workload = Workload {
    name: "states",
    about: "whole lives of connections that carry nothing, from bytes to records",
    small: 500,
    large: 20_000,
    prepare: |connections| engine(Load::states(connections), straight),
};

pub const CHURN: Workload = Workload {
    name: "churn",
    about: "a connection for every request, from two rings to records",
    small: 500,
    large: 20_000,
    prepare: |connections| engine(Load::churn(connections), merged),
};

pub const KEEP_ALIVE: Workload = Workload {
    name: "keep-alive",
    about: "a thousand requests on every connection, from bytes to records; both ends tell each",
    small: 2_000,
    large: 16_000,
    prepare: |exchanges| engine(Load::keep_alive(exchanges / KEPT_ALIVE), straight),
};

pub const MERGED_KEEP_ALIVE: Workload = Workload {
    name: "merged keep-alive",
    about: "the same from two rings, put into one order first",
    prepare: |exchanges| engine(Load::keep_alive(exchanges / KEPT_ALIVE), merged),
    ..KEEP_ALIVE
};

type Outputs<'a> = &'a mut dyn FnMut(Vec<tracer::engine::Output>);
type Drive = fn(&mut Driver, &Tape, Outputs<'_>);

fn straight(driver: &mut Driver, tape: &Tape, each: Outputs<'_>) {
    drive::straight(driver, tape, each);
}

fn merged(driver: &mut Driver, tape: &Tape, each: Outputs<'_>) {
    drive::merged(driver, tape, each);
}

fn engine(load: Load, drive: Drive) -> Prepared {
    let tape: &'static Tape = Box::leak(Box::new(load.tape()));
    let mut told = Told::default();
    let mut driver = Driver::new(TellChanged::Never);
    drive(&mut driver, tape, &mut |outputs| told.take(outputs));
    told.check(&load, &driver);
    let connections = (load.connections, "connection");
    let transitions = (load.told_transitions(), "transition");
    let exchanges = (load.told_exchanges(), "exchange told");
    let amounts = match load.exchanges {
        0 => vec![connections, transitions],
        1 => vec![connections, transitions, exchanges],
        _ => vec![exchanges],
    };
    Prepared {
        amounts,
        ready: Box::new(move || {
            let mut driver = Driver::new(TellChanged::Never);
            Box::new(move || {
                drive(&mut driver, tape, &mut |outputs| drop(black_box(outputs)));
                Box::new(driver)
            })
        }),
    }
}

/// Where the header says what the event is.
const KIND_OFFSET: usize = std::mem::offset_of!(tracer_common::Header, kind);

fn decoding(load: &Load, wanted: impl Fn(u8) -> bool) -> Prepared {
    let tape: &'static Tape = Box::leak(Box::new(load.tape()));
    let all = tape.iter().map(|(_, bytes)| bytes);
    let events: Vec<&'static [u8]> = all.filter(|bytes| wanted(bytes[KIND_OFFSET])).collect();
    let events: &'static [&'static [u8]] = events.leak();
    assert!(events.iter().all(|bytes| decode(bytes, ANCHOR).is_ok()), "an event without sense");
    Prepared {
        amounts: vec![(events.len(), "event")],
        ready: Box::new(move || {
            Box::new(move || {
                for bytes in events {
                    drop(black_box(decode(black_box(bytes), ANCHOR)));
                }
                Box::new(())
            })
        }),
    }
}

fn tracking(connections: usize) -> Prepared {
    /// How often what is due is settled, events.
    const EVENTS_PER_LOOK: usize = 64;
    let load = Load::states(connections);
    let tape: &'static Tape = Box::leak(Box::new(load.tape()));
    let events: Vec<Event<'static>> =
        tape.iter().filter_map(|(_, bytes)| decode(bytes, ANCHOR).ok()).collect();
    assert_eq!(events.len(), tape.len(), "events that could not be decoded");
    let events: &'static [Event<'static>] = events.leak();
    let last = events.last().map_or_else(Default::default, |event| event.at);
    let track = move |tracker: &mut Tracker| {
        let mut changes = Vec::new();
        let mut found = 0;
        for look in events.chunks(EVENTS_PER_LOOK) {
            tracker.expire(look[0].at);
            for event in look {
                tracker.apply(event);
            }
            tracker.drain_into(&mut changes);
            found += black_box(&mut changes).drain(..).count();
        }
        tracker.expire(last.plus_ns(1_000_000_000));
        tracker.drain_into(&mut changes);
        found + changes.len()
    };
    let mut tracker = fresh_tracker();
    assert!(track(&mut tracker) > load.told_transitions(), "changes are missing");
    assert!(tracker.is_empty(), "ends still tracked");
    Prepared {
        amounts: vec![(connections, "connection"), (load.told_transitions(), "transition")],
        ready: Box::new(move || {
            let mut tracker = fresh_tracker();
            Box::new(move || {
                black_box(track(&mut tracker));
                Box::new(tracker)
            })
        }),
    }
}

fn fresh_tracker() -> Tracker {
    let mut tracker = Tracker::new(Limits::default(), true);
    tracker.merge_snapshot(Vec::new(), Timestamp(0));
    tracker
}
