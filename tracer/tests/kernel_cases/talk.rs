//! A connection of which the test has both ends, and the messages that it sends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::SELF;
use crate::support::expect::{Check, Ex, Seen, connections};
use crate::support::place::{PORT, Place, pass};
use crate::support::records::{Exchange, Life};

/// Both ends.
pub struct Talk {
    client: TcpStream,
    server: TcpStream,
}

impl Talk {
    /// A new connection.
    pub fn new(place: &Place) -> Talk {
        Talk::over(place.pair())
    }

    /// A connection that stands: its client, its server.
    pub fn over((client, server): (TcpStream, TcpStream)) -> Talk {
        Talk { client, server }
    }

    /// Sends bytes to the server, which takes them in before this returns.
    pub fn ask(&self, bytes: impl AsRef<[u8]>) {
        pass(&self.client, &self.server, bytes.as_ref());
    }

    /// Sends bytes to the client, likewise.
    pub fn answer(&self, bytes: impl AsRef<[u8]>) {
        pass(&self.server, &self.client, bytes.as_ref());
    }

    /// Sends each piece to the server by a write of its own; the server reads as fast as it can.
    pub fn ask_in_pieces<'a>(&self, pieces: impl Iterator<Item = &'a [u8]> + Send) {
        pour(&self.client, &self.server, pieces);
    }

    /// Sends each piece to the client, likewise.
    pub fn answer_in_pieces<'a>(&self, pieces: impl Iterator<Item = &'a [u8]> + Send) {
        pour(&self.server, &self.client, pieces);
    }

    /// A request and a response without surprises.
    pub fn small(&self, path: &str) {
        self.ask(get(path));
        self.answer(ok("ok"));
    }

    /// Closes both ends, the client first, once everything has arrived.
    pub fn close(self) {
        self.client.shutdown(Shutdown::Write).expect("shut the client's half");
        assert_eq!(self.server.peek(&mut [0]).expect("wait for the end"), 0);
    }

    /// Closes both ends, the server first, once everything has arrived.
    pub fn close_by_server(self) {
        self.server.shutdown(Shutdown::Write).expect("shut the server's half");
        assert_eq!(self.client.peek(&mut [0]).expect("wait for the end"), 0);
    }
}

fn pour<'a>(
    mut from: &TcpStream,
    mut to: &TcpStream,
    pieces: impl Iterator<Item = &'a [u8]> + Send,
) {
    let pieces: Vec<&[u8]> = pieces.collect();
    let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
    std::thread::scope(|scope| {
        scope.spawn(move || pieces.iter().for_each(|piece| from.write_all(piece).expect("send")));
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let bytes = to.read(&mut buffer).expect("receive");
            assert_ne!(bytes, 0, "the connection ended with {left} bytes to come");
            left -= bytes;
        }
    });
}

/// A request without content.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n")
}

/// A response with this content.
pub fn ok(content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{content}", content.len())
}

/// What [`Talk::small`] is expected as.
pub fn small(number: u64, path: &str) -> Ex {
    Ex::new(number, "GET", path, 200, 2)
}

/// One connection of this process, with these exchanges at both of its ends.
pub fn expect(exchanges: Vec<Ex>) -> Vec<Check> {
    expect_each(vec![exchanges])
}

/// These connections of this process, in any order, each with its exchanges at both of its ends.
pub fn expect_each(exchanges: Vec<Vec<Ex>>) -> Vec<Check> {
    vec![connections(PORT, (SELF, SELF), exchanges)]
}

/// Both ends of the one connection, each with its exchanges, as far as `check` likes them.
pub fn at_both_ends(
    check: impl Fn(&Life, &[Exchange]) -> Result<(), String> + Send + Sync + 'static,
) -> Check {
    Box::new(move |seen: &Seen| {
        // By its port: which end of an older connection is which nobody knows.
        let is_client = |life: &&Life| life.remote.port == PORT;
        let (clients, servers): (Vec<&Life>, Vec<&Life>) = seen.lives.iter().partition(is_client);
        for (name, lives) in [("client", clients), ("server", servers)] {
            let [life] = lives[..] else {
                return Err(format!("{} {name} ends, not one", lives.len()));
            };
            let exchanges = seen.of_life(life);
            let found = || exchanges.iter().map(Ex::from).collect::<Vec<_>>();
            check(life, exchanges).map_err(|why| format!("{name}: {why}: {:#?}", found()))?;
        }
        Ok(())
    })
}
