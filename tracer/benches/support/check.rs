//! Whether what an engine said is what happened: a bench that measures nonsense is worse than none.

use std::collections::BTreeMap;

use tracer::engine::Output;
use tracer::record::{ClosedBy, ConnId, Connection, Exchange, Outcome, Record};
use tracer::tcp::{Endpoint, TcpState};

use super::drive::Driver;
use super::traffic::{Load, REQUEST, RESPONSE_BODY_BYTES, response};

/// What an engine told.
#[derive(Default)]
pub struct Told {
    connections: Vec<Connection>,
    exchanges: BTreeMap<ConnId, Vec<Exchange>>,
    transitions: usize,
    segments: usize,
}

impl Told {
    /// Takes down what one look found.
    pub fn take(&mut self, outputs: impl Iterator<Item = Output>) {
        for output in outputs {
            let Output::Record(record) = output else { continue };
            match record {
                Record::Connection(connection) => self.connections.push((*connection).clone()),
                Record::Exchange(exchange) => {
                    self.exchanges.entry(exchange.conn).or_default().push((*exchange).clone());
                }
                Record::Transition(_) => self.transitions += 1,
                Record::Segment(_) => self.segments += 1,
                Record::Host(_) | Record::Loss(_) => {}
            }
        }
    }

    /// Compares it with what the tape was made of.
    ///
    /// # Panics
    /// Where the engine is wrong.
    pub fn check(&self, load: &Load, driver: &Driver) {
        assert_eq!(driver.malformed, 0, "events that could not be decoded");
        assert_eq!(driver.engine.tracked(), 0, "ends still tracked");
        let counters = driver.engine.counters();
        let nothing = tracer::engine::EngineCounters::default();
        assert_eq!(counters, nothing, "a bound was hit, or something was not understood");
        assert_eq!(self.connections.len(), 2 * load.connections, "ends told");
        assert_eq!(self.transitions, load.told_transitions(), "transitions told");
        assert_eq!(self.segments, 8 * load.connections, "segments told");
        let told = self.exchanges.values().map(Vec::len).sum::<usize>();
        assert_eq!(told, load.told_exchanges(), "exchanges told");
        for connection in &self.connections {
            self.check_connection(load, connection);
        }
    }

    fn check_connection(&self, load: &Load, connection: &Connection) {
        let Connection { id, endpoint, states, .. } = connection;
        let life: Vec<TcpState> = states.iter().map(|entry| entry.state).collect();
        assert_eq!(life, expected_life(connection), "{id}'s life");
        assert!(states.iter().all(|entry| entry.at.is_some()), "{id} has a moment unseen");
        assert_eq!(connection.outcome, Outcome::Graceful, "{id}");
        assert_eq!(connection.lost_events, 0, "{id}");
        assert!(connection.peer.is_some(), "{id} has no peer");
        let owner = if *endpoint == Some(Endpoint::Client) { "ab" } else { "nginx" };
        assert_eq!(connection.comm.as_deref(), Some(owner), "{id}'s owner");
        let (asked, answered) = (load.exchanges * REQUEST.len(), load.exchanges * response().len());
        let (sent, received) = match endpoint {
            Some(Endpoint::Client) => (asked, answered),
            _ => (answered, asked),
        };
        let bytes = (connection.bytes_sent, connection.bytes_received);
        assert_eq!(bytes, (Some(sent as u64), Some(received as u64)), "{id}'s bytes");
        let exchanges = self.exchanges.get(id).map_or(&[][..], Vec::as_slice);
        assert_eq!(exchanges.len(), load.exchanges, "{id}'s exchanges");
        assert_eq!(connection.exchanges, load.exchanges as u64, "{id}'s count of exchanges");
        for (exchange, number) in exchanges.iter().zip(1..) {
            check_exchange(exchange, number);
        }
    }
}

fn expected_life(connection: &Connection) -> Vec<TcpState> {
    use TcpState::{
        Close, CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent, TimeWait,
    };
    let is_client = connection.endpoint == Some(Endpoint::Client);
    let mut life = vec![if is_client { SynSent } else { SynRecv }, Established];
    match connection.closed_by {
        Some(ClosedBy::Local) => life.extend([FinWait1, FinWait2, TimeWait, Close]),
        _ => life.extend([CloseWait, LastAck, Close]),
    }
    life
}

fn check_exchange(exchange: &Exchange, number: u64) {
    assert!(exchange.complete, "{exchange:?}");
    assert_eq!((exchange.number, exchange.status), (number, Some(200)), "{exchange:?}");
    assert_eq!(exchange.missing_bytes, Some(0), "{exchange:?}");
    assert_eq!(exchange.target.as_deref(), Some("/index.html?page=1"), "{exchange:?}");
    assert_eq!(exchange.reused_connection, Some(number > 1), "{exchange:?}");
    let body_bytes = exchange.response.as_ref().and_then(|response| response.body_bytes);
    assert_eq!(body_bytes, Some(RESPONSE_BODY_BYTES as u64), "{exchange:?}");
    assert_eq!(exchange.response.as_ref().map(|r| r.headers.len()), Some(8), "{exchange:?}");
}
