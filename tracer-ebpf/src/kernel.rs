//! Every read of a kernel struct. Offsets come from [`LAYOUT`], which user space fills from BTF at load.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task,
        bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_sk_storage_get,
    },
};
use tracer_common::{Endpoints, Task};

use crate::maps::{SOCKETS, SocketMemory};

pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const IPPROTO_TCP: u16 = 6;

/// A `struct sock` (or the `sock_common` at the front of a timewait or request socket).
#[derive(Clone, Copy)]
pub struct Sock(pub *const u8);

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

impl Sock {
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub fn family(self) -> u16 {
        read(self.0, offset!(skc_family))
    }

    #[inline(always)]
    pub fn state(self) -> u8 {
        read(self.0, offset!(skc_state))
    }

    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        let family = self.family();
        (family == AF_INET || family == AF_INET6)
            && read::<u16>(self.0, offset!(sk_protocol)) == IPPROTO_TCP
    }

    /// The cookie that the socket has by now; 0 where nobody asked for one yet.
    #[inline(always)]
    pub fn stored_cookie(self) -> u64 {
        read(self.0, offset!(skc_cookie))
    }

    /// The cookie, made if need be. Only for a socket that is a tracing program's own argument.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: in a tp_btf program the verifier knows the argument as a socket.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// What is remembered of the socket, or null. Only for a tracing program's own argument.
    #[inline(always)]
    pub fn memory(self) -> *mut SocketMemory {
        // SAFETY: as for `cookie`; without the create flag no initial value is read.
        unsafe { storage(self.0.cast_mut().cast(), ptr::null_mut(), 0) }
    }

    /// The same, made if need be; null where the kernel has no memory for it.
    #[inline(always)]
    pub fn memory_or_new(self) -> *mut SocketMemory {
        let mut empty = SocketMemory::EMPTY;
        // SAFETY: as for `cookie`; the initial value outlives the call.
        unsafe {
            storage(
                self.0.cast_mut().cast(),
                (&raw mut empty).cast(),
                BPF_SK_STORAGE_GET_F_CREATE.into(),
            )
        }
    }

    #[inline(always)]
    pub fn netns(self) -> u32 {
        read(read::<*const u8>(self.0, offset!(skc_net)), offset!(net_inum))
    }

    /// Whether bit `flag` of sk_flags is set.
    #[inline(always)]
    pub fn has_flag(self, flag: usize) -> bool {
        (read::<u64>(self.0, offset!(skc_flags)) >> (flag & 63)) & 1 == 1
    }

    /// Addresses, remote port and namespace from the `sock_common`; the local port is `skc_num`.
    #[inline(always)]
    pub fn endpoints(self, family: u16, out: *mut Endpoints) {
        let (local, remote) = self.addresses(family);
        // SAFETY: `out` is ring memory of an event, whole and exclusively ours until it is submitted.
        unsafe {
            (*out).local_addr = local;
            (*out).remote_addr = remote;
            (*out).local_port = read(self.0, offset!(skc_num));
            (*out).remote_port = u16::from_be(read(self.0, offset!(skc_dport)));
            (*out).netns = self.netns();
        }
    }

    #[inline(always)]
    fn addresses(self, family: u16) -> ([u8; 16], [u8; 16]) {
        if family == AF_INET6 {
            return (read(self.0, offset!(skc_v6_rcv_saddr)), read(self.0, offset!(skc_v6_daddr)));
        }
        let mut local = [0; 16];
        let mut remote = [0; 16];
        local[..4].copy_from_slice(&read::<[u8; 4]>(self.0, offset!(skc_rcv_saddr)));
        remote[..4].copy_from_slice(&read::<[u8; 4]>(self.0, offset!(skc_daddr)));
        (local, remote)
    }
}

/// `bpf_sk_storage_get` on [`SOCKETS`].
///
/// # Safety
/// `sk` must be a pointer that the verifier knows as a socket.
#[inline(always)]
pub unsafe fn storage(sk: *mut c_void, initial: *mut c_void, flags: u64) -> *mut SocketMemory {
    // SAFETY: the map is a static of this object; `sk` is the caller's promise.
    unsafe { bpf_sk_storage_get((&raw const SOCKETS).cast_mut().cast(), sk, initial, flags) }.cast()
}

/// Writes the current task into an event. The name is the process's, not the thread's: thousands of threads
/// are called `tokio-rt-worker`.
#[inline(always)]
pub fn current_task(out: *mut Task) {
    // SAFETY: `out` is ring memory of an event, whole and exclusively ours.
    unsafe {
        let pid_tgid = bpf_get_current_pid_tgid();
        (*out).cgroup_id = bpf_get_current_cgroup_id();
        (*out).pid = (pid_tgid >> 32) as u32;
        (*out).tid = pid_tgid as u32;
        let leader: *const u8 =
            read(bpf_get_current_task() as *const u8, offset!(task_group_leader));
        (*out).comm = read(leader, offset!(task_comm));
    }
}

/// Writes into an event that there is no task to speak of.
#[inline(always)]
pub fn no_task(out: *mut Task) {
    // SAFETY: as in `current_task`.
    unsafe {
        (*out).cgroup_id = 0;
        (*out).pid = 0;
        (*out).tid = 0;
        (*out).comm = [0; 16];
    }
}

/// Whether the current task is a kernel thread.
#[inline(always)]
pub fn is_kernel_thread() -> bool {
    const PF_KTHREAD: u32 = 0x0020_0000;
    // SAFETY: no arguments; the pointer is only read through `read`.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    read::<u32>(task, offset!(task_flags)) & PF_KTHREAD != 0
}

/// The current process id (tgid).
#[inline(always)]
pub fn current_pid() -> u32 {
    // SAFETY: no arguments.
    (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32
}

/// The socket behind a file descriptor of the current task; null pointer where it is no socket.
///
/// The caller checks with [`Sock::is_tcp`]: `private_data` of other files is something else.
#[inline(always)]
pub fn socket_of_fd(fd: u32) -> Sock {
    // SAFETY: no arguments; the pointer is only read through `read`.
    let task = unsafe { bpf_get_current_task() } as *const u8;
    let files: *const u8 = read(task, offset!(task_files));
    let table: *const u8 = read(files, offset!(files_fdt));
    if fd >= read::<u32>(table, offset!(fdt_max_fds)) {
        return Sock(ptr::null());
    }
    let array: *const u8 = read(table, offset!(fdt_fd));
    let file: *const u8 = read(array, fd as usize * size_of::<usize>());
    let socket: *const u8 = read(file, offset!(file_private_data));
    Sock(read(socket, offset!(socket_sk)))
}

impl Sock {
    /// The TCP socket that this one is or, of MPTCP, its first subflow; `None` for anything else.
    #[inline(always)]
    pub fn tcp(self) -> Option<Sock> {
        const IPPROTO_MPTCP: u16 = 262;
        if self.0.is_null() {
            return None;
        }
        if self.is_tcp() {
            return Some(self);
        }
        let first = offset!(mptcp_first);
        let family = self.family();
        let is_mptcp = (family == AF_INET || family == AF_INET6)
            && read::<u16>(self.0, offset!(sk_protocol)) == IPPROTO_MPTCP;
        if !is_mptcp || first == u32::MAX as usize {
            return None;
        }
        let subflow = Sock(read(self.0, first));
        if !subflow.0.is_null() && subflow.is_tcp() { Some(subflow) } else { None }
    }
}
