//! Pauses that wake the program once.
//!
//! The runtime's own timers wake it up to three times for each pause: when the timer is entered, at a step of its wheel, and
//! when the time is up. On an idle host waking is nearly all there is to pay for.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel (timerfd_create(2)).
pub(super) struct PauseTimer(AsyncFd<OwnedFd>);

impl PauseTimer {
    /// Within a runtime.
    ///
    /// # Errors
    /// Where the kernel gives no timer.
    pub fn new() -> anyhow::Result<PauseTimer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("no timer")?;
        // SAFETY: an open descriptor, which stays the same one until the `AsyncFd` that owns it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(PauseTimer(timer.context("no timer")?))
    }

    /// Waits for `pause`. A wait that is given up leaves nothing behind for the next one.
    ///
    /// # Errors
    /// Where the kernel refuses the timer.
    pub async fn wait(&self, pause: Duration) -> anyhow::Result<()> {
        if pause.is_zero() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        // To set it takes back an expiry that was not read.
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once(pause))
            .context("cannot set a timer")?;
        let mut expiries = [0; 8];
        loop {
            let mut ready = self.0.readable().await.context("cannot wait for a timer")?;
            let read = rustix::io::read(self.0.get_ref(), &mut expiries);
            ready.clear_ready();
            match read {
                Err(Errno::AGAIN) => {} // an expiry that was taken back
                read => return read.map(drop).context("cannot read a timer"),
            }
        }
    }
}

fn once(pause: Duration) -> Itimerspec {
    let tv_sec = i64::try_from(pause.as_secs()).unwrap_or(i64::MAX);
    let it_value = Timespec { tv_sec, tv_nsec: pause.subsec_nanos().into() };
    Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn pauses() {
        let timer = PauseTimer::new().unwrap();
        let brief = Duration::from_millis(1);
        for _ in 0..3 {
            // Given up while it waits, and given up when it is over already.
            tokio::select! {
                biased;
                waited = timer.wait(brief) => waited.unwrap(),
                () = tokio::task::yield_now() => std::thread::sleep(2 * brief),
            }
            tokio::task::yield_now().await; // the runtime hears of the expiry
            let (began, pause) = (Instant::now(), Duration::from_millis(20));
            timer.wait(pause).await.unwrap();
            assert!(began.elapsed() >= pause, "{:?}", began.elapsed());
        }
        timer.wait(Duration::ZERO).await.unwrap();
    }

    #[test]
    fn a_pause_lasts_as_long_as_asked_for_also_behind_one_that_was_given_up() {
        crate::cli::trace::own_thread().unwrap().block_on(pauses());
    }
}
