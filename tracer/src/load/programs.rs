//! The programs, where each is attached, and the groups in which people think of them.

use std::fs::File;

use aya::Btf;
use aya::maps::{MapData, MapError, ProgramArray};
use aya::programs::{
    BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, Program as Loadable,
    ProgramError, TracePoint,
};
use thiserror::Error;
use tracer_common::framing::Follower;

/// A group of programs that tell one kind of thing together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// State changes: the one group that must be there.
    State,
    /// Timers of timewait and request sockets.
    Timers,
    /// Packets: segments and HTTP payload.
    Payload,
    /// Who uses a socket.
    Owner,
    /// Repeated segments.
    Retransmit,
    /// Resets as TCP tells them.
    Reset,
    /// Executed programs.
    Exec,
}

impl Group {
    /// Every group, the needed one first.
    pub const ALL: [Group; 7] = [
        Group::State,
        Group::Timers,
        Group::Payload,
        Group::Owner,
        Group::Retransmit,
        Group::Reset,
        Group::Exec,
    ];

    /// The name in the `host` record and in `tracer doctor`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Group::State => "state",
            Group::Timers => "timers",
            Group::Payload => "payload",
            Group::Owner => "owner",
            Group::Retransmit => "retransmit",
            Group::Reset => "reset",
            Group::Exec => "exec",
        }
    }

    /// What is not seen without it.
    #[must_use]
    pub const fn lost_without(self) -> &'static str {
        match self {
            Group::State => "everything",
            Group::Timers => {
                "TIME_WAIT, SYN_RECV from the SYN's arrival, half-open connections, an orphan's FIN_WAIT2"
            }
            Group::Payload => "HTTP requests, SYN/FIN/RST segments, which side reset",
            Group::Owner => "the owner of accepted connections until they close",
            Group::Retransmit => "repeated data segments",
            Group::Reset => "resets where packets are not seen",
            Group::Exec => "the binary of processes that end at once",
        }
    }
}

/// Which groups are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups(u8);

impl Groups {
    /// All of them.
    pub const ALL: Groups = Groups(u8::MAX);

    /// Those named, and the state group, without which there is nothing to tell.
    #[must_use]
    pub fn of(groups: &[Group]) -> Self {
        Groups(groups.iter().fold(1 << Group::State as u8, |bits, group| bits | 1 << *group as u8))
    }

    /// Whether `group` is wanted.
    #[must_use]
    pub const fn contains(self, group: Group) -> bool {
        self.0 & (1 << group as u8) != 0
    }
}

impl Default for Groups {
    fn default() -> Self {
        Groups::ALL
    }
}

/// How a program is attached.
#[derive(Clone, Copy, Debug)]
enum Attach {
    BtfTracepoint(&'static str),
    Tracepoint(&'static str, &'static str),
    Cgroup(CgroupSkbAttachType),
    /// Tail-called by the programs on packets.
    Follower(Follower),
}

/// One program of the object file.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its function's name.
    pub name: &'static str,
    /// The group it works for.
    pub group: Group,
    attach: Attach,
}

impl Program {
    /// Whether attaching it reads the tracepoint's number from tracefs.
    #[must_use]
    pub const fn needs_tracefs(&self) -> bool {
        matches!(self.attach, Attach::Tracepoint(..))
    }
}

const fn tp_btf(name: &'static str, group: Group) -> Program {
    Program { name, group, attach: Attach::BtfTracepoint(name) }
}

const fn syscall(name: &'static str) -> Program {
    Program { name, group: Group::Owner, attach: Attach::Tracepoint("syscalls", name) }
}

const fn cgroup(name: &'static str, way: CgroupSkbAttachType) -> Program {
    Program { name, group: Group::Payload, attach: Attach::Cgroup(way) }
}

const fn follower(number: usize) -> Program {
    let (follower, name) = Follower::ALL[number];
    Program { name, group: Group::Payload, attach: Attach::Follower(follower) }
}

/// Every program, in the order in which they are attached.
pub const PROGRAMS: [Program; 23] = [
    tp_btf("inet_sock_set_state", Group::State),
    tp_btf("timer_start", Group::Timers),
    tp_btf("timer_cancel", Group::Timers),
    tp_btf("timer_expire_entry", Group::Timers),
    follower(0),
    follower(1),
    follower(2),
    follower(3),
    follower(4),
    follower(5),
    follower(6),
    cgroup("cgroup_ingress", CgroupSkbAttachType::Ingress),
    cgroup("cgroup_egress", CgroupSkbAttachType::Egress),
    tp_btf("sock_send_length", Group::Owner),
    tp_btf("sock_recv_length", Group::Owner),
    syscall("sys_exit_accept"),
    syscall("sys_exit_accept4"),
    tp_btf("tcp_retransmit_skb", Group::Retransmit),
    tp_btf("tcp_retransmit_synack", Group::Retransmit),
    tp_btf("tcp_send_reset", Group::Reset),
    tp_btf("tcp_receive_reset", Group::Reset),
    tp_btf("sched_process_exec", Group::Exec),
    tp_btf("sched_process_fork", Group::Exec),
];

/// Why a program is not attached.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The object file has no such program.
    #[error("the program is not in this build")]
    Missing,
    /// What the program needs is not there.
    #[error("{0}")]
    Needs(String),
    /// The kernel refused it.
    #[error("{}", chain(.0))]
    Program(#[from] ProgramError),
    /// The map of tail-called programs did not take it.
    #[error("it cannot be put where others call it: {0}")]
    Follow(#[from] MapError),
}

/// The error with its causes, on one line: verifier logs stay out of it.
fn chain(error: &ProgramError) -> String {
    let mut text = first_line(&error.to_string());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {}", first_line(&cause.to_string()));
        source = cause.source();
    }
    text
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Loads `program` into the kernel.
///
/// # Errors
/// [`AttachError`], which says what the kernel said.
pub fn load(found: &mut Loadable, program: &Program, btf: &Btf) -> Result<(), AttachError> {
    match program.attach {
        Attach::BtfTracepoint(name) => {
            let found: &mut BtfTracePoint = found.try_into()?;
            found.load(name, btf)?;
        }
        Attach::Tracepoint(..) => {
            let found: &mut TracePoint = found.try_into()?;
            found.load()?;
        }
        Attach::Cgroup(_) | Attach::Follower(_) => {
            let found: &mut CgroupSkb = found.try_into()?;
            found.load()?;
        }
    }
    Ok(())
}

/// Attaches `program`, which is loaded.
///
/// # Errors
/// [`AttachError`], which says what is missing or what the kernel said.
pub fn attach(
    found: &mut Loadable,
    program: &Program,
    cgroup: Result<&File, &str>,
    follow: &mut ProgramArray<MapData>,
) -> Result<(), AttachError> {
    match program.attach {
        Attach::BtfTracepoint(_) => {
            let found: &mut BtfTracePoint = found.try_into()?;
            found.attach()?;
        }
        Attach::Tracepoint(category, name) => {
            let found: &mut TracePoint = found.try_into()?;
            found.attach(category, name)?;
        }
        Attach::Cgroup(way) => {
            let directory = cgroup.map_err(|why| AttachError::Needs(why.to_owned()))?;
            let found: &mut CgroupSkb = found.try_into()?;
            // Flags 0: bpf_link_create refuses ALLOW_MULTI with EINVAL, and links stack by nature.
            found.attach(directory, way, CgroupAttachMode::Single)?;
        }
        Attach::Follower(follower) => {
            let found: &mut CgroupSkb = found.try_into()?;
            follow.set(follower as u32, found.fd()?, 0)?;
        }
    }
    Ok(())
}
