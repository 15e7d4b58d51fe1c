//! Empty BPF programs, and what the kernel knows about loaded ones.
//!
//! The empty ones show what is lost to the hooks themselves: no program on them can cost less. They
//! are two instructions each, so there is nothing to compile.

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use anyhow::{Context as _, Result};
use nix::libc;

/// `r0 = 1; exit`: tracepoints ignore the value, for cgroup_skb it means "let the packet pass".
const RETURN_ONE: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];

// Commands, types and attach types of bpf(2), from linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const LINK_CREATE: libc::c_int = 28;
const ENABLE_STATS: libc::c_int = 32;
const TYPE_CGROUP_SKB: u32 = 8;
const TYPE_RAW_TRACEPOINT: u32 = 17;
const CGROUP_INET_INGRESS: u32 = 0;
const CGROUP_INET_EGRESS: u32 = 1;

/// A hook that an empty program can sit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A raw tracepoint; a `tp_btf` program on it is called in the same way.
    Tracepoint(&'static CStr),
    /// Packets that sockets receive.
    Ingress,
    /// Packets that sockets send.
    Egress,
}

/// Empty programs, attached until dropped.
pub struct Floor {
    /// Programs and links: closing a link detaches it.
    _held: Vec<OwnedFd>,
}

impl Floor {
    /// Attaches an empty program to each of `hooks`.
    pub fn attach(hooks: &[Hook]) -> Result<Self> {
        let mut held = Vec::new();
        for hook in hooks {
            let link = attach_one(*hook);
            held.extend(link.with_context(|| format!("attaching an empty program: {hook:?}"))?);
        }
        Ok(Self { _held: held })
    }
}

fn attach_one(hook: Hook) -> Result<[OwnedFd; 2]> {
    match hook {
        Hook::Tracepoint(name) => {
            let program = load(TYPE_RAW_TRACEPOINT, 0)?;
            let link =
                RawTracepoint { name: name.as_ptr().addr() as u64, prog_fd: raw(&program), pad: 0 };
            let link = bpf_fd(RAW_TRACEPOINT_OPEN, &link)?;
            Ok([program, link])
        }
        Hook::Ingress => attach_to_cgroup(CGROUP_INET_INGRESS),
        Hook::Egress => attach_to_cgroup(CGROUP_INET_EGRESS),
    }
}

fn attach_to_cgroup(attach_type: u32) -> Result<[OwnedFd; 2]> {
    let cgroup = super::machine::cgroup_root()?;
    let directory = File::open(&cgroup).with_context(|| format!("opening {}", cgroup.display()))?;
    let program = load(TYPE_CGROUP_SKB, attach_type)?;
    let target_fd = u32::try_from(directory.as_raw_fd()).context("a descriptor below 0")?;
    let link = LinkCreate { prog_fd: raw(&program), target_fd, attach_type, flags: 0 };
    let link = bpf_fd(LINK_CREATE, &link)?;
    Ok([program, link])
}

fn load(prog_type: u32, expected_attach_type: u32) -> io::Result<OwnedFd> {
    let attributes = ProgLoad {
        prog_type,
        instructions: RETURN_ONE.len() as u32,
        instructions_at: RETURN_ONE.as_ptr().addr() as u64,
        license_at: c"Dual MIT/GPL".as_ptr().addr() as u64,
        name: *b"empty\0\0\0\0\0\0\0\0\0\0\0",
        expected_attach_type,
        ..ProgLoad::default()
    };
    bpf_fd(PROG_LOAD, &attributes)
}

/// Makes the kernel count runs of BPF programs, and their time, until dropped. This costs some tens
/// of nanoseconds a run.
pub fn count_runs() -> Result<OwnedFd> {
    const RUN_TIME: u32 = 0;
    bpf_fd(ENABLE_STATS, &RUN_TIME).context("making the kernel count runs of BPF programs")
}

/// A program's name, of which the kernel keeps 15 bytes; None once it is gone.
pub fn program_name(id: u32) -> Option<String> {
    /// Where `name` stands in `struct bpf_prog_info`.
    const NAME: usize = 64;
    const NAME_BYTES: usize = 16;
    let program = bpf_fd(PROG_GET_FD_BY_ID, &[id, 0, 0]).ok()?;
    // The kernel fills as much as there is room for.
    let mut info = [0u8; NAME + NAME_BYTES];
    let request = ObjGetInfo {
        fd: raw(&program),
        info_bytes: info.len() as u32,
        info_at: info.as_mut_ptr().expose_provenance() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &request).ok()?;
    let name = CStr::from_bytes_until_nul(&info[NAME..]).ok()?;
    Some(name.to_string_lossy().into_owned())
}

fn raw(fd: &OwnedFd) -> u32 {
    // A descriptor is never below 0.
    fd.as_raw_fd().unsigned_abs()
}

/// `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    prog_type: u32,
    instructions: u32,
    instructions_at: u64,
    license_at: u64,
    log_level: u32,
    log_size: u32,
    log_at: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// `BPF_RAW_TRACEPOINT_OPEN`.
#[repr(C)]
struct RawTracepoint {
    name: u64,
    prog_fd: u32,
    pad: u32,
}

/// `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct ObjGetInfo {
    fd: u32,
    info_bytes: u32,
    info_at: u64,
}

/// A command that returns a descriptor.
fn bpf_fd<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the kernel reads no more than the size it is given; the attributes, and what they
    // point at, outlive the call; the one command that writes (info by descriptor) writes into a
    // buffer whose length it is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>() as libc::c_uint,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as RawFd) }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// Offsets from linux/bpf.h, which never change.
    #[test]
    fn attributes_lie_where_the_kernel_reads_them() {
        assert_eq!(offset_of!(ProgLoad, license_at), 16);
        assert_eq!(offset_of!(ProgLoad, kernel_version), 40);
        assert_eq!(offset_of!(ProgLoad, name), 48);
        assert_eq!(offset_of!(ProgLoad, expected_attach_type), 68);
        assert_eq!(offset_of!(RawTracepoint, prog_fd), 8);
        assert_eq!(offset_of!(LinkCreate, flags), 12);
        assert_eq!(offset_of!(ObjGetInfo, info_at), 8);
    }
}
