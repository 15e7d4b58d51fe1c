//! Processes that act for a test: each end of a connection has a process of its own, so that an owner told
//! wrongly cannot pass unnoticed. They are this same binary, started again.

mod process;
mod protocol;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde::de::DeserializeOwned;
use tempfile::TempDir;

pub use process::act_if_asked;
pub use protocol::{Op, Options, Reply};

use self::protocol::{Hello, Slot};
use super::netns::Namespace;
use super::procnet;
use super::{STEP, wait_until};
use tracer::tcp::TcpState;

/// A process under command.
pub struct Actor {
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// Its network namespace.
    pub netns: u32,
    stream: Mutex<BufReader<UnixStream>>,
    door: Arc<Door>,
    child: Option<Child>,
}

/// Where a process, and the ones that it forks, come in.
struct Door {
    listener: UnixListener,
    folder: TempDir,
}

impl Actor {
    /// Starts one in a namespace.
    pub fn start(namespace: &Namespace, comm: &str) -> Actor {
        let folder = tempfile::tempdir().expect("a folder for the socket of a process");
        let path = folder.path().join("door");
        let listener = UnixListener::bind(&path).expect("bind a unix socket");
        let mut command = Command::new("/proc/self/exe");
        command.env(process::PATH_VARIABLE, &path).env(process::COMM_VARIABLE, comm);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let namespace_fd = namespace.raw_fd();
        // SAFETY: setns is a bare system call: safe between fork and exec; the descriptor is open in the child.
        unsafe {
            command.pre_exec(move || match libc::setns(namespace_fd, libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = command.spawn().expect("start this binary again");
        Actor::meet(Arc::new(Door { listener, folder }), comm, namespace.inode(), Some(child))
    }

    fn meet(door: Arc<Door>, comm: &str, netns: u32, child: Option<Child>) -> Actor {
        let (stream, _) = door.listener.accept().expect("the process comes in");
        stream.set_read_timeout(Some(2 * STEP)).expect("set a time limit");
        let mut stream = BufReader::new(stream);
        let hello: Hello = hear(&mut stream);
        let stream = Mutex::new(stream);
        Actor { pid: hello.pid, comm: comm.into(), netns, stream, door, child }
    }

    /// Has a command done; the error of the system call, if any, is in the reply.
    pub fn tell(&self, op: &Op) -> Reply {
        let mut stream = self.stream.lock().expect("no thread panicked in the middle of a line");
        let mut line = serde_json::to_vec(op).expect("commands are plain data");
        line.push(b'\n');
        stream.get_mut().write_all(&line).expect("the process listens");
        hear(&mut stream)
    }

    #[track_caller]
    fn must(&self, op: &Op) -> Reply {
        let reply = self.tell(op);
        assert!(reply.errno.is_none(), "{} could not {op:?}: {}", self.comm, error(reply.errno));
        reply
    }

    #[track_caller]
    pub fn listen(&self, at: SocketAddr) -> Listener<'_> {
        self.listen_with(at, 1024, Options::default())
    }

    #[track_caller]
    pub fn listen_with(&self, at: SocketAddr, backlog: i32, options: Options) -> Listener<'_> {
        let reply = self.must(&Op::Listen { at, backlog, options });
        Listener { actor: self, slot: reply.slot, at: reply.local.expect("a listener is bound") }
    }

    #[track_caller]
    pub fn connect(&self, to: SocketAddr) -> Conn<'_> {
        self.connect_with(to, Options::default())
    }

    /// Connects from an address and port.
    #[track_caller]
    pub fn connect_from(&self, bind: SocketAddr, to: SocketAddr) -> Conn<'_> {
        self.connect_with(to, Options { bind: Some(bind), ..Options::default() })
    }

    #[track_caller]
    pub fn connect_with(&self, to: SocketAddr, options: Options) -> Conn<'_> {
        Conn::new(self, self.must(&Op::Connect { to, options }), to)
    }

    /// Makes a connection's end without a handshake (TCP_REPAIR).
    #[track_caller]
    pub fn restore(&self, local: SocketAddr, remote: SocketAddr, seqs: [u32; 2]) -> Conn<'_> {
        Conn::new(self, self.must(&Op::Restore { local, remote, seqs }), remote)
    }

    #[track_caller]
    pub fn connect_fast(&self, to: SocketAddr, bytes: usize) -> Conn<'_> {
        let reply = self.must(&Op::ConnectFast { to, bytes });
        assert_eq!(reply.bytes, bytes, "bytes taken with the SYN");
        Conn::new(self, reply, to)
    }

    /// Begins to connect.
    #[track_caller]
    pub fn connect_start(&self, to: SocketAddr, options: Options) -> Conn<'_> {
        Conn::new(self, self.must(&Op::ConnectStart { to, options }), to)
    }

    /// A connection that has been made elsewhere: one that a forked child has inherited.
    pub fn inherit(&self, conn: &Conn<'_>) -> Conn<'_> {
        Conn { actor: self, ..*conn }
    }

    /// A listener that a forked child has inherited.
    pub fn inherit_listener(&self, listener: &Listener<'_>) -> Listener<'_> {
        Listener { actor: self, ..*listener }
    }

    /// Forks the process.
    #[track_caller]
    pub fn fork(&self, comm: &str) -> Actor {
        self.must(&Op::Fork { comm: comm.into() });
        Actor::meet(Arc::clone(&self.door), comm, self.netns, None)
    }

    /// Forks the process; the child stays until the tests end.
    #[track_caller]
    pub fn fork_for_good(&self, comm: &str) -> &'static Actor {
        Box::leak(Box::new(self.fork(comm)))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let stream = self.stream.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // The process ends when its test hangs up.
        let _ = stream.get_ref().shutdown(std::net::Shutdown::Both);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

fn hear<T: DeserializeOwned>(stream: &mut BufReader<UnixStream>) -> T {
    let mut line = String::new();
    stream.read_line(&mut line).expect("the process answers in time");
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("the process said {line:?}: {e}"))
}

fn error(errno: Option<i32>) -> String {
    errno
        .map_or_else(|| "it went well".into(), |n| std::io::Error::from_raw_os_error(n).to_string())
}

/// A listening socket in a process.
#[derive(Clone, Copy)]
pub struct Listener<'a> {
    pub actor: &'a Actor,
    slot: Slot,
    pub at: SocketAddr,
}

impl<'a> Listener<'a> {
    #[track_caller]
    pub fn accept(&self) -> Conn<'a> {
        let reply = self.actor.must(&Op::Accept { slot: self.slot });
        Conn::new(self.actor, reply, reply.remote.expect("an accepted socket has a peer"))
    }

    #[track_caller]
    pub fn close(&self) {
        self.actor.must(&Op::Close { slot: self.slot });
    }
}

/// One end of a connection, in a process.
#[derive(Clone, Copy)]
pub struct Conn<'a> {
    pub actor: &'a Actor,
    slot: Slot,
    /// Addresses as records have them: IPv4-mapped ones as IPv4.
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

impl<'a> Conn<'a> {
    fn new(actor: &'a Actor, reply: Reply, remote: SocketAddr) -> Conn<'a> {
        let local = canonical(reply.local.expect("a connection has an address"));
        Conn { actor, slot: reply.slot, local, remote: canonical(remote) }
    }

    #[track_caller]
    fn must(&self, op: &Op) -> Reply {
        self.actor.must(op)
    }

    /// Ends a `connect_start` well.
    #[track_caller]
    pub fn connected(&self) {
        self.must(&Op::ConnectEnd { slot: self.slot });
    }

    /// Ends a `connect_start` with an error.
    #[track_caller]
    pub fn connect_fails_with(&self, errno: i32) {
        self.fails_with(&Op::ConnectEnd { slot: self.slot }, errno);
    }

    /// Connects the same socket anew; the addresses of its new life.
    #[track_caller]
    pub fn connect_again(&self, to: SocketAddr) -> Conn<'a> {
        Conn::new(self.actor, self.must(&Op::ConnectAgain { slot: self.slot, to }), to)
    }

    #[track_caller]
    pub fn disconnect(&self) {
        self.must(&Op::Disconnect { slot: self.slot });
    }

    #[track_caller]
    pub fn send(&self, bytes: usize) {
        self.must(&Op::Send { slot: self.slot, bytes });
    }

    #[track_caller]
    pub fn write(&self, text: &str) {
        self.must(&Op::Write { slot: self.slot, text: text.into() });
    }

    #[track_caller]
    pub fn receive(&self, bytes: usize) {
        self.must(&Op::Receive { slot: self.slot, bytes });
    }

    /// Reads to the end, which comes after exactly `bytes`.
    #[track_caller]
    pub fn receive_end(&self, bytes: usize) {
        let reply = self.must(&Op::ReceiveEnd { slot: self.slot });
        assert_eq!(reply.bytes, bytes, "bytes before the end");
    }

    /// Reading fails.
    #[track_caller]
    pub fn receive_fails_with(&self, errno: i32) {
        self.fails_with(&Op::ReceiveEnd { slot: self.slot }, errno);
    }

    #[track_caller]
    fn fails_with(&self, op: &Op, errno: i32) {
        let reply = self.actor.tell(op);
        assert_eq!(
            reply.errno,
            Some(errno),
            "{op:?} should fail with {:?}, but: {}",
            error(Some(errno)),
            error(reply.errno)
        );
    }

    #[track_caller]
    pub fn shutdown(&self) {
        self.must(&Op::Shutdown { slot: self.slot });
    }

    #[track_caller]
    pub fn close(&self) {
        self.must(&Op::Close { slot: self.slot });
    }

    /// The next sequence numbers to send and to receive; the socket stays in repair mode.
    #[track_caller]
    pub fn next_seqs(&self) -> [u32; 2] {
        self.must(&Op::NextSeqs { slot: self.slot }).seqs
    }

    /// Closes in repair mode: nothing is sent.
    #[track_caller]
    pub fn take_out(&self) {
        self.must(&Op::TakeOut { slot: self.slot });
    }

    /// Puts the socket into a BPF sockmap.
    #[track_caller]
    pub fn enter_sockmap(&self) {
        self.must(&Op::ToSockmap { slot: self.slot });
    }

    /// Closes with a reset.
    #[track_caller]
    pub fn reset(&self) {
        self.must(&Op::LingerZero { slot: self.slot });
        self.close();
    }

    /// Waits until the kernel's own table has this end in `state`; `None`: not at all.
    #[track_caller]
    pub fn wait_state(&self, state: Option<TcpState>) {
        let now = || procnet::state(self.actor.pid, self.local, self.remote);
        assert!(
            wait_until(STEP, || now() == state),
            "{} > {} should be {state:?}, but is {:?}",
            self.local,
            self.remote,
            now()
        );
    }
}

/// An IPv4-mapped address as IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let ip: IpAddr = address.ip().to_canonical();
    SocketAddr::new(ip, address.port())
}
