//! Which process holds a socket that is older than the tracer: a look through /proc/PID/fd.
//!
//! Where several processes hold the same socket, the one that started first is named: as a rule it opened or
//! accepted it, and the others inherited it by fork (helpers that a server started, sshd's unprivileged half).
//! A pre-forked server's master (nginx) is not named for its workers' connections, for it holds only the
//! listener. As soon as a process uses the socket, the owner hook's word replaces this one.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fs::{CWD, Dir, Mode, OFlags};

/// `socket:[` + 20 digits + `]`; longer links are of other files.
const LINK_BYTES: usize = 32;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process id (tgid), as this process's /proc has it.
    pub pid: u32,
    /// Its name; `None` where it ended while it was asked.
    pub comm: Option<String>,
}

/// The holders of the sockets with these inode numbers. Processes that may not be looked into are passed over.
#[must_use]
pub fn owners_of(inodes: &FxHashSet<u64>) -> FxHashMap<u64, Owner> {
    if inodes.is_empty() {
        return FxHashMap::default();
    }
    let mut search =
        Search { inodes, holders: FxHashMap::default(), started: FxHashMap::default() };
    for pid in pids() {
        search.look_into(pid);
    }
    let mut names = FxHashMap::default();
    let mut name = |pid| names.entry(pid).or_insert_with(|| comm(pid)).clone();
    search.holders.into_iter().map(|(inode, pid)| (inode, Owner { pid, comm: name(pid) })).collect()
}

struct Search<'a> {
    inodes: &'a FxHashSet<u64>,
    holders: FxHashMap<u64, u32>,
    /// Start times that were needed to choose between holders.
    started: FxHashMap<u32, Option<u64>>,
}

impl Search<'_> {
    fn look_into(&mut self, pid: u32) {
        let Some((directory, entries)) = open_directory(&proc_file(pid, "fd")) else { return };
        for entry in entries.flatten() {
            let mut link = [MaybeUninit::uninit(); LINK_BYTES];
            let Ok((link, _)) =
                rustix::fs::readlinkat_raw(&directory, entry.file_name(), &mut link)
            else {
                continue;
            };
            if let Some(inode) = socket_inode(link).filter(|inode| self.inodes.contains(inode)) {
                self.offer(inode, pid);
            }
        }
    }

    fn offer(&mut self, inode: u64, pid: u32) {
        match self.holders.get(&inode).copied() {
            None => {
                self.holders.insert(inode, pid);
            }
            Some(known) if known != pid && self.age_key(pid) < self.age_key(known) => {
                self.holders.insert(inode, pid);
            }
            Some(_) => {}
        }
    }

    /// Smaller is older; a process that has ended meanwhile comes last. The pid settles a tie.
    fn age_key(&mut self, pid: u32) -> (u64, u32) {
        let started = *self.started.entry(pid).or_insert_with(|| {
            start_time(&fs::read_to_string(proc_file(pid, "stat")).unwrap_or_default())
        });
        (started.unwrap_or(u64::MAX), pid)
    }
}

fn open_directory(path: &Path) -> Option<(OwnedFd, Dir)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let entries = Dir::read_from(&directory).ok()?;
    Some((directory, entries))
}

/// The number in `socket:[12345]`.
fn socket_inode(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Field 22 of /proc/PID/stat, in clock ticks since boot. The name in field 2 may hold anything, `)` included.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn comm(pid: u32) -> Option<String> {
    let name = fs::read(proc_file(pid, "comm")).ok()?;
    Some(String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned())
}

fn proc_file(pid: u32, name: &str) -> PathBuf {
    format!("/proc/{pid}/{name}").into()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};

    use rustix::io::FdFlags;

    use super::*;

    fn inode(stream: &TcpStream) -> u64 {
        let mut link = [MaybeUninit::uninit(); LINK_BYTES];
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(stream));
        let (link, _) = rustix::fs::readlinkat_raw(CWD, path, &mut link).unwrap();
        socket_inode(link).unwrap()
    }

    fn connection() -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener)
    }

    fn owner(inode: u64) -> Option<Owner> {
        owners_of(&FxHashSet::from_iter([inode])).remove(&inode)
    }

    /// A child that inherits `stream` and lives until its standard input is closed.
    fn child_with(stream: &TcpStream) -> Child {
        rustix::io::fcntl_setfd(stream, FdFlags::empty()).unwrap();
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        rustix::io::fcntl_setfd(stream, FdFlags::CLOEXEC).unwrap();
        child.unwrap()
    }

    #[test]
    fn a_socket_of_this_process_is_told_with_pid_and_name() {
        let (stream, _listener) = connection();
        let found = owner(inode(&stream)).unwrap();
        assert_eq!(found.pid, std::process::id());
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(found.comm.as_deref(), Some(name.trim_end()));
    }

    #[test]
    fn of_two_holders_the_one_that_started_first_is_named() {
        let (stream, _listener) = connection();
        let inode = inode(&stream);
        let mut child = child_with(&stream);
        let of_both = owner(inode);
        drop(stream);
        let of_child = owner(inode);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(of_both.unwrap().pid, std::process::id());
        assert_eq!(of_child.unwrap(), Owner { pid: child.id(), comm: Some("cat".into()) });
    }

    #[test]
    fn a_socket_nobody_holds_has_no_owner() {
        assert_eq!(owner(u64::MAX), None);
        assert!(owners_of(&FxHashSet::default()).is_empty());
    }

    #[test]
    fn links_of_other_files_are_no_sockets() {
        for (link, expected) in [
            (&b"socket:[77]"[..], Some(77)),
            (b"socket:[]", None),
            (b"socket:[18446744073709551616]", None),
            (b"socket:[7", None),
            (b"pipe:[77]", None),
            (b"/tmp/socket:[77]", None),
            (b"socket:[\xff]", None),
        ] {
            assert_eq!(socket_inode(link), expected, "{link:?}");
        }
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21";
        for name in ["(cat)", "(a b)", "(:) ) (evil) 1 2)"] {
            assert_eq!(start_time(&format!("812 {name} {rest}")), Some(4711), "{name}");
        }
        for broken in [
            "",
            "812",
            "812 (cat",
            "812 (cat) S 1",
            "812 (cat) S x x x x x x x x x x x x x x x x x x x x",
        ] {
            assert_eq!(start_time(broken), None, "{broken}");
        }
    }
}
