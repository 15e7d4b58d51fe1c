//! tracefs for the moment of attaching: mounted where the host has none, in a namespace of its own.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::programs::AttachError;

const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Runs `attach` where tracefs can be read: here, or on a thread with a mount namespace of its own, so that
/// nothing changes for anybody else.
///
/// # Errors
/// Those of `attach`; or that tracefs can neither be found nor mounted.
pub fn with<T: Send>(
    attach: impl FnOnce() -> Result<T, AttachError> + Send,
) -> Result<T, AttachError> {
    if PLACES.iter().any(|place| Path::new(place).join("events").is_dir()) {
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
    mount(Some("tracefs"), PLACES[0], Some("tracefs"), MsFlags::empty(), none)
}
