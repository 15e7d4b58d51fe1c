//! tracefs: the host's own, or a private mount where the host has none.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::private_mount;
use super::programs::AttachError;

/// Of tracefs, as mount(2) has it.
const FS_TYPE: &str = "tracefs";
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The root of tracefs, for as long as this lives.
pub(super) struct Root {
    path: PathBuf,
    /// Keeps a private mount alive, whose path leads through it.
    _mount: Option<File>,
}

impl Root {
    /// The host's tracefs, or a private mount of it. What is made in one is in the other: the kernel has one tracefs.
    ///
    /// # Errors
    /// That of the mount, where the host has none and the kernel refuses one.
    pub fn open() -> io::Result<Root> {
        match place() {
            Some(place) => Ok(Root { path: place.to_owned(), _mount: None }),
            None => Root::mounted_privately(),
        }
    }

    fn mounted_privately() -> io::Result<Root> {
        let mount =
            private_mount::detached(FS_TYPE).or_else(|_| private_mount::in_namespace(FS_TYPE))?;
        let path = format!("/proc/self/fd/{}", mount.as_raw_fd()).into();
        Ok(Root { path, _mount: Some(mount) })
    }

    /// Its path, in this process.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the host has it.
fn place() -> Option<&'static Path> {
    PLACES.iter().map(Path::new).find(|place| place.join("events").is_dir())
}

/// Runs `attach` where tracefs can be read: here, or on a thread with a mount namespace of its own, so that
/// nothing changes for anybody else.
///
/// # Errors
/// Those of `attach`; or that tracefs can neither be found nor mounted.
pub fn with<T: Send>(
    attach: impl FnOnce() -> Result<T, AttachError> + Send,
) -> Result<T, AttachError> {
    if place().is_some() {
        return attach();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            mount_privately().map_err(|errno| {
                AttachError::Needs(format!(
                    "tracefs is not mounted and mounting it was refused ({errno}); mount it: mount -t tracefs tracefs {}",
                    PLACES[0]
                ))
            })?;
            attach()
        });
        thread
            .join()
            .unwrap_or_else(|_panic| Err(AttachError::Needs("attaching failed".to_owned())))
    })
}

fn mount_privately() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some(FS_TYPE), PLACES[0], Some(FS_TYPE), MsFlags::empty(), none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_mount_has_the_events_and_the_instances_and_leaves_no_trace() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: mounting needs root");
            return;
        }
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = mounts();
        let root = Root::mounted_privately().unwrap();
        for directory in ["events/sock/inet_sock_set_state", "instances"] {
            assert!(root.path().join(directory).is_dir(), "{directory}");
        }
        let instance = root.path().join(format!("instances/tracer-test-{}", std::process::id()));
        std::fs::create_dir(&instance).unwrap();
        assert!(instance.join("trace_pipe").exists());
        std::fs::remove_dir(&instance).unwrap();
        assert_eq!(mounts(), before);
    }
}
