//! Brings the programs into the kernel: offsets from BTF, rings sized, every hook attached that can be.

mod attach;
pub mod cgroup;
mod counters;
mod figures;
pub mod health;
pub mod host;
pub mod kallsyms;
pub mod mountinfo;
pub mod offsets;
mod private_mount;
pub mod programs;
mod shielded;
pub mod tracefs;

use std::panic::resume_unwind;
use std::thread;

use aya::maps::{Map, MapData, ProgramArray};
use aya::{Btf, Ebpf, EbpfLoader, Pod};
use thiserror::Error;
use tracer_common::KernelLayout;

use self::attach::Hooks;
use self::cgroup::CgroupRoot;
use self::counters::Counters;
use self::figures::ProgramFigures;
use self::health::Health;
use self::kallsyms::TimerHandlers;
use self::offsets::Offsets;
use self::programs::{Group, Groups};
use self::shielded::Shielded;
use crate::ports::PortSet;
use crate::ring::{self, SharedRing};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));

/// Sizes of the rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    /// Ring of states, timers, segments and owners, KiB; rounded up to a power of two and at least a page.
    pub events_kib: u32,
    /// Ring of payload, KiB, likewise.
    pub payloads_kib: u32,
}

impl Default for RingSizes {
    fn default() -> Self {
        RingSizes { events_kib: 32 * 1024, payloads_kib: 32 * 1024 }
    }
}

/// Why nothing can be traced.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A capability is missing.
    #[error("{0}")]
    Privileges(String),
    /// No BTF, or a kernel whose structs are not as known.
    #[error(
        "cannot learn this kernel's data structures: {0}; tracer needs a kernel >= 5.11 built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Offsets(#[from] offsets::OffsetsError),
    /// aya could not read the kernel's BTF.
    #[error(
        "cannot read the kernel's BTF: {0}; tracer needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Btf(#[from] aya::BtfError),
    /// The object or its maps were refused.
    #[error("the kernel refused tracer's maps or programs: {}", chain(.0))]
    Object(#[from] aya::EbpfError),
    /// What the programs count cannot be read.
    #[error("the memory of the hooks' counters cannot be mapped: {0}")]
    Counters(rustix::io::Errno),
    /// The kernel's list of CPUs cannot be read.
    #[error("cannot learn how many CPUs there are: {file}: {source}")]
    Cpus {
        /// Of sysfs.
        file: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A ring cannot be read.
    #[error("ring {name}: {source}")]
    Ring {
        /// Which.
        name: &'static str,
        /// Why.
        source: ring::MapError,
    },
    /// A map is missing from the object.
    #[error("map {0} is not in this build of the eBPF programs; build tracer again")]
    NoMap(&'static str),
    /// The state hook could not be attached.
    #[error(
        "the state hook cannot be attached: {0}; without it nothing can be traced (`tracer doctor` says more)"
    )]
    State(String),
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The loaded programs. Dropping it detaches them all.
pub struct Loaded {
    /// States, timers, segments, owners.
    pub events: SharedRing,
    /// HTTP payload.
    pub payloads: SharedRing,
    /// What the hooks emitted and lost.
    pub counters: Counters,
    /// What is attached.
    pub health: Health,
    /// The cgroup v2 root, where one was found.
    pub cgroup: Option<CgroupRoot>,
    /// Diagnostics of the kernel side.
    pub diagnostics: Option<aya_log::EbpfLogger<&'static dyn log::Log>>,
    /// What happens where the kernel runs no tracing program.
    shielded: Option<Shielded>,
    /// What the kernel counts of each program.
    figures: Vec<ProgramFigures>,
    /// Holds what the packet programs tail-call.
    _follow: ProgramArray<MapData>,
    /// Holds the programs and their links.
    _ebpf: Ebpf,
}

impl Loaded {
    /// Processes in whose time the kernel may run no tracing program, where there are such.
    #[must_use]
    pub fn shielded_processes(&self) -> Option<&[u32]> {
        self.shielded.as_ref().map(Shielded::processes)
    }

    /// Runs of hooks that the kernel left out so far, by group: a program that is interrupted by itself on the same
    /// CPU is not run twice (`recursion_misses`), and none is run in the time of a shielded process. What they would
    /// have told is lost.
    pub fn missed_runs(&mut self) -> [u64; Group::ALL.len()] {
        let mut missed =
            self.shielded.as_mut().map_or([0; Group::ALL.len()], |shielded| shielded.count());
        for program in &self.figures {
            missed[program.group as usize] += program.recursion_misses();
        }
        missed
    }
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Layout(KernelLayout);
// SAFETY: a repr(C) struct of integers without padding between or after them that matters: every byte pattern
// is valid, and it is only ever copied.
unsafe impl Pod for Layout {}

/// Loads the programs and attaches every one of `wanted` that the kernel allows. Connections that have none of `ports` at
/// either end are not told of.
///
/// # Errors
/// When states cannot be traced; any other hook that is refused is told in [`Loaded::health`].
pub fn load(sizes: RingSizes, wanted: Groups, ports: &PortSet) -> Result<Loaded, LoadError> {
    check_privileges()?;
    let (handlers, offsets, btf) = thread::scope(|scope| {
        // Each takes its time, and none needs another.
        let handlers = scope.spawn(kallsyms::timer_handlers);
        let (offsets, btf) = (Offsets::of_running_kernel(), Btf::from_sys_fs());
        let handlers = handlers.join().unwrap_or_else(|panic| resume_unwind(panic));
        (handlers, offsets, btf)
    });
    let (offsets, btf) = (offsets?, btf?);
    let cpus = possible_cpus()?;
    let layout = Layout(layout(&offsets, handlers.as_ref().ok()));
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("LAYOUT", &layout, true)
        .override_global("PORTS_ARE_CHOSEN", &u8::from(!ports.is_all()), true)
        .override_global("WATCHED_PORTS", &ports.words()[..], true)
        .map_max_entries("COUNTERS", cpus)
        .map_max_entries("EVENTS", ring_bytes(sizes.events_kib))
        .map_max_entries("PAYLOADS", ring_bytes(sizes.payloads_kib))
        .load(OBJECT)?;
    let diagnostics = diagnostics(&mut ebpf);
    let cgroup = cgroup::open_root();
    let mut follow = follow(&mut ebpf)?;
    let mut hooks = Hooks {
        wanted,
        follow: &mut follow,
        cgroup: cgroup.as_ref().map(|root| &root.directory).map_err(ToString::to_string),
        offsets: &offsets,
        timers: handlers.as_ref().map(|_| ()).map_err(ToString::to_string),
    };
    let health = hooks.attach_all(&mut ebpf, &btf)?;
    let shielded = Shielded::begin(&health, handlers.as_ref().ok());
    Ok(Loaded {
        events: ring(&mut ebpf, "EVENTS", sizes.events_kib)?,
        payloads: ring(&mut ebpf, "PAYLOADS", sizes.payloads_kib)?,
        counters: counters(&mut ebpf, cpus)?,
        health,
        cgroup: cgroup.ok(),
        diagnostics,
        shielded,
        figures: ProgramFigures::of_all(&ebpf),
        _follow: follow,
        _ebpf: ebpf,
    })
}

/// Where the packet programs find those that they tail-call. The kernel empties it when it is closed.
fn follow(ebpf: &mut Ebpf) -> Result<ProgramArray<MapData>, LoadError> {
    let name = "FOLLOW";
    let map = ebpf.take_map(name).ok_or(LoadError::NoMap(name))?;
    ProgramArray::try_from(map).map_err(|_wrong_kind| LoadError::NoMap(name))
}

/// CPU numbers are below this one. There may be gaps between them, so it is not how many there are: what the programs count
/// on a CPU without a place would be lost in silence.
fn possible_cpus() -> Result<u32, LoadError> {
    const FILE: &str = "/sys/devices/system/cpu/possible";
    let failed = |source| LoadError::Cpus { file: FILE, source };
    let list = std::fs::read_to_string(FILE).map_err(failed)?;
    behind_last_cpu(&list).ok_or_else(|| failed(std::io::ErrorKind::InvalidData.into()))
}

/// The number behind the last one of a list such as `0-3,8`.
fn behind_last_cpu(list: &str) -> Option<u32> {
    list.trim().rsplit([',', '-']).next()?.parse::<u32>().ok()?.checked_add(1)
}

fn check_privileges() -> Result<(), LoadError> {
    let host = host::Host::read();
    match host.capabilities {
        Some(held) if !held.missing().is_empty() => Err(LoadError::Privileges(held.sentence())),
        _ => Ok(()),
    }
}

/// A ring's size in bytes: a power of two and whole pages, as the kernel demands.
fn ring_bytes(kib: u32) -> u32 {
    const PAGE_KIB: u32 = 4;
    const MAX_KIB: u32 = 1 << 20;
    kib.clamp(PAGE_KIB, MAX_KIB).next_power_of_two() * 1024
}

fn diagnostics(ebpf: &mut Ebpf) -> Option<aya_log::EbpfLogger<&'static dyn log::Log>> {
    match aya_log::EbpfLogger::init(ebpf) {
        Ok(logger) => Some(logger),
        Err(error) => {
            log::warn!("diagnostics of the kernel side are not available: {error}");
            None
        }
    }
}

fn ring(ebpf: &mut Ebpf, name: &'static str, kib: u32) -> Result<SharedRing, LoadError> {
    let Some(Map::RingBuf(map)) = ebpf.take_map(name) else { return Err(LoadError::NoMap(name)) };
    SharedRing::new(map, ring_bytes(kib) as usize)
        .map_err(|source| LoadError::Ring { name, source })
}

fn counters(ebpf: &mut Ebpf, cpus: u32) -> Result<Counters, LoadError> {
    let name = "COUNTERS";
    let Some(Map::Array(map)) = ebpf.take_map(name) else { return Err(LoadError::NoMap(name)) };
    Counters::new(&map, cpus).map_err(LoadError::Counters)
}

fn layout(offsets: &Offsets, handlers: Option<&TimerHandlers>) -> KernelLayout {
    KernelLayout {
        tw_timer_handler: handlers.map_or(0, |h| h.timewait),
        reqsk_timer_handler: handlers.map_or(0, |h| h.request),
        skc_daddr: offsets.sock_common_daddr,
        skc_rcv_saddr: offsets.sock_common_rcv_saddr,
        skc_dport: offsets.sock_common_dport,
        skc_num: offsets.sock_common_num,
        skc_family: offsets.sock_common_family,
        skc_state: offsets.sock_common_state,
        skc_net: offsets.sock_common_net,
        skc_v6_daddr: offsets.sock_common_v6_daddr,
        skc_v6_rcv_saddr: offsets.sock_common_v6_rcv_saddr,
        skc_cookie: offsets.sock_common_cookie,
        skc_bound_dev_if: offsets.sock_common_bound_dev_if,
        skc_flags: offsets.sock_flags,
        net_inum: offsets.net_ns_inum,
        sk_protocol: offsets.sock_protocol,
        sk_err: offsets.sock_err,
        sk_user_data: offsets.sock_user_data,
        inet_sport: offsets.inet_sock_sport,
        tcp_bytes_sent: offsets.tcp_sock_bytes_sent,
        tcp_bytes_retrans: offsets.tcp_sock_bytes_retrans,
        tcp_bytes_received: offsets.tcp_sock_bytes_received,
        tcp_total_retrans: offsets.tcp_sock_total_retrans,
        tcp_srtt_us: offsets.tcp_sock_srtt_us,
        tcp_snd_una: offsets.tcp_sock_snd_una,
        tcp_bytes_acked: offsets.tcp_sock_bytes_acked,
        tcp_rcv_nxt: offsets.tcp_sock_rcv_nxt,
        tcp_repair_bit: offsets.tcp_sock_repair_bit.unwrap_or(u32::MAX),
        tw_timer: offsets.timewait_timer,
        tw_substate: offsets.timewait_substate,
        rsk_timer: offsets.request_sock_timer,
        timer_function: offsets.timer_list_function,
        req_snt_isn: offsets.tcp_request_sock_snt_isn,
        req_rcv_isn: offsets.tcp_request_sock_rcv_isn,
        skb_cb: offsets.sk_buff_cb,
        cb_seq: offsets.tcp_skb_cb_seq,
        cb_end_seq: offsets.tcp_skb_cb_end_seq,
        cb_tcp_flags: offsets.tcp_skb_cb_tcp_flags,
        task_files: offsets.task_struct_files,
        task_group_leader: offsets.task_struct_group_leader,
        task_comm: offsets.task_struct_comm,
        task_flags: offsets.task_struct_flags,
        task_pid: offsets.task_struct_pid,
        task_tgid: offsets.task_struct_tgid,
        mptcp_first: offsets.mptcp_sock_first.unwrap_or(u32::MAX),
        files_fdt: offsets.files_struct_fdt,
        fdt_max_fds: offsets.fdtable_max_fds,
        fdt_fd: offsets.fdtable_fd,
        file_private_data: offsets.file_private_data,
        socket_sk: offsets.socket_sk,
        binprm_file: offsets.binprm_file,
        file_mnt: offsets.file_mnt,
        file_dentry: offsets.file_dentry,
        dentry_parent: offsets.dentry_parent,
        dentry_name: offsets.dentry_name,
        vfsmount_root: offsets.vfsmount_root,
        mount_mnt: offsets.mount_mnt,
        mount_parent: offsets.mount_parent,
        mount_mountpoint: offsets.mount_mountpoint,
        sock_dead: offsets.sock_dead_bit,
        sock_done: offsets.sock_done_bit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cpu_has_a_place_also_behind_a_gap() {
        assert_eq!(behind_last_cpu("0\n"), Some(1));
        assert_eq!(behind_last_cpu("0-3\n"), Some(4));
        assert_eq!(behind_last_cpu("0-3,8\n"), Some(9));
        assert_eq!(behind_last_cpu("0,2-5\n"), Some(6));
        assert_eq!(behind_last_cpu(""), None);
        assert_eq!(behind_last_cpu("many"), None);
    }
}
