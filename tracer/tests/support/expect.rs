//! What a case expects: the exchanges of each connection, told alike at both of its ends.

use std::collections::HashMap;

use super::records::{Exchange, Life, Line, Segment};

/// What of an exchange is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ex {
    pub number: u64,
    pub protocol: String,
    pub method: String,
    pub target: String,
    pub status: Option<u16>,
    pub request_bytes: Option<u64>,
    pub response_bytes: Option<u64>,
    pub complete: bool,
}

impl Ex {
    /// A whole HTTP/1.1 exchange without a request body.
    pub fn new(number: u64, method: &str, target: &str, status: u16, response_bytes: u64) -> Ex {
        Ex {
            number,
            protocol: "HTTP/1.1".into(),
            method: method.into(),
            target: target.into(),
            status: Some(status),
            request_bytes: Some(0),
            response_bytes: Some(response_bytes),
            complete: true,
        }
    }

    pub fn http10(self) -> Ex {
        Ex { protocol: "HTTP/1.0".into(), ..self }
    }

    pub fn sent(self, request_bytes: u64) -> Ex {
        Ex { request_bytes: Some(request_bytes), ..self }
    }

    pub fn incomplete(self) -> Ex {
        Ex { complete: false, ..self }
    }
}

impl From<&Exchange> for Ex {
    fn from(told: &Exchange) -> Ex {
        let text = |field: &Option<String>| field.clone().unwrap_or_else(|| "null".into());
        Ex {
            number: told.number,
            protocol: text(&told.protocol),
            method: text(&told.method),
            target: text(&told.target),
            status: told.status,
            request_bytes: told.request.as_ref().and_then(|message| message.body_bytes),
            response_bytes: told.response.as_ref().and_then(|message| message.body_bytes),
            complete: told.complete,
        }
    }
}

/// A case's part of what was told.
#[derive(Default)]
pub struct Seen {
    pub lives: Vec<Life>,
    /// By connection, in order.
    pub exchanges: HashMap<String, Vec<Exchange>>,
    segments: Vec<Segment>,
}

impl Seen {
    pub fn of<'a>(netns: u32, lines: impl Iterator<Item = &'a Line>) -> Seen {
        let mut seen = Seen::default();
        for line in lines {
            match line {
                Line::Connection(life) if life.netns == Some(netns) => {
                    seen.lives.push((**life).clone());
                }
                Line::Exchange(exchange) => {
                    let list = seen.exchanges.entry(exchange.conn.clone()).or_default();
                    list.push((**exchange).clone());
                }
                Line::Segment(segment) => seen.segments.push(segment.clone()),
                _ => {}
            }
        }
        for list in seen.exchanges.values_mut() {
            list.sort_by_key(|exchange| exchange.number);
        }
        seen
    }

    /// The lives of one kind of end on a port.
    pub fn ends(&self, endpoint: &str, port: u16) -> impl Iterator<Item = &Life> {
        let at = move |life: &Life| {
            if endpoint == "client" { life.remote.port } else { life.local.port }
        };
        self.lives
            .iter()
            .filter(move |life| life.endpoint.as_deref() == Some(endpoint) && at(life) == port)
    }

    /// The segments of one end, in the order of their records.
    pub fn segments_of<'a>(&'a self, life: &'a Life) -> impl Iterator<Item = &'a Segment> {
        self.segments.iter().filter(move |segment| segment.conn == life.id)
    }

    pub fn of_life(&self, life: &Life) -> &[Exchange] {
        self.exchanges.get(&life.id).map_or(&[], Vec::as_slice)
    }
}

/// A condition over what was told.
pub type Check = Box<dyn Fn(&Seen) -> Result<(), String> + Send + Sync>;

/// On a port there were these connections, each with its exchanges, and both of their ends tell so.
pub fn connections(
    port: u16,
    (client, server): (&'static str, &'static str),
    expected: Vec<Vec<Ex>>,
) -> Check {
    Box::new(move |seen| {
        for (endpoint, comm) in [("client", client), ("server", server)] {
            let mut told: Vec<Vec<Ex>> = Vec::new();
            for life in seen.ends(endpoint, port) {
                let exchanges = seen.of_life(life);
                sane(life, exchanges)?;
                owned(life, comm)?;
                told.push(exchanges.iter().map(Ex::from).collect());
            }
            let mut expected = expected.clone();
            expected.sort();
            told.sort();
            if told != expected {
                return Err(format!("{endpoint} ends told\n{told:#?}\nnot\n{expected:#?}"));
            }
        }
        Ok(())
    })
}

fn owned(life: &Life, comm: &str) -> Result<(), String> {
    // A name is 15 bytes long at most.
    let comm = comm.get(..15).unwrap_or(comm);
    match life.comm.as_deref() {
        Some(told) if told == comm => Ok(()),
        told => Err(format!("{}: owner should be {comm}, told {told:?}", life.id)),
    }
}

/// What holds for every connection whose exchanges were all seen.
pub fn sane(life: &Life, exchanges: &[Exchange]) -> Result<(), String> {
    let id = &life.id;
    let numbers: Vec<u64> = exchanges.iter().map(|e| e.number).collect();
    if numbers != (1..=exchanges.len() as u64).collect::<Vec<_>>() {
        return Err(format!("{id}: numbered {numbers:?}"));
    }
    if life.exchanges != exchanges.len() as u64 || life.lost_events != 0 {
        return Err(format!("{id}: says {} exchanges, {} lost", life.exchanges, life.lost_events));
    }
    for exchange in exchanges {
        let first = exchange.number == 1;
        let reused = exchange.reused_connection == Some(!first);
        let connect = exchange.timing.connect_us.is_some() == first;
        let missing = exchange.complete && exchange.missing_bytes != Some(0);
        let began = |message: Option<&super::records::Message>| message.and_then(|m| m.at);
        let (request, response) =
            (began(exchange.request.as_ref()), began(exchange.response.as_ref()));
        let in_order = response.is_none() || request <= response;
        if !reused || !connect || missing || !in_order {
            return Err(format!("{id}: contradicts itself: {exchange:?}"));
        }
    }
    Ok(())
}

/// Every exchange on a port was told alike at both ends; how many there were, and on how many connections.
pub fn alike_at_both_ends(seen: &Seen, port: u16) -> Result<(usize, usize), String> {
    let servers: HashMap<&str, &Life> =
        seen.ends("server", port).map(|life| (life.id.as_str(), life)).collect();
    let (mut exchanges, mut lives) = (0, 0);
    for client in seen.ends("client", port) {
        let peer = client.peer.as_deref().and_then(|id| servers.get(id));
        let Some(server) = peer else { return Err(format!("{} has no peer", client.id)) };
        let (ours, theirs) = (seen.of_life(client), seen.of_life(server));
        sane(client, ours)?;
        sane(server, theirs)?;
        // What was cut off in the middle may have gone further at its sender's end.
        let whole = |list: &[Exchange]| {
            list.iter().filter(|e| e.complete).map(Ex::from).collect::<Vec<_>>()
        };
        let (ours, theirs) = (whole(ours), whole(theirs));
        let common = ours.len().min(theirs.len());
        if ours[..common] != theirs[..common] || ours.len().abs_diff(theirs.len()) > 1 {
            return Err(format!("{} and {} tell different exchanges", client.id, server.id));
        }
        exchanges += ours.len();
        lives += 1;
    }
    if servers.len() != lives {
        return Err(format!("{lives} client ends, {} server ends", servers.len()));
    }
    Ok((exchanges, lives))
}
