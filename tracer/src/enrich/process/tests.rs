use std::os::unix::fs::{MetadataExt, symlink};

use tempfile::TempDir;

use super::*;

const ID: &str = "3f1c0e8b5a7d2946e1f0b3c8d7a6952413fedcba98765432100123456789abcd";

/// A /proc and a cgroup tree of the test's own.
struct World {
    proc: TempDir,
    cgroups: TempDir,
    table: ProcessTable,
}

fn world_of(max_processes: usize) -> World {
    let (proc, cgroups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let table = ProcessTable::with_proc(
        Some(proc.path().into()),
        Some(cgroups.path().into()),
        NonZeroUsize::new(max_processes).unwrap(),
    );
    World { proc, cgroups, table }
}

fn world() -> World {
    world_of(16)
}

impl World {
    fn start(&self, pid: u32, exe: &str, cgroup: &str) {
        let directory = self.proc.path().join(pid.to_string());
        fs::create_dir_all(&directory).unwrap();
        let _ = fs::remove_file(directory.join("exe"));
        symlink(exe, directory.join("exe")).unwrap();
        fs::write(directory.join("cgroup"), cgroup).unwrap();
    }

    fn end(&self, pid: u32) {
        fs::remove_dir_all(self.proc.path().join(pid.to_string())).unwrap();
    }

    fn make_cgroup(&self, path: &str) -> u64 {
        let directory = self.cgroups.path().join(path);
        fs::create_dir_all(&directory).unwrap();
        fs::metadata(directory).unwrap().ino()
    }

    fn exe(&mut self, pid: u32, second: u64) -> Option<Arc<str>> {
        self.table.facts(pid, 0, at(second)).exe.clone()
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

fn some(text: &str) -> Option<Arc<str>> {
    Some(text.into())
}

#[test]
fn a_running_process_is_told_from_proc() {
    let mut w = world();
    w.start(7, "/usr/sbin/nginx", &format!("0::/system.slice/docker-{ID}.scope\n"));
    let facts = w.table.facts(7, 0, at(1));
    assert_eq!(
        *facts,
        ProcessFacts {
            exe: some("/usr/sbin/nginx"),
            cgroup: Some(format!("/system.slice/docker-{ID}.scope").into()),
            container: some(ID),
        }
    );
}

#[test]
fn a_process_that_is_gone_is_told_from_its_exec_and_its_events_cgroup() {
    let mut w = world();
    let id = w.make_cgroup(&format!("docker/{ID}"));
    w.table.observe_exec(7, Some("/usr/bin/curl"));
    let facts = w.table.facts(7, id, at(1));
    assert_eq!(facts.exe, some("/usr/bin/curl"));
    assert_eq!(facts.cgroup, Some(format!("/docker/{ID}").into()));
    assert_eq!(facts.container, some(ID));
}

#[test]
fn proc_wins_over_the_exec_event_for_a_process_may_set_its_binary() {
    let mut w = world();
    w.table.observe_exec(7, Some("/usr/sbin/criu"));
    w.start(7, "/opt/app/server", "");
    assert_eq!(w.exe(7, 1), some("/opt/app/server"));
}

#[test]
fn an_exec_replaces_what_was_known_at_once() {
    let mut w = world();
    w.start(7, "/usr/bin/bash", "");
    assert_eq!(w.exe(7, 1), some("/usr/bin/bash"));
    w.start(7, "/usr/bin/curl", "");
    w.table.observe_exec(7, Some("/usr/bin/curl"));
    w.end(7);
    assert_eq!(w.exe(7, 1), some("/usr/bin/curl"));
}

#[test]
fn facts_outlive_their_process() {
    let mut w = world();
    w.start(7, "/usr/bin/curl", "0::/user.slice\n");
    w.table.facts(7, 0, at(1));
    w.end(7);
    let facts = w.table.facts(7, 0, at(60));
    assert_eq!((&facts.exe, &facts.cgroup), (&some("/usr/bin/curl"), &some("/user.slice")));
}

#[test]
fn a_reused_process_id_is_noticed_within_a_second() {
    let mut w = world();
    w.start(7, "/usr/bin/curl", "");
    w.table.facts(7, 0, at(1));
    w.start(7, "/usr/sbin/nginx", "");
    assert_eq!(w.exe(7, 2), some("/usr/sbin/nginx"));
}

#[test]
fn facts_are_believed_for_less_than_a_second_without_another_look() {
    let mut w = world();
    w.start(7, "/usr/bin/curl", "");
    let first = w.table.facts(7, 0, at(1));
    w.end(7);
    let again = w.table.facts(7, 0, Timestamp(at(2).0 - 1));
    assert!(Arc::ptr_eq(&first, &again));
}

#[test]
fn the_events_cgroup_counts_more_than_where_the_process_is_now() {
    let mut w = world();
    let id = w.make_cgroup("then.slice");
    w.start(7, "/usr/bin/curl", "0::/now.slice\n");
    assert_eq!(w.table.facts(7, id, at(1)).cgroup, some("/then.slice"));
    let moved = w.make_cgroup("moved.slice");
    assert_eq!(w.table.facts(7, moved, at(2)).cgroup, some("/moved.slice"));
}

#[test]
fn on_a_hybrid_host_the_container_is_in_the_v1_lines() {
    let mut w = world();
    w.start(7, "/bin/sh", &format!("4:memory:/docker/{ID}\n0::/\n"));
    let facts = w.table.facts(7, 0, at(1));
    assert_eq!((&facts.cgroup, &facts.container), (&some("/"), &some(ID)));
}

#[test]
fn a_replaced_binary_keeps_its_path() {
    let mut w = world();
    w.start(7, "/usr/sbin/sshd (deleted)", "");
    assert_eq!(w.exe(7, 1), some("/usr/sbin/sshd"));
}

#[test]
fn a_file_that_never_was_in_a_directory_keeps_the_mark_that_is_part_of_its_name() {
    let mut w = world();
    w.start(7, "/memfd:tool (deleted)", "");
    assert_eq!(w.exe(7, 1), some("/memfd:tool (deleted)"));
}

#[test]
fn a_child_has_the_binary_that_its_parent_had_at_the_fork_and_not_the_one_of_now() {
    let mut w = world();
    w.table.observe_exec(6, Some("/usr/bin/sh"));
    w.start(6, "/usr/bin/sleep", "");
    w.table.observe_fork(7, 6, at(1));
    assert_eq!(w.exe(7, 1), some("/usr/bin/sh"));
}

#[test]
fn an_exec_whose_path_is_unknown_leaves_no_binary_of_before() {
    let mut w = world();
    w.table.observe_exec(7, Some("/usr/bin/sh"));
    w.table.observe_exec(7, None);
    assert_eq!(w.exe(7, 1), None);
}

#[test]
fn an_unknown_process_is_unknown() {
    let mut w = world();
    assert_eq!(*w.table.facts(7, 99, at(1)), ProcessFacts::default());
    w.table.observe_exec(8, None);
    assert_eq!(w.exe(8, 1), None);
}

#[test]
fn the_table_forgets_the_least_recently_used_and_counts_it() {
    let mut w = world_of(2);
    for pid in [1, 2, 1, 3] {
        w.table.observe_exec(pid, Some(&format!("/bin/{pid}")));
    }
    assert_eq!(w.table.forgotten(), 1);
    assert_eq!(w.exe(2, 1), None);
    assert_eq!(w.table.forgotten(), 2);
    assert_eq!(w.exe(3, 1), some("/bin/3"));
}

#[test]
fn without_a_usable_proc_only_events_count() {
    let mut table = ProcessTable::with_proc(None, None, MAX_PROCESSES);
    table.observe_exec(std::process::id(), Some("/given"));
    let facts = table.facts(std::process::id(), 1, at(1));
    assert_eq!(*facts, ProcessFacts { exe: some("/given"), ..ProcessFacts::default() });
}

#[test]
fn this_process_is_told_as_the_system_tells_it() {
    if host::in_initial_pid_namespace() != Some(true) {
        eprintln!("SKIPPED: /proc here has other process ids than the kernel");
        return;
    }
    let facts = ProcessTable::new(None).facts(std::process::id(), 0, at(1));
    assert_eq!(facts.exe, Some(std::env::current_exe().unwrap().to_string_lossy().into()));
}
