//! Resets as TCP itself tells of them; the segments are seen in `packet` too where that is attached.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Hook, Kind, RECEIVED, Reset, SENT};

use crate::{
    emit::{self, Origin},
    ports,
    socket::{Sock, SockCommon as _, SockCopy},
};

/// `TP_PROTO(const struct sock *sk, const struct sk_buff *skb, ...)`; `sk` is null where no socket was found.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    let sk: *const u8 = ctx.arg(0);
    if !sk.is_null() {
        // A timewait socket may be behind the pointer: its cookie is read, never made.
        let sk = &SockCopy::of(sk);
        tell(sk, sk.stored_cookie(), SENT);
    }
    0
}

/// `TP_PROTO(struct sock *sk)`: a reset ends this socket, sent by the other end or due for data it refused.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: declared as `struct sock *`; only full sockets take a reset in.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    tell(&SockCopy::of(sk.address()), sk.cookie(), RECEIVED);
    0
}

#[inline(always)]
fn tell(sk: &SockCopy, cookie: u64, direction: u8) {
    // A socket that resets as it closes has let go of its port by now; only full sockets do.
    let local_port = if sk.number() == 0 { sk.source_port() } else { sk.number() };
    if !ports::is_socket_watched(sk, local_port) {
        return;
    }
    let origin =
        Origin { hook: Hook::Reset, kind: Kind::Reset, cookie, memory: core::ptr::null_mut() };
    let Some(mut entry) = emit::reserve::<Reset>(&origin) else { return };
    let event = entry.as_mut_ptr();
    let family = sk.family();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        sk.endpoints(family, &raw mut (*event).endpoints);
        (*event).endpoints.local_port = local_port;
        (*event).skaddr = sk.address() as u64;
        (*event).reason = 0;
        (*event).family = family;
        (*event).direction = direction;
        (*event).sk_state = sk.state();
    }
    emit::submit(entry, Hook::Reset);
}
