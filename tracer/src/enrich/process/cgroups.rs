//! Paths of cgroups by their id, and the container that a path speaks of.

use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::time::Timestamp;

/// Bound on cgroups remembered, and on directories visited by one walk.
pub const MAX_CGROUPS: usize = 65_536;
/// The kernel allows more, but no manager nests as deep.
const MAX_DEPTH: usize = 32;
/// A walk takes some milliseconds on a host with thousands of cgroups.
const WALK_INTERVAL_NS: u64 = 1_000_000_000;
const CONTAINER_ID_DIGITS: usize = 64;

/// Finds the path of a cgroup by its id, which is the inode number of its directory (kernel >= 5.5, 64 bits).
#[derive(Debug, Default)]
pub struct CgroupPaths {
    root: Option<PathBuf>,
    /// `None`: a walk has shown that it is gone. Ids are not given twice, so this stays true.
    by_id: FxHashMap<u64, Option<Arc<str>>>,
    walked_at: Option<Timestamp>,
    left_out: u64,
}

impl CgroupPaths {
    /// Looks under `root`, the cgroup v2 root directory.
    #[must_use]
    pub fn new(root: Option<PathBuf>) -> CgroupPaths {
        CgroupPaths { root, ..CgroupPaths::default() }
    }

    /// Directories that did not fit into the table.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The path from the v2 root, beginning with `/`. An unknown id costs a walk, at most once a second.
    pub fn path(&mut self, id: u64, now: Timestamp) -> Option<Arc<str>> {
        if let Some(known) = self.by_id.get(&id) {
            return known.clone();
        }
        let due = |at: Timestamp| now.since_ns(at) >= WALK_INTERVAL_NS;
        if id == 0 || !self.walked_at.is_none_or(due) {
            return None;
        }
        self.walked_at = Some(now);
        self.walk();
        self.by_id.entry(id).or_default().clone()
    }

    fn walk(&mut self) {
        let Some(root) = self.root.clone() else { return };
        // Paths of cgroups that have ended are kept for their last events, but not for ever.
        if self.by_id.len() > MAX_CGROUPS / 2 {
            self.by_id.clear();
        }
        if let Ok(metadata) = fs::metadata(&root) {
            self.by_id.insert(metadata.ino(), Some("/".into()));
        }
        self.walk_into(&root, "", MAX_DEPTH);
    }

    fn walk_into(&mut self, directory: &Path, path: &str, depth: usize) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            if depth == 0 || self.by_id.len() >= MAX_CGROUPS {
                self.left_out += 1;
                continue;
            }
            let child = format!("{path}/{}", entry.file_name().to_string_lossy());
            self.walk_into(&entry.path(), &child, depth - 1);
            self.by_id.insert(entry.ino(), Some(child.into()));
        }
    }
}

/// What /proc/PID/cgroup says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcCgroup {
    /// The cgroup v2 path.
    pub v2: Option<String>,
    /// Container id in any hierarchy's path, v2 first.
    pub container: Option<String>,
}

impl ProcCgroup {
    /// Reads lines of `hierarchy:controllers:path` (cgroups(7)); others are passed over.
    #[must_use]
    pub fn parse(text: &str) -> ProcCgroup {
        let lines = || text.lines().filter_map(cgroup_line);
        let v2 = lines().find(|(hierarchy, _)| *hierarchy == "0").map(|(_, path)| path);
        let container = v2.and_then(container_id).or_else(|| {
            lines()
                .filter(|(hierarchy, _)| *hierarchy != "0")
                .find_map(|(_, path)| container_id(path))
        });
        ProcCgroup { v2: v2.map(str::to_owned), container: container.map(str::to_owned) }
    }
}

fn cgroup_line(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(3, ':');
    let (hierarchy, _controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.starts_with('/').then_some((hierarchy, path))
}

/// The id of the innermost container in a cgroup path: 64 hex digits, as docker, containerd, CRI-O and podman
/// name their groups: `docker-ID.scope`, `/docker/ID`, `cri-containerd-ID.scope`, `crio-ID.scope`,
/// `libpod-ID.scope/container`, `/kubepods/../ID`, `..:cri-containerd:ID`.
#[must_use]
pub fn container_id(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|name| {
        let name = name.strip_suffix(".scope").unwrap_or(name);
        let (prefix, id) = name.rsplit_once(['-', ':']).unwrap_or(("", name));
        // The monitor beside a container (crio-conmon-ID, libpod-conmon-ID) is not in it.
        (!prefix.ends_with("conmon") && is_container_id(id)).then_some(id)
    })
}

fn is_container_id(text: &str) -> bool {
    text.len() == CONTAINER_ID_DIGITS
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1c0e8b5a7d2946e1f0b3c8d7a6952413fedcba98765432100123456789abcd";

    #[test]
    fn container_ids_are_found_as_each_runtime_writes_them() {
        for template in [
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/system.slice/docker-ID.scope/init",
            "/kubepods/besteffort/pod8f3a/ID",
            "/kubepods.slice/kubepods-pod8f3a.slice/cri-containerd-ID.scope",
            "/kubepods.slice/kubepods-pod8f3a.slice/crio-ID.scope",
            "/system.slice/containerd.service/kubepods-burstable-pod8f3a.slice:cri-containerd:ID",
            "/machine.slice/libpod-ID.scope/container",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            "/ecs/0123/ID",
        ] {
            assert_eq!(container_id(&template.replace("ID", ID)), Some(ID), "{template}");
        }
    }

    #[test]
    fn paths_without_a_container_have_none() {
        for template in [
            "",
            "/",
            "/system.slice/nginx.service",
            "/user.slice/user-1000.slice/session-3.scope",
            "/process/e54ab3e27d5de48484c07904d06608c5",
            "/machine.slice/libpod-conmon-ID.scope",
            "/x/crio-conmon-ID.scope",
            "/docker/IDff",
            "/docker/0ID",
        ] {
            assert_eq!(container_id(&template.replace("ID", ID)), None, "{template}");
        }
        assert_eq!(container_id(&format!("/docker/{}", ID.to_uppercase())), None);
    }

    #[test]
    fn of_nested_containers_the_innermost_counts() {
        let outer = ID.replace('3', "4");
        assert_eq!(container_id(&format!("/docker/{outer}/docker/{ID}")), Some(ID));
    }

    #[test]
    fn proc_cgroup_tells_the_v2_path_and_a_container_from_any_hierarchy() {
        let unified = format!("0::/system.slice/docker-{ID}.scope\n");
        let hybrid = format!("12:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/\n");
        let v1_only = format!("4:memory:/kubepods/pod1/{ID}\n");
        let container = Some(ID.to_owned());
        for (text, v2, container) in [
            (unified.as_str(), Some(unified[3..].trim_end()), container.clone()),
            (&hybrid, Some("/"), container.clone()),
            (&v1_only, None, container),
            ("0::/user.slice\n", Some("/user.slice"), None),
            ("0::/a:b\n", Some("/a:b"), None),
            ("0::/gone.service (deleted)\n", Some("/gone.service"), None),
            ("", None, None),
            ("0::\n::::\nx\n0:/\n", None, None),
        ] {
            let expected = ProcCgroup { v2: v2.map(str::to_owned), container };
            assert_eq!(ProcCgroup::parse(text), expected, "{text:?}");
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    fn id_of(path: &Path) -> u64 {
        fs::metadata(path).unwrap().ino()
    }

    #[test]
    fn an_id_is_the_inode_of_a_directory_under_the_root() {
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join("system.slice/nginx.service");
        fs::create_dir_all(&service).unwrap();
        fs::write(service.join("cgroup.procs"), "").unwrap();
        let mut paths = CgroupPaths::new(Some(root.path().into()));
        assert_eq!(
            paths.path(id_of(&service), at(1)).as_deref(),
            Some("/system.slice/nginx.service")
        );
        assert_eq!(paths.path(id_of(root.path()), at(1)).as_deref(), Some("/"));
        assert_eq!(paths.path(0, at(9)), None);
    }

    #[test]
    fn a_new_cgroup_is_found_by_a_walk_that_is_made_once_a_second_at_most() {
        let root = tempfile::tempdir().unwrap();
        let mut paths = CgroupPaths::new(Some(root.path().into()));
        assert_eq!(paths.path(u64::MAX, at(1)), None);
        let late = root.path().join("late");
        fs::create_dir(&late).unwrap();
        assert_eq!(paths.path(id_of(&late), Timestamp(at(2).0 - 1)), None);
        assert_eq!(paths.path(id_of(&late), at(2)).as_deref(), Some("/late"));
    }

    #[test]
    fn a_cgroup_that_has_ended_keeps_its_path() {
        let root = tempfile::tempdir().unwrap();
        let brief = root.path().join("brief");
        fs::create_dir(&brief).unwrap();
        let id = id_of(&brief);
        let mut paths = CgroupPaths::new(Some(root.path().into()));
        assert!(paths.path(id, at(1)).is_some());
        fs::remove_dir(&brief).unwrap();
        assert_eq!(paths.path(u64::MAX, at(5)), None);
        assert_eq!(paths.path(id, at(9)).as_deref(), Some("/brief"));
    }

    #[test]
    fn without_a_root_nothing_is_known() {
        assert_eq!(CgroupPaths::new(None).path(1, at(1)), None);
    }
}
