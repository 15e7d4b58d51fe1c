//! Where the connections of a test are made: a namespace of their own, with a process for each end; and the view
//! over it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::screen::{Size, Terminal};
use crate::support::actor::{Actor, Conn, Listener};
use crate::support::environment;
use crate::support::netns::Namespace;

/// The size of most tests' terminal.
pub const SIZE: Size = (120, 40);
/// A terminal that knows UTF-8.
pub const UTF8: (&str, &str) = ("LANG", "C.UTF-8");
/// How long the view may take to stand: its hooks are loaded and attached before.
const START: Duration = Duration::from_secs(90);

/// See the module.
pub struct Stage {
    namespace: Namespace,
    /// Opens connections.
    pub asker: Actor,
    /// Accepts them.
    pub giver: Actor,
}

impl Stage {
    pub fn new() -> Stage {
        let namespace = Namespace::new().expect("make a network namespace");
        // Short names: in the table they stand whole, with their process ids.
        let [asker, giver] = ["ask", "give"].map(|name| Actor::start(&namespace, name));
        Stage { namespace, asker, giver }
    }

    /// The filter that shows what happens in here and nothing else.
    pub fn filter(&self) -> String {
        format!("netns:{}", self.namespace.inode())
    }

    /// The view on this stage, standing.
    #[track_caller]
    pub fn view(&self) -> Terminal {
        self.view_with(SIZE, &[UTF8])
    }

    #[track_caller]
    pub fn view_with(&self, size: Size, variables: &[(&str, &str)]) -> Terminal {
        let tracer = environment::tracer();
        let tracer = tracer.to_str().expect("a path in UTF-8");
        let terminal = Terminal::start(size, variables, &[tracer, "watch", &self.filter()]);
        stands(&terminal);
        terminal
    }

    /// The accepting process listens on a port of the namespace's loopback.
    #[track_caller]
    pub fn listen(&self, port: u16) -> Listener<'_> {
        self.giver.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// A new connection.
    #[track_caller]
    pub fn connect<'a>(&'a self, to: &Listener<'a>) -> Pair<'a> {
        let client = self.asker.connect(to.at);
        Pair { client, server: to.accept() }
    }
}

/// Both ends of a connection.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    pub client: Conn<'a>,
    pub server: Conn<'a>,
}

impl Pair<'_> {
    /// A request without content and its answer in plain text, which takes so long; the bytes of both.
    #[track_caller]
    pub fn exchange(&self, target: &str, takes: Duration, status: &str) -> (usize, usize) {
        const CONTENT: &str = "hello";
        let request = format!("GET {target} HTTP/1.1\r\nhost: shop\r\naccept: */*\r\n\r\n");
        let length = CONTENT.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{CONTENT}"
        );
        self.client.write(&request);
        self.server.receive(request.len());
        std::thread::sleep(takes);
        self.server.write(&answer);
        self.client.receive(answer.len());
        (request.len(), answer.len())
    }

    /// `127.0.0.1:41234`, the address that no other connection has.
    pub fn client_address(&self) -> String {
        self.client.local.to_string()
    }

    /// Closes both ends, the client's first.
    #[track_caller]
    pub fn close(&self) {
        self.client.shutdown();
        self.server.receive_end(0);
        self.server.close();
        self.client.receive_end(0);
        self.client.close();
    }
}

/// `ask[812]`, as the view names a process.
pub fn owner(actor: &Actor) -> String {
    format!("{}[{}]", actor.comm, actor.pid)
}

/// Waits until the view has drawn itself; all hooks are attached by then.
#[track_caller]
pub fn stands(terminal: &Terminal) {
    terminal.until_within(START, "the view's header and its keys", |picture| {
        picture.header().starts_with(" tracer ") && picture.footer().contains("? keys")
    });
}
