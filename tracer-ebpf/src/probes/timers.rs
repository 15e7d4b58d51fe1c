//! Timers of timewait and request sockets: the only tracepoints that tell of TIME_WAIT, of an orphan's
//! FIN_WAIT2 and of a SYN's arrival.
//!
//! These three fire for every timer of the host: what is not ours leaves after one load and two compares.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use tracer_common::{Hook, Kind, Timer, TimerOf, TimerOp};

use crate::{
    emit::{self, Origin},
    kernel::{load, offset, read},
    ports,
    socket::{SockCommon as _, SockCopy},
};

/// `TP_PROTO(struct timer_list *timer, ...)`: armed.
#[btf_tracepoint(function = "timer_start")]
pub fn timer_start(ctx: BtfTracePointContext) -> i32 {
    look(&ctx, TimerOp::Start)
}

/// `TP_PROTO(struct timer_list *timer)`: off the wheel; also just before every expiry and re-arm.
#[btf_tracepoint(function = "timer_cancel")]
pub fn timer_cancel(ctx: BtfTracePointContext) -> i32 {
    look(&ctx, TimerOp::Cancel)
}

/// `TP_PROTO(struct timer_list *timer, unsigned long baseclk)`: its handler runs.
#[btf_tracepoint(function = "timer_expire_entry")]
pub fn timer_expire_entry(ctx: BtfTracePointContext) -> i32 {
    look(&ctx, TimerOp::Expire)
}

#[inline(always)]
fn look(ctx: &BtfTracePointContext, op: TimerOp) -> i32 {
    let timer: *const u8 = ctx.arg(0);
    // SAFETY: declared as `struct timer_list *`.
    let function: usize = unsafe { load(timer, offset!(timer_function)) };
    // A handler is 0 where its address is not known, and so is the function of a timer that was shut down.
    if function == 0 {
        return 0;
    }
    if function == offset!(tw_timer_handler) {
        tell(timer.wrapping_sub(offset!(tw_timer)), TimerOf::TimeWait, op);
    } else if function == offset!(reqsk_timer_handler) {
        tell(timer.wrapping_sub(offset!(rsk_timer)), TimerOf::Request, op);
    }
    0
}

#[inline(always)]
fn tell(address: *const u8, of: TimerOf, op: TimerOp) {
    let sk = &SockCopy::of(address);
    if !ports::is_socket_watched(sk, sk.number()) {
        return;
    }
    let origin = Origin {
        hook: Hook::Timers,
        kind: Kind::Timer,
        cookie: sk.stored_cookie(),
        memory: core::ptr::null_mut(),
    };
    let Some(mut entry) = emit::reserve::<Timer>(&origin) else { return };
    let event = entry.as_mut_ptr();
    let family = sk.family();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        sk.endpoints(family, &raw mut (*event).endpoints);
        (*event).skaddr = address as u64;
        (*event).family = family as u8;
        (*event).op = op as u8;
        (*event).of = of as u8;
        (*event).substate = match of {
            TimerOf::TimeWait => sk.member(offset!(tw_substate)),
            TimerOf::Request => 0,
        };
        (*event).interface = sk.interface();
        let (isn_sent, isn_received) = initial_sequence_numbers(address, of, op);
        (*event).isn_sent = isn_sent;
        (*event).isn_received = isn_received;
    }
    emit::submit(entry, Hook::Timers);
}

/// Of a request socket whose timer starts: its SYN+ACK's and the SYN's. The SYN+ACK itself may pass
/// no hook under its own addresses: address translation comes first.
#[inline(always)]
fn initial_sequence_numbers(address: *const u8, of: TimerOf, op: TimerOp) -> (u32, u32) {
    match (of, op) {
        (TimerOf::Request, TimerOp::Start) => {
            (read(address, offset!(req_snt_isn)), read(address, offset!(req_rcv_isn)))
        }
        _ => (0, 0),
    }
}
