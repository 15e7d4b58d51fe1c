//! How a thread stands among those who want a processor (sched(7)).

use std::io;

use nix::libc;
use nix::unistd::Pid;

/// The calling thread.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// It runs when no other program wants to, and gives way at once to one that wakes up; one that waits already may have to wait for
/// the next tick.
///
/// # Errors
/// What sched_setscheduler(2) says.
pub fn idle(thread: Pid) -> io::Result<()> {
    set_policy(thread, libc::SCHED_IDLE)
}

/// It runs among other programs, the sooner the lower its nice value.
///
/// # Errors
/// What sched_setscheduler(2) and setpriority(2) say.
pub fn ordinary(thread: Pid, nice: i32) -> io::Result<()> {
    set_policy(thread, libc::SCHED_OTHER)?;
    // A nice value is a thread's own on Linux.
    let thread = rustix::process::Pid::from_raw(thread.as_raw());
    Ok(rustix::process::setpriority_process(thread, nice)?)
}

/// Makes the calling thread one among other programs: a thread begins as the one that started it stands, and the one that
/// reads the rings stands behind all others or before them.
pub fn be_ordinary() {
    // Refused or not, the work goes on.
    _ = ordinary(THIS_THREAD, 0);
}

fn set_policy(thread: Pid, policy: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live through the call, which touches no other memory of this program.
    match unsafe { libc::sched_setscheduler(thread.as_raw(), policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> libc::c_int {
        // SAFETY: it takes a number and touches no memory.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_begins_as_the_one_that_started_it_until_it_is_ordinary() {
        let started = std::thread::spawn(|| {
            idle(THIS_THREAD).unwrap();
            let begun = std::thread::spawn(|| {
                let begun = policy();
                be_ordinary();
                (begun, policy())
            });
            begun.join().unwrap()
        });
        // Back needs CAP_SYS_NICE, or an RLIMIT_NICE that allows it; without, it stays as it is.
        let (begun, then) = started.join().unwrap();
        assert_eq!(begun, libc::SCHED_IDLE);
        assert!([libc::SCHED_OTHER, libc::SCHED_IDLE].contains(&then));
        assert!(!nix::unistd::geteuid().is_root() || then == libc::SCHED_OTHER);
    }
}
