//! Processes that this host's kernel shields: in their time it runs no tracing program (docs/decisions/0009).
//!
//! Where there is one, some of what a test does may be hidden from the program, which must say so. Each event told as
//! lost excuses one deviation, no more; without such a process nothing is excused.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::records::{Line, Loss};

/// Hooks that are tracing programs. Packets are seen in any case.
const BLIND_HOOKS: [&str; 4] = ["state", "timers", "retransmit", "reset"];

/// The threads of processes whose binary even root may not learn.
pub fn tasks() -> HashSet<u32> {
    let numbers = |folder: &str| -> Vec<u32> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    };
    let is_shielded = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/exe"))
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let shielded = numbers("/proc").into_iter().filter(is_shielded);
    shielded.flat_map(|pid| numbers(&format!("/proc/{pid}/task"))).collect()
}

/// Sees which threads shielded processes have while a test goes on: some come and go.
pub struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<HashSet<u32>>,
}

impl Watch {
    /// Begins to look.
    pub fn begin() -> Watch {
        const LOOK_EVERY: Duration = Duration::from_millis(100);
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut seen = tasks();
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                seen.extend(tasks());
            }
            seen.extend(tasks());
            seen
        });
        Watch { stop, thread }
    }

    /// All that were there.
    pub fn end(self) -> HashSet<u32> {
        drop(self.stop);
        self.thread.join().expect("looking does not fail")
    }
}

/// What a run said was hidden from it, and how much of that has excused something already.
#[derive(Debug, Default)]
pub struct Hidden {
    told: u64,
    used: AtomicU64,
}

impl Hidden {
    /// Adds up the losses among `lines` that a shield explains.
    pub fn among<'a>(lines: impl Iterator<Item = &'a Line>, tasks: &HashSet<u32>) -> Hidden {
        let events = lines.filter_map(|line| match line {
            Line::Loss(loss) if is_by_shield(loss, tasks) => Some(loss.events),
            _ => None,
        });
        Hidden { told: events.sum(), used: AtomicU64::new(0) }
    }

    /// Whether one more deviation can be put down to what was hidden.
    pub fn excuses(&self, what: &str) -> bool {
        let excused = self.used.fetch_add(1, Ordering::Relaxed) < self.told;
        if excused {
            eprintln!("excused by what the program said was hidden from it: {what}");
        }
        excused
    }

    /// Whether so many deviations, seen from another side, can be.
    pub fn covers(&self, deviations: usize) -> bool {
        deviations as u64 <= self.told
    }
}

/// Whether a shield can be the reason for this loss.
pub fn is_by_shield(loss: &Loss, tasks: &HashSet<u32>) -> bool {
    !tasks.is_empty() && BLIND_HOOKS.contains(&loss.hook.as_str())
}
