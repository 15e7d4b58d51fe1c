//! Looks at the kernel's sockets on a thread of its own: one takes from a tenth of a millisecond to, on a host with very
//! many processes and network namespaces, seconds.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use nix::sys::signal::SigSet;

use super::sockets::SocketDumper;

type Work<T> = Box<dyn FnOnce(&mut SocketDumper) -> T + Send>;

/// Takes one look at a time, each of which finds a `T`.
pub struct Looker<T> {
    work: SyncSender<Work<T>>,
    found: Receiver<T>,
    is_looking: bool,
}

impl<T: Send + 'static> Looker<T> {
    /// Starts the thread, which waits and then looks with `dumper`. It ends once this is dropped, when it has ended its
    /// look.
    ///
    /// # Errors
    /// When the operating system allows no thread.
    pub fn start(name: &str, mut dumper: SocketDumper) -> io::Result<Looker<T>> {
        let (work, to_do) = sync_channel::<Work<T>>(1);
        let (tell, found) = channel();
        let look = move || {
            // Signals stay the other threads' (`cli::priority`).
            _ = SigSet::all().thread_block();
            for work in to_do {
                if tell.send(work(&mut dumper)).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(look)?;
        Ok(Looker { work, found, is_looking: false })
    }

    /// Whether it would begin a look at once.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        !self.is_looking
    }

    /// Begins a look, if it is free.
    pub fn look(&mut self, work: impl FnOnce(&mut SocketDumper) -> T + Send + 'static) {
        if self.is_free() {
            self.is_looking = self.work.try_send(Box::new(work)).is_ok();
        }
    }

    /// What the look has found, once.
    pub fn found(&mut self) -> Option<T> {
        let found = self.is_looking.then(|| self.found.try_recv().ok()).flatten();
        self.is_looking &= found.is_none();
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::*;

    fn wait_for<T: Send + 'static>(looker: &mut Looker<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = looker.found() {
                return found;
            }
            assert!(Instant::now() < deadline, "the look never ends");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_look_goes_on_while_its_asker_does_and_is_told_once() {
        let mut looker = Looker::start("test", SocketDumper::default()).unwrap();
        let (go, wait) = channel::<()>();
        looker.look(move |_| {
            wait.recv().unwrap();
            1
        });
        assert!(!looker.is_free());
        assert_eq!(looker.found(), None);
        looker.look(|_| 2);
        go.send(()).unwrap();
        assert_eq!(wait_for(&mut looker), 1);
        assert!(looker.is_free());
        assert_eq!(looker.found(), None);
        looker.look(|_| 3);
        assert_eq!(wait_for(&mut looker), 3);
    }
}
