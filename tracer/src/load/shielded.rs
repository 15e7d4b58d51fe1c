//! Processes that the kernel shields from tracing programs.
//!
//! A hardened kernel may run no tracing program while a certain process (a host's init or its agent) is the current
//! task: not for what that process does, and not for what a softirq does that interrupts it, such as the end of a
//! TIME_WAIT. The kernel counts nothing then (docs/decisions/0009). tracefs' own events are written all the same: an
//! instance limited to those tasks counts them, so that what was not seen is said to be lost.
//!
//! Such a process is known by its binary, which even root may not learn. Most hosts have none, and nothing is done.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::libc;

use super::health::Health;
use super::kallsyms::TimerHandlers;
use super::programs::Group;
use super::tracefs;

/// For each CPU: some thousand events, and they are read every second.
const BUFFER_KIB: &str = "256";

/// What the hooks listen to, as tracefs names it. Packets are seen whoever is the current task; `timer_cancel` does
/// not say whose timer it is, and each is followed by one of the two others.
const EVENTS: [(&str, &str, Group); 6] = [
    ("sock", "inet_sock_set_state", Group::State),
    ("timer", "timer_start", Group::Timers),
    ("timer", "timer_expire_entry", Group::Timers),
    ("tcp", "tcp_retransmit_skb", Group::Retransmit),
    ("tcp", "tcp_send_reset", Group::Reset),
    ("tcp", "tcp_receive_reset", Group::Reset),
];

/// Counts what happened while a shielded process was the current task.
pub struct Shielded {
    instance: PathBuf,
    /// Holds the mount that `instance` is in.
    _tracefs: tracefs::Root,
    /// Closed before the instance is removed: it cannot be while something in it is open.
    pipe: Option<File>,
    processes: Vec<u32>,
    tasks: BTreeSet<u32>,
    counts: [u64; Group::ALL.len()],
    /// The begin of a line that is not read whole yet.
    rest: Vec<u8>,
}

impl Shielded {
    /// Begins to count what the attached hooks miss; `None` where no process is shielded, or where tracefs cannot be used, which is logged.
    #[must_use]
    pub fn begin(health: &Health, handlers: Option<&TimerHandlers>) -> Option<Shielded> {
        let processes = find();
        if processes.is_empty() {
            return None;
        }
        match Shielded::of(processes.clone(), health, handlers) {
            Ok(shielded) => {
                log::info!(
                    "processes {processes:?} are shielded: this kernel may not run tracing programs while they run"
                );
                Some(shielded)
            }
            Err(error) => {
                log::warn!(
                    "processes {processes:?} are shielded: this kernel may not run tracing programs while they run, \
                     and what is missed then cannot be counted (instances of tracefs: {error})"
                );
                None
            }
        }
    }

    /// Which they are.
    #[must_use]
    pub fn processes(&self) -> &[u32] {
        &self.processes
    }

    fn of(
        processes: Vec<u32>,
        health: &Health,
        handlers: Option<&TimerHandlers>,
    ) -> io::Result<Shielded> {
        let tracefs = tracefs::Root::open()?;
        let instances = tracefs.path().join("instances");
        remove_left_behind(&instances);
        let instance = instances.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&instance)?;
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(instance.join("trace_pipe"));
        let pipe = pipe.inspect_err(|_| _ = fs::remove_dir(&instance))?;
        let mut shielded = Shielded {
            instance,
            _tracefs: tracefs,
            pipe: Some(pipe),
            processes,
            tasks: BTreeSet::new(),
            counts: [0; Group::ALL.len()],
            rest: Vec::new(),
        };
        shielded.set("buffer_size_kb", BUFFER_KIB)?;
        shielded.follow_tasks()?;
        for (system, event, group) in EVENTS {
            if health.is_attached(group)
                && let Some(filter) = filter(group, handlers)
            {
                let event = format!("events/{system}/{event}");
                shielded.set(&format!("{event}/filter"), &filter)?;
                shielded.set(&format!("{event}/enable"), "1")?;
            }
        }
        Ok(shielded)
    }

    /// Writes into a file of the instance. It is not truncated: that would empty a list of tasks for a moment, and an
    /// instance without one takes the events of every task.
    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.instance.join(name))?.write_all(value.as_bytes())
    }

    /// Threads come and go. A new one goes unnoticed until the next look. One that has gone stays in the kernel's
    /// list, for nothing but emptying the list takes it out; its number may be another task's later.
    fn follow_tasks(&mut self) -> io::Result<()> {
        let tasks: BTreeSet<u32> = self.processes.iter().flat_map(|pid| tasks_of(*pid)).collect();
        let list: Vec<String> = tasks.difference(&self.tasks).map(u32::to_string).collect();
        if !list.is_empty() {
            self.set("set_event_pid", &list.join(" "))?;
        }
        self.tasks = tasks;
        Ok(())
    }

    /// What happened so far that no program was run for, by group.
    pub fn count(&mut self) -> [u64; Group::ALL.len()] {
        let mut bytes = [0; 16 * 1024];
        while let Some(Ok(length @ 1..)) = self.pipe.as_mut().map(|pipe| pipe.read(&mut bytes)) {
            self.rest.extend_from_slice(&bytes[..length]);
            let whole = memchr::memrchr(b'\n', &self.rest).map_or(0, |end| end + 1);
            for line in self.rest[..whole].split(|byte| *byte == b'\n') {
                if let Some((group, events)) =
                    read_line(&String::from_utf8_lossy(line), &self.tasks)
                {
                    self.counts[group as usize] += events;
                }
            }
            self.rest.drain(..whole);
        }
        if let Err(error) = self.follow_tasks() {
            log::debug!("the tasks of shielded processes cannot be followed: {error}");
        }
        self.counts
    }
}

impl Drop for Shielded {
    fn drop(&mut self) {
        self.pipe = None;
        remove(&self.instance);
    }
}

const PREFIX: &str = "tracer-shielded-";

fn remove(instance: &Path) {
    _ = fs::write(instance.join("events/enable"), "0");
    if let Err(error) = fs::remove_dir(instance) {
        log::debug!("{}: {error}", instance.display());
    }
}

/// Instances of programs that were killed.
fn remove_left_behind(instances: &Path) {
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path());
        }
    }
}

/// Processes whose binary root may not learn. A kernel thread has none, which is another answer.
fn find() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_shielded = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe"))
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    numbers.filter(is_shielded).collect()
}

fn tasks_of(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The filter of a group's events; `None` where they cannot be told from others.
fn filter(group: Group, handlers: Option<&TimerHandlers>) -> Option<String> {
    match group {
        Group::State => Some("protocol == 6".to_owned()),
        Group::Timers => {
            let TimerHandlers { timewait, request, .. } = handlers?;
            Some(format!("function == {timewait:#x} || function == {request:#x}"))
        }
        // Empty filters are written as 0.
        _ => Some("0".to_owned()),
    }
}

/// Which group's event a line of `trace_pipe` is, and of how many it tells. What happened in the time of a task that is
/// none of `tasks` was seen by the hooks.
fn read_line(line: &str, tasks: &BTreeSet<u32>) -> Option<(Group, u64)> {
    // "CPU:1 [LOST 12 EVENTS]": of unknown kinds, so the one that has the socket table looked at.
    if let Some((_, lost)) = line.split_once("[LOST ") {
        return Some((Group::State, lost.split(' ').next()?.parse().ok()?));
    }
    let (group, before) = EVENTS.iter().find_map(|(_, name, group)| {
        let (before, after) = line.split_once(name)?;
        after.starts_with(": ").then_some((*group, before))
    })?;
    // "name-PID [CPU]": the name may hold anything.
    let (task, _) = before.rsplit_once(" [")?;
    let (_, pid) = task.trim_end().rsplit_once('-')?;
    tasks.contains(&pid.parse().ok()?).then_some((group, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "   agent-75   [000] .Ns2. 26556.864161: inet_sock_set_state: family=AF_INET protocol=IPPROTO_TCP";

    #[test]
    fn a_line_of_the_trace_counts_for_the_group_of_its_event() {
        let tasks = BTreeSet::from([75]);
        assert_eq!(read_line(STATE, &tasks), Some((Group::State, 1)));
        let line =
            "   agent-75   [000] .Ns.. 26453.076769: timer_expire_entry: timer=000000001a0a1ec2";
        assert_eq!(read_line(line, &tasks), Some((Group::Timers, 1)));
        assert_eq!(read_line("CPU:1 [LOST 12 EVENTS]", &tasks), Some((Group::State, 12)));
        assert_eq!(read_line("# tracer: nop", &tasks), None);
        assert_eq!(read_line("CPU:1 [LOST many EVENTS]", &tasks), None);
    }

    #[test]
    fn a_line_of_another_tasks_time_counts_for_nothing() {
        assert_eq!(read_line(STATE, &BTreeSet::from([7, 750])), None);
        let line = STATE.replace("agent-75 ", "an agent-7 [0] -75 ");
        assert_eq!(read_line(&line, &BTreeSet::from([7])), None);
        assert_eq!(read_line(&line, &BTreeSet::from([75])), Some((Group::State, 1)));
    }

    #[test]
    fn only_timers_whose_handlers_are_known_are_counted() {
        assert_eq!(filter(Group::Timers, None), None);
        assert!(filter(Group::State, None).is_some());
    }
}
