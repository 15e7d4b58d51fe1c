//! Any bytes as what the hooks put into the rings: no panic on the whole way to JSON lines.
//!
//! The input is a series of events: two bytes with the length of the event, then the event. An
//! event without bytes lets a second pass.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer::decode::decode;
use tracer::engine::{Engine, EngineOptions, Output, TellChanged};
use tracer::time::{TimeAnchor, Timestamp};
use tracer_fuzz::Choices;

const SECOND_NS: u64 = 1_000_000_000;
const ANCHOR: TimeAnchor = TimeAnchor::new(1_700_000_000 * SECOND_NS, 0);

fuzz_target!(|data: &[u8]| {
    let mut input = Choices::new(data);
    let options = EngineOptions {
        sees_segments: true,
        tell_changed: TellChanged::AtOnce,
        tell_lasting: true,
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(options);
    let mut outputs = Vec::new();
    let mut now = Timestamp(0);
    while let &[low, high] = input.take(2) {
        let event = input.take(usize::from(u16::from_le_bytes([low, high])));
        if event.is_empty() {
            now = now.plus_ns(SECOND_NS);
            engine.expire(now);
        } else if let Ok(event) = decode(event, ANCHOR) {
            now = now.max(event.at);
            engine.apply(&event);
        }
        engine.drain_into(&mut outputs);
    }
    engine.finish(&[], now);
    engine.drain_into(&mut outputs);
    for output in outputs {
        if let Output::Record(record) = output {
            record.write_json_line(&mut Vec::new()).expect("memory can always be written");
        }
    }
});
