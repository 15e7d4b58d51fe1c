//! A file written by a thread of its own: who reads the rings does not wait for a disk that stalls.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::Sink;
use crate::scheduling::be_ordinary;

/// Blocks that may wait for the disk: minutes at full load. Beyond that the writer waits too.
const WAITING_BLOCKS: usize = 1024;

/// See the module's documentation. Every write is one whole block: on an error the part of it that was written is cut
/// off again, nothing more is written, and the next call gets the error.
pub struct Behind<S> {
    /// `None` once the thread is to end.
    blocks: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<Done<S>>>,
    /// How much is in the file, known once the thread has ended.
    whole_bytes: Option<u64>,
}

/// What the thread leaves behind.
struct Done<S> {
    sink: S,
    whole_bytes: u64,
    result: io::Result<()>,
}

impl<S: Sink + Send + 'static> Behind<S> {
    /// Takes over an empty sink.
    pub fn new(sink: S) -> Behind<S> {
        let (blocks, waiting) = sync_channel(WAITING_BLOCKS);
        let thread = thread::spawn(move || {
            // In what others leave it might not get to write, and before others it has nothing to do.
            be_ordinary();
            write_all(sink, &waiting)
        });
        Behind { blocks: Some(blocks), thread: Some(thread), whole_bytes: None }
    }

    /// Waits for the thread and takes what it says.
    fn end(&mut self) -> io::Result<()> {
        self.blocks = None;
        let Some(thread) = self.thread.take() else {
            return Err(io::Error::other("the recording has ended with an error"));
        };
        let mut done = thread.join().map_err(|_panic| io::Error::other("the writer broke off"))?;
        self.whole_bytes = Some(done.whole_bytes);
        done.result.and_then(|()| done.sink.sync())
    }
}

fn write_all<S: Sink>(mut sink: S, blocks: &Receiver<Vec<u8>>) -> Done<S> {
    let mut whole_bytes = 0;
    for block in blocks {
        if let Err(error) = sink.write_all(&block) {
            if let Err(cut) = sink.cut_back(whole_bytes) {
                log::warn!("cannot cut an unfinished block off the recording: {cut}");
            }
            return Done { sink, whole_bytes, result: Err(error) };
        }
        whole_bytes += block.len() as u64;
    }
    Done { sink, whole_bytes, result: Ok(()) }
}

impl<S: Sink + Send + 'static> Write for Behind<S> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let taken = self.blocks.as_ref().is_some_and(|to| to.send(block.to_vec()).is_ok());
        if taken {
            return Ok(block.len());
        }
        self.end()?;
        Err(io::Error::other("the recording has ended"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Sink + Send + 'static> Sink for Behind<S> {
    /// Done by the thread, which alone knows how much was written.
    fn cut_back(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// Writes what waits, and ends.
    fn sync(&mut self) -> io::Result<()> {
        self.end()
    }

    fn whole_bytes(&self, handed_over: u64) -> u64 {
        self.whole_bytes.unwrap_or(handed_over)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk that takes a block only when told, up to its size.
    struct Slow {
        may_write: Receiver<()>,
        bytes: Arc<Mutex<Vec<u8>>>,
        size: usize,
    }

    impl Write for Slow {
        fn write(&mut self, block: &[u8]) -> io::Result<usize> {
            self.may_write.recv().map_err(io::Error::other)?;
            let mut bytes = self.bytes.lock().unwrap();
            let taken = block.len().min(self.size - bytes.len());
            bytes.extend_from_slice(&block[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Slow {
        fn cut_back(&mut self, len: u64) -> io::Result<()> {
            self.bytes.lock().unwrap().truncate(len as usize);
            Ok(())
        }
    }

    fn slow(size: usize) -> (Sender<()>, Arc<Mutex<Vec<u8>>>, Behind<Slow>) {
        let (go, may_write) = channel();
        let bytes = Arc::default();
        let behind = Behind::new(Slow { may_write, bytes: Arc::clone(&bytes), size });
        (go, bytes, behind)
    }

    #[test]
    fn a_stalled_disk_keeps_nobody_waiting_and_gets_everything_in_the_end() {
        let (go, bytes, mut behind) = slow(100);
        for block in [b"one", b"two"] {
            behind.write_all(block).unwrap();
        }
        assert_eq!(*bytes.lock().unwrap(), b"", "the disk stalls");
        go.send(()).unwrap();
        go.send(()).unwrap();
        behind.sync().unwrap();
        assert_eq!(*bytes.lock().unwrap(), b"onetwo");
    }

    #[test]
    fn a_full_disk_keeps_whole_blocks_and_the_error_comes_with_their_length() {
        let (go, bytes, mut behind) = slow(5);
        behind.write_all(b"one").unwrap();
        behind.write_all(b"two").unwrap();
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        let error = behind.sync().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!((*bytes.lock().unwrap()).as_slice(), b"one");
        assert_eq!(behind.whole_bytes(6), 3);
        assert!(behind.write_all(b"three").is_err(), "nothing follows an error");
    }
}
