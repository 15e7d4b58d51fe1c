#![no_std]
//! The events that the eBPF programs write into the rings and user space reads.
//!
//! Every event starts with a [`Header`]; its `kind` says which struct the bytes are. All integers are
//! in the machine's byte order except addresses, which are as on the wire. Structs have no implicit
//! padding (asserted at compile time), so every byte in the ring is one that a program wrote; small numbers are
//! widened to fill a struct, for an array of padding bytes is cleared by a loop in BPF.
//! The two crates are built together from one source tree: there is no version field on the wire.

pub mod framing;

/// Payload bytes in one [`Payload`] event while a packet is searched. A packet that is captured whole
/// comes in slices of up to [`framing::WHOLE_BYTES`].
pub const SLICE_BYTES: usize = 4096;
/// Bytes of a packet that are captured where the place in its stream is not known.
pub const HEAD_BYTES: usize = 256;
/// Packets up to this size are captured whole, whatever is in them.
pub const SMALL_PACKET_BYTES: u32 = 1024;

/// Bytes kept of the names in an executable's path, the NUL after each included.
pub const PATH_BYTES: usize = 1024;
/// NAME_MAX and a NUL: no name in a path is longer.
pub const NAME_BYTES: usize = 256;

/// Words of 64 bits that hold a bit for each port.
pub const WATCHED_PORT_WORDS: usize = 1024;

/// What the bytes of an event are. The discriminants are the wire's `kind`.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`State`]
    State = 1,
    /// [`Timer`]
    Timer = 2,
    /// [`Segment`]
    Segment = 3,
    /// [`Payload`]
    Payload = 4,
    /// [`Owner`]
    Owner = 5,
    /// [`Reset`]
    Reset = 6,
    /// [`Exec`]
    Exec = 7,
    /// [`Fork`]
    Fork = 8,
}

/// The hook that an event or a loss belongs to; indexes [`CpuCounters`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// `inet_sock_set_state`
    State = 0,
    /// `timer_start`, `timer_cancel`, `timer_expire_entry` of timewait and request sockets
    Timers = 1,
    /// SYN, FIN and RST segments in cgroup_skb
    Segments = 2,
    /// HTTP payload in cgroup_skb
    Payload = 3,
    /// accept, send and receive in the owner's context
    Owner = 4,
    /// `tcp_retransmit_skb`, `tcp_retransmit_synack`
    Retransmit = 5,
    /// `tcp_send_reset`, `tcp_receive_reset`
    Reset = 6,
    /// `sched_process_exec`, `sched_process_fork`
    Exec = 7,
}

impl Hook {
    /// Every hook, in the order of the counters.
    pub const ALL: [Hook; 8] = [
        Hook::State,
        Hook::Timers,
        Hook::Segments,
        Hook::Payload,
        Hook::Owner,
        Hook::Retransmit,
        Hook::Reset,
        Hook::Exec,
    ];

    /// The name used in `loss` records and by `tracer doctor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Hook::State => "state",
            Hook::Timers => "timers",
            Hook::Segments => "segments",
            Hook::Payload => "payload",
            Hook::Owner => "owner",
            Hook::Retransmit => "retransmit",
            Hook::Reset => "reset",
            Hook::Exec => "exec",
        }
    }
}

/// Counters of one [`Hook`] on one CPU: `emitted + lost` is what the hook had to tell.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookCounters {
    /// Events that were written into a ring.
    pub emitted: u64,
    /// Events that found no room in the ring.
    pub lost: u64,
}

/// Counters of every [`Hook`] on one CPU: whole cache lines, so that no CPU writes where another does.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCounters {
    /// Indexed by [`Hook`].
    pub hooks: [HookCounters; Hook::ALL.len()],
}

macro_rules! wire {
    ($(#[$meta:meta])* $name:ident, $size:expr, { $($(#[$fmeta:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        #[cfg_attr(feature = "user", derive(zerocopy::FromBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::IntoBytes))]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }
        const _: () = assert!(core::mem::size_of::<$name>() == $size);
    };
}

wire!(
    /// First part of every event.
    Header, 24, {
        /// CLOCK_MONOTONIC in nanoseconds, when the hook ran.
        at_ns: u64,
        /// The socket's cookie, or 0 where it has none (yet).
        cookie: u64,
        /// Events of this socket that found no room so far (wraps; 0 where the socket has no storage).
        socket_lost: u32,
        /// A [`Kind`].
        kind: u8,
        /// A [`Hook`].
        hook: u8,
        /// The CPU the hook ran on (its low 16 bits).
        cpu: u16,
    }
);

wire!(
    /// The four-tuple and namespace of a socket, seen from that socket.
    Endpoints, 40, {
        /// Local address; an IPv4 address is in the first four bytes.
        local_addr: [u8; 16],
        /// Remote address, likewise.
        remote_addr: [u8; 16],
        /// Local port, host order; 0 while unbound.
        local_port: u16,
        /// Remote port, host order.
        remote_port: u16,
        /// Inode number of the network namespace, 0 where it was not read.
        netns: u32,
    }
);

wire!(
    /// The task that was current; all zero where the hook does not run in a user's context.
    Task, 32, {
        /// cgroup v2 id of the task.
        cgroup_id: u64,
        /// Process id (tgid) in the initial pid namespace.
        pid: u32,
        /// Thread id.
        tid: u32,
        /// Name of the process (the comm of its main thread), NUL-padded.
        comm: [u8; 16],
    }
);

wire!(
    /// `inet_sock_set_state` of a TCP socket; `old_state != new_state`.
    State, 160, {
        /// First part.
        header: Header,
        /// The four-tuple and namespace.
        endpoints: Endpoints,
        /// The current task.
        task: Task,
        /// Kernel address of the socket: ties events of a child before its cookie is its own.
        skaddr: u64,
        /// tcp_sock.bytes_sent: payload bytes sent, repeats included.
        bytes_sent: u64,
        /// tcp_sock.bytes_retrans: of those, repeats.
        bytes_retrans: u64,
        /// tcp_sock.bytes_received; counts 1 for a FIN (see [`state_flags::FIN_RECEIVED`]).
        bytes_received: u64,
        /// tcp_sock.total_retrans, segments.
        total_retrans: u32,
        /// tcp_sock.srtt_us, shifted left by 3 as in the kernel; 0 before the first sample.
        srtt_us_8: u32,
        /// sk_err: a positive errno or 0.
        sk_err: i32,
        /// Index of the network interface that the socket is bound to, 0 where it is bound to none.
        interface: u32,
        /// Initial sequence number of this socket; only with [`state_flags::HAS_ISNS`].
        isn_sent: u32,
        /// Initial sequence number of the other end; only with [`state_flags::HAS_ISNS`].
        isn_received: u32,
        /// AF_INET (2) or AF_INET6 (10).
        family: u16,
        /// TCP state before, Linux' numbers.
        old_state: u8,
        /// TCP state after.
        new_state: u8,
        /// Bits of [`state_flags`].
        flags: u32,
    }
);

/// Bits of [`State::flags`].
pub mod state_flags {
    /// SOCK_DONE is set: the remote FIN was received in order.
    pub const FIN_RECEIVED: u32 = 1;
    /// SOCK_DEAD is set: no process holds the socket any more (an orphan).
    pub const ORPHAN: u32 = 1 << 1;
    /// The socket was reported before it had both ports, and now that it has them neither is
    /// watched: no more events follow.
    pub const UNWATCHED: u32 = 1 << 2;
    /// The socket is in repair mode (TCP_REPAIR): its state is set by a process, no segment is
    /// sent.
    pub const REPAIR: u32 = 1 << 3;
    /// The socket is in a BPF sockmap.
    pub const IN_SOCKMAP: u32 = 1 << 4;
    /// The initial sequence numbers are filled in.
    pub const HAS_ISNS: u32 = 1 << 5;
}

/// What happened to a timer.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerOp {
    /// `timer_start`: armed, or armed anew.
    Start = 1,
    /// `timer_cancel`: taken off the wheel; comes before every expiry and re-arm too.
    Cancel = 2,
    /// `timer_expire_entry`: its handler runs.
    Expire = 3,
}

/// Whose timer it is.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerOf {
    /// An `inet_timewait_sock`.
    TimeWait = 1,
    /// A `request_sock` (NEW_SYN_RECV).
    Request = 2,
}

wire!(
    /// A timer of a timewait or request socket.
    Timer, 88, {
        /// First part.
        header: Header,
        /// The four-tuple and namespace.
        endpoints: Endpoints,
        /// Kernel address of the small socket.
        skaddr: u64,
        /// AF_INET or AF_INET6.
        family: u8,
        /// A [`TimerOp`].
        op: u8,
        /// A [`TimerOf`].
        of: u8,
        /// tw_substate: 5 FIN_WAIT2 or 6 TIME_WAIT; 0 for a request socket.
        substate: u8,
        /// Index of the network interface that the socket is bound to, 0 where it is bound to none.
        interface: u32,
        /// Initial sequence number of a request socket's SYN+ACK; only at its start.
        isn_sent: u32,
        /// Initial sequence number of the SYN that a request socket answers; only at its start.
        isn_received: u32,
    }
);

/// `direction` of segments and payload: out of this host's socket.
pub const SENT: u8 = 1;
/// `direction` of segments and payload: arriving for this host's socket.
pub const RECEIVED: u8 = 2;

wire!(
    /// A TCP segment with SYN, FIN or RST, or one that was sent again.
    Segment, 88, {
        /// First part.
        header: Header,
        /// The four-tuple and namespace.
        endpoints: Endpoints,
        /// Sequence number, host order.
        seq: u32,
        /// Acknowledgement number, host order; 0 without ACK.
        ack: u32,
        /// Payload bytes.
        payload_bytes: u32,
        /// AF_INET or AF_INET6.
        family: u16,
        /// The flags byte of the TCP header.
        flags: u8,
        /// [`SENT`] or [`RECEIVED`].
        direction: u8,
        /// 1 when a retransmit tracepoint told of it.
        retransmit: u32,
        /// sk_state at that moment (10: a listener's cookie; the connection is the tuple's), 0 unknown.
        sk_state: u32,
    }
);

wire!(
    /// A slice of a packet's payload on a connection that speaks HTTP/1. [`Endpoints`] follow where `has_endpoints`
    /// says so, then `captured_bytes` bytes.
    Payload, 48, {
        /// First part.
        header: Header,
        /// Sequence number of the packet's first payload byte.
        seq: u32,
        /// Payload bytes of the whole packet.
        packet_bytes: u32,
        /// Where in the packet this slice starts.
        offset_bytes: u32,
        /// Bytes of this slice that follow.
        captured_bytes: u32,
        /// AF_INET or AF_INET6.
        family: u16,
        /// [`SENT`] or [`RECEIVED`].
        direction: u8,
        /// sk_state, as in [`Segment`].
        sk_state: u8,
        /// 1 when [`Endpoints`] follow: where the cookie may not be the connection's own, and with large slices.
        has_endpoints: u32,
    }
);

wire!(
    /// A process was seen using a socket.
    Owner, 112, {
        /// First part.
        header: Header,
        /// The four-tuple and namespace.
        endpoints: Endpoints,
        /// The current task.
        task: Task,
        /// Kernel address of the socket.
        skaddr: u64,
        /// 1 when the socket is in a BPF sockmap.
        in_sockmap: u64,
    }
);

wire!(
    /// A reset was sent or taken in by TCP.
    Reset, 80, {
        /// First part.
        header: Header,
        /// The four-tuple and namespace.
        endpoints: Endpoints,
        /// Kernel address of the socket, 0 where the kernel had none.
        skaddr: u64,
        /// `enum sk_rst_reason`, 0 where the kernel does not tell.
        reason: u32,
        /// AF_INET or AF_INET6.
        family: u16,
        /// [`SENT`] or [`RECEIVED`].
        direction: u8,
        /// sk_state at that moment.
        sk_state: u8,
    }
);

wire!(
    /// A program was executed. `names_bytes` bytes follow: the names in the binary's path, the last
    /// one first, a NUL after each.
    Exec, 32, {
        /// First part.
        header: Header,
        /// Process id.
        pid: u32,
        /// Bytes of names that follow; 0 where the path was not read to its end.
        names_bytes: u16,
        /// 1 when the file is in no directory (memfd_create), so that it has a name and no path.
        is_pathless: u16,
    }
);

wire!(
    /// A process was made by another: until it executes something, its binary is its parent's.
    Fork, 32, {
        /// First part.
        header: Header,
        /// The new process.
        pid: u32,
        /// The one that made it.
        parent_pid: u32,
    }
);

macro_rules! layout {
    ($($(#[$meta:meta])* $field:ident),* $(,)?) => {
        /// Where this kernel keeps what the programs read: byte offsets, resolved from BTF at load.
        ///
        /// rustc emits no CO-RE relocations, so the offsets reach the programs as one read-only global.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct KernelLayout {
            /// Address of `tw_timer_handler`, 0 where unknown.
            pub tw_timer_handler: u64,
            /// Address of `reqsk_timer_handler`, 0 where unknown.
            pub reqsk_timer_handler: u64,
            $($(#[$meta])* pub $field: u32),*
        }
    };
}

layout!(
    /// sock_common.skc_daddr
    skc_daddr,
    /// sock_common.skc_rcv_saddr
    skc_rcv_saddr,
    /// sock_common.skc_dport
    skc_dport,
    /// sock_common.skc_num
    skc_num,
    /// sock_common.skc_family
    skc_family,
    /// sock_common.skc_state
    skc_state,
    /// sock_common.skc_net
    skc_net,
    /// sock_common.skc_v6_daddr
    skc_v6_daddr,
    /// sock_common.skc_v6_rcv_saddr
    skc_v6_rcv_saddr,
    /// sock_common.skc_cookie
    skc_cookie,
    /// sock_common.skc_bound_dev_if
    skc_bound_dev_if,
    /// sock_common.skc_flags: sk_flags of a full socket
    skc_flags,
    /// net.ns.inum
    net_inum,
    /// sock.sk_protocol
    sk_protocol,
    /// sock.sk_err
    sk_err,
    /// sock.sk_user_data
    sk_user_data,
    /// inet_sock.inet_sport
    inet_sport,
    /// tcp_sock.bytes_sent
    tcp_bytes_sent,
    /// tcp_sock.bytes_retrans
    tcp_bytes_retrans,
    /// tcp_sock.bytes_received
    tcp_bytes_received,
    /// tcp_sock.total_retrans
    tcp_total_retrans,
    /// tcp_sock.srtt_us
    tcp_srtt_us,
    /// tcp_sock.snd_una
    tcp_snd_una,
    /// tcp_sock.bytes_acked
    tcp_bytes_acked,
    /// tcp_sock.rcv_nxt
    tcp_rcv_nxt,
    /// tcp_sock.repair: its offset in bits, or `u32::MAX` where it is not known
    tcp_repair_bit,
    /// inet_timewait_sock.tw_timer
    tw_timer,
    /// inet_timewait_sock.tw_substate
    tw_substate,
    /// request_sock.rsk_timer
    rsk_timer,
    /// timer_list.function
    timer_function,
    /// tcp_request_sock.snt_isn
    req_snt_isn,
    /// tcp_request_sock.rcv_isn
    req_rcv_isn,
    /// sk_buff.cb
    skb_cb,
    /// tcp_skb_cb.seq
    cb_seq,
    /// tcp_skb_cb.end_seq
    cb_end_seq,
    /// tcp_skb_cb.tcp_flags
    cb_tcp_flags,
    /// task_struct.files
    task_files,
    /// task_struct.group_leader
    task_group_leader,
    /// task_struct.comm
    task_comm,
    /// task_struct.flags
    task_flags,
    /// task_struct.pid
    task_pid,
    /// task_struct.tgid
    task_tgid,
    /// mptcp_sock.first, or `u32::MAX` where the kernel has no MPTCP
    mptcp_first,
    /// files_struct.fdt
    files_fdt,
    /// fdtable.max_fds
    fdt_max_fds,
    /// fdtable.fd
    fdt_fd,
    /// file.private_data
    file_private_data,
    /// socket.sk
    socket_sk,
    /// linux_binprm.file
    binprm_file,
    /// file.f_path.mnt
    file_mnt,
    /// file.f_path.dentry
    file_dentry,
    /// dentry.d_parent
    dentry_parent,
    /// dentry.d_name.name
    dentry_name,
    /// vfsmount.mnt_root
    vfsmount_root,
    /// mount.mnt, a vfsmount
    mount_mnt,
    /// mount.mnt_parent
    mount_parent,
    /// mount.mnt_mountpoint
    mount_mountpoint,
    /// SOCK_DEAD's number in enum sock_flags
    sock_dead,
    /// SOCK_DONE's number in enum sock_flags
    sock_done,
);
