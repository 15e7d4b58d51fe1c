//! Where the members are that the eBPF programs read, from the running kernel's BTF.
//!
//! rustc emits no CO-RE relocations, so offsets are looked up here at load and handed to the programs as
//! read-only globals.

use std::path::{Path, PathBuf};

mod btf;

use btf::Btf;

use super::programs::Group;

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

/// A member or enumerator that this kernel does not have, and whose programs cannot be used without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The groups of hooks that need it.
    pub groups: &'static [Group],
    /// Names it.
    pub why: String,
}

macro_rules! offsets {
    (
        members { $([$($group:ident)+] { $($field:ident: $of:literal . $path:literal,)* })* }
        enumerators { $([$($egroup:ident)+] { $($(#[$meta:meta])* $value:ident: $enum:literal . $enumerator:literal,)* })* }
        optional { $($(#[$ometa:meta])* $option:ident: $oof:literal . $opath:literal,)* }
        optional_bits { $($(#[$bmeta:meta])* $bit:ident: $bof:literal . $bpath:literal,)* }
    ) => {
        /// Byte offsets of kernel struct members, and the few enumerators that kernels may renumber. One that is
        /// missing is 0, and its group is in `missing`.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Offsets {
            $($(#[doc = concat!("Bytes from the start of `", $of, "` to `", $path, "`.")] pub $field: u32,)*)*
            $($($(#[$meta])* pub $value: u32,)*)*
            $($(#[$ometa])* pub $option: Option<u32>,)*
            $($(#[$bmeta])* pub $bit: Option<u32>,)*
            /// What this kernel lacks.
            pub missing: Vec<Missing>,
        }

        impl Offsets {
            /// Looks every member up in a BTF blob.
            ///
            /// # Errors
            /// What is wrong with the blob. What a sound blob lacks is in [`Offsets::missing`].
            pub fn from_btf(bytes: &[u8]) -> Result<Offsets, OffsetsError> {
                let btf = Btf::parse(bytes)?;
                let mut missing = Vec::new();
                let mut needed = |groups: &'static [Group], found: Result<u32, OffsetsError>| match found {
                    Ok(value) => Ok(value),
                    Err(lack) if lack.is_lack() => {
                        missing.push(Missing { groups, why: lack.to_string() });
                        Ok(0)
                    }
                    Err(damage) => Err(damage),
                };
                Ok(Offsets {
                    $($($field: needed(groups_of(stringify!($field)), btf.member_offset_bytes($of, $path))?,)*)*
                    $($($value: needed(groups_of(stringify!($value)), btf.enum_value($enum, $enumerator))?,)*)*
                    $($option: btf.member_offset_bytes($oof, $opath).ok(),)*
                    $($bit: btf.member_offset_bits($bof, $bpath).ok(),)*
                    missing,
                })
            }
        }

        /// The groups that need the field of this name.
        fn groups_of(field: &str) -> &'static [Group] {
            $(if [$(stringify!($field)),*].contains(&field) {
                return &[$(Group::$group),+];
            })*
            $(if [$(stringify!($value)),*].contains(&field) {
                return &[$(Group::$egroup),+];
            })*
            &[]
        }

        /// Every member that groups of hooks need: field, struct, path.
        #[cfg(test)]
        const MEMBERS: &[(&str, &str, &str)] = &[$($((stringify!($field), $of, $path),)*)*];
        /// Every enumerator, likewise: field, enum, enumerator.
        #[cfg(test)]
        const ENUMERATORS: &[(&str, &str, &str)] =
            &[$($((stringify!($value), $enum, $enumerator),)*)*];
    };
}

// A member stands with the groups that cannot do without it; one that most need with `State`, which is always needed.
offsets! {
    members {
        [State] {
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
            inet_sock_sport: "inet_sock"."inet_sport",
            tcp_sock_bytes_sent: "tcp_sock"."bytes_sent",
            tcp_sock_bytes_retrans: "tcp_sock"."bytes_retrans",
            tcp_sock_bytes_received: "tcp_sock"."bytes_received",
            tcp_sock_total_retrans: "tcp_sock"."total_retrans",
            tcp_sock_srtt_us: "tcp_sock"."srtt_us",
            tcp_sock_snd_una: "tcp_sock"."snd_una",
            tcp_sock_bytes_acked: "tcp_sock"."bytes_acked",
            tcp_sock_rcv_nxt: "tcp_sock"."rcv_nxt",
            task_struct_group_leader: "task_struct"."group_leader",
            task_struct_comm: "task_struct"."comm",
            task_struct_flags: "task_struct"."flags",
            task_struct_pid: "task_struct"."pid",
            task_struct_tgid: "task_struct"."tgid",
        }
        [Timers] {
            timewait_timer: "inet_timewait_sock"."tw_timer",
            timewait_substate: "inet_timewait_sock"."tw_substate",
            request_sock_timer: "request_sock"."rsk_timer",
            timer_list_function: "timer_list"."function",
        }
        [Owner] {
            task_struct_files: "task_struct"."files",
            files_struct_fdt: "files_struct"."fdt",
            fdtable_fd: "fdtable"."fd",
            fdtable_max_fds: "fdtable"."max_fds",
            file_private_data: "file"."private_data",
            socket_sk: "socket"."sk",
        }
        [Timers Retransmit] {
            tcp_request_sock_snt_isn: "tcp_request_sock"."snt_isn",
            tcp_request_sock_rcv_isn: "tcp_request_sock"."rcv_isn",
        }
        [Retransmit] {
            sk_buff_cb: "sk_buff"."cb",
            tcp_skb_cb_seq: "tcp_skb_cb"."seq",
            tcp_skb_cb_end_seq: "tcp_skb_cb"."end_seq",
            tcp_skb_cb_tcp_flags: "tcp_skb_cb"."tcp_flags",
        }
        [Exec] {
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
    }
    enumerators {
        [State] {
            /// Bit of `sock_flags`: no process holds the socket any more.
            sock_dead_bit: "sock_flags"."SOCK_DEAD",
            /// Bit of `sock_flags`: the remote FIN was received in order.
            sock_done_bit: "sock_flags"."SOCK_DONE",
        }
    }
    optional {
        /// Bytes from the start of `mptcp_sock` to `first`; `None` without CONFIG_MPTCP.
        mptcp_sock_first: "mptcp_sock"."first",
    }
    optional_bits {
        /// Bits from the start of `tcp_sock` to `repair`, a bitfield of one bit.
        tcp_sock_repair_bit: "tcp_sock"."repair",
    }
}

impl OffsetsError {
    /// Whether the BTF is sound and has no such thing.
    const fn is_lack(&self) -> bool {
        matches!(
            self,
            OffsetsError::NoType(_) | OffsetsError::NoMember(_) | OffsetsError::Bitfield(_)
        )
    }
}

impl Offsets {
    /// Why the programs of `group` cannot be used; `None` where all that they need is there.
    #[must_use]
    pub fn lack(&self, group: Group) -> Option<String> {
        let lacks = self.missing.iter().filter(|missing| missing.groups.contains(&group));
        let whys: Vec<&str> = lacks.map(|missing| missing.why.as_str()).collect();
        (!whys.is_empty()).then(|| whys.join(", "))
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
