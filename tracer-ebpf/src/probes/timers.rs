//! Timers of timewait and request sockets: the only tracepoints that tell of TIME_WAIT, of an orphan's
//! FIN_WAIT2 and of a SYN's arrival.
//!
//! These three fire for every timer of the host: what is not ours leaves after one read and two compares.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_common::{Hook, Kind, Timer, TimerOf, TimerOp};

use crate::{
    emit::{self, Origin},
    kernel::{Sock, offset, read},
};

/// `TP_PROTO(struct timer_list *timer, ...)`: armed.
#[raw_tracepoint(tracepoint = "timer_start")]
pub fn timer_start(ctx: RawTracePointContext) -> i32 {
    look(&ctx, TimerOp::Start)
}

/// `TP_PROTO(struct timer_list *timer)`: off the wheel; also just before every expiry and re-arm.
#[raw_tracepoint(tracepoint = "timer_cancel")]
pub fn timer_cancel(ctx: RawTracePointContext) -> i32 {
    look(&ctx, TimerOp::Cancel)
}

/// `TP_PROTO(struct timer_list *timer, unsigned long baseclk)`: its handler runs.
#[raw_tracepoint(tracepoint = "timer_expire_entry")]
pub fn timer_expire_entry(ctx: RawTracePointContext) -> i32 {
    look(&ctx, TimerOp::Expire)
}

#[inline(always)]
fn look(ctx: &RawTracePointContext, op: TimerOp) -> i32 {
    let timer: *const u8 = ctx.arg(0);
    let function: usize = read(timer, offset!(timer_function));
    if function == 0 {
        return 0;
    }
    if function == offset!(tw_timer_handler) {
        tell(Sock(timer.wrapping_sub(offset!(tw_timer))), TimerOf::TimeWait, op);
    } else if function == offset!(reqsk_timer_handler) {
        tell(Sock(timer.wrapping_sub(offset!(rsk_timer))), TimerOf::Request, op);
    }
    0
}

#[inline(always)]
fn tell(sk: Sock, of: TimerOf, op: TimerOp) {
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
        (*event).skaddr = sk.address();
        (*event).family = family;
        (*event).op = op as u8;
        (*event).of = of as u8;
        (*event).substate = match of {
            TimerOf::TimeWait => read(sk.0, offset!(tw_substate)),
            TimerOf::Request => 0,
        };
        (*event).reserved = [0; 3];
    }
    emit::submit(entry, Hook::Timers);
}
