//! From a ring's bytes to records: decode, tracker, HTTP, and all of it together.

use std::hint::black_box;
use std::vec::Drain;

use tracer::conn::{Change, Limits, Tracker};
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

pub const TRANSITIONS: Workload = Workload {
    name: "transitions",
    about: "state changes and nothing else (`--hooks state`), from bytes to changes",
    small: 500,
    large: 20_000,
    prepare: transitions,
};

pub const STATES: Workload = Workload {
    name: "states",
    about: "whole lives of connections that carry nothing, from two rings to records",
    small: 500,
    large: 20_000,
    prepare: |connections| engine(Load::states(connections), merged),
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

type Outputs<'a> = &'a mut dyn FnMut(Drain<'_, tracer::engine::Output>);
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
                drive(&mut driver, tape, &mut |outputs| {
                    outputs.for_each(|output| drop(black_box(output)))
                });
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

/// How often what is due is settled, events.
const EVENTS_PER_LOOK: usize = 64;

fn tracking(connections: usize) -> Prepared {
    let load = Load::states(connections);
    let tape: &'static Tape = Box::leak(Box::new(load.tape()));
    let events: Vec<Event<'static>> =
        tape.iter().filter_map(|(_, bytes)| decode(bytes, ANCHOR).ok()).collect();
    assert_eq!(events.len(), tape.len(), "events that could not be decoded");
    let events: &'static [Event<'static>] = events.leak();
    let work = Tracking {
        sees_segments: true,
        last_ns: tape.last_ns(),
        events,
        with: |event, each| each(event),
    };
    work.prepare(connections, load.told_transitions())
}

fn transitions(connections: usize) -> Prepared {
    let tape: &'static Tape = Box::leak(Box::new(Load::states(connections).tape()));
    let all = tape.iter().map(|(_, bytes)| bytes);
    let states: Vec<&[u8]> = all.filter(|bytes| bytes[KIND_OFFSET] == Kind::State as u8).collect();
    let told = states.len();
    let work = Tracking {
        sees_segments: false,
        last_ns: tape.last_ns(),
        events: states.leak(),
        with: |bytes, each| _ = decode(bytes, ANCHOR).map(|event| each(&event)),
    };
    work.prepare(connections, told)
}

type Each<'a> = &'a mut dyn FnMut(&Event<'static>);

/// The tracker at work on events, or on what they are decoded from.
#[derive(Clone, Copy)]
struct Tracking<T: 'static> {
    sees_segments: bool,
    /// CLOCK_MONOTONIC nanoseconds of the last event.
    last_ns: u64,
    events: &'static [T],
    with: fn(&'static T, Each<'_>),
}

impl<T: Copy> Tracking<T> {
    fn prepare(self, connections: usize, transitions: usize) -> Prepared {
        let mut tracker = self.fresh_tracker();
        assert_eq!(self.run(&mut tracker), transitions, "transitions told");
        assert!(tracker.is_empty(), "ends still tracked");
        Prepared {
            amounts: vec![(connections, "connection"), (transitions, "transition")],
            ready: Box::new(move || {
                let mut tracker = self.fresh_tracker();
                Box::new(move || {
                    black_box(self.run(&mut tracker));
                    Box::new(tracker)
                })
            }),
        }
    }

    fn fresh_tracker(&self) -> Tracker {
        let mut tracker = Tracker::new(Limits::default(), self.sees_segments);
        tracker.merge_snapshot(Vec::new(), Timestamp(0));
        tracker
    }

    /// Goes through all events; returns the number of transitions told.
    fn run(&self, tracker: &mut Tracker) -> usize {
        let mut changes = Vec::new();
        let mut found = 0;
        let mut take = |tracker: &mut Tracker| {
            tracker.swap_changes(&mut changes);
            let told = black_box(&mut changes).drain(..);
            found += told.filter(|change| matches!(change, Change::Transition(..))).count();
        };
        for look in self.events.chunks(EVENTS_PER_LOOK) {
            let mut due = true;
            for event in look {
                (self.with)(event, &mut |event| {
                    if std::mem::take(&mut due) {
                        tracker.expire(event.at);
                    }
                    tracker.apply(event);
                });
            }
            take(tracker);
        }
        tracker.expire(ANCHOR.at(self.last_ns).plus_ns(1_000_000_000));
        take(tracker);
        found
    }
}
