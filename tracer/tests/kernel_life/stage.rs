//! Where a scenario plays: namespaces, the processes at both ends, and the wire between them if there is one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::RawFd;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use crate::support::actor::{Actor, Conn, Listener, Options};
use crate::support::environment;
use crate::support::netns::Namespace;
use crate::support::wire::Wire;
use crate::support::{STEP, procnet, wait_until};
use tracer::tcp::TcpState;

/// What lies between the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// One namespace, its loopback.
    Loopback,
    /// Two namespaces, and a wire under the test's control.
    Wire,
}

/// A scenario's place; addresses are its own on the whole host, so that no two scenarios are confused.
pub struct Stage {
    pub client: Actor,
    pub server: Actor,
    wire: Option<Wire>,
    network: [u8; 3],
    port: u16,
    client_side: Namespace,
    /// The server's own namespace, where it has one.
    server_side: Option<Namespace>,
    gate: Arc<Gate>,
}

impl Stage {
    /// Makes the place of scenario `number`.
    pub fn new(number: u8, between: Between, gate: Arc<Gate>) -> Stage {
        // Another run of the same tests may be under way on this host.
        let run = u8::try_from(std::process::id() % 200).unwrap_or(0) + 20;
        let client_side = Namespace::new().expect("make a network namespace");
        let namespace = || Namespace::new().expect("make a network namespace");
        let (server_side, first) = match between {
            Between::Loopback => (None, 127),
            Between::Wire => (Some(namespace()), 10),
        };
        let network = [first, run, number];
        let wire = server_side.as_ref().map(|server_side| {
            Wire::new((&client_side, host(network, 2)), (server_side, host(network, 1)))
                .expect("make a wire of two tun devices")
        });
        Stage {
            client: Actor::start(&client_side, "life-client"),
            server: Actor::start(server_side.as_ref().unwrap_or(&client_side), "life-server"),
            wire,
            network,
            port: 8000 + u16::from(number) * 200 + u16::from(run),
            client_side,
            server_side,
            gate,
        }
    }

    pub fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("this scenario's row asks for a wire")
    }

    /// Another wire beside the first one, with the same addresses at its ends.
    pub fn second_wire(&self, name: &str) -> Wire {
        let server_side = self.server_side.as_ref().expect("this scenario's row asks for a wire");
        let (left, right) = (host(self.network, 2), host(self.network, 1));
        Wire::named(name, (&self.client_side, left), (server_side, right)).expect("make a wire")
    }

    /// The index of a device in the client's and in the server's namespace.
    pub fn interfaces(&self, device: &str) -> [i32; 2] {
        let server_side = self.server_side.as_ref().unwrap_or(&self.client_side);
        [self.client_side.interface(device), server_side.interface(device)]
    }

    /// The namespaces' inodes.
    pub fn namespaces(&self) -> Vec<u32> {
        [Some(&self.client_side), self.server_side.as_ref()]
            .into_iter()
            .flatten()
            .map(Namespace::inode)
            .collect()
    }

    /// Sets a `/proc/sys/net/` value on both sides.
    pub fn sysctl(&self, name: &str, value: &str) {
        self.client_side.sysctl(name, value);
        if let Some(side) = &self.server_side {
            side.sysctl(name, value);
        }
    }

    /// Loads rules of nft(8) into the client's namespace; false, said loudly, where that program is
    /// missing.
    pub fn translate(&self, rules: &str) -> bool {
        let Some(nft) = environment::program("nft") else {
            eprintln!("address translation: skipped: no nft here");
            return false;
        };
        let output = self.client_side.run(|| Command::new(nft).arg(rules).output());
        let output = output.expect("start nft");
        assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        true
    }

    /// For a child process that is to enter the client's namespace.
    pub fn client_namespace(&self) -> RawFd {
        self.client_side.raw_fd()
    }

    /// Waits, in a scenario that begins before the tracer does, until the tracer is up.
    pub fn tracer_starts(&self) {
        self.gate.pass();
    }

    pub fn server_at(&self) -> SocketAddr {
        self.server_v4().into()
    }

    pub fn server_v4(&self) -> SocketAddrV4 {
        self.host(1, self.port)
    }

    /// The server's port on IPv6 loopback; the port is the scenario's own.
    pub fn server_v6(&self) -> SocketAddr {
        SocketAddr::new("::1".parse().expect("an address"), self.port)
    }

    /// The client's address with a port of its choice.
    pub fn client_at(&self, port: u16) -> SocketAddr {
        self.host(2, port).into()
    }

    /// An address in the scenario's network: 1 is the server, 2 the client, others nobody.
    pub fn host(&self, last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(host(self.network, last), port)
    }

    /// Waits until the server's kernel has an end in `state`; `None`: not at all.
    #[track_caller]
    pub fn server_sees(&self, local: SocketAddr, remote: SocketAddr, state: Option<TcpState>) {
        let now = || procnet::state(self.server.pid, local, remote);
        assert!(
            wait_until(STEP, || now() == state),
            "{local} > {remote} should be {state:?}, but is {:?}",
            now()
        );
    }

    /// Whether an address is the scenario's.
    pub fn owns(&self, address: SocketAddr) -> bool {
        match address.ip() {
            IpAddr::V4(ip) => ip.octets()[..3] == self.network,
            IpAddr::V6(_) => address.port() == self.port,
        }
    }

    /// A connection that stands, accepted.
    #[track_caller]
    pub fn pair(&self) -> Pair<'_> {
        self.pair_with(Options::default())
    }

    /// A connection whose client socket is made with options.
    #[track_caller]
    pub fn pair_with(&self, options: Options) -> Pair<'_> {
        let listener = self.server.listen(self.server_at());
        let client = self.client.connect_with(listener.at, options);
        let server = listener.accept();
        Pair { listener, client, server }
    }
}

fn host([a, b, c]: [u8; 3], last: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, last)
}

/// Both ends of a connection.
pub struct Pair<'a> {
    pub listener: Listener<'a>,
    pub client: Conn<'a>,
    pub server: Conn<'a>,
}

/// Where scenarios that begin before the tracer wait for it.
#[derive(Default)]
pub struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    arrived: usize,
    open: bool,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().expect("nobody panics at the gate");
        state.arrived += 1;
        self.changed.notify_all();
        while !state.open {
            state = self.changed.wait(state).expect("nobody panics at the gate");
        }
    }

    /// Counts one in that will never come: it has failed before.
    pub fn give_up(&self) {
        self.state.lock().expect("nobody panics at the gate").arrived += 1;
        self.changed.notify_all();
    }

    /// Waits until so many have arrived.
    pub fn wait_for(&self, count: usize) {
        let mut state = self.state.lock().expect("nobody panics at the gate");
        while state.arrived < count {
            state = self.changed.wait(state).expect("nobody panics at the gate");
        }
    }

    pub fn open(&self) {
        self.state.lock().expect("nobody panics at the gate").open = true;
        self.changed.notify_all();
    }
}
