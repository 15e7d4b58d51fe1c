//! Network namespaces made by system calls alone: no `ip` command.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;

use netlink_sys::Socket as NetlinkSocket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::sched::{CloneFlags, setns, unshare};
use socket2::{Domain, Socket, Type};

/// A network namespace with loopback up; it lasts until this handle and every process and socket in it are gone.
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace.
    pub fn new() -> io::Result<Namespace> {
        // A namespace belongs to a thread; one that ends at once leaves only the handle.
        let thread = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            bring_up("lo")?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = thread.join().expect("the thread that makes a namespace ends")?;
        Ok(Namespace { file })
    }

    /// The inode number, as the records' `netns` has it.
    pub fn inode(&self) -> u32 {
        let inode = self.file.metadata().expect("a namespace has an inode").ino();
        u32::try_from(inode).expect("nsfs inode numbers are 32 bits wide")
    }

    /// For a child process that is to enter.
    pub fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs `f` inside, on a thread of its own.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET).expect("setns into an own namespace");
                f()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The index of a device inside.
    pub fn interface(&self, device: &str) -> i32 {
        let index = self.run(|| nix::net::if_::if_nametoindex(device));
        i32::try_from(index.expect("a device that was made")).expect("indexes are positive ints")
    }

    /// Sets `/proc/sys/net/<name>` inside, e.g. `ipv4/tcp_fin_timeout`.
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| std::fs::write(&path, value))
            .unwrap_or_else(|e| panic!("{path} = {value}: {e}"));
    }
}

/// Brings a device of the calling thread's namespace up.
pub fn bring_up(device: &str) -> io::Result<()> {
    let mut request = named(device);
    interface(libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: SIOCGIFFLAGS has just filled the flags member of the union.
    unsafe { request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16 };
    interface(libc::SIOCSIFFLAGS, &mut request)
}

/// Gives a device of the calling thread's namespace an address with a /24 prefix.
pub fn set_address(device: &str, address: Ipv4Addr) -> io::Result<()> {
    let mut request = named(device);
    request.ifr_ifru.ifru_addr = socket_address(address);
    interface(libc::SIOCSIFADDR, &mut request)?;
    request.ifr_ifru.ifru_netmask = socket_address(Ipv4Addr::new(255, 255, 255, 0));
    interface(libc::SIOCSIFNETMASK, &mut request)
}

/// Lets a device of the calling thread's namespace take packets of so many bytes, over IPv6 also more than 64 KiB
/// (Linux 5.19 and newer).
pub fn set_max_packet_bytes(device: &str, bytes: u32) -> io::Result<()> {
    // include/uapi/linux/if_link.h
    const IFLA_GRO_MAX_SIZE: u16 = 58;
    const IFLA_GSO_MAX_SIZE: u16 = 41;
    let mut socket = NetlinkSocket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    let name = std::ffi::CString::new(device)?;
    // SAFETY: the name ends in NUL and lives across the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    let mut body = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat(); // struct ifinfomsg
    for attribute in [IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE] {
        let head = [8_u16.to_ne_bytes(), attribute.to_ne_bytes()].concat();
        body.extend([&head[..], &bytes.to_ne_bytes()].concat());
    }
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let length = u32::try_from(16 + body.len()).expect("a short message");
    let header = [
        &length.to_ne_bytes()[..],
        &libc::RTM_NEWLINK.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &[0; 8],
    ];
    socket.send(&[header.concat(), body].concat(), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    // struct nlmsgerr begins with a negative errno, or 0.
    let errno = answer.get(16..20).and_then(|bytes| bytes.try_into().ok());
    match errno.map_or(-libc::EPROTO, i32::from_ne_bytes) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

/// An interface request that names its device.
pub fn named(device: &str) -> libc::ifreq {
    // SAFETY: ifreq is plain data for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes().take(room)) {
        *to = from.cast_signed();
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let internet = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: sockaddr_in is as long as sockaddr and both are plain data.
    unsafe { std::mem::transmute(internet) }
}

fn interface(request: libc::Ioctl, argument: &mut libc::ifreq) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    ioctl(socket.as_raw_fd(), request, argument)
}

/// `ioctl` with an interface request.
pub fn ioctl(fd: c_int, request: libc::Ioctl, argument: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: every request used here reads or writes one ifreq, which lives across the call.
    let result = unsafe { libc::ioctl(fd, request, std::ptr::from_mut(argument)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
