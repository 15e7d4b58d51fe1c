//! Who uses a socket, asked in the user's own context: softirq, where passive sockets change state, knows no owner.

use aya_ebpf::{
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use tracer_common::{Hook, Kind, Owner};

use crate::{
    emit::{self, Origin},
    kernel,
    maps::SocketMemory,
    ports,
    socket::{Sock, SockCommon, SockCopy},
};

/// Where `ret` is in a `sys_exit_*` record (include/trace/trace.h: 8 bytes common, `int nr`, `long ret`).
const SYS_EXIT_RET: usize = 16;

/// `TP_PROTO(struct sock *sk, int ret, int flags)`, kernel >= 6.3
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: declared as `struct sock *`; a descriptor's socket is a full one.
    used(unsafe { Sock::new(ctx.arg(0)) });
    0
}

/// `TP_PROTO(struct sock *sk, int ret, int flags)`, kernel >= 6.3
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: declared as `struct sock *`; a descriptor's socket is a full one.
    used(unsafe { Sock::new(ctx.arg(0)) });
    0
}

/// `accept(2)` returned.
#[tracepoint(category = "syscalls", name = "sys_exit_accept")]
pub fn sys_exit_accept(ctx: TracePointContext) -> u32 {
    accepted(&ctx)
}

/// `accept4(2)` returned.
#[tracepoint(category = "syscalls", name = "sys_exit_accept4")]
pub fn sys_exit_accept4(ctx: TracePointContext) -> u32 {
    accepted(&ctx)
}

#[inline(always)]
fn used(sk: Sock) {
    if !sk.is_tcp() || !ports::is_socket_watched(sk, sk.number()) {
        return;
    }
    let pid = kernel::current_pid();
    let in_sockmap = u32::from(sk.is_in_sockmap());
    let memory = sk.memory_or_new();
    // SAFETY: checked for null; the socket's storage.
    let is_known = |memory: *mut SocketMemory| unsafe {
        (*memory).owner_pid == pid && (*memory).in_sockmap >= in_sockmap
    };
    if memory.is_null() || is_known(memory) {
        return;
    }
    let Some(tcp) = sk.tcp() else { return };
    if tell(sk, tcp.source_port(), sk.cookie(), memory, in_sockmap) {
        // SAFETY: as above.
        unsafe {
            (*memory).owner_pid = pid;
            (*memory).in_sockmap |= in_sockmap;
        }
    }
}

#[inline(always)]
fn accepted(ctx: &TracePointContext) -> u32 {
    // SAFETY: within the record that the kernel hands to the program.
    let Ok(fd) = (unsafe { ctx.read_at::<i64>(SYS_EXIT_RET) }) else { return 0 };
    if fd < 0 {
        return 0;
    }
    if let Some(sk) = &SockCopy::of_tcp(kernel::socket_of_fd(fd as u32))
        && ports::is_socket_watched(sk, sk.source_port())
    {
        // The child had its cookie made when it was born; one that has none is unknown to user space anyway.
        tell(sk, sk.source_port(), sk.stored_cookie(), core::ptr::null_mut(), 0);
    }
    0
}

#[inline(always)]
fn tell(
    sk: impl SockCommon,
    source_port: u16,
    cookie: u64,
    memory: *mut SocketMemory,
    in_sockmap: u32,
) -> bool {
    let origin = Origin { hook: Hook::Owner, kind: Kind::Owner, cookie, memory };
    let Some(mut entry) = emit::reserve::<Owner>(&origin) else { return false };
    let event = entry.as_mut_ptr();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        sk.endpoints(sk.family(), &raw mut (*event).endpoints);
        (*event).endpoints.local_port = source_port;
        kernel::current_task(&raw mut (*event).task);
        (*event).skaddr = sk.address() as u64;
        (*event).in_sockmap = in_sockmap.into();
    }
    emit::submit(entry, Hook::Owner);
    true
}
