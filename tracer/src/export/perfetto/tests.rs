//! The trace as a reader finds it.

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use super::proto::{EventType, REALTIME, Trace, TrackDescriptor, TrackEvent};
use crate::export::fixture::{examples, known};
use crate::record::{ConnId, Connection, Exchange, Record, StateEntry};
use crate::recording::{ReadError, Reader};
use crate::tcp::{Endpoint, TcpState};
use crate::time::Timestamp;

type Found = Vec<Result<Record, ReadError>>;

/// A recording of `tracer demo`.
const DEMO: &[u8] = include_bytes!("../../tui/fixtures/demo.trace");

/// A slice or an instant.
#[derive(Clone, Debug)]
struct Slice {
    track: u64,
    event: TrackEvent,
    begin: u64,
    /// `None` where it does not end.
    end: Option<u64>,
    depth: usize,
}

impl Slice {
    fn name(&self) -> &str {
        self.event.name.as_deref().unwrap_or_default()
    }

    fn is(&self, category: &str) -> bool {
        self.event.categories.iter().any(|found| found == category)
    }

    fn duration(&self) -> u64 {
        self.end.map_or(0, |end| end - self.begin)
    }

    fn note(&self, name: &str) -> Option<&super::proto::DebugAnnotation> {
        self.event.debug_annotations.iter().find(|note| note.name.as_deref() == Some(name))
    }
}

/// What a reader makes of a trace.
struct Opened {
    tracks: HashMap<u64, TrackDescriptor>,
    slices: Vec<Slice>,
    counts: Vec<(u64, i64)>,
}

impl Opened {
    fn track(&self, slice: &Slice) -> &TrackDescriptor {
        &self.tracks[&slice.track]
    }

    fn parent(&self, track: &TrackDescriptor) -> &TrackDescriptor {
        &self.tracks[&track.parent_uuid.unwrap()]
    }

    /// The id in the name of the connection's track that this slice is on, or below.
    fn conn(&self, slice: &Slice) -> String {
        let track = self.track(slice);
        let is_below = matches!(track.name.as_deref(), Some("requests" | "segments"));
        let connection = if is_below { self.parent(track) } else { track };
        let name = connection.name.as_deref().unwrap();
        name.split(' ').next().unwrap().to_owned()
    }

    fn named(&self, name: &str) -> &Slice {
        let names: Vec<&str> = self.slices.iter().map(Slice::name).collect();
        self.slices.iter().find(|slice| slice.name() == name).unwrap_or_else(|| panic!("{names:?}"))
    }
}

fn export(records: Found) -> Vec<u8> {
    let known = known(&records);
    let mut out = Vec::new();
    super::write(&mut records.into_iter(), &known, &mut out).unwrap();
    out
}

/// Reads a trace as the trace processor does: descriptors first, then events in order of time, those of one time in the
/// order of the file; each end closes the slice that began last on its track.
fn open(bytes: &[u8]) -> Opened {
    let trace = Trace::decode(bytes).unwrap();
    assert_eq!(trace.packet[0].sequence_flags, Some(super::proto::SEQUENCE_BEGINS));
    let mut opened = Opened { tracks: HashMap::new(), slices: Vec::new(), counts: Vec::new() };
    let mut events = Vec::new();
    let mut has_clock = false;
    for packet in trace.packet {
        assert_eq!(packet.trusted_packet_sequence_id, Some(1));
        if let Some(clock) = packet.clock_snapshot {
            assert_eq!(clock.primary_trace_clock, Some(1));
            has_clock = true;
        } else if let Some(track) = packet.track_descriptor {
            let uuid = track.uuid.unwrap();
            assert!(track.parent_uuid.is_none_or(|parent| opened.tracks.contains_key(&parent)));
            assert_eq!(opened.tracks.insert(uuid, track), None, "described twice");
        } else {
            let event = packet.track_event.unwrap();
            assert!(has_clock, "an event before the clock");
            assert_eq!(packet.timestamp_clock_id, Some(REALTIME));
            assert!(opened.tracks.contains_key(&event.track_uuid.unwrap()), "{event:?}");
            events.push((packet.timestamp.unwrap(), event));
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let mut running: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, event) in events {
        let track = event.track_uuid.unwrap();
        let stack = running.entry(track).or_default();
        let depth = stack.len();
        match event.event_type() {
            EventType::SliceBegin => {
                stack.push(opened.slices.len());
                opened.slices.push(Slice { track, event, begin: at, end: None, depth });
            }
            EventType::SliceEnd => {
                let ended = stack.pop().expect("an end without a begin");
                opened.slices[ended].end = Some(at);
            }
            EventType::Instant => {
                opened.slices.push(Slice { track, event, begin: at, end: Some(at), depth });
            }
            EventType::Counter => opened.counts.push((at, event.counter_value.unwrap())),
            EventType::Unspecified => panic!("an event without a type"),
        }
    }
    opened
}

/// Time in each state of each connection, as its record tells it; a state that was not left counts as 0.
fn times_of_records(records: &Found) -> BTreeMap<(String, String), u64> {
    let mut times = BTreeMap::new();
    for record in records.iter().flatten() {
        let Record::Connection(connection) = record else { continue };
        let ends =
            connection.states.iter().skip(1).map(|next| next.at).chain([connection.closed_at]);
        for (entry, end) in connection.states.iter().zip(ends) {
            let lasted = entry.at.map(|at| end.map_or(0, |end| end.since_ns(at)));
            if let Some(lasted) = lasted {
                let key = (connection.id.to_string(), entry.state.name().to_owned());
                *times.entry(key).or_default() += lasted;
            }
        }
    }
    times
}

fn times_of_slices(opened: &Opened) -> BTreeMap<(String, String), u64> {
    let mut times = BTreeMap::new();
    for slice in opened.slices.iter().filter(|slice| slice.is("state")) {
        if slice.note("begin_seen").is_none() {
            assert_eq!(slice.depth, 0, "{slice:?}");
            let key = (opened.conn(slice), slice.name().to_owned());
            *times.entry(key).or_default() += slice.duration();
        }
    }
    times
}

#[test]
fn the_slices_of_the_examples_add_up_to_the_times_of_their_states() {
    let opened = open(&export(examples()));
    let times = times_of_slices(&opened);
    assert_eq!(times, times_of_records(&examples()));
    assert_eq!(times[&("c1".to_owned(), "TIME_WAIT".to_owned())], 60_460_000_000);
}

#[test]
fn the_slices_of_a_recording_add_up_to_the_times_of_its_states() {
    let records = demo();
    let expected = times_of_records(&records);
    let opened = open(&export(records));
    assert!(expected.len() > 50, "{}", expected.len());
    assert_eq!(times_of_slices(&opened), expected);
}

fn demo() -> Found {
    Reader::new(DEMO).unwrap().collect()
}

#[test]
fn a_connection_stands_under_its_process_with_its_addresses() {
    let opened = open(&export(examples()));
    let first = opened.named("SYN_SENT");
    let track = opened.track(first);
    assert_eq!(track.name.as_deref(), Some("c1 client 127.0.0.1:41234 -> 127.0.0.1:8080"));
    let process = opened.parent(track).process.as_ref().unwrap();
    assert_eq!((process.pid, process.process_name.as_deref()), (Some(812), Some("curl")));
    assert_eq!(first.note("outcome").unwrap().string_value.as_deref(), Some("graceful"));
    assert_eq!(first.begin, 1_772_366_401_000_000_123);
    let older = opened.track(opened.named("CLOSE_WAIT"));
    assert_eq!(
        older.name.as_deref(),
        Some("c9 unknown end [2001:db8::4]:443 -- [2001:db8::77]:51234")
    );
    assert_eq!(opened.parent(older).name.as_deref(), Some("unknown process"));
}

#[test]
fn a_state_older_than_the_tracer_is_marked_and_one_that_lasts_has_no_end() {
    let opened = open(&export(examples()));
    let older = opened.named("ESTABLISHED (since before tracing)");
    assert_eq!((older.begin, older.duration()), (1_772_366_400_000_000_000, 1_000_100_000));
    assert_eq!(older.note("begin_seen").unwrap().bool_value, Some(false));
    assert_eq!(opened.named("CLOSE_WAIT").end, None);
}

#[test]
fn an_exchange_is_a_slice_with_its_parts_and_facts() {
    let opened = open(&export(examples()));
    let whole = opened.named("GET /a?b=1 200");
    assert_eq!(opened.conn(whole), "c1");
    assert_eq!(whole.note("number").unwrap().uint_value, Some(3));
    assert_eq!(whole.note("status").unwrap().uint_value, Some(200));
    assert_eq!(whole.note("complete").unwrap().bool_value, Some(true));
    assert_eq!(whole.note("missing_bytes").unwrap().uint_value, Some(0));
    assert_eq!(whole.note("reused_connection").unwrap().bool_value, Some(true));
    assert!(whole.note("headers").is_none());
    let parts: Vec<(&str, u64)> = opened
        .slices
        .iter()
        .filter(|slice| slice.track == whole.track && slice.depth == 1)
        .map(|slice| (slice.name(), slice.duration()))
        .collect();
    assert_eq!(parts, [("request", 3_000), ("wait", 410_000), ("answer", 22_000)]);
    assert_eq!(whole.duration(), 413_000 + 22_000);
}

#[test]
fn segments_losses_and_what_has_no_time_are_instants_on_tracks_of_their_own() {
    let opened = open(&export(examples()));
    for (name, track) in [
        ("SYN+ACK sent", "segments"),
        ("SYN sent again", "segments"),
        ("12 lost: payload", "lost events"),
        ("1 requests of unknown time are left out", "tracer"),
        ("tracing starts", "tracer"),
    ] {
        let slice = opened.named(name);
        assert_eq!(slice.duration(), 0);
        assert_eq!(opened.track(slice).name.as_deref(), Some(track));
    }
    let inferred = opened.named("FIN_WAIT2 -> TIME_WAIT (inferred)");
    assert_eq!(opened.conn(inferred), "c1");
}

#[test]
fn the_counter_says_how_many_ends_there_are() {
    let opened = open(&export(examples()));
    let expected = [
        (1_772_366_400_000_000_000, 1),
        (1_772_366_401_000_000_123, 2),
        (1_772_366_461_462_003_456, 1),
    ];
    assert_eq!(opened.counts, expected);
}

/// The examples' first connection with its other end, whose clock is a little later.
fn both_ends(server_lost: u64) -> Found {
    let mut records = examples();
    let client = |record: &Record| match record {
        Record::Connection(connection) => connection.id == ConnId(1),
        Record::Exchange(exchange) => exchange.conn == ConnId(1),
        _ => false,
    };
    let clients: Vec<Record> =
        records.iter().flatten().filter(|record| client(record)).cloned().collect();
    for record in clients {
        records.push(Ok(match record {
            Record::Exchange(exchange) => {
                let mut theirs = Exchange { conn: ConnId(2), ..(*exchange).clone() };
                let request = theirs.request.as_mut().unwrap();
                request.at = request.at.map(|at| at.plus_ns(10));
                Record::Exchange(theirs.into())
            }
            Record::Connection(client) => {
                let entry =
                    |state, ns| StateEntry { state, at: client.opened_at.map(|at| at.plus_ns(ns)) };
                let server = Connection {
                    id: ConnId(2),
                    endpoint: Some(Endpoint::Server),
                    local: client.remote,
                    remote: client.local,
                    peer: Some(client.id),
                    opened_at: client.opened_at.map(|at| at.plus_ns(20)),
                    states: vec![
                        entry(TcpState::SynRecv, 20),
                        entry(TcpState::Established, 90_000),
                    ],
                    lost_events: server_lost,
                    ..(*client).clone()
                };
                Record::Connection(server.into())
            }
            other => other,
        }));
    }
    records
}

/// For each arrow the slices that it goes through, in order of time.
fn arrows(opened: &Opened) -> BTreeMap<u64, Vec<String>> {
    let mut arrows: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for slice in &opened.slices {
        for id in &slice.event.flow_ids {
            arrows.entry(*id).or_default().push(format!("{} {}", opened.conn(slice), slice.name()));
        }
    }
    arrows
}

#[test]
fn arrows_lead_through_the_handshake_and_the_exchange_of_both_ends() {
    let opened = open(&export(both_ends(0)));
    let arrows: Vec<Vec<String>> = arrows(&opened).into_values().collect();
    let handshake = ["c1 SYN_SENT", "c2 SYN_RECV", "c1 ESTABLISHED", "c2 ESTABLISHED"];
    let exchange = ["c1 GET /a?b=1 200", "c2 GET /a?b=1 200", "c1 answer", "c2 answer"];
    assert_eq!(arrows, [handshake, exchange]);
}

#[test]
fn no_arrow_joins_exchanges_of_two_ends_that_may_count_differently() {
    let opened = open(&export(both_ends(1)));
    let arrows: Vec<Vec<String>> = arrows(&opened).into_values().skip(1).collect();
    assert_eq!(arrows, [["c1 GET /a?b=1 200", "c1 answer"], ["c2 GET /a?b=1 200", "c2 answer"]]);
}

#[test]
fn requests_that_are_sent_ahead_do_not_share_a_track() {
    let mut records = examples();
    let Ok(Record::Exchange(first)) = records[7].as_ref().cloned() else { panic!("no exchange") };
    let mut second = Exchange { number: 4, ..(*first).clone() };
    let request = second.request.as_mut().unwrap();
    request.at = request.at.map(|at| at.plus_ns(1_000));
    records.insert(8, Ok(Record::Exchange(second.into())));
    let opened = open(&export(records));
    let slices: Vec<&Slice> = opened.slices.iter().filter(|slice| slice.is("exchange")).collect();
    assert_eq!(slices.len(), 2);
    assert_ne!(slices[0].track, slices[1].track);
    // One name under one parent: readers show them as one.
    let (one, other) = (opened.track(slices[0]), opened.track(slices[1]));
    assert_eq!((&one.name, one.parent_uuid), (&other.name, other.parent_uuid));
}

#[test]
fn no_slice_of_a_recording_overlaps_another_on_its_track() {
    let opened = open(&export(demo()));
    let parents: HashMap<u64, Vec<&Slice>> =
        opened.slices.iter().fold(HashMap::new(), |mut tracks, slice| {
            tracks.entry(slice.track).or_insert_with(Vec::new).push(slice);
            tracks
        });
    for slices in parents.values() {
        for pair in slices.windows(2).filter(|pair| pair[0].depth == pair[1].depth) {
            assert!(pair[0].end.is_some_and(|end| end <= pair[1].begin), "{pair:?}");
        }
        for slice in slices {
            assert!(slice.depth <= 1, "{slice:?}");
        }
    }
}

#[test]
fn a_connection_without_a_record_keeps_its_changes_and_says_so() {
    let mut records = examples();
    records.retain(|record| !matches!(record, Ok(Record::Connection(_))));
    let opened = open(&export(records));
    let change = opened.named("CLOSE -> SYN_SENT");
    assert_eq!(opened.track(change).name.as_deref(), Some("c1 (no connection record)"));
}

#[test]
fn a_recording_that_breaks_off_is_a_whole_trace_of_what_was_there() {
    let mut records = examples();
    let source = std::io::Error::other("the disk is gone");
    records.insert(8, Err(ReadError::Io { offset: 7, source }));
    let known = known(&records);
    let mut out = Vec::new();
    super::write(&mut records.into_iter(), &known, &mut out).unwrap_err();
    assert_eq!(open(&out).slices.iter().filter(|slice| slice.is("exchange")).count(), 1);
}

#[test]
fn hostile_text_is_visible_and_not_obeyed() {
    let mut records = examples();
    let Ok(Record::Exchange(first)) = records[7].as_ref().cloned() else { panic!("no exchange") };
    let target = Some("/\u{1b}]0;x\u{7}\u{202e}".into());
    records[7] = Ok(Record::Exchange(Exchange { target, ..(*first).clone() }.into()));
    let bytes = export(records);
    let opened = open(&bytes);
    assert_eq!(opened.named("GET /\\x1b]0;x\\x07\\u{202e} 200").depth, 0);
}

#[test]
fn times_at_the_ends_of_the_range_do_no_harm() {
    let mut records = examples();
    for record in records.iter_mut().flatten() {
        if let Record::Exchange(exchange) = record {
            let mut far = (**exchange).clone();
            if let Some(response) = far.response.as_mut() {
                response.at = Some(Timestamp(u64::MAX));
            }
            far.timing.receive_us = Some(u64::MAX);
            *record = Record::Exchange(far.into());
        }
    }
    assert!(!open(&export(records)).slices.is_empty());
}
