//! `sock:inet_sock_set_state`: every state change of a full socket.
//!
//! It does not tell of SYN_RECV from the SYN's arrival, of TIME_WAIT, or of an orphan's FIN_WAIT2:
//! those live in request and timewait sockets, see `timers`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Hook, Kind, State, state_flags};

use crate::{
    emit::{self, Origin},
    kernel::{self, offset},
    maps::SocketMemory,
    ports,
    socket::{Sock, SockCommon as _, TcpSock},
};

const ESTABLISHED: u8 = 1;
const SYN_SENT: u8 = 2;
const SYN_RECV: u8 = 3;

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: declared as `const struct sock *`; only full sockets change state here.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    let old_state = ctx.arg::<i32>(1) as u8;
    let new_state = ctx.arg::<i32>(2) as u8;
    // MPTCP subflows "change" to the state they are in; its own socket (protocol 262) doubles the subflow's life.
    if old_state != new_state
        && let Some(tcp) = sk.tcp()
    {
        tell(sk, tcp, old_state, new_state);
    }
    0
}

/// What is to be told of a socket's change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Say {
    Everything,
    /// That it is not watched after all.
    Unwatched,
    Nothing,
}

/// A socket that connects has no local port yet, and a child on kernels before 6.18 no remote one: it is told of, and
/// taken back with its next change if its ports are not watched.
#[inline(always)]
fn what_to_say(sk: Sock, old_state: u8, new_state: u8, local: u16, remote: u16) -> Say {
    let lacks_port =
        (new_state == SYN_SENT && local == 0) || (new_state == SYN_RECV && remote == 0);
    // A port that is not known yet is not port 0, which a filter may name.
    if ports::are_all_watched() || (!lacks_port && ports::is_watched(local, remote)) {
        return Say::Everything;
    }
    if lacks_port {
        let memory = sk.memory_or_new();
        if memory.is_null() {
            emit::count_lost_event(Hook::State);
            return Say::Nothing;
        }
        // SAFETY: checked for null; the socket's storage.
        unsafe { (*memory).is_undecided = 1 };
        return Say::Everything;
    }
    if old_state == SYN_SENT || old_state == SYN_RECV {
        let memory = sk.memory();
        // SAFETY: as above.
        if !memory.is_null() && unsafe { (*memory).is_undecided } == 1 {
            // SAFETY: as above.
            unsafe { (*memory).is_undecided = 0 };
            return Say::Unwatched;
        }
    }
    Say::Nothing
}

#[inline(always)]
fn tell(sk: Sock, tcp: TcpSock, old_state: u8, new_state: u8) {
    // skc_num is already 0 in `* -> CLOSE` of a socket whose port was not bound by hand; inet_sport is right.
    // In `CLOSE -> SYN_SENT` it is the other way round: inet_sport may be that of the socket's life before.
    let local_port = if new_state == SYN_SENT { sk.number() } else { tcp.source_port() };
    let say = what_to_say(sk, old_state, new_state, local_port, sk.remote_port());
    if say == Say::Nothing {
        return;
    }
    // Who connects is told with the change itself: remembered, so that the first send is not told as another's.
    let memory = if new_state == SYN_SENT { sk.memory_or_new() } else { sk.memory() };
    if new_state == SYN_SENT && !memory.is_null() {
        // One socket may live twice (`connect(AF_UNSPEC)`): what its life before carried and lost is not this one's.
        // SAFETY: checked for null; the socket's storage.
        unsafe { SocketMemory::begin_life(memory) };
    }
    let origin = Origin { hook: Hook::State, kind: Kind::State, cookie: sk.cookie(), memory };
    let Some(mut entry) = emit::reserve::<State>(&origin) else {
        if memory.is_null() {
            emit::count_lost_of_socket(sk.memory_or_new());
        }
        return;
    };
    let event = entry.as_mut_ptr();
    let family = sk.family();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        sk.endpoints(family, &raw mut (*event).endpoints);
        (*event).endpoints.local_port = local_port;
        if is_owners_doing(old_state, new_state)
            && (new_state == SYN_SENT || !kernel::is_kernel_thread())
        {
            kernel::current_task(&raw mut (*event).task);
            if new_state == SYN_SENT && !memory.is_null() {
                (*memory).owner_pid = (*event).task.pid;
            }
        } else {
            kernel::no_task(&raw mut (*event).task);
        }
        (*event).skaddr = sk.address() as u64;
        (*event).bytes_sent = tcp.member(offset!(tcp_bytes_sent));
        (*event).bytes_retrans = tcp.member(offset!(tcp_bytes_retrans));
        (*event).bytes_received = tcp.member(offset!(tcp_bytes_received));
        (*event).total_retrans = tcp.member(offset!(tcp_total_retrans));
        (*event).srtt_us_8 = tcp.member(offset!(tcp_srtt_us));
        (*event).sk_err = tcp.member(offset!(sk_err));
        (*event).family = family;
        (*event).old_state = old_state;
        (*event).new_state = new_state;
        (*event).interface = sk.interface();
        let has_isns = old_state == SYN_RECV && new_state == ESTABLISHED;
        let (isn_sent, isn_received) =
            if has_isns { tcp.initial_sequence_numbers() } else { (0, 0) };
        (*event).isn_sent = isn_sent;
        (*event).isn_received = isn_received;
        (*event).flags = flag(state_flags::FIN_RECEIVED, sk.has_flag(offset!(sock_done)))
            | flag(state_flags::ORPHAN, sk.has_flag(offset!(sock_dead)))
            | flag(state_flags::UNWATCHED, say == Say::Unwatched)
            | flag(state_flags::REPAIR, tcp.is_in_repair())
            | flag(state_flags::IN_SOCKMAP, sk.is_in_sockmap())
            | flag(state_flags::HAS_ISNS, has_isns);
    }
    emit::submit(entry, Hook::State);
}

#[inline(always)]
const fn flag(bit: u32, is_set: bool) -> u32 {
    if is_set { bit } else { 0 }
}

/// Whether the change is (nearly always) made in the context of the process that uses the socket: connect, and
/// close or shutdown (MPTCP's worker closes for others, so a kernel thread counts only as one that connects). All others happen in softirq, where the current task is whoever was interrupted.
#[inline(always)]
fn is_owners_doing(old_state: u8, new_state: u8) -> bool {
    const FIN_WAIT1: u8 = 4;
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    matches!(
        (old_state, new_state),
        (_, SYN_SENT) | (ESTABLISHED, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK)
    )
}
