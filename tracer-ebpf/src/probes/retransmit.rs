//! Segments that are sent again.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Hook, Kind, SENT, Segment};

use crate::{
    emit::{self, Origin},
    kernel::{offset, read},
    maps::SocketMemory,
    ports,
    socket::{Sock, SockCommon as _, SockCopy},
};

const FLAGS_SYN_ACK: u8 = 0x12;
const FLAGS_SYN_FIN: u8 = 0x03;

/// `TP_PROTO(const struct sock *sk, const struct sk_buff *skb, ...)`
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: declared as `const struct sock *`; only full sockets send data again.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    let control = ctx.arg::<*const u8>(1).wrapping_add(offset!(skb_cb));
    let flags: u8 = read(control, offset!(cb_tcp_flags));
    let seq: u32 = read(control, offset!(cb_seq));
    let end_seq: u32 = read(control, offset!(cb_end_seq));
    // SYN and FIN each take a sequence number of their own (RFC 9293 section 3.4).
    let payload_bytes =
        end_seq.wrapping_sub(seq).wrapping_sub((flags & FLAGS_SYN_FIN).count_ones());
    let named = &SockCopy::of(sk.address());
    tell(sk.state(), named, sk.cookie(), sk.memory(), seq, payload_bytes, flags);
    0
}

/// `TP_PROTO(const struct sock *sk, const struct request_sock *req)`: `sk` is the listener.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn tcp_retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    let request = &SockCopy::of(ctx.arg(1));
    let seq: u32 = read(request.address(), offset!(req_snt_isn));
    // SAFETY: declared as `const struct sock *`.
    let listener = unsafe { Sock::new(ctx.arg(0)) };
    tell(listener.state(), request, 0, core::ptr::null_mut(), seq, 0, FLAGS_SYN_ACK);
    0
}

#[inline(always)]
fn tell(
    sk_state: u8,
    named: &SockCopy,
    cookie: u64,
    memory: *mut SocketMemory,
    seq: u32,
    payload_bytes: u32,
    flags: u8,
) {
    if !ports::is_socket_watched(named, named.number()) {
        return;
    }
    let origin = Origin { hook: Hook::Retransmit, kind: Kind::Segment, cookie, memory };
    let Some(mut entry) = emit::reserve::<Segment>(&origin) else { return };
    let event = entry.as_mut_ptr();
    let family = named.family();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        named.endpoints(family, &raw mut (*event).endpoints);
        (*event).seq = seq;
        (*event).ack = 0;
        (*event).payload_bytes = payload_bytes;
        (*event).family = family;
        (*event).flags = flags;
        (*event).direction = SENT;
        (*event).retransmit = 1;
        (*event).sk_state = sk_state.into();
    }
    emit::submit(entry, Hook::Retransmit);
}
