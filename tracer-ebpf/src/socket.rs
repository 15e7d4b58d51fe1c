//! Sockets as the programs meet them: by a pointer that the verifier knows, or by nothing but an address.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_skc_to_tcp_sock,
};
use tracer_common::Endpoints;

use crate::{
    kernel::{self, load, offset, read},
    maps::SocketMemory,
};

pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_MPTCP: u16 = 262;

/// The `struct sock_common` that full, timewait and request sockets begin with.
pub trait SockCommon: Copy {
    /// The socket's kernel address.
    fn address(self) -> *const u8;

    /// The member at `offset`.
    fn member<T: Copy>(self, offset: usize) -> T;

    /// Inode number of the socket's network namespace.
    fn netns(self) -> u32;

    #[inline(always)]
    fn family(self) -> u16 {
        self.member(offset!(skc_family))
    }

    #[inline(always)]
    fn state(self) -> u8 {
        self.member(offset!(skc_state))
    }

    /// The other end's port; 0 where there is none yet.
    #[inline(always)]
    fn remote_port(self) -> u16 {
        u16::from_be(self.member(offset!(skc_dport)))
    }

    /// Index of the network interface that the socket is bound to, by SO_BINDTODEVICE or a VRF; 0:
    /// none. With the four-tuple and the namespace it names one socket.
    #[inline(always)]
    fn interface(self) -> u32 {
        self.member(offset!(skc_bound_dev_if))
    }

    /// The cookie that the socket has by now; 0 where nobody asked for one yet.
    #[inline(always)]
    fn stored_cookie(self) -> u64 {
        self.member(offset!(skc_cookie))
    }

    /// The port that the socket is bound to, in the front of all three kinds of socket. See also `source_port`.
    #[inline(always)]
    fn number(self) -> u16 {
        self.member(offset!(skc_num))
    }

    /// Addresses, remote port and namespace; the local port is [`SockCommon::number`].
    #[inline(always)]
    fn endpoints(self, family: u16, out: *mut Endpoints) {
        let (local, remote): ([u32; 4], [u32; 4]) = if family == AF_INET6 {
            (self.member(offset!(skc_v6_rcv_saddr)), self.member(offset!(skc_v6_daddr)))
        } else {
            (
                [self.member(offset!(skc_rcv_saddr)), 0, 0, 0],
                [self.member(offset!(skc_daddr)), 0, 0, 0],
            )
        };
        // SAFETY: `out` is ring memory of an event, whole and exclusively ours until it is submitted.
        unsafe {
            set_addresses(out, local, remote);
            (*out).local_port = self.number();
            (*out).remote_port = self.remote_port();
            (*out).netns = self.netns();
        }
    }
}

/// Writes addresses in whole words: a byte-wise copy becomes a loop, or thirty-two stores, in BPF.
///
/// # Safety
/// `out` must be ring memory of an event.
#[inline(always)]
pub unsafe fn set_addresses(out: *mut Endpoints, local: [u32; 4], remote: [u32; 4]) {
    // SAFETY: events are 8-byte aligned, and so are the addresses in them.
    unsafe {
        (&raw mut (*out).local_addr).cast::<[u32; 4]>().write(local);
        (&raw mut (*out).remote_addr).cast::<[u32; 4]>().write(remote);
    }
}

/// A tracing program's own argument, a `struct sock`: the verifier knows it, so members are loaded directly.
#[derive(Clone, Copy)]
pub struct Sock(*const u8);

impl SockCommon for Sock {
    #[inline(always)]
    fn address(self) -> *const u8 {
        self.0
    }

    #[inline(always)]
    fn member<T: Copy>(self, offset: usize) -> T {
        // SAFETY: the promise of `Sock::new`; `offset` is from LAYOUT.
        unsafe { load(self.0, offset) }
    }

    #[inline(always)]
    fn netns(self) -> u32 {
        // SAFETY: as in `member`; skc_net.net is a pointer that BTF knows.
        unsafe { load(self.member(offset!(skc_net)), offset!(net_inum)) }
    }
}

impl Sock {
    /// # Safety
    /// `argument` must be an argument of a tp_btf program that the kernel declares as `struct sock *`, and a full
    /// socket (a timewait socket's memory ends before `struct sock` does).
    #[inline(always)]
    pub unsafe fn new(argument: *const u8) -> Sock {
        Sock(argument)
    }

    /// Whether this is a TCP socket, by its own word.
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        let family = self.family();
        (family == AF_INET || family == AF_INET6)
            && self.member::<u16>(offset!(sk_protocol)) == IPPROTO_TCP
    }

    /// The socket as a `struct tcp_sock`; `None` where it is none.
    #[inline(always)]
    pub fn tcp(self) -> Option<TcpSock> {
        // SAFETY: the verifier knows the pointer as a socket.
        unsafe { as_tcp(self.0.cast_mut().cast()) }
    }

    /// The cookie, made if need be.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: the verifier knows the pointer as a socket.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// What is remembered of the socket, or null.
    #[inline(always)]
    pub fn memory(self) -> *mut SocketMemory {
        // SAFETY: as in `cookie`.
        unsafe { kernel::memory(self.0.cast_mut().cast()) }
    }

    /// The same, made if need be; null where the kernel has no memory for it.
    #[inline(always)]
    pub fn memory_or_new(self) -> *mut SocketMemory {
        // SAFETY: as in `cookie`.
        unsafe { kernel::memory_or_new(self.0.cast_mut().cast()) }
    }

    /// Whether the socket is in a BPF sockmap, so that a BPF program may hand its data on past TCP.
    /// The kernel marks sk_user_data with bits (SK_USER_DATA_PSOCK, since 6.0) and clears it when
    /// the socket leaves.
    #[inline(always)]
    pub fn is_in_sockmap(self) -> bool {
        const SK_USER_DATA_PSOCK: usize = 4;
        self.member::<usize>(offset!(sk_user_data)) & SK_USER_DATA_PSOCK != 0
    }

    /// Whether bit `flag` of sk_flags is set.
    #[inline(always)]
    pub fn has_flag(self, flag: usize) -> bool {
        (self.member::<u64>(offset!(skc_flags)) >> (flag & 63)) & 1 == 1
    }
}

/// A `struct tcp_sock` that the verifier knows.
#[derive(Clone, Copy)]
pub struct TcpSock(*const u8);

/// The socket as a `struct tcp_sock`; `None` where it is none.
///
/// # Safety
/// `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub unsafe fn as_tcp(sk: *mut c_void) -> Option<TcpSock> {
    // SAFETY: the caller's promise; the result is checked.
    let tcp = unsafe { bpf_skc_to_tcp_sock(sk) };
    if tcp.is_null() { None } else { Some(TcpSock(tcp.cast())) }
}

impl TcpSock {
    /// The member at `offset` from the start of `struct sock`, `inet_sock` or `tcp_sock`: each begins with the other.
    #[inline(always)]
    pub fn member<T: Copy>(self, offset: usize) -> T {
        // SAFETY: made by `as_tcp` only; `offset` is from LAYOUT.
        unsafe { load(self.0, offset) }
    }

    /// Inode number of the socket's network namespace.
    #[inline(always)]
    pub fn netns(self) -> u32 {
        // SAFETY: as in `member`; skc_net.net is a pointer that BTF knows.
        unsafe { load(self.member(offset!(skc_net)), offset!(net_inum)) }
    }

    /// Whether the socket is in repair mode: a process sets its state (CRIU), and no segment is
    /// sent.
    #[inline(always)]
    pub fn is_in_repair(self) -> bool {
        let bit = offset!(tcp_repair_bit);
        bit != u32::MAX as usize && (self.member::<u8>(bit >> 3) >> (bit & 7)) & 1 == 1
    }

    /// Initial sequence numbers sent and received of a server's socket that becomes ESTABLISHED:
    /// what was acknowledged and received is data by then, the SYNs came before this socket.
    #[inline(always)]
    pub fn initial_sequence_numbers(self) -> (u32, u32) {
        let acked = self.member::<u64>(offset!(tcp_bytes_acked)) as u32;
        let received = self.member::<u64>(offset!(tcp_bytes_received)) as u32;
        (
            self.member::<u32>(offset!(tcp_snd_una)).wrapping_sub(acked).wrapping_sub(1),
            self.member::<u32>(offset!(tcp_rcv_nxt)).wrapping_sub(received).wrapping_sub(1),
        )
    }

    /// The port that the socket is bound to.
    #[inline(always)]
    pub fn source_port(self) -> u16 {
        u16::from_be(self.member(offset!(inet_sport)))
    }
}

/// Bytes from the start of a socket that hold everything read of a `sock_common` and of what follows it closely in
/// a timewait socket. Where a kernel has a member beyond, that member costs a read of its own.
const FRONT_BYTES: usize = 144;

/// The front of a socket of which only the address is known, copied in one read.
///
/// A helper call for each member would cost ten times as much.
pub struct SockCopy {
    address: *const u8,
    front: MaybeUninit<[u64; FRONT_BYTES / 8]>,
}

impl SockCopy {
    /// The socket at `address`; all zero where that memory cannot be read.
    #[inline(always)]
    pub fn of(address: *const u8) -> SockCopy {
        let mut copy = SockCopy { address, front: MaybeUninit::uninit() };
        // SAFETY: the helper checks the source address and fills all of `front`, with zeroes where it fails.
        unsafe {
            bpf_probe_read_kernel(
                copy.front.as_mut_ptr().cast(),
                FRONT_BYTES as u32,
                address.cast(),
            );
        }
        copy
    }
}

impl SockCommon for &SockCopy {
    #[inline(always)]
    fn address(self) -> *const u8 {
        self.address
    }

    #[inline(always)]
    fn member<T: Copy>(self, offset: usize) -> T {
        // Decided at load: the verifier knows `offset` and removes the other branch.
        if offset + size_of::<T>() <= FRONT_BYTES {
            // SAFETY: within `front`, which `of` has filled.
            unsafe { load(self.front.as_ptr().cast(), offset) }
        } else {
            read(self.address, offset)
        }
    }

    #[inline(always)]
    fn netns(self) -> u32 {
        read(self.member(offset!(skc_net)), offset!(net_inum))
    }
}

impl SockCopy {
    /// The TCP socket at `address` or, of MPTCP, its first subflow; `None` for anything else.
    #[inline(always)]
    pub fn of_tcp(address: *const u8) -> Option<SockCopy> {
        match protocol(address) {
            IPPROTO_TCP => Some(SockCopy::of(address)),
            IPPROTO_MPTCP if offset!(mptcp_first) != u32::MAX as usize => {
                let subflow = read(address, offset!(mptcp_first));
                if protocol(subflow) == IPPROTO_TCP { Some(SockCopy::of(subflow)) } else { None }
            }
            _ => None,
        }
    }

    /// The port that the socket is bound to. For a full socket only.
    #[inline(always)]
    pub fn source_port(&self) -> u16 {
        u16::from_be(read(self.address, offset!(inet_sport)))
    }
}

/// sk_protocol of an internet socket; 0 for any other.
#[inline(always)]
fn protocol(address: *const u8) -> u16 {
    match read(address, offset!(skc_family)) {
        AF_INET | AF_INET6 => read(address, offset!(sk_protocol)),
        _ => 0,
    }
}

/// Inode number of the network namespace of the socket at `address`.
#[inline(always)]
pub fn netns_at(address: *const u8) -> u32 {
    read(read(address, offset!(skc_net)), offset!(net_inum))
}
