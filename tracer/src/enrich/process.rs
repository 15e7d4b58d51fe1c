//! What is known of a process beyond the event that named it: binary, cgroup, container.
//!
//! Events come when a short-lived process (curl) may be gone, so its path is remembered from its
//! exec event, which carries what /proc/PID/exe had then. Where that file can still be read it
//! wins: a process may set it (PR_SET_MM_EXE_FILE). All of it is asked again after a second:
//! process ids are reused, and an exec event may have been lost.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lru::LruCache;

pub use crate::conn::ProcessFacts;
use crate::load::host;
use crate::time::Timestamp;

mod cgroups;

pub use cgroups::{CgroupPaths, MAX_CGROUPS, ProcCgroup, container_id};

/// Bound on processes remembered; those not asked for the longest are forgotten first.
pub const MAX_PROCESSES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// What the names of files begin with that memfd_create(2) made (mm/memfd.c).
const MEMFD_PREFIX: &str = "/memfd:";
/// How long facts are believed without another look. No host gives out all its process ids in a second.
const BELIEVED_NS: u64 = 1_000_000_000;

/// Remembers facts by process id.
#[derive(Debug)]
pub struct ProcessTable {
    proc: Option<PathBuf>,
    cgroups: CgroupPaths,
    entries: LruCache<u32, Entry>,
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Entry {
    /// The binary of its last exec, by that event.
    exec_path: Option<Arc<str>>,
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    facts: Arc<ProcessFacts>,
    cgroup_id: u64,
    looked_at: Timestamp,
}

impl ProcessTable {
    /// An empty table; `cgroup_root` is the cgroup v2 root directory (`load::cgroup::CgroupRoot::path`).
    ///
    /// In a pid namespace other than the initial one the process ids of events are not those of /proc, which is
    /// then left alone.
    #[must_use]
    pub fn new(cgroup_root: Option<PathBuf>) -> ProcessTable {
        let same_pids = host::in_initial_pid_namespace() == Some(true);
        ProcessTable::with_proc(same_pids.then(|| "/proc".into()), cgroup_root, MAX_PROCESSES)
    }

    fn with_proc(
        proc: Option<PathBuf>,
        cgroup_root: Option<PathBuf>,
        max_processes: NonZeroUsize,
    ) -> ProcessTable {
        ProcessTable {
            proc,
            cgroups: CgroupPaths::new(cgroup_root),
            entries: LruCache::new(max_processes),
            forgotten: 0,
        }
    }

    /// How often a bound was hit: processes forgotten and cgroups left out.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten + self.cgroups.left_out()
    }

    /// The process executed the binary at `path`; `None` where the event could not carry it.
    pub fn observe_exec(&mut self, pid: u32, path: Option<&str>) {
        self.keep(pid, Entry { exec_path: path.map(Arc::from), known: None });
    }

    /// `parent_pid` made the process `pid`: until that executes something, its binary is its parent's.
    pub fn observe_fork(&mut self, pid: u32, parent_pid: u32, now: Timestamp) {
        // The parent may have executed something else since: its events come in order, /proc is of
        // now.
        let executed = self.entries.get(&parent_pid).and_then(|parent| parent.exec_path.clone());
        let exec_path = executed.or_else(|| self.facts(parent_pid, 0, now).exe.clone());
        self.keep(pid, Entry { exec_path, known: None });
    }

    /// What is known of a process. `cgroup_id` is the event's, 0 where it has none.
    pub fn facts(&mut self, pid: u32, cgroup_id: u64, now: Timestamp) -> Arc<ProcessFacts> {
        let mut entry = self.entries.pop(&pid).unwrap_or_default();
        let known = match entry.known.take() {
            Some(known) if known.is_believed(cgroup_id, now) => known,
            before => self.look(pid, cgroup_id, now, &entry, before),
        };
        let facts = Arc::clone(&known.facts);
        entry.known = Some(known);
        self.keep(pid, entry);
        facts
    }

    fn keep(&mut self, pid: u32, entry: Entry) {
        let pushed_out = self.entries.push(pid, entry);
        self.forgotten += u64::from(pushed_out.is_some_and(|(other, _)| other != pid));
    }

    /// Asks /proc and the cgroup tree. Of a process that is gone, what was known before stays.
    fn look(
        &mut self,
        pid: u32,
        cgroup_id: u64,
        now: Timestamp,
        entry: &Entry,
        before: Option<Known>,
    ) -> Known {
        let proc = self.proc.as_ref().map(|proc| proc.join(pid.to_string()));
        let of_proc = proc.as_deref().map(read_proc).unwrap_or_default();
        let of_id = self.cgroups.path(cgroup_id, now);
        let before = before.map(|known| known.facts).unwrap_or_default();
        let exe = of_proc
            .exe
            .map(Arc::from)
            .or_else(|| entry.exec_path.clone())
            .or_else(|| before.exe.clone());
        // The event's own cgroup is the one of that moment; a process may be moved later.
        let cgroup = of_id
            .map(|path| Arc::from(&*path))
            .or(of_proc.cgroup.v2.map(Arc::from))
            .or_else(|| before.cgroup.clone());
        let container = cgroup.as_deref().and_then(container_id).map(Arc::from);
        let container = container
            .or(of_proc.cgroup.container.map(Arc::from))
            .or_else(|| before.container.clone());
        let facts = Arc::new(ProcessFacts { exe, cgroup, container });
        Known { facts, cgroup_id, looked_at: now }
    }
}

impl Known {
    fn is_believed(&self, cgroup_id: u64, now: Timestamp) -> bool {
        let same_group = cgroup_id == 0 || cgroup_id == self.cgroup_id;
        same_group && now.since_ns(self.looked_at) < BELIEVED_NS
    }
}

#[derive(Debug, Default)]
struct OfProc {
    exe: Option<String>,
    cgroup: ProcCgroup,
}

/// The only place that reads a process's files.
fn read_proc(directory: &Path) -> OfProc {
    let exe = fs::read_link(directory.join("exe")).ok();
    let cgroup = fs::read_to_string(directory.join("cgroup")).unwrap_or_default();
    OfProc { exe: exe.as_deref().map(binary_path), cgroup: ProcCgroup::parse(&cgroup) }
}

/// The kernel marks the link of a binary that was replaced (an upgraded daemon); the path is still
/// its name. A file that never was in a directory has the mark as part of its name.
fn binary_path(link: &Path) -> String {
    let link = link.to_string_lossy();
    if link.starts_with(MEMFD_PREFIX) {
        return link.into_owned();
    }
    link.strip_suffix(" (deleted)").unwrap_or(&link).to_owned()
}

#[cfg(test)]
mod tests;
