//! A [`Record`] in a block's body: kind, length, then the record in postcard's form.
//!
//! Header fields stand once in a body, and so do heads as they were on the wire: an exchange says which ones of those
//! before it are its own. Most messages repeat another's, so that there is less to pack, to compress, and to hold for who
//! reads it.
//!
//! The length lets a reader pass over a kind that it does not know, and over fields that a later version
//! appended to a known one. A record whose fields change otherwise gets a new kind number.

use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Figures;
use crate::record::{Connection, Exchange, Headers, Record, WireHead};
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
/// No record: a head of those behind it, as it was on the wire.
const WIRE_HEAD: u8 = 12;

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
    /// The same for heads.
    wire_heads: Vec<WireHead>,
    wire_head_numbers: FxHashMap<usize, u64>,
}

impl Packer {
    /// A new body begins.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.numbers.clear();
        self.wire_heads.clear();
        self.wire_head_numbers.clear();
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
        let (start, known) = (body.len(), (self.headers.len(), self.wire_heads.len()));
        let packed = self.numbers_of(exchange, body, max_bytes).and_then(|numbers| {
            append(EXCHANGE, body, max_bytes, |body| pack(exchange, body) && pack(&numbers, body))
        });
        if packed.is_err() {
            body.truncate(start);
            self.headers.truncate(known.0);
            self.numbers.retain(|_, number| *number <= known.0 as u64);
            self.wire_heads.truncate(known.1);
            self.wire_head_numbers.retain(|_, number| *number <= known.1 as u64);
        }
        packed
    }

    fn numbers_of(
        &mut self,
        exchange: &Exchange,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<Numbers, TooLarge> {
        let (request, response) = (exchange.request.as_ref(), exchange.response.as_ref());
        Ok(Numbers {
            request: self.number(request.map(|half| &half.headers), body, max_bytes)?,
            response: self.number(response.map(|half| &half.headers), body, max_bytes)?,
            request_head: self.head_number(
                request.and_then(|half| half.wire_head.as_ref()),
                body,
                max_bytes,
            )?,
            response_head: self.head_number(
                response.and_then(|half| half.wire_head.as_ref()),
                body,
                max_bytes,
            )?,
        })
    }

    /// As [`Packer::number`], of a head.
    fn head_number(
        &mut self,
        head: Option<&WireHead>,
        body: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<u64, TooLarge> {
        let Some(head) = head else { return Ok(0) };
        let address = head.bytes().as_ptr().addr();
        if let Some(number) = self.wire_head_numbers.get(&address) {
            return Ok(*number);
        }
        append(WIRE_HEAD, body, max_bytes, |body| {
            body.extend_from_slice(&head.masked_bytes().to_le_bytes());
            body.extend_from_slice(head.bytes());
            true
        })?;
        self.wire_heads.push(head.clone());
        let number = self.wire_heads.len() as u64;
        self.wire_head_numbers.insert(address, number);
        Ok(number)
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

/// Which header fields and heads of the body are an exchange's; 0: none.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Numbers {
    request: u64,
    response: u64,
    request_head: u64,
    response_head: u64,
}

impl Numbers {
    /// Recordings of format 1.1 and older have no heads.
    fn read(bytes: &[u8]) -> Option<Numbers> {
        read(bytes).or_else(|| {
            let (request, response) = read(bytes)?;
            Some(Numbers { request, response, ..Numbers::default() })
        })
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

/// A record whose last fields are missing in recordings of earlier versions. They read as zeroes:
/// `None`, `false`.
pub(super) fn read_padded<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    /// A byte for each field that was appended to `host` or to `connection`.
    const APPENDED: [u8; 2] = [0; 2];
    read(bytes).or_else(|| read(&[bytes, &APPENDED].concat()))
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
                && let Some(connection) = read_padded(bytes)
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
    wire_heads: Vec<Option<WireHead>>,
}

impl Unpacker {
    /// A new body begins.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.wire_heads.clear();
    }

    /// Takes the next entry off the front of `body`: `None` at its end, or where what is left is too short.
    pub fn next<'b>(&mut self, body: &'b [u8]) -> Option<(Unpacked<'b>, &'b [u8])> {
        let (kind, bytes, rest) = entry(body)?;
        Some((self.unpack(kind, bytes), rest))
    }

    fn unpack<'b>(&mut self, kind: u8, bytes: &'b [u8]) -> Unpacked<'b> {
        let record = match kind {
            HOST => read_padded(bytes).map(|host| Record::Host(Arc::new(host))),
            TRANSITION => read(bytes).map(Record::Transition),
            SEGMENT => read(bytes).map(Record::Segment),
            EXCHANGE => self.exchange(bytes).map(|exchange| Record::Exchange(Arc::new(exchange))),
            CONNECTION => {
                read_padded(bytes).map(|connection| Record::Connection(Arc::new(connection)))
            }
            LOSS => read(bytes).map(Record::Loss),
            HEADERS => {
                let text = std::str::from_utf8(bytes).ok();
                // Unreadable ones have a number too.
                self.headers.push(text.and_then(Headers::from_text).unwrap_or_default());
                return Unpacked::Unsaid;
            }
            WIRE_HEAD => {
                let head = bytes.split_first_chunk::<4>().map(|(masked_bytes, head)| {
                    WireHead::from_parts(head.into(), u32::from_le_bytes(*masked_bytes))
                });
                self.wire_heads.push(head);
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
        let numbers = Numbers::read(rest)?;
        if let Some(message) = &mut exchange.request {
            message.headers = self.headers(numbers.request)?;
            message.wire_head = self.wire_head(numbers.request_head)?;
        }
        if let Some(message) = &mut exchange.response {
            message.headers = self.headers(numbers.response)?;
            message.wire_head = self.wire_head(numbers.response_head)?;
        }
        Some(exchange)
    }

    fn wire_head(&self, number: u64) -> Option<Option<WireHead>> {
        match usize::try_from(number).ok()?.checked_sub(1) {
            None => Some(None),
            Some(index) => self.wire_heads.get(index).filter(|head| head.is_some()).cloned(),
        }
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

    fn exchange_with_heads() -> Exchange {
        let exchange = examples().into_iter().find_map(|record| match record {
            Record::Exchange(exchange) => Some((*exchange).clone()),
            _ => None,
        });
        let mut exchange = exchange.unwrap();
        let head = |bytes: &[u8]| Some(WireHead::redacted(&bytes.into()));
        exchange.request.as_mut().unwrap().wire_head =
            head(b"GET / HTTP/1.1\r\nCOOKIE: a=secret\r\n\r\n");
        exchange.response.as_mut().unwrap().wire_head = head(b"HTTP/1.1 200 OK\nX:\xff\n\n");
        exchange
    }

    #[test]
    fn heads_survive_packing_byte_for_byte_and_stand_once() {
        let exchange = Record::Exchange(Arc::new(exchange_with_heads()));
        let once = packed([exchange.clone()]);
        let twice = packed([exchange.clone(), exchange.clone()]);
        assert_eq!(unpacked(&twice), [exchange.clone(), exchange]);
        assert!(twice.len() < 2 * once.len() - 60, "{} and {}", once.len(), twice.len());
        assert!(!String::from_utf8_lossy(&twice).contains("secret"));
    }

    #[test]
    fn an_exchange_of_an_older_version_has_no_heads() {
        let exchange = Exchange { request: None, response: None, ..exchange_with_heads() };
        let mut body = Vec::new();
        append(EXCHANGE, &mut body, 1 << 20, |body| {
            pack(&exchange, body) && pack(&(0_u64, 0_u64), body)
        })
        .unwrap();
        assert_eq!(unpacked(&body), [Record::Exchange(Arc::new(exchange))]);
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
    fn a_connection_of_a_version_without_the_last_fields_is_read() {
        let mut connection = crate::tui::fixture::connection(1);
        connection.bypasses_tcp = false;
        let record = Record::Connection(Arc::new(connection));
        for missing in 1..=2 {
            let mut body = packed([record.clone()]);
            body.truncate(body.len() - missing);
            let len = u32::try_from(body.len() - 5).unwrap();
            body[1..5].copy_from_slice(&len.to_le_bytes());
            assert_eq!(unpacked(&body), std::slice::from_ref(&record));
        }
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
