//! What is measured: tracer in its modes, what people use instead, and empty programs on the same
//! hooks.

use super::bpf::Hook;

/// Something that watches a load.
#[derive(Debug)]
pub struct Contender {
    /// As in the tables and on the command line.
    pub name: &'static str,
    /// What is run, for the report.
    pub what: &'static str,
    pub kind: Kind,
}

/// How it is started and what it leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tracer(Mode),
    /// A line per state change.
    TcpStates,
    /// A line per end of a connection, once it is over.
    TcpLife,
    /// A line per state change.
    Bpftrace,
    /// A line per HTTP message.
    Tshark,
    /// Every packet.
    Tcpdump,
    /// Nothing.
    Empty(&'static [Hook]),
}

/// A mode of tracer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// JSON lines of these hooks.
    Hooks(&'static str),
    /// JSON lines of everything.
    Json,
    /// A recording of everything.
    Recording,
    /// A recording of these hooks.
    RecordedHooks(&'static str),
    /// A recording of what is on another port: nothing.
    FilteredOut,
    /// The live view, on a terminal.
    View,
    /// Everything is thrown away as soon as it is found.
    Drained,
    /// The same of these hooks.
    DrainedHooks(&'static str),
}

pub const STATES: &str = "tracer, states";
pub const STATES_RECORDED: &str = "tracer, states recorded";
pub const RECORDING: &str = "tracer, recording";
pub const VIEW: &str = "tracer, live view";
pub const STATES_DRAINED: &str = "tracer, states thrown away";
pub const DRAINED: &str = "tracer, thrown away";
pub const EMPTY: &str = "empty, all hooks";

/// The bpftrace one-liner; ports are words of their own, for [`super::seen`] looks for them.
pub const ONE_LINER: &str = "tracepoint:sock:inet_sock_set_state \
    { printf(\"%s %d %d %d -> %d\\n\", comm, args->sport, args->dport, args->oldstate, args->newstate); }";

const STATE_HOOK: &[Hook] = &[Hook::Tracepoint(c"inet_sock_set_state")];

const STATE_AND_TIMER_HOOKS: &[Hook] = &[
    Hook::Tracepoint(c"inet_sock_set_state"),
    Hook::Tracepoint(c"timer_start"),
    Hook::Tracepoint(c"timer_cancel"),
    Hook::Tracepoint(c"timer_expire_entry"),
];

/// Those that run often; tracer's hooks for accept, repeated segments, resets and processes are left
/// out.
pub const FREQUENT_HOOKS: &[Hook] = &[
    Hook::Tracepoint(c"inet_sock_set_state"),
    Hook::Tracepoint(c"timer_start"),
    Hook::Tracepoint(c"timer_cancel"),
    Hook::Tracepoint(c"timer_expire_entry"),
    Hook::Ingress,
    Hook::Egress,
    Hook::Tracepoint(c"sock_send_length"),
    Hook::Tracepoint(c"sock_recv_length"),
];

pub static CONTENDERS: [Contender; 17] = [
    Contender {
        name: STATES,
        what: "`tracer watch --json --hooks state > file`",
        kind: Kind::Tracer(Mode::Hooks("state")),
    },
    Contender {
        name: STATES_RECORDED,
        what: "`tracer record -o file --hooks state`",
        kind: Kind::Tracer(Mode::RecordedHooks("state")),
    },
    Contender {
        name: "tracer, states and timers",
        what: "`tracer watch --json --hooks state,timers > file`: TIME_WAIT and SYN_RECV too",
        kind: Kind::Tracer(Mode::Hooks("state,timers")),
    },
    Contender {
        name: RECORDING,
        what: "`tracer record -o file`: everything, HTTP included",
        kind: Kind::Tracer(Mode::Recording),
    },
    Contender {
        name: "tracer, JSON lines",
        what: "`tracer watch --json > file`: everything",
        kind: Kind::Tracer(Mode::Json),
    },
    Contender {
        name: VIEW,
        what: "`tracer watch` on a terminal of 120 x 40: everything",
        kind: Kind::Tracer(Mode::View),
    },
    Contender {
        name: "tracer, filtered out",
        what: "`tracer record -o file port:1`: another port than the load's",
        kind: Kind::Tracer(Mode::FilteredOut),
    },
    Contender {
        name: STATES_DRAINED,
        what: "`tracer drain --hooks state`: its hooks and its reader, which throws each event away unread: what is left with user space for nothing",
        kind: Kind::Tracer(Mode::DrainedHooks("state")),
    },
    Contender {
        name: DRAINED,
        what: "`tracer drain`: likewise with all hooks",
        kind: Kind::Tracer(Mode::Drained),
    },
    Contender { name: "tcpstates", what: "`tcpstates > file`", kind: Kind::TcpStates },
    Contender { name: "tcplife", what: "`tcplife > file`", kind: Kind::TcpLife },
    Contender {
        name: "bpftrace",
        what: "`bpftrace -e 'tracepoint:sock:inet_sock_set_state { printf(...) }' > file`: name, ports and states",
        kind: Kind::Bpftrace,
    },
    Contender { name: "tshark", what: "`tshark -i lo -Y http > file`", kind: Kind::Tshark },
    Contender { name: "tcpdump", what: "`tcpdump -i lo -w file`", kind: Kind::Tcpdump },
    Contender {
        name: "empty, state hook",
        what: "a program of two instructions on `inet_sock_set_state`, no reader",
        kind: Kind::Empty(STATE_HOOK),
    },
    Contender {
        name: "empty, states and timers",
        what: "likewise on `timer_start`, `timer_cancel` and `timer_expire_entry` too",
        kind: Kind::Empty(STATE_AND_TIMER_HOOKS),
    },
    Contender {
        name: EMPTY,
        what: "likewise on `cgroup_skb` ingress and egress, `sock_send_length` and `sock_recv_length` too",
        kind: Kind::Empty(FREQUENT_HOOKS),
    },
];

/// The contender of this name.
pub fn named(name: &str) -> Option<&'static Contender> {
    CONTENDERS.iter().find(|contender| contender.name == name)
}
