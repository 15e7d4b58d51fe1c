//! Who uses a socket, asked in the user's own context: softirq, where passive sockets change state, knows no owner.

use aya_ebpf::{
    macros::{btf_tracepoint, tracepoint},
    programs::{BtfTracePointContext, TracePointContext},
};
use tracer_common::{Hook, Kind, Owner};

use crate::{
    emit::{self, Origin},
    kernel::{self, Sock, offset, read},
    maps::SocketMemory,
};

/// Where `ret` is in a `sys_exit_*` record (include/trace/trace.h: 8 bytes common, `int nr`, `long ret`).
const SYS_EXIT_RET: usize = 16;

/// `TP_PROTO(struct sock *sk, int ret, int flags)`, kernel >= 6.3
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    used(Sock(ctx.arg::<*const u8>(0)));
    0
}

/// `TP_PROTO(struct sock *sk, int ret, int flags)`, kernel >= 6.3
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    used(Sock(ctx.arg::<*const u8>(0)));
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
    let known = sk.memory();
    let pid = kernel::current_pid();
    if known.is_null() {
        if !sk.is_tcp() {
            return;
        }
    // SAFETY: checked for null; the socket's storage.
    } else if unsafe { (*known).owner_pid } == pid {
        return;
    }
    let memory = sk.memory_or_new();
    if memory.is_null() {
        return;
    }
    if tell(sk, sk.cookie(), memory) {
        // SAFETY: as above.
        unsafe { (*memory).owner_pid = pid };
    }
}

#[inline(always)]
fn accepted(ctx: &TracePointContext) -> u32 {
    // SAFETY: within the record that the kernel hands to the program.
    let Ok(fd) = (unsafe { ctx.read_at::<i64>(SYS_EXIT_RET) }) else { return 0 };
    if fd < 0 {
        return 0;
    }
    if let Some(sk) = kernel::socket_of_fd(fd as u32).tcp() {
        // The child had its cookie made when it was born; one that has none is unknown to user space anyway.
        tell(sk, sk.stored_cookie(), core::ptr::null_mut());
    }
    0
}

#[inline(always)]
fn tell(sk: Sock, cookie: u64, memory: *mut SocketMemory) -> bool {
    let origin = Origin { hook: Hook::Owner, kind: Kind::Owner, cookie, memory };
    let Some(mut entry) = emit::reserve::<Owner>(&origin) else { return false };
    let event = entry.as_mut_ptr();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        sk.endpoints(sk.family(), &raw mut (*event).endpoints);
        (*event).endpoints.local_port = u16::from_be(read(sk.0, offset!(inet_sport)));
        kernel::current_task(&raw mut (*event).task);
        (*event).skaddr = sk.address();
    }
    emit::submit(entry, Hook::Owner);
    true
}
