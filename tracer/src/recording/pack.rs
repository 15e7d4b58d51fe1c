//! A [`Record`] in a block's body: kind, length, then the record in postcard's form.
//!
//! Header fields stand once in a body: an exchange says which ones of those before it are its own. Most messages
//! repeat another's, so that there is less to pack, to compress, and to hold for who reads it.
//!
//! The length lets a reader pass over a kind that it does not know, and over fields that a later version
//! appended to a known one. A record whose fields change otherwise gets a new kind number.

use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Figures;
use crate::record::{Connection, Exchange, Headers, Host, Record};
use crate::time::Timestamp;

const HOST: u8 = 1;
const TRANSITION: u8 = 2;
const SEGMENT: u8 = 3;
const CONNECTION: u8 = 5;
const LOSS: u8 = 6;
/// No record: header fields of those behind it.
const HEADERS: u8 = 7;
const EXCHANGE: u8 = 9;
/// No record: a connection that goes on, as it is so far.
const NOTE: u8 = 10;
/// No record: figures about the run, in what a daemon sends to a view.
const FIGURES: u8 = 11;

/// A record that found no room in a block, with its length.
#[derive(Debug, thiserror::Error)]
#[error("a record of {bytes} bytes is larger than a recording holds")]
pub(super) struct TooLarge {
    pub bytes: usize,
}

/// Kind and length in front of a packed record.
const PREFIX_BYTES: usize = 5;

/// Packs the records of one body.
#[derive(Default)]
pub(super) struct Packer {
    /// The fields in the body so far. They are kept so that no others get their address.
    headers: Vec<Headers>,
    /// Their numbers, from 1, by address: who has the same fields mostly shares them.
    numbers: FxHashMap<usize, u64>,
}

impl Packer {
    /// A new body begins.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.numbers.clear();
    }

    /// Appends `record` to `body`, which is unchanged on an error.
    pub fn push(
        &mut self,
        record: &Record,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<(), TooLarge> {
        match record {
            Record::Host(host) => append(HOST, body, max_bytes, |body| pack(&**host, body)),
            Record::Transition(transition) => {
                append(TRANSITION, body, max_bytes, |body| pack(transition, body))
            }
            Record::Segment(segment) => {
                append(SEGMENT, body, max_bytes, |body| pack(segment, body))
            }
            Record::Exchange(exchange) => self.push_exchange(exchange, body, max_bytes),
            Record::Connection(connection) => {
                append(CONNECTION, body, max_bytes, |body| pack(&**connection, body))
            }
            Record::Loss(loss) => append(LOSS, body, max_bytes, |body| pack(loss, body)),
        }
    }

    /// Appends a note of a connection that goes on; the same otherwise.
    pub fn push_note(
        connection: &Connection,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<(), TooLarge> {
        append(NOTE, body, max_bytes, |body| pack(connection, body))
    }

    /// Appends figures about the run; the same otherwise.
    pub fn push_figures(
        figures: &Figures,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<(), TooLarge> {
        append(FIGURES, body, max_bytes, |body| pack(figures, body))
    }

    fn push_exchange(
        &mut self,
        exchange: &Exchange,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<(), TooLarge> {
        let (start, known) = (body.len(), self.headers.len());
        let request = exchange.request.as_ref().map(|message| &message.headers);
        let response = exchange.response.as_ref().map(|message| &message.headers);
        let packed = self.number(request, body, max_bytes).and_then(|request| {
            let response = self.number(response, body, max_bytes)?;
            append(EXCHANGE, body, max_bytes, |body| {
                pack(exchange, body) && pack(&(request, response), body)
            })
        });
        if packed.is_err() {
            body.truncate(start);
            self.headers.truncate(known);
            self.numbers.retain(|_, number| *number <= known as u64);
        }
        packed
    }

    /// The number of these fields in the body, to which they are added if need be; 0 where there are none.
    fn number(
        &mut self,
        headers: Option<&Headers>,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<u64, TooLarge> {
        let Some(headers) = headers.filter(|headers| !headers.is_empty()) else { return Ok(0) };
        let address = headers.text().as_ptr().addr();
        if let Some(number) = self.numbers.get(&address) {
            return Ok(*number);
        }
        append(HEADERS, body, max_bytes, |body| {
            body.extend_from_slice(headers.text().as_bytes());
            true
        })?;
        self.headers.push(headers.clone());
        let number = self.headers.len() as u64;
        self.numbers.insert(address, number);
        Ok(number)
    }
}

/// Appends an entry that `pack` makes; `body` is unchanged on an error.
fn append(
    kind: u8,
    body: &mut Vec<u8>,
    max_bytes: usize,
    pack: impl FnOnce(&mut Vec<u8>) -> bool,
) -> Result<(), TooLarge> {
    let start = body.len();
    body.extend_from_slice(&[0; PREFIX_BYTES]);
    let packed = pack(body);
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
pub(super) enum Unpacked<'b> {
    Record(Record),
    /// What later records refer to.
    Unsaid,
    /// A connection that goes on; not unpacked, as most have no use for it.
    Note(&'b [u8]),
    /// Figures about the run, likewise.
    Figures(&'b [u8]),
    /// A kind of record that a later version added.
    UnknownKind,
    /// Its bytes are not that kind of record.
    Unreadable,
}

impl Unpacked<'_> {
    /// Whether the block's frame counts it as a record.
    pub const fn is_counted(&self) -> bool {
        !matches!(self, Unpacked::Unsaid | Unpacked::Note(_) | Unpacked::Figures(_))
    }
}

/// A host record; the last of its fields is missing in recordings from before there were filters in it.
fn host(bytes: &[u8]) -> Option<Host> {
    const NONE: [u8; 1] = [0];
    read(bytes).or_else(|| read(&[bytes, &NONE].concat()))
}

/// A connection; the last of its fields is missing in recordings from before there was a client behind a
/// proxy in it.
pub(super) fn connection(bytes: &[u8]) -> Option<Connection> {
    const NONE: [u8; 1] = [0];
    read(bytes).or_else(|| read(&[bytes, &NONE].concat()))
}

/// Kind and bytes of the entry at the front of `body`, and what is behind it.
fn entry(body: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = body.split_first()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (bytes, rest) = rest.split_at_checked(len)?;
    Some((kind, bytes, rest))
}

/// What a body says of connections, in notes and in records; nothing else of it is unpacked.
pub(super) fn connections(mut body: &[u8]) -> impl Iterator<Item = Connection> {
    std::iter::from_fn(move || {
        loop {
            let (kind, bytes, rest) = entry(body)?;
            body = rest;
            if matches!(kind, CONNECTION | NOTE)
                && let Some(connection) = connection(bytes)
            {
                return Some(connection);
            }
        }
    })
}

/// Unpacks the records of one body.
#[derive(Default)]
pub(super) struct Unpacker {
    headers: Vec<Headers>,
}

impl Unpacker {
    /// A new body begins.
    pub fn clear(&mut self) {
        self.headers.clear();
    }

    /// Takes the next entry off the front of `body`: `None` at its end, or where what is left is too short.
    pub fn next<'b>(&mut self, body: &'b [u8]) -> Option<(Unpacked<'b>, &'b [u8])> {
        let (kind, bytes, rest) = entry(body)?;
        Some((self.unpack(kind, bytes), rest))
    }

    fn unpack<'b>(&mut self, kind: u8, bytes: &'b [u8]) -> Unpacked<'b> {
        let record = match kind {
            HOST => host(bytes).map(|host| Record::Host(Arc::new(host))),
            TRANSITION => read(bytes).map(Record::Transition),
            SEGMENT => read(bytes).map(Record::Segment),
            EXCHANGE => self.exchange(bytes).map(|exchange| Record::Exchange(Arc::new(exchange))),
            CONNECTION => {
                connection(bytes).map(|connection| Record::Connection(Arc::new(connection)))
            }
            LOSS => read(bytes).map(Record::Loss),
            HEADERS => {
                let text = std::str::from_utf8(bytes).ok();
                // Unreadable ones have a number too.
                self.headers.push(text.and_then(Headers::from_text).unwrap_or_default());
                return Unpacked::Unsaid;
            }
            NOTE => return Unpacked::Note(bytes),
            FIGURES => return Unpacked::Figures(bytes),
            _ => return Unpacked::UnknownKind,
        };
        record.map_or(Unpacked::Unreadable, Unpacked::Record)
    }

    fn exchange(&self, bytes: &[u8]) -> Option<Exchange> {
        let (mut exchange, rest) = postcard::take_from_bytes::<Exchange>(bytes).ok()?;
        let (request, response) = read::<(u64, u64)>(rest)?;
        if let Some(message) = &mut exchange.request {
            message.headers = self.headers(request)?;
        }
        if let Some(message) = &mut exchange.response {
            message.headers = self.headers(response)?;
        }
        Some(exchange)
    }

    fn headers(&self, number: u64) -> Option<Headers> {
        match usize::try_from(number).ok()?.checked_sub(1) {
            None => Some(Headers::default()),
            Some(index) => self.headers.get(index).filter(|headers| !headers.is_empty()).cloned(),
        }
    }
}

/// Bytes behind the value are fields of a later version.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
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
        let body = packed(examples());
        assert_eq!(unpacked(&body), examples());
    }

    fn packed(records: impl IntoIterator<Item = Record>) -> Vec<u8> {
        let (mut packer, mut body) = (Packer::default(), Vec::new());
        for record in records {
            packer.push(&record, &mut body, 1 << 20).unwrap();
        }
        body
    }

    fn unpacked(body: &[u8]) -> Vec<Record> {
        let (mut unpacker, mut rest, mut records) = (Unpacker::default(), body, Vec::new());
        while let Some((entry, tail)) = unpacker.next(rest) {
            match entry {
                Unpacked::Record(record) => records.push(record),
                Unpacked::Unsaid => {}
                other => panic!("{other:?}"),
            }
            rest = tail;
        }
        records
    }

    #[test]
    fn header_fields_that_messages_share_are_packed_once() {
        let exchange = examples().into_iter().find(|r| matches!(r, Record::Exchange(_))).unwrap();
        let once = packed([exchange.clone()]);
        let twice = packed([exchange.clone(), exchange.clone()]);
        let Record::Exchange(first) = &exchange else { unreachable!() };
        let bytes = first.request.as_ref().unwrap().headers.text().len();
        assert!(twice.len() < 2 * once.len() - bytes);
        assert_eq!(unpacked(&twice), [exchange.clone(), exchange]);
    }

    #[test]
    fn an_exchange_whose_header_fields_are_not_there_is_unreadable() {
        let exchange = examples().into_iter().find(|r| matches!(r, Record::Exchange(_))).unwrap();
        let body = packed([exchange]);
        let mut unpacker = Unpacker::default();
        let (_, mut rest) = unpacker.next(&body).unwrap();
        unpacker.clear();
        loop {
            let (entry, tail) = unpacker.next(rest).unwrap();
            match entry {
                Unpacked::Unsaid => rest = tail,
                Unpacked::Unreadable => return,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn fields_that_a_later_version_appended_are_passed_over() {
        let record = examples().pop().unwrap();
        let mut body = packed([record.clone()]);
        body.extend_from_slice(b"more");
        let len = u32::try_from(body.len() - 5).unwrap();
        body[1..5].copy_from_slice(&len.to_le_bytes());
        assert!(
            matches!(Unpacker::default().next(&body), Some((Unpacked::Record(read), [])) if read == record)
        );
    }

    #[test]
    fn a_connection_from_before_there_were_proxied_clients_is_read() {
        let is_connection =
            |r: &Record| matches!(r, Record::Connection(c) if c.proxied_for.is_none());
        let record = examples().into_iter().find(is_connection).unwrap();
        let body = packed([record.clone()]);
        let (_, bytes, _) = entry(&body).unwrap();
        let Record::Connection(expected) = record else { unreachable!() };
        assert_eq!(connection(&bytes[..bytes.len() - 1]).as_ref(), Some(&*expected));
    }

    #[test]
    fn an_unknown_kind_and_a_cut_record_do_not_stop_the_walk() {
        let body = [200, 2, 0, 0, 0, 9, 9, LOSS, 1, 0, 0, 0, 7, LOSS, 9, 0];
        let mut unpacker = Unpacker::default();
        let (first, rest) = unpacker.next(&body).unwrap();
        assert!(matches!(first, Unpacked::UnknownKind));
        let (second, rest) = unpacker.next(rest).unwrap();
        assert!(matches!(second, Unpacked::Unreadable));
        assert!(unpacker.next(rest).is_none());
    }

    #[test]
    fn a_record_that_is_too_large_leaves_the_body_unchanged() {
        for record in examples() {
            let (mut packer, mut body) = (Packer::default(), vec![1]);
            let error = packer.push(&record, &mut body, 2).unwrap_err();
            assert!(error.bytes > 2);
            assert_eq!(body, [1]);
            assert!(packer.headers.is_empty() && packer.numbers.is_empty());
        }
    }
}
