//! `sock:inet_sock_set_state`: every state change of a full socket.
//!
//! It does not tell of SYN_RECV from the SYN's arrival, of TIME_WAIT, or of an orphan's FIN_WAIT2:
//! those live in request and timewait sockets, see `timers`.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Hook, Kind, State};

use crate::{
    emit::{self, Origin},
    kernel::{self, Sock, offset, read},
};

const SYN_SENT: u8 = 2;

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk = Sock(ctx.arg::<*const u8>(0));
    let old_state = ctx.arg::<i32>(1) as u8;
    let new_state = ctx.arg::<i32>(2) as u8;
    // MPTCP subflows "change" to the state they are in; its own socket (protocol 262) doubles the subflow's life.
    if old_state != new_state && sk.is_tcp() {
        tell(sk, old_state, new_state);
    }
    0
}

#[inline(always)]
fn tell(sk: Sock, old_state: u8, new_state: u8) {
    let mut origin =
        Origin { hook: Hook::State, kind: Kind::State, cookie: sk.cookie(), memory: sk.memory() };
    let Some(mut entry) = emit::reserve::<State>(&origin) else {
        if origin.memory.is_null() {
            origin.memory = sk.memory_or_new();
            emit::count_lost_of_socket(origin.memory);
        }
        return;
    };
    let event = entry.as_mut_ptr();
    let family = sk.family();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        sk.endpoints(family, &raw mut (*event).endpoints);
        // skc_num is already 0 in `* -> CLOSE` of a socket whose port was not bound by hand; inet_sport is right.
        // In `CLOSE -> SYN_SENT` it is the other way round: inet_sport may be that of the socket's life before.
        if new_state != SYN_SENT {
            (*event).endpoints.local_port = u16::from_be(read(sk.0, offset!(inet_sport)));
        }
        if is_owners_doing(old_state, new_state)
            && (new_state == SYN_SENT || !kernel::is_kernel_thread())
        {
            kernel::current_task(&raw mut (*event).task);
        } else {
            kernel::no_task(&raw mut (*event).task);
        }
        (*event).skaddr = sk.address();
        (*event).bytes_sent = read(sk.0, offset!(tcp_bytes_sent));
        (*event).bytes_retrans = read(sk.0, offset!(tcp_bytes_retrans));
        (*event).bytes_received = read(sk.0, offset!(tcp_bytes_received));
        (*event).total_retrans = read(sk.0, offset!(tcp_total_retrans));
        (*event).srtt_us_8 = read(sk.0, offset!(tcp_srtt_us));
        (*event).sk_err = read(sk.0, offset!(sk_err));
        (*event).family = family;
        (*event).old_state = old_state;
        (*event).new_state = new_state;
        (*event).fin_received = sk.has_flag(offset!(sock_done)).into();
        (*event).orphan = sk.has_flag(offset!(sock_dead)).into();
        (*event).reserved = [0; 6];
    }
    emit::submit(entry, Hook::State);
}

/// Whether the change is (nearly always) made in the context of the process that uses the socket: connect, and
/// close or shutdown (MPTCP's worker closes for others, so a kernel thread counts only as one that connects). All others happen in softirq, where the current task is whoever was interrupted.
#[inline(always)]
fn is_owners_doing(old_state: u8, new_state: u8) -> bool {
    const ESTABLISHED: u8 = 1;
    const FIN_WAIT1: u8 = 4;
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    matches!(
        (old_state, new_state),
        (_, SYN_SENT) | (ESTABLISHED, FIN_WAIT1) | (CLOSE_WAIT, LAST_ACK)
    )
}
