//! File systems that this program needs and the host has not mounted: mounted so that nobody else sees them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// Mounts a file system without a place; its root directory, which keeps the mount alive.
///
/// # Errors
/// What the kernel said to fsopen(2) or fsmount(2).
pub(super) fn detached(fs_type: &str) -> io::Result<File> {
    let context = rustix::mount::fsopen(fs_type, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    let mount = rustix::mount::fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    readable(&mount)
}

/// fsmount gives an O_PATH descriptor; this one can be read, and keeps the mount alive on its own.
fn readable(mount: &OwnedFd) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(mount, ".", flags, Mode::empty())?))
}

/// The same with a mount in a mount namespace of its own, for kernels that refuse one without a place.
///
/// # Errors
/// What the kernel said to unshare(2) or mount(2).
pub(super) fn in_namespace(fs_type: &'static str) -> io::Result<File> {
    // In a thread of its own, for there is no way back out of the namespace.
    let thread = std::thread::Builder::new().name("private-mount".into());
    let worker = thread.spawn(move || -> io::Result<File> {
        const NONE: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(NONE, "/sys", Some(fs_type), flags, NONE)?;
        File::open("/sys")
    })?;
    worker.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread died")))
}
