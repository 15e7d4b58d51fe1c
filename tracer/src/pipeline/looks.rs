//! Looks at the kernel's socket table while the run goes on: after a loss, at orphans in FIN_WAIT2, and at TIME_WAITs that
//! should be over.

use std::io;
use std::num::NonZeroU32;

use super::{monotonic_ns, snapshot};
use crate::conn::{Census, Key, SnapshotSocket};
use crate::engine::Engine;
use crate::enrich::looker::Looker;
use crate::enrich::sockets::{SocketDumper, StateMask};
use crate::ports::PortSet;
use crate::tcp::TcpState;
use crate::time::{TimeAnchor, Timestamp};

/// How long after a loss of states the kernel's socket table is looked at, and how often at most, nanoseconds.
const RECONCILE_AFTER_NS: u64 = 2_000_000_000;
/// How often it is asked whether a connection is in TIME_WAIT for too long, nanoseconds.
const OVERDUE_EVERY_NS: u64 = 30_000_000_000;
/// How often orphans in FIN_WAIT2 are looked at, while there are any, nanoseconds. Younger ones are left alone: the
/// FINs of most are under way.
const ORPHANS_EVERY_NS: u64 = 250_000_000;
/// A look takes longer the more TIME_WAITs there are: from its begin to the next one's it is this many times as long,
/// but no longer than [`ORPHANS_AT_LEAST_EVERY_NS`].
const LOOK_TIMES: u64 = 20;
const ORPHANS_AT_LEAST_EVERY_NS: u64 = 1_000_000_000;

/// What a look found.
pub(super) enum Finding {
    /// Every socket, after a loss.
    All(Census),
    /// Those of connections that are in TIME_WAIT for too long.
    Overdue(Vec<Key>, Census),
    /// Sockets in TIME_WAIT where orphans are, at that time.
    Orphans(Vec<SnapshotSocket>, Timestamp),
}

/// When to look, and what was found.
pub(super) struct Looks {
    anchor: TimeAnchor,
    /// Apart from the other: it is for what happens now, and a look at every socket may take long.
    orphans: Looker<OrphanLook>,
    table: Looker<Option<Finding>>,
    next_orphans_ns: u64,
    next_overdue_ns: u64,
    /// When all are to be looked at because states were lost.
    reconcile_ns: Option<u64>,
}

struct OrphanLook {
    sockets: Vec<SnapshotSocket>,
    began_ns: u64,
    took_ns: u64,
}

impl Looks {
    /// Nothing looked at yet; connections with none of `ports` never are.
    ///
    /// # Errors
    /// When the operating system allows no threads.
    pub fn start(anchor: TimeAnchor, ports: &PortSet) -> io::Result<Looks> {
        let dumper = || SocketDumper::new(ports.clone());
        Ok(Looks {
            anchor,
            orphans: Looker::start("orphans", dumper())?,
            table: Looker::start("sockets", dumper())?,
            next_orphans_ns: 0,
            next_overdue_ns: 0,
            reconcile_ns: None,
        })
    }

    /// States were lost by `now_ns`.
    pub fn reconcile_soon(&mut self, now_ns: u64) {
        self.reconcile_ns.get_or_insert(now_ns.saturating_add(RECONCILE_AFTER_NS));
    }

    /// Begins the looks that are due. Events up to `reached_ns` are taken in.
    pub fn begin(&mut self, engine: &Engine, now_ns: u64, reached_ns: u64) {
        if self.orphans.is_free() && now_ns >= self.next_orphans_ns {
            self.next_orphans_ns = now_ns.saturating_add(ORPHANS_EVERY_NS);
            self.begin_orphans(engine, reached_ns);
        }
        if self.table.is_free() {
            self.begin_table(engine, now_ns);
        }
    }

    /// What was found since the last call.
    pub fn findings(&mut self) -> impl Iterator<Item = Finding> + use<> {
        let orphans = self.orphans.found().map(|look| {
            let every_ns = look.took_ns.saturating_mul(LOOK_TIMES);
            let every_ns = every_ns.clamp(ORPHANS_EVERY_NS, ORPHANS_AT_LEAST_EVERY_NS);
            self.next_orphans_ns = look.began_ns.saturating_add(every_ns);
            Finding::Orphans(look.sockets, self.anchor.at(look.began_ns))
        });
        self.table.found().flatten().into_iter().chain(orphans)
    }

    /// The step from an orphan's FIN_WAIT2 to TIME_WAIT may have no event: where the other end is not on this
    /// host to tell, only a look does.
    fn begin_orphans(&mut self, engine: &Engine, reached_ns: u64) {
        // By the events' time: where the reader is behind, what ends an orphan may be in the ring already.
        let since = self.anchor.at(reached_ns.saturating_sub(ORPHANS_EVERY_NS));
        let orphans = engine.orphans(since);
        if !orphans.is_empty() {
            self.orphans.look(move |dumper| look_at_orphans(dumper, &orphans));
        }
    }

    fn begin_table(&mut self, engine: &Engine, now_ns: u64) {
        let anchor = self.anchor;
        if self.reconcile_ns.is_some_and(|due_ns| due_ns <= now_ns) {
            self.reconcile_ns = None;
            self.table.look(move |dumper| take_census(dumper, anchor).map(Finding::All));
        } else if now_ns >= self.next_overdue_ns {
            self.next_overdue_ns = now_ns.saturating_add(OVERDUE_EVERY_NS);
            // A TIME_WAIT whose end no event told would stay for ever.
            let (connections, namespaces) = engine.overdue(anchor.at(now_ns));
            if !connections.is_empty() {
                self.table.look(move |dumper| {
                    let began_at = anchor.at(monotonic_ns());
                    let states = StateMask::of(&[TcpState::TimeWait]);
                    let dump = dumper.dump_states(&namespaces, states);
                    if dump.left_out > 0 {
                        return None; // one that was left out is not gone
                    }
                    let namespaces = dump.visited.iter().copied().collect();
                    let sockets = snapshot(&dump, |_| None);
                    Some(Finding::Overdue(connections, Census { began_at, sockets, namespaces }))
                });
            }
        }
    }
}

fn look_at_orphans(dumper: &mut SocketDumper, orphans: &[(u32, Option<NonZeroU32>)]) -> OrphanLook {
    for (netns, pid) in orphans {
        if let Some(pid) = pid {
            dumper.remember(*netns, *pid);
        }
    }
    let namespaces: Vec<u32> = orphans.iter().map(|(netns, _)| *netns).collect();
    let began_ns = monotonic_ns();
    let dump = dumper.dump_states(&namespaces, StateMask::of(&[TcpState::TimeWait]));
    OrphanLook {
        sockets: snapshot(&dump, |_| None),
        began_ns,
        took_ns: monotonic_ns().saturating_sub(began_ns),
    }
}

/// The kernel's sockets as they are; `None` where not all could be had.
pub(super) fn take_census(dumper: &mut SocketDumper, anchor: TimeAnchor) -> Option<Census> {
    let began_at = anchor.at(monotonic_ns());
    let dump = dumper.dump_all();
    if dump.left_out > 0 {
        log::warn!("too many sockets to set connections right after the loss");
        return None;
    }
    let namespaces = dump.visited.iter().copied().collect();
    Some(Census { began_at, sockets: snapshot(&dump, |_| None), namespaces })
}
