//! A wire between two namespaces that the test holds in its hands: a tun device at each end, and in between a
//! thread that passes, drops or holds each packet as the rule of the moment says.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::netns::{Namespace, bring_up, ioctl, named, set_address};
use super::packet::Segment;
use super::{STEP, wait_until};

/// The only device of most scenarios.
pub const DEVICE: &str = "wire";

/// What happens to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on to the other end.
    Pass,
    /// It is lost.
    Drop,
    /// It waits for [`Wire::release`].
    Hold,
}

/// An end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

impl End {
    fn other(self) -> End {
        match self {
            End::Left => End::Right,
            End::Right => End::Left,
        }
    }
}

type Rule = Box<dyn FnMut(&Segment) -> Fate + Send>;

struct State {
    rule: Rule,
    held: Vec<(End, Vec<u8>)>,
    seen: Vec<Segment>,
}

struct Shared {
    left: File,
    right: File,
    state: Mutex<State>,
    over: AtomicBool,
}

/// The wire; packets pass until a rule says otherwise.
pub struct Wire {
    shared: Arc<Shared>,
    pump: Option<JoinHandle<()>>,
}

impl Wire {
    /// Joins two namespaces; each end gets the address given, with a /24 prefix.
    pub fn new(left: (&Namespace, Ipv4Addr), right: (&Namespace, Ipv4Addr)) -> io::Result<Wire> {
        Wire::named(DEVICE, left, right)
    }

    /// The same, beside another one; its device at each end has this name.
    pub fn named(
        name: &str,
        left: (&Namespace, Ipv4Addr),
        right: (&Namespace, Ipv4Addr),
    ) -> io::Result<Wire> {
        let shared = Arc::new(Shared {
            left: left.0.run(|| device(name, left.1))?,
            right: right.0.run(|| device(name, right.1))?,
            state: Mutex::new(State {
                rule: Box::new(|_| Fate::Pass),
                held: Vec::new(),
                seen: Vec::new(),
            }),
            over: AtomicBool::new(false),
        });
        let pumped = Arc::clone(&shared);
        let pump = std::thread::Builder::new().name("wire".into()).spawn(move || pumped.pump())?;
        Ok(Wire { shared, pump: Some(pump) })
    }

    /// Sets what happens to each segment from now on.
    pub fn rule(&self, rule: impl FnMut(&Segment) -> Fate + Send + 'static) {
        self.shared.state().rule = Box::new(rule);
    }

    /// Holds every segment that matches.
    pub fn hold(&self, matches: impl Fn(&Segment) -> bool + Send + 'static) {
        self.rule(move |segment| if matches(segment) { Fate::Hold } else { Fate::Pass });
    }

    /// Drops every segment that matches.
    pub fn drop(&self, matches: impl Fn(&Segment) -> bool + Send + 'static) {
        self.rule(move |segment| if matches(segment) { Fate::Drop } else { Fate::Pass });
    }

    /// Sends on what was held, in order, and passes everything from now on.
    pub fn release(&self) {
        let mut state = self.shared.state();
        state.rule = Box::new(|_| Fate::Pass);
        for (from, packet) in std::mem::take(&mut state.held) {
            self.shared.send(from.other(), &packet);
        }
    }

    /// Sends a packet out of nowhere to one end.
    pub fn inject(&self, to: End, packet: &[u8]) {
        self.shared.send(to, packet);
    }

    /// Waits for a segment, passed or not, since the wire was made; the first that matches.
    #[track_caller]
    pub fn wait_for(&self, what: &str, matches: impl Fn(&Segment) -> bool) -> Segment {
        let mut found = None;
        let came = wait_until(STEP, || {
            found = self.shared.state().seen.iter().find(|s| matches(s)).cloned();
            found.is_some()
        });
        assert!(came, "{what} never came by; the wire saw\n{}", self.log());
        found.expect("just found")
    }

    /// How many segments matched so far.
    pub fn count(&self, matches: impl Fn(&Segment) -> bool) -> usize {
        self.shared.state().seen.iter().filter(|s| matches(s)).count()
    }

    /// Every segment that came by, a line each.
    pub fn log(&self) -> String {
        self.shared.state().seen.iter().map(|s| format!("  {s}\n")).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        if let Some(pump) = self.pump.take() {
            let _ = pump.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn file(&self, end: End) -> &File {
        match end {
            End::Left => &self.left,
            End::Right => &self.right,
        }
    }

    fn send(&self, to: End, packet: &[u8]) {
        // A full device queue loses the packet, as a wire may.
        let _ = self.file(to).write(packet);
    }

    fn pump(&self) {
        while !self.over.load(Ordering::Acquire) {
            if self.wait_readable() {
                self.carry(End::Left);
                self.carry(End::Right);
            }
        }
    }

    fn wait_readable(&self) -> bool {
        let interest =
            |file: &File| libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut fds = [interest(&self.left), interest(&self.right)];
        // SAFETY: the array lives across the call and its length is passed with it.
        unsafe { libc::poll(fds.as_mut_ptr(), 2, 50) > 0 }
    }

    fn carry(&self, from: End) {
        let mut buffer = [0; 65536];
        while let Ok(length) = self.file(from).read(&mut buffer) {
            if let Some(segment) = Segment::parse(&buffer[..length]) {
                self.decide(from, segment);
            }
        }
    }

    fn decide(&self, from: End, segment: Segment) {
        let mut state = self.state();
        match (state.rule)(&segment) {
            Fate::Pass => self.send(from.other(), &segment.bytes),
            Fate::Hold => state.held.push((from, segment.bytes.clone())),
            Fate::Drop => {}
        }
        state.seen.push(segment);
    }
}

/// Makes a tun device in the calling thread's namespace, with an address, up.
fn device(name: &str, address: Ipv4Addr) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(|e| {
            io::Error::new(e.kind(), format!("/dev/net/tun: {e} (is module tun loaded?)"))
        })?;
    let mut request = named(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    ioctl(file.as_fd().as_raw_fd(), libc::TUNSETIFF as libc::Ioctl, &mut request)?;
    set_address(name, address)?;
    bring_up(name)?;
    Ok(file)
}
