//! Binaries as they are executed, and handed on by fork: a short-lived process is gone before /proc can be asked.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{Exec, Fork, Hook, Kind, PATH_BYTES};

use crate::{
    emit::{self, Origin},
    kernel::{self, offset, read},
};

/// `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let program: *const u8 = ctx.arg(2);
    let origin =
        Origin { hook: Hook::Exec, kind: Kind::Exec, cookie: 0, memory: core::ptr::null_mut() };
    let Some(mut entry) = emit::reserve::<Exec>(&origin) else { return 0 };
    let event = entry.as_mut_ptr();
    // The interpreter of a script is its binary, as in /proc/PID/exe; of a binary it is the binary itself.
    let path: *const u8 = read(program, offset!(binprm_interp));
    // SAFETY: ring memory of this event, ours until it is submitted; the helper writes at most PATH_BYTES.
    unsafe {
        (*event).pid = kernel::current_pid();
        (*event).reserved = 0;
        // What lies behind the ending NUL is never read.
        (*event).path[0] = 0;
        bpf_probe_read_kernel_str((&raw mut (*event).path).cast(), PATH_BYTES as u32, path.cast());
    }
    emit::submit(entry, Hook::Exec);
    0
}

/// `TP_PROTO(struct task_struct *parent, struct task_struct *child)`
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let parent: *const u8 = ctx.arg(0);
    let child: *const u8 = ctx.arg(1);
    let pid: u32 = read(child, offset!(task_tgid));
    // A thread is no process of its own.
    if read::<u32>(child, offset!(task_pid)) != pid {
        return 0;
    }
    let origin =
        Origin { hook: Hook::Exec, kind: Kind::Fork, cookie: 0, memory: core::ptr::null_mut() };
    let Some(mut entry) = emit::reserve::<Fork>(&origin) else { return 0 };
    let event = entry.as_mut_ptr();
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        (*event).pid = pid;
        (*event).parent_pid = read(parent, offset!(task_tgid));
    }
    emit::submit(entry, Hook::Exec);
    0
}
