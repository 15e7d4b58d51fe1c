//! A [`Record`] in a block's body: kind, length, then the record in postcard's form.
//!
//! The length lets a reader pass over a kind that it does not know, and over fields that a later version
//! appended to a known one. A record whose fields change otherwise gets a new kind number.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::Record;
use crate::time::Timestamp;

const HOST: u8 = 1;
const TRANSITION: u8 = 2;
const SEGMENT: u8 = 3;
const EXCHANGE: u8 = 4;
const CONNECTION: u8 = 5;
const LOSS: u8 = 6;

/// A record that found no room in a block, with its length.
#[derive(Debug, thiserror::Error)]
#[error("a record of {bytes} bytes is larger than a recording holds")]
pub(super) struct TooLarge {
    pub bytes: usize,
}

/// Appends `record` to `body`; `scratch` is working space. `body` is unchanged on an error.
pub(super) fn push(
    record: &Record,
    body: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    max_bytes: usize,
) -> Result<(), TooLarge> {
    scratch.clear();
    let (kind, packed) = match record {
        Record::Host(host) => (HOST, pack(&**host, scratch)),
        Record::Transition(transition) => (TRANSITION, pack(transition, scratch)),
        Record::Segment(segment) => (SEGMENT, pack(segment, scratch)),
        Record::Exchange(exchange) => (EXCHANGE, pack(&**exchange, scratch)),
        Record::Connection(connection) => (CONNECTION, pack(&**connection, scratch)),
        Record::Loss(loss) => (LOSS, pack(loss, scratch)),
    };
    let len = u32::try_from(scratch.len()).ok().filter(|_| packed && scratch.len() <= max_bytes);
    let Some(len) = len else { return Err(TooLarge { bytes: scratch.len() }) };
    body.push(kind);
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(scratch);
    Ok(())
}

/// False where postcard has no form for the value; records have one by their types.
fn pack<T: Serialize>(value: &T, scratch: &mut Vec<u8>) -> bool {
    postcard::to_io(value, scratch).is_ok()
}

/// One step through a body.
#[derive(Debug)]
pub(super) enum Unpacked {
    Record(Record),
    /// A kind of record that a later version added.
    UnknownKind,
    /// Its bytes are not that kind of record.
    Unreadable,
}

/// Takes the next record off the front of `body`: `None` at its end, or where what is left is too short.
pub(super) fn next(body: &[u8]) -> Option<(Unpacked, &[u8])> {
    let (&kind, rest) = body.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (bytes, rest) = rest.split_at_checked(len)?;
    Some((unpack(kind, bytes), rest))
}

fn unpack(kind: u8, bytes: &[u8]) -> Unpacked {
    let record = match kind {
        HOST => read(bytes).map(|host| Record::Host(Arc::new(host))),
        TRANSITION => read(bytes).map(Record::Transition),
        SEGMENT => read(bytes).map(Record::Segment),
        EXCHANGE => read(bytes).map(|exchange| Record::Exchange(Arc::new(exchange))),
        CONNECTION => read(bytes).map(|connection| Record::Connection(Arc::new(connection))),
        LOSS => read(bytes).map(Record::Loss),
        _ => return Unpacked::UnknownKind,
    };
    record.map_or(Unpacked::Unreadable, Unpacked::Record)
}

/// Bytes behind the value are fields of a later version.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().map(|(value, _later_fields)| value)
}

/// The time a record is about, for its block's time range.
pub(super) fn time_of(record: &Record) -> Option<Timestamp> {
    match record {
        Record::Host(host) => Some(host.started_at),
        Record::Transition(transition) => Some(transition.at),
        Record::Segment(segment) => Some(segment.at),
        Record::Exchange(exchange) => {
            let response = exchange.response.as_ref().and_then(|half| half.at);
            response.or_else(|| exchange.request.as_ref().and_then(|half| half.at))
        }
        Record::Connection(connection) => connection.closed_at.or(connection.opened_at),
        Record::Loss(loss) => Some(loss.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::examples;

    #[test]
    fn every_kind_of_record_survives_packing() {
        let (mut body, mut scratch) = (Vec::new(), Vec::new());
        for record in examples() {
            push(&record, &mut body, &mut scratch, 1 << 20).unwrap();
        }
        let mut rest = &body[..];
        for record in examples() {
            let (Unpacked::Record(read), tail) = next(rest).unwrap() else { panic!("{record:?}") };
            assert_eq!(read, record);
            rest = tail;
        }
        assert!(next(rest).is_none());
    }

    #[test]
    fn fields_that_a_later_version_appended_are_passed_over() {
        let (mut body, mut scratch) = (Vec::new(), Vec::new());
        let record = examples().pop().unwrap();
        push(&record, &mut body, &mut scratch, 1 << 20).unwrap();
        body.extend_from_slice(b"more");
        let len = u32::try_from(body.len() - 5).unwrap();
        body[1..5].copy_from_slice(&len.to_le_bytes());
        assert!(matches!(next(&body), Some((Unpacked::Record(read), [])) if read == record));
    }

    #[test]
    fn an_unknown_kind_and_a_cut_record_do_not_stop_the_walk() {
        let body = [200, 2, 0, 0, 0, 9, 9, LOSS, 1, 0, 0, 0, 7, LOSS, 9, 0];
        let (first, rest) = next(&body).unwrap();
        assert!(matches!(first, Unpacked::UnknownKind));
        let (second, rest) = next(rest).unwrap();
        assert!(matches!(second, Unpacked::Unreadable));
        assert!(next(rest).is_none());
    }

    #[test]
    fn a_record_that_is_too_large_leaves_the_body_unchanged() {
        let mut body = vec![1];
        let error = push(&examples()[0], &mut body, &mut Vec::new(), 10).unwrap_err();
        assert!(error.bytes > 10);
        assert_eq!(body, [1]);
    }
}
