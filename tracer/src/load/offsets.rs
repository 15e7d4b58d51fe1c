//! Where the members are that the eBPF programs read, from the running kernel's BTF.
//!
//! rustc emits no CO-RE relocations, so offsets are looked up here at load and handed to the programs as
//! read-only globals.

use std::path::{Path, PathBuf};

mod btf;

use btf::Btf;

/// Where the running kernel shows its BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why the offsets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum OffsetsError {
    /// The file could not be read.
    #[error(
        "cannot read kernel type information from {}: {source}; the kernel must be built with CONFIG_DEBUG_INFO_BTF=y",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No BTF header in this machine's byte order.
    #[error("not BTF of this machine's byte order ({bytes} bytes)")]
    NotBtf {
        /// Length of the file.
        bytes: usize,
    },
    /// The file contradicts itself or was cut short.
    #[error("damaged BTF: bad {what}")]
    Damaged {
        /// Which part.
        what: &'static str,
    },
    /// A kind of type that is newer than this program.
    #[error("BTF has types of kind {kind}, which this version does not know")]
    UnknownKind {
        /// `BTF_KIND_*`
        kind: u32,
    },
    /// The kernel has no such struct or enum.
    #[error("this kernel has no type `{0}`")]
    NoType(String),
    /// The struct has no such member, or the enum no such enumerator.
    #[error("this kernel has no `{0}`")]
    NoMember(String),
    /// The member is a bitfield, which has no byte offset (sk_protocol before Linux 5.6).
    #[error("`{0}` is a bitfield in this kernel")]
    Bitfield(String),
}

macro_rules! offsets {
    (
        members { $($field:ident: $of:literal . $path:literal,)* }
        optional { $($(#[$ometa:meta])* $option:ident: $oof:literal . $opath:literal,)* }
        optional_bits { $($(#[$bmeta:meta])* $bit:ident: $bof:literal . $bpath:literal,)* }
        enumerators { $($(#[$meta:meta])* $value:ident: $enum:literal . $enumerator:literal,)* }
    ) => {
        /// Byte offsets of kernel struct members, and the few enumerators that kernels may renumber.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets {
            $(#[doc = concat!("Bytes from the start of `", $of, "` to `", $path, "`.")] pub $field: u32,)*
            $($(#[$ometa])* pub $option: Option<u32>,)*
            $($(#[$bmeta])* pub $bit: Option<u32>,)*
            $($(#[$meta])* pub $value: u32,)*
        }

        impl Offsets {
            /// Looks every member up in a BTF blob.
            ///
            /// # Errors
            /// Names the `struct.member` that this kernel lacks, or what is wrong with the blob.
            pub fn from_btf(bytes: &[u8]) -> Result<Offsets, OffsetsError> {
                let btf = Btf::parse(bytes)?;
                Ok(Offsets {
                    $($field: btf.member_offset_bytes($of, $path)?,)*
                    $($option: btf.member_offset_bytes($oof, $opath).ok(),)*
                    $($bit: btf.member_offset_bits($bof, $bpath).ok(),)*
                    $($value: btf.enum_value($enum, $enumerator)?,)*
                })
            }
        }
    };
}

offsets! {
    members {
        sock_common_daddr: "sock_common"."skc_daddr",
        sock_common_rcv_saddr: "sock_common"."skc_rcv_saddr",
        sock_common_dport: "sock_common"."skc_dport",
        sock_common_num: "sock_common"."skc_num",
        sock_common_family: "sock_common"."skc_family",
        sock_common_state: "sock_common"."skc_state",
        sock_common_net: "sock_common"."skc_net",
        sock_common_v6_daddr: "sock_common"."skc_v6_daddr",
        sock_common_v6_rcv_saddr: "sock_common"."skc_v6_rcv_saddr",
        sock_common_cookie: "sock_common"."skc_cookie",
        sock_common_bound_dev_if: "sock_common"."skc_bound_dev_if",
        net_ns_inum: "net"."ns.inum",
        sock_protocol: "sock"."sk_protocol",
        sock_err: "sock"."sk_err",
        sock_user_data: "sock"."sk_user_data",
        sock_flags: "sock"."__sk_common.skc_flags",
        sock_socket: "sock"."sk_socket",
        inet_sock_sport: "inet_sock"."inet_sport",
        tcp_sock_bytes_sent: "tcp_sock"."bytes_sent",
        tcp_sock_bytes_retrans: "tcp_sock"."bytes_retrans",
        tcp_sock_bytes_received: "tcp_sock"."bytes_received",
        tcp_sock_total_retrans: "tcp_sock"."total_retrans",
        tcp_sock_srtt_us: "tcp_sock"."srtt_us",
        tcp_sock_snd_una: "tcp_sock"."snd_una",
        tcp_sock_bytes_acked: "tcp_sock"."bytes_acked",
        tcp_sock_rcv_nxt: "tcp_sock"."rcv_nxt",
        timewait_timer: "inet_timewait_sock"."tw_timer",
        timewait_substate: "inet_timewait_sock"."tw_substate",
        request_sock_timer: "request_sock"."rsk_timer",
        timer_list_function: "timer_list"."function",
        tcp_request_sock_snt_isn: "tcp_request_sock"."snt_isn",
        tcp_request_sock_rcv_isn: "tcp_request_sock"."rcv_isn",
        sk_buff_cb: "sk_buff"."cb",
        tcp_skb_cb_seq: "tcp_skb_cb"."seq",
        tcp_skb_cb_end_seq: "tcp_skb_cb"."end_seq",
        tcp_skb_cb_tcp_flags: "tcp_skb_cb"."tcp_flags",
        task_struct_files: "task_struct"."files",
        task_struct_group_leader: "task_struct"."group_leader",
        task_struct_comm: "task_struct"."comm",
        task_struct_flags: "task_struct"."flags",
        task_struct_pid: "task_struct"."pid",
        task_struct_tgid: "task_struct"."tgid",
        files_struct_fdt: "files_struct"."fdt",
        fdtable_fd: "fdtable"."fd",
        fdtable_max_fds: "fdtable"."max_fds",
        file_private_data: "file"."private_data",
        file_f_op: "file"."f_op",
        socket_sk: "socket"."sk",
        binprm_file: "linux_binprm"."file",
        file_mnt: "file"."f_path.mnt",
        file_dentry: "file"."f_path.dentry",
        dentry_parent: "dentry"."d_parent",
        dentry_name: "dentry"."d_name.name",
        vfsmount_root: "vfsmount"."mnt_root",
        mount_mnt: "mount"."mnt",
        mount_parent: "mount"."mnt_parent",
        mount_mountpoint: "mount"."mnt_mountpoint",
    }
    optional {
        /// Bytes from the start of `mptcp_sock` to `first`; `None` without CONFIG_MPTCP.
        mptcp_sock_first: "mptcp_sock"."first",
    }
    optional_bits {
        /// Bits from the start of `tcp_sock` to `repair`, a bitfield of one bit.
        tcp_sock_repair_bit: "tcp_sock"."repair",
    }
    enumerators {
        /// Bit of `sock_flags`: no process holds the socket any more.
        sock_dead_bit: "sock_flags"."SOCK_DEAD",
        /// Bit of `sock_flags`: the remote FIN was received in order.
        sock_done_bit: "sock_flags"."SOCK_DONE",
    }
}

impl Offsets {
    /// The running kernel's offsets.
    ///
    /// # Errors
    /// As [`Offsets::from_file`].
    pub fn of_running_kernel() -> Result<Offsets, OffsetsError> {
        Offsets::from_file(Path::new(KERNEL_BTF))
    }

    /// The offsets in a file of raw BTF.
    ///
    /// # Errors
    /// [`OffsetsError::Read`], and what [`Offsets::from_btf`] says of its content.
    pub fn from_file(path: &Path) -> Result<Offsets, OffsetsError> {
        let bytes = std::fs::read(path)
            .map_err(|source| OffsetsError::Read { path: path.to_owned(), source })?;
        Offsets::from_btf(&bytes)
    }
}

#[cfg(test)]
mod tests;
