//! The side of the process that acts: reads commands, makes system calls, answers.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::super::STEP;
use super::protocol::{Hello, Op, Options, Reply, Slot};

/// Names of the two environment variables that make this binary act.
pub const PATH_VARIABLE: &str = "TRACER_TEST_ACTOR";
pub const COMM_VARIABLE: &str = "TRACER_TEST_ACTOR_COMM";

/// If this process was started to act, it does so and never comes back. First thing in `main`.
pub fn act_if_asked() {
    let Ok(path) = std::env::var(PATH_VARIABLE) else { return };
    let comm = std::env::var(COMM_VARIABLE).unwrap_or_default();
    // A forked child that has ended leaves no zombie.
    // SAFETY: ignoring a signal runs no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    Process { path, sockets: HashMap::new(), sockmaps: Vec::new(), next: 1 }.play(&comm);
}

struct Process {
    path: String,
    sockets: HashMap<Slot, Socket>,
    /// A socket leaves its map with the map's last descriptor.
    sockmaps: Vec<OwnedFd>,
    next: Slot,
}

impl Process {
    fn play(mut self, comm: &str) -> ! {
        // The test hung up, or this is no test at all: nothing is left to do either way.
        let _ = self.serve(comm);
        std::process::exit(0)
    }

    fn serve(&mut self, comm: &str) -> io::Result<()> {
        std::fs::write("/proc/self/comm", comm)?;
        let mut out = UnixStream::connect(&self.path)?;
        let commands = BufReader::new(out.try_clone()?);
        say(&mut out, &Hello { pid: std::process::id() })?;
        for line in commands.lines() {
            let op: Op = serde_json::from_str(&line?)?;
            if let Op::Fork { comm } = &op {
                self.fork(comm)?;
            }
            say(&mut out, &self.answer(op))?;
        }
        Ok(())
    }

    fn fork(&mut self, comm: &str) -> io::Result<()> {
        // SAFETY: this process has one thread, so the child may do all that the parent may.
        match unsafe { libc::fork() } {
            0 => {
                let sockets = std::mem::take(&mut self.sockets);
                let sockmaps = Vec::new();
                Process { path: self.path.clone(), sockets, sockmaps, next: self.next }.play(comm)
            }
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn answer(&mut self, op: Op) -> Reply {
        self.act(op).unwrap_or_else(|e| Reply {
            errno: Some(e.raw_os_error().unwrap_or(libc::EPROTO)),
            ..Reply::default()
        })
    }

    fn act(&mut self, op: Op) -> io::Result<Reply> {
        match op {
            Op::Listen { at, backlog, options } => {
                let socket = prepare(at, Options { bind: Some(at), ..options })?;
                socket.listen(backlog)?;
                self.keep(socket)
            }
            Op::Connect { to, options } => {
                let socket = prepare(to, options)?;
                socket.connect(&to.into())?;
                self.keep(socket)
            }
            Op::ConnectFast { to, bytes } => {
                let socket = prepare(to, Options::default())?;
                let sent = socket.send_to_with_flags(
                    &vec![b'.'; bytes],
                    &to.into(),
                    libc::MSG_FASTOPEN,
                )?;
                Ok(Reply { bytes: sent, ..self.keep(socket)? })
            }
            Op::ConnectStart { to, options } => self.connect_start(to, options),
            Op::ConnectEnd { slot } => connect_end(self.socket(slot)?),
            Op::ConnectAgain { slot, to } => {
                self.socket(slot)?.connect(&to.into())?;
                Ok(described(slot, self.socket(slot)?))
            }
            Op::Disconnect { slot } => disconnect(self.socket(slot)?),
            Op::Accept { slot } => {
                let (socket, _) = self.socket(slot)?.accept()?;
                limit_waits(&socket)?;
                self.keep(socket)
            }
            Op::Send { slot, bytes } => {
                let mut socket = self.socket(slot)?;
                socket.write_all(&vec![b'.'; bytes])?;
                Ok(Reply { bytes, ..Reply::default() })
            }
            Op::Write { slot, text } => {
                let mut socket = self.socket(slot)?;
                socket.write_all(text.as_bytes())?;
                Ok(Reply { bytes: text.len(), ..Reply::default() })
            }
            Op::Receive { slot, bytes } => {
                let mut socket = self.socket(slot)?;
                socket.read_exact(&mut vec![0; bytes])?;
                Ok(Reply { bytes, ..Reply::default() })
            }
            Op::ReceiveEnd { slot } => {
                let mut socket = self.socket(slot)?;
                let bytes = socket.read_to_end(&mut Vec::new())?;
                Ok(Reply { bytes, ..Reply::default() })
            }
            Op::Shutdown { slot } => done(self.socket(slot)?.shutdown(std::net::Shutdown::Write)),
            Op::LingerZero { slot } => done(self.socket(slot)?.set_linger(Some(Duration::ZERO))),
            Op::Close { slot } => {
                self.socket(slot)?;
                self.sockets.remove(&slot);
                Ok(Reply::default())
            }
            Op::Restore { local, remote, seqs } => {
                let socket = restored(local, remote, seqs)?;
                self.keep(socket)
            }
            Op::NextSeqs { slot } => {
                let socket = self.socket(slot)?;
                set_tcp(socket, libc::TCP_REPAIR, REPAIR_ON)?;
                let seqs = [next_seq(socket, SEND_QUEUE)?, next_seq(socket, RECV_QUEUE)?];
                Ok(Reply { seqs, ..Reply::default() })
            }
            Op::TakeOut { slot } => {
                set_tcp(self.socket(slot)?, libc::TCP_REPAIR, REPAIR_ON)?;
                self.sockets.remove(&slot);
                Ok(Reply::default())
            }
            Op::ToSockmap { slot } => {
                let map = sockmap_of(self.socket(slot)?)?;
                self.sockmaps.push(map);
                Ok(Reply::default())
            }
            Op::Fork { .. } => Ok(Reply::default()),
        }
    }

    fn connect_start(&mut self, to: SocketAddr, options: Options) -> io::Result<Reply> {
        let socket = prepare(to, options)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&to.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
            _ => self.keep(socket),
        }
    }

    fn keep(&mut self, socket: Socket) -> io::Result<Reply> {
        let slot = self.next;
        self.next += 1;
        let reply = described(slot, &socket);
        self.sockets.insert(slot, socket);
        Ok(reply)
    }

    fn socket(&self, slot: Slot) -> io::Result<&Socket> {
        self.sockets.get(&slot).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }
}

fn say(out: &mut UnixStream, message: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line)
}

fn done(result: io::Result<()>) -> io::Result<Reply> {
    result.map(|()| Reply::default())
}

fn prepare(for_address: SocketAddr, options: Options) -> io::Result<Socket> {
    let protocol = if options.mptcp { Protocol::MPTCP } else { Protocol::TCP };
    let domain = Domain::for_address(options.bind.unwrap_or(for_address));
    let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
    limit_waits(&socket)?;
    if let Some(index) = options.interface {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)?;
    }
    if let Some(address) = options.bind {
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
    }
    for (option, value) in [
        (libc::TCP_FASTOPEN, options.fast_open),
        (libc::TCP_DEFER_ACCEPT, options.defer_accept_s),
        (libc::TCP_USER_TIMEOUT, options.user_timeout_ms),
    ] {
        value.map_or(Ok(()), |value| set_tcp(&socket, option, value))?;
    }
    Ok(socket)
}

/// No call waits for ever: a test that is stuck says so.
fn limit_waits(socket: &Socket) -> io::Result<()> {
    socket.set_read_timeout(Some(STEP))?;
    socket.set_write_timeout(Some(STEP))
}

const REPAIR_ON: libc::c_int = 1;
/// Leaves repair mode without a window probe.
const REPAIR_OFF_NO_WP: libc::c_int = -1;
const RECV_QUEUE: libc::c_int = 1;
const SEND_QUEUE: libc::c_int = 2;

/// As CRIU restores an established connection.
fn restored(local: SocketAddr, remote: SocketAddr, seqs: [u32; 2]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    limit_waits(&socket)?;
    set_tcp(&socket, libc::TCP_REPAIR, REPAIR_ON)?;
    for (queue, seq) in [SEND_QUEUE, RECV_QUEUE].into_iter().zip(seqs) {
        set_tcp(&socket, libc::TCP_REPAIR_QUEUE, queue)?;
        set_tcp(&socket, libc::TCP_QUEUE_SEQ, seq.cast_signed())?;
    }
    socket.bind(&local.into())?;
    socket.connect(&remote.into())?;
    restore_window(&socket, seqs[1])?;
    set_tcp(&socket, libc::TCP_REPAIR, REPAIR_OFF_NO_WP)?;
    Ok(socket)
}

/// Both windows, as CRIU restores them: without them the socket waits for its persist timer.
fn restore_window(socket: &Socket, next_received: u32) -> io::Result<()> {
    const TCP_REPAIR_WINDOW: libc::c_int = 29;
    const WINDOW_BYTES: u32 = 32 * 1024;
    // struct tcp_repair_window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup.
    let window = [next_received, WINDOW_BYTES, WINDOW_BYTES, WINDOW_BYTES, next_received];
    // SAFETY: the value lives across the call, and its length is that of the array.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_REPAIR_WINDOW,
            window.as_ptr().cast(),
            size_of_val(&window) as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn next_seq(socket: &Socket, queue: libc::c_int) -> io::Result<u32> {
    set_tcp(socket, libc::TCP_REPAIR_QUEUE, queue)?;
    let mut seq = 0_u32;
    let mut length = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the value and its length live across the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_QUEUE_SEQ,
            (&raw mut seq).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(seq) }
}

/// A BPF sockmap of one place, with the socket in it.
fn sockmap_of(socket: &Socket) -> io::Result<OwnedFd> {
    const MAP_CREATE: libc::c_long = 0;
    const MAP_UPDATE_ELEM: libc::c_long = 2;
    const MAP_TYPE_SOCKMAP: u64 = 15;
    const FOUR_BYTES: u64 = 4;
    // Two 32-bit members in each: map_type and key_size, value_size and max_entries.
    let map = bpf(MAP_CREATE, [MAP_TYPE_SOCKMAP | FOUR_BYTES << 32, FOUR_BYTES | 1 << 32, 0, 0])?;
    // SAFETY: the kernel has just made this descriptor for us.
    let map = unsafe { OwnedFd::from_raw_fd(map) };
    let (key, value) = (0_u32, socket.as_raw_fd());
    let addresses = [(&raw const key) as u64, (&raw const value) as u64];
    let descriptor = u64::from(map.as_raw_fd().cast_unsigned());
    bpf(MAP_UPDATE_ELEM, [descriptor, addresses[0], addresses[1], 0])?;
    Ok(map)
}

fn bpf(command: libc::c_long, attributes: [u64; 4]) -> io::Result<RawFd> {
    // SAFETY: the attributes and what they point to live across the call, and their size is passed
    // with them.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes))
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

fn set_tcp(socket: &Socket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_TCP, option, value)
}

fn set_option(
    socket: &Socket,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the value is a c_int that lives across the call, and its size is passed with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn connect_end(socket: &Socket) -> io::Result<Reply> {
    let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let limit = i32::try_from(STEP.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one pollfd, which lives across the call.
    if unsafe { libc::poll(&raw mut fd, 1, limit) } == 0 {
        return Err(io::Error::from_raw_os_error(libc::EAGAIN));
    }
    match socket.take_error()? {
        Some(error) => Err(error),
        None => done(socket.set_nonblocking(false)),
    }
}

fn disconnect(socket: &Socket) -> io::Result<Reply> {
    // SAFETY: the closure sets nothing, and the whole of the zeroed storage is a valid AF_UNSPEC address.
    let ((), unspecified) = unsafe {
        SockAddr::try_init(|_, length| {
            *length = size_of::<libc::sockaddr>() as libc::socklen_t;
            Ok(())
        })?
    };
    done(socket.connect(&unspecified))
}

fn described(slot: Slot, socket: &Socket) -> Reply {
    let ends = |address: io::Result<SockAddr>| address.ok().and_then(|a| a.as_socket());
    let (local, remote) = (ends(socket.local_addr()), ends(socket.peer_addr()));
    Reply { slot, local, remote, ..Reply::default() }
}
