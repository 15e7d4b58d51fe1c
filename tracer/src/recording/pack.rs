//! A [`Record`] in a block's body: kind, length, then the record in postcard's form.
//!
//! The length lets a reader pass over a kind that it does not know, and over fields that a later version
//! appended to a known one. A record whose fields change otherwise gets a new kind number.

use std::sync::Arc;

use postcard::ser_flavors::Flavor;
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

/// Kind and length in front of a packed record.
const PREFIX_BYTES: usize = 5;

/// Appends `record` to `body`, which is unchanged on an error.
pub(super) fn push(record: &Record, body: &mut Vec<u8>, max_bytes: usize) -> Result<(), TooLarge> {
    let start = body.len();
    body.extend_from_slice(&[0; PREFIX_BYTES]);
    let (kind, packed) = match record {
        Record::Host(host) => (HOST, pack(&**host, body)),
        Record::Transition(transition) => (TRANSITION, pack(transition, body)),
        Record::Segment(segment) => (SEGMENT, pack(segment, body)),
        Record::Exchange(exchange) => (EXCHANGE, pack(&**exchange, body)),
        Record::Connection(connection) => (CONNECTION, pack(&**connection, body)),
        Record::Loss(loss) => (LOSS, pack(loss, body)),
    };
    let bytes = body.len() - start - PREFIX_BYTES;
    let Some(len) = u32::try_from(bytes).ok().filter(|_| packed && bytes <= max_bytes) else {
        body.truncate(start);
        return Err(TooLarge { bytes });
    };
    body[start] = kind;
    body[start + 1..start + PREFIX_BYTES].copy_from_slice(&len.to_le_bytes());
    Ok(())
}

/// False where postcard has no form for the value; records have one by their types.
fn pack<T: Serialize>(value: &T, body: &mut Vec<u8>) -> bool {
    postcard::serialize_with_flavor(value, Append(body)).is_ok()
}

/// Packs behind what is there already: postcard's own writers begin a buffer or go through `io::Write`.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
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
        let mut body = Vec::new();
        for record in examples() {
            push(&record, &mut body, 1 << 20).unwrap();
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
        let mut body = Vec::new();
        let record = examples().pop().unwrap();
        push(&record, &mut body, 1 << 20).unwrap();
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
        let error = push(&examples()[0], &mut body, 10).unwrap_err();
        assert!(error.bytes > 10);
        assert_eq!(body, [1]);
    }
}
