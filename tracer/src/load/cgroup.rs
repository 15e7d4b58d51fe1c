//! The cgroup v2 root that packet hooks are attached to.
//!
//! Hosts have it at /sys/fs/cgroup (unified), at /sys/fs/cgroup/unified (hybrid) or not mounted at all (v1
//! only). In the last case it is mounted without a place in the file system, so that nothing on the host
//! changes. The kernel has one v2 hierarchy however often it is mounted.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::mountinfo::{self, Mount};
use super::private_mount;

/// Of cgroup v2, as mount(2) has it.
const FS_TYPE: &str = "cgroup2";

/// CGROUP2_SUPER_MAGIC (include/uapi/linux/magic.h).
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// How cgroups are mounted on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// cgroup v2 alone.
    Unified,
    /// v1 controllers, and v2 beside them (systemd's hybrid mode).
    Hybrid,
    /// v1 controllers alone.
    V1Only,
    /// No cgroup file system is mounted.
    None,
}

/// The layout that a set of mounts shows.
#[must_use]
pub fn layout(mounts: &[Mount]) -> Layout {
    let has = |fs_type: &str| mounts.iter().any(|m| m.fs_type == fs_type);
    match (has("cgroup2"), has("cgroup")) {
        (true, false) => Layout::Unified,
        (true, true) => Layout::Hybrid,
        (false, true) => Layout::V1Only,
        (false, false) => Layout::None,
    }
}

/// Where the root directory came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was mounted here already.
    Mounted(PathBuf),
    /// Mounted by this program without a place: gone when the program ends, seen by no one else.
    Detached,
    /// Mounted by this program in a mount namespace of its own (the kernel refused a mount without a place).
    PrivateNamespace,
    /// Only a part of the hierarchy is mounted and more was refused: processes outside of it are not seen.
    Subtree(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Mounted(path) => write!(f, "cgroup v2 is mounted at {}", path.display()),
            Origin::Detached => f.write_str(
                "cgroup v2 is not mounted; using a mount of its own that nothing else sees",
            ),
            Origin::PrivateNamespace => f.write_str(
                "cgroup v2 is not mounted; using a mount in a mount namespace of its own",
            ),
            Origin::Subtree(path) => write!(
                f,
                "only a part of cgroup v2 is mounted, at {}: packets of processes outside of it are not seen",
                path.display()
            ),
        }
    }
}

/// An open cgroup v2 root.
#[derive(Debug)]
pub struct CgroupRoot {
    /// The directory, open for reading.
    pub directory: File,
    /// Where it came from.
    pub origin: Origin,
}

impl CgroupRoot {
    /// A path to the directory that holds as long as `self` does and in this process only.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match &self.origin {
            Origin::Mounted(path) | Origin::Subtree(path) => path.clone(),
            Origin::Detached | Origin::PrivateNamespace => {
                format!("/proc/self/fd/{}", self.directory.as_raw_fd()).into()
            }
        }
    }
}

/// No cgroup v2 root could be had.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// /proc/self/mountinfo could not be read.
    #[error("cannot read /proc/self/mountinfo: {0}; mount /proc")]
    Mountinfo(#[source] io::Error),
    /// Not mounted, and mounting was refused.
    #[error(
        "cgroup v2 is not mounted and cannot be mounted privately: {detached}; in a mount namespace: {private}; packets cannot be traced (needs CAP_SYS_ADMIN, or mount it: `mount -t cgroup2 none /mnt`)"
    )]
    Refused {
        /// What fsopen/fsmount said.
        detached: io::Error,
        /// What mounting in a namespace of its own said.
        private: io::Error,
    },
}

/// Opens the cgroup v2 root, mounting it privately where the host has none.
///
/// # Errors
/// [`CgroupError`]
pub fn open_root() -> Result<CgroupRoot, CgroupError> {
    let mounts = mountinfo::of_this_process().map_err(CgroupError::Mountinfo)?;
    let (whole, parts) = candidates(&mounts);
    if let Some((directory, path)) = open_first(&whole) {
        return Ok(CgroupRoot { directory, origin: Origin::Mounted(path) });
    }
    let detached = match private_mount::detached(FS_TYPE) {
        Ok(directory) => return Ok(CgroupRoot { directory, origin: Origin::Detached }),
        Err(e) => e,
    };
    let private = match private_mount::in_namespace(FS_TYPE) {
        Ok(directory) => return Ok(CgroupRoot { directory, origin: Origin::PrivateNamespace }),
        Err(e) => e,
    };
    match open_first(&parts) {
        Some((directory, path)) => Ok(CgroupRoot { directory, origin: Origin::Subtree(path) }),
        None => Err(CgroupError::Refused { detached, private }),
    }
}

/// Mount points of the whole hierarchy, and those of parts of it (containers without a cgroup namespace).
fn candidates(mounts: &[Mount]) -> (Vec<&Path>, Vec<&Path>) {
    let v2 = mounts.iter().filter(|m| m.fs_type == "cgroup2");
    let (whole, parts): (Vec<_>, Vec<_>) =
        v2.map(|m| (m.root == Path::new("/"), m.point.as_path())).partition(|(whole, _)| *whole);
    let points = |mounts: Vec<(bool, _)>| mounts.into_iter().map(|(_, point)| point).collect();
    (points(whole), points(parts))
}

fn open_first(points: &[&Path]) -> Option<(File, PathBuf)> {
    points.iter().find_map(|point| {
        let directory = File::open(point).ok()?;
        // Another mount may lie on top of the one in the list.
        is_cgroup2(&directory).then(|| (directory, point.to_path_buf()))
    })
}

fn is_cgroup2(directory: &File) -> bool {
    rustix::fs::fstatfs(directory).is_ok_and(|s| s.f_type as u64 == CGROUP2_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:12 - cgroup cgroup rw,cpu,cpuacct
";
    const V1_ONLY: &str = "\
31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
34 31 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory
";
    const PART: &str = "30 23 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    const NONE: &str = "25 1 254:1 / / rw - ext4 /dev/vda1 rw\n";

    fn mounts(text: &str) -> Vec<Mount> {
        mountinfo::parse(text.as_bytes()).collect()
    }

    #[test]
    fn layouts_are_told_apart() {
        for (text, expected) in [
            (UNIFIED, Layout::Unified),
            (HYBRID, Layout::Hybrid),
            (V1_ONLY, Layout::V1Only),
            (NONE, Layout::None),
        ] {
            assert_eq!(layout(&mounts(text)), expected, "{text}");
        }
    }

    #[test]
    fn only_whole_hierarchies_are_candidates_of_the_first_choice() {
        for (text, whole, parts) in [
            (UNIFIED, &["/sys/fs/cgroup"][..], &[][..]),
            (HYBRID, &["/sys/fs/cgroup/unified"], &[]),
            (V1_ONLY, &[], &[]),
            (PART, &[], &["/sys/fs/cgroup"]),
        ] {
            let mounts = mounts(text);
            let expected = |list: &'static [&str]| list.iter().map(Path::new).collect::<Vec<_>>();
            assert_eq!(candidates(&mounts), (expected(whole), expected(parts)), "{text}");
        }
    }

    fn is_root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("SKIPPED: mounting needs root");
        }
        root
    }

    fn cgroup_mounts_of_this_process() -> Vec<Mount> {
        let mounts = mountinfo::of_this_process().unwrap();
        mounts.into_iter().filter(|m| m.fs_type == "cgroup2").collect()
    }

    #[test]
    fn the_root_of_this_host_is_opened() {
        if !is_root() {
            return;
        }
        let root = open_root().unwrap();
        assert!(is_cgroup2(&root.directory));
        assert!(root.path().join("cgroup.procs").exists(), "{}", root.origin);
    }

    #[test]
    fn private_mounts_show_the_hierarchy_and_leave_no_trace_on_the_host() {
        if !is_root() {
            return;
        }
        let before = cgroup_mounts_of_this_process();
        for (directory, origin) in [
            (private_mount::detached(FS_TYPE), Origin::Detached),
            (private_mount::in_namespace(FS_TYPE), Origin::PrivateNamespace),
        ] {
            let root = CgroupRoot { directory: directory.unwrap(), origin };
            assert!(is_cgroup2(&root.directory), "{}", root.origin);
            assert!(root.path().join("cgroup.procs").exists(), "{}", root.origin);
        }
        assert_eq!(cgroup_mounts_of_this_process(), before);
    }
}
