//! Binaries as they are executed, and handed on by fork: a short-lived process is gone before /proc can be asked.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use tracer_common::{Exec, Fork, Hook, Kind, NAME_BYTES, PATH_BYTES};

use crate::{
    emit::{self, Origin},
    kernel::{self, offset, read},
};

/// An event with room for the longest path.
#[repr(C)]
struct ExecWithNames {
    exec: Exec,
    names: [u8; PATH_BYTES],
}

/// `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let program: *const u8 = ctx.arg(2);
    let origin =
        Origin { hook: Hook::Exec, kind: Kind::Exec, cookie: 0, memory: core::ptr::null_mut() };
    let Some(mut entry) = emit::reserve::<ExecWithNames>(&origin) else { return 0 };
    let event = entry.as_mut_ptr();
    // The file that /proc/PID/exe names: of a script its interpreter's.
    let file: *const u8 = read(program, offset!(binprm_file));
    // SAFETY: ring memory of this event, ours until it is submitted.
    unsafe {
        let (names_bytes, is_pathless) = write_names(file, (&raw mut (*event).names).cast());
        (*event).exec.pid = kernel::current_pid();
        (*event).exec.names_bytes = names_bytes;
        (*event).exec.is_pathless = is_pathless;
    }
    emit::submit(entry, Hook::Exec);
    0
}

/// Names and mount points between a file and the root at most.
const STEPS_MAX: u32 = 48;

/// Writes the names from a file up to the root of its mount namespace, as `d_path` would join them:
/// how many bytes, and 1 where the file is in no directory. 0 bytes where the root was not reached.
///
/// `bpf_d_path` may be called from a few kernel functions only, and from no tracepoint. The file holds its
/// directories and mounts, and the kernel frees names by RCU, so all of them stay in memory here.
///
/// # Safety
/// [`PATH_BYTES`] must be writable at `names`.
#[inline(always)]
unsafe fn write_names(file: *const u8, names: *mut u8) -> (u16, u16) {
    const UNKNOWN: (u16, u16) = (0, 0);
    let mut entry: *const u8 = read(file, offset!(file_dentry));
    let mut mount = read::<*const u8>(file, offset!(file_mnt)).wrapping_sub(offset!(mount_mnt));
    let mut filled = 0usize;
    for _ in 0..STEPS_MAX {
        // The verifier of 6.1 shall not follow each length that `filled` may have: read back and
        // masked, it has a range. SAFETY: a local.
        filled = unsafe { core::ptr::read_volatile(&raw const filled) } & (PATH_BYTES - 1);
        let root: *const u8 = read(mount, offset!(mount_mnt) + offset!(vfsmount_root));
        if root.is_null() || entry.is_null() {
            return UNKNOWN;
        }
        if entry == root {
            let outer: *const u8 = read(mount, offset!(mount_parent));
            if outer == mount {
                return (filled as u16, 0);
            }
            entry = read(mount, offset!(mount_mountpoint));
            mount = outer;
            continue;
        }
        if filled > PATH_BYTES - NAME_BYTES {
            return UNKNOWN;
        }
        let name: *const u8 = read(entry, offset!(dentry_name));
        // SAFETY: NAME_BYTES are left behind `filled`; the helper checks the source.
        let length = unsafe {
            bpf_probe_read_kernel_str(names.add(filled).cast(), NAME_BYTES as u32, name.cast())
        };
        if length <= 1 {
            return UNKNOWN;
        }
        filled += length as usize;
        let parent: *const u8 = read(entry, offset!(dentry_parent));
        if parent == entry {
            return (filled as u16, 1);
        }
        entry = parent;
    }
    UNKNOWN
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
