//! The network namespaces of the host, and doing something in each of them.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use rustc_hash::FxHashMap;

use crate::load::mountinfo;

/// Bound on namespaces looked at; a host with more is told by [`Namespaces::left_out`].
pub const MAX_NAMESPACES: usize = 4096;
/// Ways kept into one namespace: the process behind the first may be gone when it is needed.
const MAX_PATHS: usize = 4;

/// Network namespaces by inode number, with paths that lead into each.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    paths: FxHashMap<u32, Vec<PathBuf>>,
    left_out: u64,
}

impl Namespaces {
    /// Looks through the threads and open files of every process and the bind mounts that `ip netns` and container
    /// runtimes make.
    ///
    /// A namespace that only a socket keeps alive is not found: nothing leads into it.
    #[must_use]
    pub fn enumerate() -> Namespaces {
        let mut found = Namespaces::default();
        if let Some((inode, path)) = own() {
            found.add(inode, path);
        }
        for mount in mountinfo::of_this_process().unwrap_or_default() {
            if let ("nsfs", Some(inode)) = (mount.fs_type.as_str(), inode_of(&mount.root)) {
                found.add(inode, mount.point);
            }
        }
        for process in processes() {
            found.add_threads(&process);
            found.add_open_files(&process);
        }
        found
    }

    /// The inode numbers, in no order.
    pub fn inodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.paths.keys().copied()
    }

    /// Sightings of namespaces beyond [`MAX_NAMESPACES`].
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// A process that was in a namespace, where no other way there is known. Whether it still is shows at the door.
    pub fn remember(&mut self, inode: u32, pid: NonZeroU32) {
        if !self.paths.contains_key(&inode) {
            self.add(inode, PathBuf::from(format!("/proc/{pid}/ns/net")));
        }
    }

    fn add(&mut self, inode: u32, path: PathBuf) {
        if self.paths.len() == MAX_NAMESPACES && !self.paths.contains_key(&inode) {
            self.left_out += 1;
            return;
        }
        let paths = self.paths.entry(inode).or_default();
        if paths.len() < MAX_PATHS {
            paths.push(path);
        }
    }

    /// Threads may be in other namespaces than their process's first.
    fn add_threads(&mut self, process: &Path) {
        let Ok(threads) = fs::read_dir(process.join("task")) else { return };
        for thread in threads.flatten() {
            let path = thread.path().join("ns/net");
            if let Some(inode) = fs::read_link(&path).ok().and_then(|link| inode_of(&link)) {
                self.add(inode, path);
            }
        }
    }

    /// A runtime may hold a namespace by an open file alone, with no thread in it.
    fn add_open_files(&mut self, process: &Path) {
        let Ok(files) = fs::read_dir(process.join("fd")) else { return };
        for file in files.flatten() {
            let path = file.path();
            if let Some(inode) = fs::read_link(&path).ok().and_then(|link| inode_of(&link)) {
                self.add(inode, path);
            }
        }
    }

    fn open(&self, inode: u32) -> Result<File, EnterError> {
        let mut failure = EnterError::Gone;
        for path in self.paths.get(&inode).into_iter().flatten() {
            match File::open(path) {
                // The process id may belong to another process by now.
                Ok(file) if file.metadata().is_ok_and(|m| m.ino() == u64::from(inode)) => {
                    return Ok(file);
                }
                Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                    failure = EnterError::Refused(e);
                }
                _ => {}
            }
        }
        Err(failure)
    }

    /// Does `work` in each of the namespaces, on a thread of its own, so that the caller stays where it is.
    ///
    /// The caller's own namespace comes first and needs no privileges; the others need CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// Only when no thread could be made; what a single namespace refuses is in its result.
    pub fn visit<T: Send>(
        &self,
        inodes: &[u32],
        mut work: impl FnMut(u32) -> T + Send,
    ) -> io::Result<Vec<(u32, Result<T, EnterError>)>> {
        let own = own().map(|(inode, _)| inode);
        let mut order = inodes.to_vec();
        order.sort_by_key(|inode| (Some(*inode) != own, *inode));
        order.dedup();
        let mut visit_one = |inode| {
            if Some(inode) != own {
                self.enter(inode)?;
            }
            Ok(work(inode))
        };
        let visitor = || order.iter().map(|inode| (*inode, visit_one(*inode))).collect();
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("netns".into());
            let thread = thread.spawn_scoped(scope, visitor)?;
            thread.join().or(Err(io::Error::other("the namespace thread died")))
        })
    }

    fn enter(&self, inode: u32) -> Result<(), EnterError> {
        let file = self.open(inode)?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|e| EnterError::Refused(e.into()))
    }
}

/// Why a namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// Nothing leads into it any more: its last process has ended since it was seen.
    #[error("the network namespace is gone")]
    Gone,
    /// The kernel said no.
    #[error(
        "cannot enter the network namespace: {0}; entering one needs CAP_SYS_ADMIN and CAP_SYS_PTRACE"
    )]
    Refused(#[source] io::Error),
}

/// The calling thread's namespace.
#[must_use]
pub fn own_inode() -> Option<u32> {
    own().map(|(inode, _)| inode)
}

fn own() -> Option<(u32, PathBuf)> {
    let path = PathBuf::from("/proc/thread-self/ns/net");
    let inode = inode_of(&fs::read_link(&path).ok()?)?;
    Some((inode, path))
}

/// The number in `net:[4026531840]`.
fn inode_of(link: &Path) -> Option<u32> {
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .map(|e| e.path())
}

#[cfg(test)]
pub mod testing {
    //! A network namespace of a test's own.

    use super::*;

    /// Whether namespaces can be made here; says so where not.
    pub fn can_make_namespaces() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("SKIPPED: network namespaces need root");
        }
        root
    }

    /// Runs `test` on a thread in a new network namespace whose loopback is up; gives what it gave.
    pub fn in_new_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::unshare(CloneFlags::CLONE_NEWNET).unwrap();
                bring_loopback_up();
                test()
            });
            thread.join().unwrap()
        })
    }

    fn bring_loopback_up() {
        const RTM_NEWLINK: u16 = 16;
        const REQUEST_ACK: u16 = 5;
        const IFF_UP: u32 = 1;
        let mut request = Vec::new();
        request.extend(32_u32.to_ne_bytes());
        request.extend(RTM_NEWLINK.to_ne_bytes());
        request.extend(REQUEST_ACK.to_ne_bytes());
        // nlmsg_seq, nlmsg_pid; then ifinfomsg: family, type, index 1, flags, change.
        for word in [1, 0, 0, 1, IFF_UP, IFF_UP] {
            request.extend(u32::to_ne_bytes(word));
        }
        request.resize(32, 0);
        let mut route = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        route.bind_auto().unwrap();
        route.send_to(&request, &netlink_sys::SocketAddr::new(0, 0), 0).unwrap();
        let (answer, _) = route.recv_from_full().unwrap();
        assert_eq!(&answer[16..20], [0; 4], "RTM_NEWLINK lo up: {answer:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{can_make_namespaces, in_new_namespace};
    use super::*;

    #[test]
    fn a_namespace_link_has_its_inode_number() {
        for (link, expected) in [
            ("net:[4026531840]", Some(4_026_531_840)),
            ("mnt:[4026531840]", None),
            ("net:[]", None),
            ("net:[99999999999]", None),
            ("net:[1", None),
            ("/", None),
        ] {
            assert_eq!(inode_of(Path::new(link)), expected, "{link}");
        }
    }

    #[test]
    fn the_own_namespace_is_found_and_visited_without_leaving_it() {
        let own = own_inode().unwrap();
        let all = Namespaces::enumerate();
        assert!(all.inodes().any(|inode| inode == own));
        let visits = all.visit(&[own], |_| own_inode()).unwrap();
        assert!(matches!(visits[..], [(inode, Ok(Some(inside)))] if inode == own && inside == own));
    }

    #[test]
    fn a_namespace_that_only_a_thread_is_in_is_found_and_visited() {
        if !can_make_namespaces() {
            return;
        }
        let own = own_inode().unwrap();
        in_new_namespace(|| {
            let new = own_inode().unwrap();
            assert_ne!(new, own);
            let all = Namespaces::enumerate();
            // From outside and from inside: the visitor ends where it was sent, the caller stays.
            let visits = all.visit(&[own, new], |_| own_inode()).unwrap();
            assert_eq!(visits.len(), 2);
            for (inode, inside) in visits {
                assert_eq!(inside.unwrap(), Some(inode));
            }
            assert_eq!(own_inode(), Some(new));
        });
    }

    #[test]
    fn a_process_that_was_there_is_the_way_in_until_it_has_gone_elsewhere() {
        let own = own_inode().unwrap();
        let mut known = Namespaces::default();
        known.remember(own, NonZeroU32::new(std::process::id()).unwrap());
        known.remember(1, NonZeroU32::new(std::process::id()).unwrap());
        assert!(known.open(own).is_ok());
        assert!(matches!(known.open(1), Err(EnterError::Gone)));
    }

    #[test]
    fn an_unknown_namespace_is_told_and_the_others_are_visited() {
        let own = own_inode().unwrap();
        let visits = Namespaces::enumerate().visit(&[1, own], |inode| inode).unwrap();
        assert!(matches!(visits[..], [(_, Ok(_)), (1, Err(EnterError::Gone))]), "{visits:?}");
    }

    #[test]
    fn the_table_of_namespaces_is_bounded_and_counts_what_it_leaves_out() {
        let mut all = Namespaces::default();
        for inode in 0..MAX_NAMESPACES as u32 + 5 {
            all.add(inode, PathBuf::from("/"));
        }
        all.add(0, PathBuf::from("/again"));
        assert_eq!((all.inodes().count(), all.left_out()), (MAX_NAMESPACES, 5));
    }
}
