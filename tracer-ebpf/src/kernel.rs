//! Every read of a kernel struct. Offsets come from [`LAYOUT`], which user space fills from BTF at load.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
        bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_sk_storage_get,
    },
};
use tracer_common::Task;

use crate::maps::{SOCKETS, SocketMemory};

/// The value of one field of [`LAYOUT`].
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::global(&raw const $crate::maps::LAYOUT.$field) as usize
    };
}
pub(crate) use offset;

/// A global that user space set before the program was loaded, which the compiler cannot know.
#[inline(always)]
pub fn global<T: Copy>(field: *const T) -> T {
    // SAFETY: only called, by `offset!`, with a field of a static.
    unsafe { ptr::read_volatile(field) }
}

/// Loads a `T` at `base + offset` without a helper call.
///
/// The offset comes from a frozen map, so the verifier knows it as a constant and checks the access against BTF: a
/// wrong one is refused at load.
///
/// # Safety
/// `base` must be a pointer whose kernel type the verifier knows, or one that was loaded through such a pointer, and
/// a whole member (or part of an integer or array) must lie there.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: the caller's promise. Where the kernel cannot vouch for the pointer a fault reads as zero.
    unsafe { base.wrapping_add(offset).cast::<T>().read() }
}

/// Reads a `T` at `base + offset`; zeroes where that memory cannot be read.
#[inline(always)]
pub fn read<T: Copy>(base: *const u8, offset: usize) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the helper checks the source address and writes at most `size_of::<T>()` bytes; every `T` used
    // here is an integer, a pointer or an array of them, for which zeroes are valid.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset).cast(),
        );
        value.assume_init()
    }
}

/// What is remembered of a socket, or null.
///
/// # Safety
/// `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub unsafe fn memory(sk: *mut c_void) -> *mut SocketMemory {
    // SAFETY: the map is a static of this object; `sk` is the caller's promise; without the create flag no initial
    // value is read.
    unsafe { bpf_sk_storage_get((&raw const SOCKETS).cast_mut().cast(), sk, ptr::null_mut(), 0) }
        .cast()
}

/// The same, made if need be; null where the kernel has no memory for it.
///
/// # Safety
/// As for [`memory`].
#[inline(always)]
pub unsafe fn memory_or_new(sk: *mut c_void) -> *mut SocketMemory {
    // SAFETY: the caller's promise.
    let memory = unsafe { memory_made(sk) };
    if !memory.is_null() {
        return memory;
    }
    // Of two CPUs that make it at once one gets nothing (EAGAIN); now it is there.
    // SAFETY: as above.
    unsafe { memory_made(sk) }
}

/// # Safety
/// As for [`memory`].
#[inline(always)]
unsafe fn memory_made(sk: *mut c_void) -> *mut SocketMemory {
    // SAFETY: as for `memory`; without an initial value the kernel clears the new memory.
    unsafe {
        bpf_sk_storage_get(
            (&raw const SOCKETS).cast_mut().cast(),
            sk,
            ptr::null_mut(),
            BPF_SK_STORAGE_GET_F_CREATE.into(),
        )
    }
    .cast()
}

/// TASK_COMM_LEN
const COMM_BYTES: u32 = 16;

/// Writes the current task into an event. The name is the process's, not the thread's: thousands of threads
/// are called `tokio-rt-worker`.
#[inline(always)]
pub fn current_task(out: *mut Task) {
    // SAFETY: `out` is ring memory of an event, whole and exclusively ours.
    // The helper's result is a pointer that the verifier knows, and so is group_leader.
    unsafe {
        let task: *const u8 = bpf_get_current_task_btf().cast();
        (*out).cgroup_id = bpf_get_current_cgroup_id();
        (*out).pid = load(task, offset!(task_tgid));
        (*out).tid = load(task, offset!(task_pid));
        let leader: *const u8 = load(task, offset!(task_group_leader));
        bpf_probe_read_kernel(
            (&raw mut (*out).comm).cast(),
            COMM_BYTES,
            leader.wrapping_add(offset!(task_comm)).cast(),
        );
    }
}

/// Writes into an event that there is no task to speak of.
#[inline(always)]
pub fn no_task(out: *mut Task) {
    const WORDS: usize = size_of::<Task>() / 8;
    // In whole words: to clear bytes one by one is a loop in BPF.
    // SAFETY: as in `current_task`; events are 8-byte aligned, and so is the task in each.
    unsafe { out.cast::<[u64; WORDS]>().write([0; WORDS]) };
}

/// Whether the current task is a kernel thread.
#[inline(always)]
pub fn is_kernel_thread() -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    // SAFETY: no arguments; the verifier knows the pointer as a `struct task_struct`.
    let flags: u32 = unsafe { load(bpf_get_current_task_btf().cast(), offset!(task_flags)) };
    flags & PF_KTHREAD != 0
}

/// The current process id (tgid).
#[inline(always)]
pub fn current_pid() -> u32 {
    // SAFETY: no arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// `struct sock` behind a file descriptor that the current task was just given; null where it is no socket.
///
/// The caller checks what it is: `private_data` of other files is something else.
#[inline(always)]
pub fn socket_of_fd(fd: u32) -> *const u8 {
    // SAFETY: no arguments; the pointer is only read through `read`.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    let files: *const u8 = read(task, offset!(task_files));
    let table: *const u8 = read(files, offset!(files_fdt));
    // Within the table, which never shrinks: the descriptor is in use.
    let array: *const u8 = read(table, offset!(fdt_fd));
    let file: *const u8 = read(array, fd as usize * size_of::<usize>());
    let socket: *const u8 = read(file, offset!(file_private_data));
    read(socket, offset!(socket_sk))
}
