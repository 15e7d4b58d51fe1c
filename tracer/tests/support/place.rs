//! Where a case plays: a namespace with a loopback of its own, a folder, and the programs started in it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tracer::tcp::TcpState;

use super::netns::Namespace;
use super::{STEP, environment, procnet, wait_until};

/// The port of every case's server; a namespace of its own keeps the cases apart.
pub const PORT: u16 = 8080;
/// The port of what stands in front of it.
pub const PROXY_PORT: u16 = 8081;

/// See the module.
pub struct Place {
    namespace: Namespace,
    folder: TempDir,
    children: Vec<Child>,
}

impl Place {
    pub fn new() -> Place {
        let namespace = Namespace::new().expect("make a network namespace");
        let folder = tempfile::tempdir().expect("make a folder");
        std::fs::create_dir(folder.path().join("www")).expect("make a folder");
        Place { namespace, folder, children: Vec::new() }
    }

    pub fn netns(&self) -> u32 {
        self.namespace.inode()
    }

    /// Runs `f` in the namespace, on a thread of its own.
    pub fn run_inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(f)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of so many bytes that the servers serve; its path.
    pub fn file(&self, name: &str, bytes: usize) -> PathBuf {
        self.write(&format!("www/{name}"), &"x".repeat(bytes))
    }

    /// Writes a file into the folder; its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("write a file");
        path
    }

    /// A program of the host, to be run in here.
    pub fn command(&self, program: &str) -> Command {
        let path = environment::program(program).expect("the case's row says what it needs");
        let mut command = Command::new(path);
        let namespace = self.namespace.raw_fd();
        command.stdin(Stdio::null()).current_dir(self.folder.path());
        // SAFETY: setns is a bare system call: safe between fork and exec; the descriptor is open in the child.
        unsafe {
            command.pre_exec(move || match libc::setns(namespace, libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        command
    }

    /// Starts a server, and waits until it listens.
    pub fn serve(&mut self, mut command: Command, port: u16) {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("start a server");
        let pid = child.id();
        self.children.push(child);
        let listens = || {
            let listening =
                |s: &procnet::ProcSocket| s.state == TcpState::Listen && s.local.port() == port;
            procnet::sockets(pid).iter().any(listening)
        };
        assert!(wait_until(STEP, listens), "{command:?} does not listen on port {port}");
    }

    /// Runs a client to its end; what it printed.
    pub fn run(&self, command: &mut Command) -> String {
        let Output { status, stdout, stderr } = command.output().expect("start a client");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(status.success(), "{command:?}: {status}: {}", text(&stderr));
        text(&stdout)
    }

    /// Waits until no connection stands any more: a client that was answered early may have ended while its last bytes are on
    /// their way, and a server that is ended then resets the connection.
    pub fn wait_until_closed(&self) {
        let pid = self.children.first().expect("a server was started").id();
        let is_over = |s: &procnet::ProcSocket| {
            matches!(s.state, TcpState::Listen | TcpState::TimeWait | TcpState::Close)
        };
        let closed = wait_until(STEP, || procnet::sockets(pid).iter().all(is_over));
        assert!(closed, "still open: {:?}", procnet::sockets(pid));
    }

    /// Both ends of a new connection between sockets of this process: client, server.
    pub fn pair(&self) -> (TcpStream, TcpStream) {
        self.namespace.run(|| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).expect("listen");
            let address = listener.local_addr().expect("a listener is bound");
            let client = TcpStream::connect(address).expect("connect");
            let (server, _) = listener.accept().expect("accept");
            set_up(&client, &server);
            (client, server)
        })
    }

    /// The same, with the client's first bytes in its SYN (TCP Fast Open, RFC 7413).
    pub fn pair_with_data_in_syn(&self, bytes: &[u8]) -> (TcpStream, TcpStream) {
        // Client and server on, no cookie asked for on either side (Documentation/networking/ip-sysctl.rst).
        const WITHOUT_COOKIES: &str = "519";
        self.namespace.run(|| {
            std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", WITHOUT_COOKIES)
                .expect("allow fast open");
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).expect("listen");
            set_tcp_option(&listener, libc::TCP_FASTOPEN, 16);
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("make a socket");
            // connect waits for the first write.
            set_tcp_option(&client, libc::TCP_FASTOPEN_CONNECT, 1);
            let address = listener.local_addr().expect("a listener is bound");
            client.connect(&address.into()).expect("connect");
            let client = TcpStream::from(client);
            (&client).write_all(bytes).expect("send");
            let (server, _) = listener.accept().expect("accept");
            set_up(&client, &server);
            let mut received = vec![0; bytes.len()];
            (&server).read_exact(&mut received).expect("receive");
            (client, server)
        })
    }

    /// How many connections were opened here so far, by the kernel's own count: actively, passively.
    pub fn opens(&self) -> (u64, u64) {
        let table = self
            .namespace
            .run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))
            .expect("the kernel's counters can be read");
        let mut lines = table.lines().filter_map(|line| line.strip_prefix("Tcp: "));
        let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
        let count = |name: &str| {
            let at = names.split(' ').position(|n| n == name);
            let value = at.and_then(|at| values.split(' ').nth(at));
            value.and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {name} in {table}"))
        };
        (count("ActiveOpens"), count("PassiveOpens"))
    }

    /// Ends the programs, in the order in which they were started.
    pub fn end(&mut self) {
        for mut child in self.children.drain(..) {
            let pid = i32::try_from(child.id()).expect("process ids are small");
            // It may have ended by itself; then there is nobody to tell.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            if !wait_until(STEP, || !matches!(child.try_wait(), Ok(None))) {
                let _ = child.kill();
            }
            let _ = child.wait();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end();
    }
}

fn set_up(client: &TcpStream, server: &TcpStream) {
    for socket in [client, server] {
        socket.set_read_timeout(Some(STEP)).expect("set a time limit");
        socket.set_nodelay(true).expect("set an option");
    }
}

fn set_tcp_option(socket: &impl AsRawFd, option: libc::c_int, value: libc::c_int) {
    // SAFETY: the value lives through the call, and its size is given.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "option {option}: {}", std::io::Error::last_os_error());
}

/// Sends bytes over a connection, and takes them in at its other end.
pub fn pass(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).expect("send");
    let mut received = vec![0; bytes.len()];
    to.read_exact(&mut received).expect("receive");
    assert_eq!(received, bytes);
}
