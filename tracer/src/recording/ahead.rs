//! Reads ahead of who plays a recording: a connection's record comes at its end, and who plays it wants to know of the
//! connection from its begin.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use super::body::Body;
use super::{ReadError, Reader, Report, pack};
use crate::record::{Connection, Record};
use crate::time::Timestamp;

/// Unpacked bytes of blocks that are looked at and not read yet at most; then it is [full](Ahead::is_full).
const MAX_HELD_BYTES: usize = 32 << 20;

/// What a block says of connections.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Those of its records and notes.
    pub connections: Vec<Arc<Connection>>,
    /// Time of its latest record.
    pub until: Timestamp,
}

/// Looks at a recording block by block, and reads it record by record behind that.
pub struct Ahead<R> {
    reader: Reader<R>,
    held: VecDeque<Body>,
    held_bytes: usize,
}

impl<R: Read> Ahead<R> {
    /// Begins at the recording's begin.
    ///
    /// # Errors
    /// As [`Reader::new`].
    pub fn new(inner: R) -> Result<Self, ReadError> {
        Ok(Ahead { reader: Reader::new(inner)?, held: VecDeque::new(), held_bytes: 0 })
    }

    /// What the next block says of connections; nothing else of it is unpacked. `None` behind the last one.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn look(&mut self) -> Result<Option<Sight>, ReadError> {
        let Some(frame) = self.reader.next_body()? else { return Ok(None) };
        let body = self.reader.take_unpacked();
        let connections = pack::connections(&body.bytes).map(Arc::new).collect();
        self.held_bytes += body.bytes.len();
        self.held.push_back(body);
        Ok(Some(Sight { connections, until: frame.last_at }))
    }

    /// The next record of the blocks that were looked at.
    pub fn read(&mut self) -> Option<Record> {
        loop {
            let body = self.held.front_mut()?;
            if let Some(record) = self.reader.next_in(body) {
                return Some(record);
            }
            self.held_bytes -= body.bytes.len();
            self.held.pop_front();
        }
    }

    /// Whether so much is looked at and not read that no more should be.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.held_bytes >= MAX_HELD_BYTES
    }

    /// What was read and what could not be, up to now.
    pub const fn report(&self) -> &Report {
        self.reader.report()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::EXAMPLES;
    use crate::recording::Writer;

    fn records() -> Vec<Record> {
        EXAMPLES.lines().map(|line| Record::from_json(line).unwrap()).collect()
    }

    fn connection() -> Arc<Connection> {
        let found = records().into_iter().find_map(|record| match record {
            Record::Connection(connection) => Some(connection),
            _ => None,
        });
        found.unwrap()
    }

    /// The examples, with a note behind the host.
    fn recording() -> Vec<u8> {
        let mut records = records().into_iter();
        let Some(Record::Host(host)) = records.next() else { panic!("no host") };
        let now = host.started_at;
        let mut writer = Writer::new(Vec::new(), &host, now).unwrap();
        writer.note(&connection(), now).unwrap();
        writer.flush().unwrap();
        records.for_each(|record| writer.write(&record, now).unwrap());
        writer.finish().unwrap().1
    }

    #[test]
    fn a_note_is_no_record() {
        let bytes = recording();
        let mut reader = Reader::new(&bytes[..]).unwrap();
        let read: Vec<Record> = (&mut reader).map(Result::unwrap).collect();
        assert_eq!(read, records());
        assert!(reader.report().is_whole());
    }

    #[test]
    fn connections_are_seen_before_the_records_of_their_blocks_are_read() {
        let bytes = recording();
        let mut ahead = Ahead::new(&bytes[..]).unwrap();
        assert!(ahead.read().is_none(), "nothing was looked at yet");
        assert!(ahead.look().unwrap().unwrap().connections.is_empty(), "the host's block");
        assert_eq!(ahead.look().unwrap().unwrap().connections, [connection()]);
        let told = records();
        let told = told.iter().filter(|record| matches!(record, Record::Connection(_))).count();
        assert_eq!(ahead.look().unwrap().unwrap().connections.len(), told);
        assert!(ahead.look().unwrap().is_none());
        let read: Vec<Record> = std::iter::from_fn(|| ahead.read()).collect();
        assert_eq!(read, records());
        assert!(ahead.report().is_whole());
        assert_eq!(ahead.held_bytes, 0);
    }
}
