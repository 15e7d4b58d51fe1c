//! The edge around the core: reads the rings, the clock and the counters, feeds the engine, hands out what it finds.
//!
//! One task owns it. Nothing here decides anything about a connection.

mod looks;

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use rustc_hash::FxHashMap;
use tracer_common::Hook;

use self::looks::{Finding, Looks};
use crate::conn::{self, Limits, SnapshotSocket, SnapshotState};
use crate::decode::{decode, peek_at_ns};
use crate::engine::{self, Engine, EngineCounters, EngineOptions, Output, TellChanged};
use crate::enrich::owners;
use crate::enrich::process::ProcessTable;
use crate::enrich::sockets::{Snapshot, SocketDumper, SocketKind, SocketSnapshot};
use crate::event::{Body, Counters, Interface, Tuple};
use crate::load::programs::{Group, Groups};
use crate::load::{self, Loaded, RingSizes};
use crate::ports::PortSet;
use crate::record::{Host, Loss, Record, SCHEMA_VERSION};
use crate::ring::{Gauge, Merger, SETTLE_NS, Source};
use crate::tcp::TcpState;
use crate::time::{TimeAnchor, Timestamp};

/// How long after the dump at the start a step may come to light that was before the hooks: longer than a processor
/// stands still, of a virtual machine too.
const START_NS: u64 = 250_000_000;
/// How often the counters of losses are read, nanoseconds.
const LOSSES_EVERY_NS: u64 = 100_000_000;
/// How often, in the events' own time, what is due is settled while events come, nanoseconds.
const EXPIRY_EVERY_NS: u64 = 1_000_000;
/// How often the kernel is asked for runs of hooks that it left out, nanoseconds.
const MISSED_RUNS_EVERY_NS: u64 = 1_000_000_000;
/// What a run is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sizes of the rings.
    pub rings: RingSizes,
    /// Groups of hooks to attach.
    pub groups: Groups,
    /// Connections with none of these ports at either end are left out by the kernel side and cost next to nothing.
    pub ports: PortSet,
    /// What will be let through of what is found, in words; `None` for everything. The host record says it.
    pub filter: Option<String>,
    /// Leave secrets as they are.
    pub show_secrets: bool,
    /// Tell of connections as they change, for live views and filters, not only at their end.
    pub tell_changed: TellChanged,
    /// Tell of connections once they have been there for a second, for recordings.
    pub tell_lasting: bool,
}

/// What the run saw and lost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events taken in.
    pub seen: u64,
    /// Events known to be lost.
    pub lost: u64,
    /// Connection ends tracked now.
    pub tracked: usize,
}

/// What one look did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Events taken in.
    pub events: usize,
    /// Whether none were left because there were too many for one look.
    pub caught_up: bool,
    /// Whether everything up to the moment asked for is taken in: nothing that old was still being written.
    pub is_whole: bool,
}

/// A running trace.
pub struct Pipeline {
    loaded: Loaded,
    engine: Engine,
    merger: Merger,
    anchor: TimeAnchor,
    host: Arc<Host>,
    losses: Losses,
    malformed: u64,
    seen: u64,
    processes: ProcessTable,
    looks: Looks,
    next_losses_ns: u64,
    next_missed_runs_ns: u64,
    next_expiry_ns: u64,
    /// Up to when events are taken in.
    reached_ns: u64,
    /// When everything was attached. What some hooks saw before, others did not.
    attached_ns: u64,
    /// What followed from the events before the first poll.
    begun: Vec<Output>,
    /// Until the dump of older sockets is merged, ends are not settled: what has ended since must be known as such.
    is_merged: bool,
    /// Until when an unknown step may be from before the hooks.
    start_until_ns: u64,
    ports: PortSet,
}

/// What was already told as lost.
#[derive(Default)]
struct Losses {
    /// Kernel events among what follows.
    events: u64,
    told: [u64; Hook::ALL.len()],
    /// States and timers among them that the engine knows of.
    noted: u64,
    told_missed_runs: [u64; Group::ALL.len()],
    told_core: [u64; engine::LOSSES],
    told_malformed: u64,
    told_unread: u64,
}

/// Unforeseeable from outside: std's tables are seeded the same way.
fn random_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8)
}

fn monotonic_ns() -> u64 {
    clock_ns(ClockId::CLOCK_MONOTONIC)
}

fn clock_ns(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |t| {
        let seconds = u64::try_from(t.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}

impl Pipeline {
    /// Loads the programs, attaches them, and merges the sockets that are there already.
    ///
    /// # Errors
    /// When states cannot be traced on this host.
    pub fn start(options: Options) -> anyhow::Result<Pipeline> {
        let anchor = TimeAnchor::new(clock_ns(ClockId::CLOCK_REALTIME), monotonic_ns());
        let started_at = anchor.at(monotonic_ns());
        let loaded = load::load(options.rings, options.groups, &options.ports)
            .context("tracing cannot start")?;
        let sees_segments = loaded.health.is_attached(Group::Payload);
        let host = Arc::new(host_record(&loaded, started_at, &options));
        let cgroup_root = loaded.cgroup.as_ref().map(load::cgroup::CgroupRoot::path);
        let mut pipeline = Pipeline {
            loaded,
            engine: Engine::new(EngineOptions {
                limits: Limits { hash_seed: random_seed(), ..Limits::default() },
                sees_segments,
                tell_changed: options.tell_changed,
                tell_lasting: options.tell_lasting,
                show_secrets: options.show_secrets,
            }),
            merger: Merger::default(),
            anchor,
            host,
            losses: Losses::default(),
            malformed: 0,
            seen: 0,
            processes: ProcessTable::new(cgroup_root),
            looks: Looks::start(anchor, &options.ports)
                .context("tracing cannot start: no threads")?,
            next_losses_ns: 0,
            next_missed_runs_ns: 0,
            next_expiry_ns: 0,
            reached_ns: 0,
            attached_ns: monotonic_ns(),
            begun: Vec::new(),
            is_merged: false,
            start_until_ns: u64::MAX,
            ports: options.ports,
        };
        pipeline.merge_older();
        Ok(pipeline)
    }

    /// The sockets that are there already. The hooks are attached: nothing falls between.
    fn merge_older(&mut self) {
        let dump = SocketDumper::new(self.ports.clone()).dump_all();
        // Events know better than a dump that takes its time on a busy host.
        let mut begun = Vec::new();
        let dumped_ns = monotonic_ns();
        self.catch_up(dumped_ns, &mut begun);
        self.begun = begun;
        self.is_merged = true;
        for failure in &dump.failures {
            log::warn!(
                "sockets older than the tracer are unknown in network namespace {}: {}",
                failure.netns,
                failure.error
            );
        }
        let is_whole = dump.failures.is_empty() && dump.left_out == 0;
        // What the dump should have told may come at any time.
        self.start_until_ns = if is_whole { dumped_ns + START_NS } else { u64::MAX };
        // In another pid namespace /proc has other numbers than events have.
        let owners = if load::host::in_initial_pid_namespace() == Some(true) {
            owners::owners_of(&dump.sockets.iter().filter_map(|socket| socket.inode).collect())
        } else {
            FxHashMap::default()
        };
        let sockets = snapshot(&dump, |inode| {
            let owner = owners.get(&inode)?;
            let comm = conn::Comm::from(owner.comm.as_deref().unwrap_or_default());
            Some(conn::Owner { pid: NonZeroU32::new(owner.pid)?, comm, facts: None })
        });
        self.engine.merge_snapshot(sockets, self.anchor.at(self.start_until_ns));
        let now = self.now();
        look_up_owners(&mut self.engine, &mut self.processes, now);
    }

    /// The `host` record of this run.
    #[must_use]
    pub fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }

    /// How full the rings are, for another thread.
    ///
    /// # Errors
    /// When their positions cannot be mapped.
    pub fn gauge(&self) -> anyhow::Result<Gauge> {
        Ok(Gauge::of(&[&self.loaded.events, &self.loaded.payloads])?)
    }

    /// Takes in what the kernel told up to now and hands out what follows.
    pub fn poll(&mut self, out: &mut Vec<Output>) -> Progress {
        out.append(&mut self.begun);
        let now_ns = monotonic_ns();
        self.looks.begin(&self.engine, now_ns, self.reached_ns);
        let mut findings = self.looks.findings().peekable();
        if findings.peek().is_none() {
            return self.step(now_ns.saturating_sub(SETTLE_NS), out);
        }
        // What happened up to now is taken in before what was found: events know better.
        let until_ns = monotonic_ns();
        let progress = self.catch_up(until_ns, out);
        let at = self.anchor.at(until_ns);
        for finding in findings {
            match finding {
                Finding::All(census) => self.engine.reconcile(&census, at),
                Finding::Overdue(connections, census) => {
                    self.engine.reconcile_these(connections, &census, at);
                }
                Finding::Orphans(sockets, at) => self.engine.look(&sockets, at),
            }
        }
        self.engine.drain_into(out);
        progress
    }

    /// Takes in everything up to a moment.
    fn catch_up(&mut self, until_ns: u64, out: &mut Vec<Output>) -> Progress {
        let mut events = 0;
        loop {
            let progress = self.step(until_ns, out);
            events += progress.events;
            if progress.is_whole {
                return Progress { events, ..progress };
            }
        }
    }

    /// The time of the clock that the records use.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.anchor.at(monotonic_ns())
    }

    /// What the run saw and lost so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { seen: self.seen, lost: self.losses.events, tracked: self.engine.tracked() }
    }

    /// What the core could not assign, keep or understand so far.
    #[must_use]
    pub const fn counters(&self) -> EngineCounters {
        self.engine.counters()
    }

    /// What is attached.
    #[must_use]
    pub const fn health(&self) -> &load::health::Health {
        &self.loaded.health
    }

    /// Every connection as it is now, for a view that fell behind.
    #[must_use]
    pub fn connections(&self) -> Vec<Arc<crate::record::Connection>> {
        self.engine.connections()
    }

    /// From now on changes are told so.
    pub const fn set_tell_changed(&mut self, tell_changed: TellChanged) {
        self.engine.set_tell_changed(tell_changed);
    }

    /// How many connection ends are in each state.
    #[must_use]
    pub fn population(&self) -> Vec<(TcpState, u64)> {
        self.engine.population()
    }

    fn step(&mut self, until_ns: u64, out: &mut Vec<Output>) -> Progress {
        self.see_to_start(until_ns);
        self.note_losses(until_ns);
        let mut events = 0;
        let Pipeline {
            loaded,
            merger,
            engine,
            anchor,
            malformed,
            processes,
            next_expiry_ns,
            attached_ns,
            is_merged,
            ..
        } = self;
        let rings: &mut [&mut dyn Source] = &mut [&mut loaded.events, &mut loaded.payloads];
        let taken = merger.take_until(rings, until_ns, |bytes| {
            events += 1;
            let at_ns = peek_at_ns(bytes);
            if at_ns.is_some_and(|at_ns| at_ns < *attached_ns) {
                return;
            }
            // Time passes between events too: what was long due before this one is settled first.
            if *is_merged && let Some(at_ns) = at_ns.filter(|at_ns| *at_ns >= *next_expiry_ns) {
                *next_expiry_ns = at_ns + EXPIRY_EVERY_NS;
                engine.expire(anchor.at(at_ns));
            }
            match decode(bytes, *anchor) {
                Ok(event) => match event.body {
                    Body::Exec(exec) => {
                        processes.observe_exec(exec.pid, exec.path().as_deref());
                    }
                    Body::Fork(fork) => {
                        processes.observe_fork(fork.pid, fork.parent_pid, event.at);
                    }
                    _ => {
                        engine.apply(&event);
                        look_up_owners(engine, processes, event.at);
                    }
                },
                Err(error) => {
                    *malformed += 1;
                    log::warn!("an event could not be decoded: {error}");
                }
            }
        });
        self.seen += events as u64;
        self.reached_ns = taken.reached_ns;
        // Between looks that leave something behind, the events' own time settles what is due.
        if self.is_merged && !taken.more {
            self.engine.expire(self.anchor.at(taken.reached_ns));
        }
        self.engine.drain_into(out);
        if until_ns >= self.next_losses_ns {
            self.next_losses_ns = until_ns.saturating_add(LOSSES_EVERY_NS);
            self.tell_losses(until_ns, out);
            self.tell_missed_runs(until_ns, out);
            if let Some(diagnostics) = self.loaded.diagnostics.as_mut() {
                diagnostics.flush();
            }
        }
        Progress { events, caught_up: !taken.more, is_whole: taken.reached_ns == until_ns }
    }

    /// A gap is from before the hooks only where no hook has lost anything. What an event that is taken in now lacks
    /// was counted before that event.
    fn see_to_start(&mut self, until_ns: u64) {
        // Where the dump could not be whole what it left out may come at any time, whatever is lost.
        let is_whole = self.start_until_ns < u64::MAX;
        let is_start = self.is_merged && is_whole && until_ns < self.start_until_ns;
        let has_lost = |hook| self.loaded.counters.read(hook).lost > 0;
        if is_start && Hook::ALL.into_iter().any(has_lost) {
            self.start_until_ns = 0;
            self.engine.end_start();
        }
    }

    /// Before the events of this look: what they lack may be among what was lost.
    fn note_losses(&mut self, until_ns: u64) {
        let lost = |hook| self.loaded.counters.read(hook).lost;
        let lost = lost(Hook::State) + lost(Hook::Timers);
        if lost > self.losses.noted {
            self.losses.noted = lost;
            self.engine.note_loss(self.anchor.at(until_ns));
        }
    }

    fn tell_losses(&mut self, until_ns: u64, out: &mut Vec<Output>) {
        let at = self.anchor.at(until_ns);
        let Losses { events, told, told_core, told_malformed, .. } = &mut self.losses;
        for (told, hook) in told.iter_mut().zip(Hook::ALL) {
            let lost = self.loaded.counters.read(hook).lost;
            let is_life = matches!(hook, Hook::State | Hook::Timers);
            if is_life && lost > *told {
                self.looks.reconcile_soon(until_ns);
            }
            *events += tell_loss(told, lost, hook.name(), at, out);
        }
        for (told, (name, lost)) in told_core.iter_mut().zip(self.engine.counters().losses()) {
            *events += tell_loss(told, lost, name, at, out);
        }
        let malformed = self.malformed + self.merger.malformed;
        *events += tell_loss(told_malformed, malformed, "decode", at, out);
    }

    fn tell_missed_runs(&mut self, until_ns: u64, out: &mut Vec<Output>) {
        if until_ns < self.next_missed_runs_ns {
            return;
        }
        self.next_missed_runs_ns = until_ns.saturating_add(MISSED_RUNS_EVERY_NS);
        let at = self.anchor.at(until_ns);
        let missed = self.loaded.missed_runs();
        for group in Group::ALL {
            let told = &mut self.losses.told_missed_runs[group as usize];
            if matches!(group, Group::State | Group::Timers) && missed[group as usize] > *told {
                self.looks.reconcile_soon(until_ns);
            }
            self.losses.events += tell_loss(told, missed[group as usize], group.name(), at, out);
        }
    }

    /// The run is over: takes in the last events and tells what is still open.
    pub fn finish(&mut self, out: &mut Vec<Output>) {
        let census = looks::take_census(&mut SocketDumper::new(self.ports.clone()), self.anchor);
        let written: u64 =
            Hook::ALL.iter().map(|hook| self.loaded.counters.read(*hook).emitted).sum();
        let now_ns = monotonic_ns();
        self.next_losses_ns = 0;
        self.next_missed_runs_ns = 0;
        self.catch_up(now_ns, out);
        // Everything written before that moment must have been read by now: if not, the reading is at fault.
        self.losses.events += tell_loss(
            &mut self.losses.told_unread,
            written.saturating_sub(self.seen),
            "rings",
            self.anchor.at(now_ns),
            out,
        );
        let at = self.anchor.at(now_ns);
        if let Some(census) = census.as_ref().filter(|_| self.totals().lost > 0) {
            self.engine.reconcile(census, at);
        }
        let sockets = census.map_or(Vec::new(), |census| census.sockets);
        self.engine.finish(&sockets, at);
        self.engine.drain_into(out);
        // What was open was given up with the run: its HTTP may have counted more.
        self.tell_losses(now_ns, out);
    }
}

/// Adds to the owners just found what /proc still knows of them: some end within milliseconds.
fn look_up_owners(engine: &mut Engine, processes: &mut ProcessTable, now: Timestamp) {
    for owned in engine.take_owned() {
        let facts = processes.facts(owned.pid, owned.cgroup_id, now);
        engine.set_facts(owned.conn, facts);
    }
}

/// Writes a `loss` record of what was lost since the last one; how many kernel events that is.
fn tell_loss(told: &mut u64, total: u64, what: &str, at: Timestamp, out: &mut Vec<Output>) -> u64 {
    if total <= *told {
        return 0;
    }
    let loss = Loss { at, hook: what.to_owned(), events: total - *told };
    let events = loss.lost_events();
    out.push(Output::Record(Record::Loss(loss)));
    *told = total;
    events
}

/// A dump as the tracker takes it.
fn snapshot(
    dump: &Snapshot,
    mut owner_of: impl FnMut(u64) -> Option<conn::Owner>,
) -> Vec<SnapshotSocket> {
    dump.sockets
        .iter()
        .map(|socket| SnapshotSocket {
            cookie: socket.cookie,
            tuple: Tuple {
                interface: Interface::with_index(socket.interface),
                ..Tuple::new(socket.netns, socket.local, socket.remote)
            },
            state: match socket.kind {
                SocketKind::Full => SnapshotState::Full(socket.state),
                SocketKind::Request => SnapshotState::Request,
                SocketKind::TimeWait => SnapshotState::TimeWait(socket.state),
            },
            counters: socket_counters(socket),
            owner: socket.inode.and_then(&mut owner_of),
        })
        .collect()
}

fn socket_counters(socket: &SocketSnapshot) -> Option<Counters> {
    Some(Counters {
        bytes_sent: socket.bytes_sent?,
        bytes_received: socket.bytes_received?,
        segments_retransmitted: saturated(socket.segments_retransmitted.unwrap_or(0)),
        srtt_us: socket.srtt_us.and_then(|us| NonZeroU32::new(saturated(us))),
    })
}

/// The kernel's own counters of these are of 32 bits.
fn saturated(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn host_record(loaded: &Loaded, started_at: Timestamp, options: &Options) -> Host {
    let host = load::host::Host::read();
    Host {
        schema: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: host.hostname,
        kernel: host.kernel,
        started_at,
        hooks: loaded.health.hooks(),
        show_secrets: options.show_secrets,
        filter: options.filter.clone(),
    }
}
