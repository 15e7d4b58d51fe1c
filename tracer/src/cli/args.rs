//! What can be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::duration::parse_duration;
use super::exit::UsageError;
use crate::export::Format;
use crate::filter::Filter;
use crate::load::programs::{Group, Groups};

/// Shows what every TCP connection on this host is doing, from SYN to the end of TIME_WAIT, with its HTTP requests.
///
/// Without a command it is `tracer watch`.
#[derive(Debug, Parser)]
#[command(name = "tracer", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done, 1 failed, 2 wrong usage.")]
pub struct Cli {
    /// How much to log.
    #[command(flatten)]
    pub verbosity: Verbosity,
    /// What to do; `watch` without one.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show connections and requests as they happen
    Watch(WatchArgs),
    /// Trace into a recording until the time is up or Ctrl-C
    ///
    /// A line on stderr that begins with "tracing" says that from then on everything is recorded. Scripts can wait for it.
    Record(RecordArgs),
    /// Play a recording in the live view
    View(ViewArgs),
    /// Turn a recording into another form
    Export(ExportArgs),
    /// Make one recording of two hosts' recordings: both ends tied, clocks set against each other
    Merge(MergeArgs),
    /// Trace without a screen: keep the last minutes, serve live views, recordings and metrics
    Daemon(DaemonArgs),
    /// Say what this host allows, what is lost without each hook, and what to do about it
    Doctor(DoctorArgs),
    /// Trace a small HTTP server and its clients on loopback: something to see on any machine
    Demo(DemoArgs),
    /// Take events from the rings and throw them away unread: what tracing costs with user space for nothing
    #[command(hide = true)]
    Drain(DrainArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

impl Command {
    /// `watch` as it is without any argument.
    #[must_use]
    pub fn watch() -> Self {
        Command::Watch(WatchArgs::default())
    }
}

/// `-v` and `-q`.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Verbosity {
    /// Log more on stderr: -v information, -vv debugging, -vvv everything
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 100)]
    pub verbose: u8,
    /// Log less: -q only errors, -qq nothing
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 101, conflicts_with = "verbose")]
    pub quiet: u8,
}

impl Verbosity {
    /// The level of log lines to show; warnings and errors if nothing was said.
    #[must_use]
    pub const fn level(self) -> log::LevelFilter {
        match (self.verbose, self.quiet) {
            (0, 0) => log::LevelFilter::Warn,
            (0, 1) => log::LevelFilter::Error,
            (0, _) => log::LevelFilter::Off,
            (1, _) => log::LevelFilter::Info,
            (2, _) => log::LevelFilter::Debug,
            _ => log::LevelFilter::Trace,
        }
    }
}

/// The words of a filter.
#[derive(Clone, Debug, Default, Args)]
pub struct FilterArgs {
    /// What to show, such as: port:443 comm:nginx status:5xx not path:/health*
    ///
    /// Words side by side mean "and"; "or", "not" and parentheses as usual. Keys: port, lport, rport, host, lhost, rhost,
    /// state, role, outcome, closed_by, family, pid, comm, exe, cgroup, container, netns, conn, method, status, path,
    /// host_header. In values * stands for any characters, ? for one; key:* for anything known.
    #[arg(value_name = "FILTER")]
    pub words: Vec<String>,
}

impl FilterArgs {
    /// The filter that the words say; [`Filter::all`] without words.
    ///
    /// # Errors
    /// [`UsageError`] where they are no filter.
    pub fn filter(&self) -> Result<Filter, UsageError> {
        Filter::from_words(&self.words).map_err(|error| UsageError(error.to_string()))
    }
}

/// How to show what happens.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct OutputArgs {
    /// A line per change instead of the live view (also where stdout is no terminal)
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// A JSON line per change
    #[arg(long)]
    pub json: bool,
}

/// Options of everything that traces.
#[derive(Clone, Debug, Default, Args)]
pub struct TraceArgs {
    /// Stop after this time, such as 30s, 5m, 1h30m or 500ms
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub duration: Option<Duration>,
    /// Do not redact cookies, credentials and secrets in URLs
    #[arg(long)]
    pub show_secrets: bool,
    /// Attach only these groups of hooks, to spend less (`tracer doctor` says what is lost without each)
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', value_parser = parse_group)]
    pub hooks: Vec<Group>,
    /// Sizes of the rings.
    #[command(flatten)]
    pub rings: RingArgs,
}

impl TraceArgs {
    /// The groups of hooks to attach: those asked for, else all.
    #[must_use]
    pub fn groups(&self) -> Groups {
        if self.hooks.is_empty() { Groups::ALL } else { Groups::of(&self.hooks) }
    }
}

fn parse_group(text: &str) -> Result<Group, String> {
    Group::ALL.into_iter().find(|group| group.name() == text).ok_or_else(|| {
        let names: Vec<_> = Group::ALL.iter().map(|group| group.name()).collect();
        format!("the groups of hooks are {}", names.join(", "))
    })
}

/// Sizes of the rings between kernel and user space; for tests and for hosts with very much traffic.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RingArgs {
    /// Size of the event ring in KiB, a power of two
    #[arg(long, value_name = "KIB", hide = true, value_parser = parse_ring_kib)]
    pub event_ring_kib: Option<u32>,
    /// Size of the payload ring in KiB, a power of two
    #[arg(long, value_name = "KIB", hide = true, value_parser = parse_ring_kib)]
    pub payload_ring_kib: Option<u32>,
}

/// A number of bytes as people write them: 500MB, 1GiB, 65536.
fn parse_size(text: &str) -> Result<u64, String> {
    match text.parse::<bytesize::ByteSize>() {
        Ok(size) if size.as_u64() > 0 => Ok(size.as_u64()),
        _ => Err("not a size; write it like 500MB or 1GiB".to_owned()),
    }
}

/// A BPF ring's size is a power of two and a multiple of the page size; at most 1 GiB here.
fn parse_ring_kib(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(kib) if kib.is_power_of_two() && (4..=1 << 20).contains(&kib) => Ok(kib),
        _ => Err("a ring has a power of two of KiB, from 4 to 1048576".to_owned()),
    }
}

/// `tracer watch`.
#[derive(Clone, Debug, Default, Args)]
pub struct WatchArgs {
    /// Show what the daemon that listens at SOCKET sees, instead of tracing; takes no privileges but the socket's
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["hooks", "show_secrets"])]
    pub from: Option<PathBuf>,
    /// Live view, lines or JSON.
    #[command(flatten)]
    pub output: OutputArgs,
    /// For how long and how.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// What to show.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// `tracer daemon`.
#[derive(Clone, Debug, Args)]
pub struct DaemonArgs {
    /// Where clients are listened for; only this user may connect
    #[arg(long, value_name = "SOCKET", default_value = "/run/tracer.sock")]
    pub socket: PathBuf,
    /// Keep so much of the past in memory
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "10m")]
    pub last: Duration,
    /// Memory for --last
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "256MiB")]
    pub memory: u64,
    /// Answer scrapers of Prometheus and OpenMetrics at this address, such as 127.0.0.1:9435
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// For how long and how.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// What to keep and to tell.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// `tracer record`.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// The recording to make; only its owner can read it
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace FILE if it is there
    #[arg(long)]
    pub force: bool,
    /// Begin a new file when one has this size, such as 500MiB; files are numbered, run.0001.trace
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_size: Option<u64>,
    /// Begin a new file when one is so old, such as 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub max_age: Option<Duration>,
    /// Keep only so many files, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Write what the daemon that listens at SOCKET has kept (of the last --last), instead of tracing
    #[arg(
        long,
        value_name = "SOCKET",
        conflicts_with_all = ["max_size", "max_age", "keep", "when", "memory", "duration", "hooks", "show_secrets", "words"]
    )]
    pub from: Option<PathBuf>,
    /// Keep the last TIME in memory, and write it to a numbered file when SIGUSR1 or --when asks for it
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with_all = ["max_size", "max_age"])]
    pub last: Option<Duration>,
    /// Write what --last keeps a few seconds after something that this filter matches, such as status:5xx
    #[arg(long, value_name = "FILTER", requires = "last")]
    pub when: Option<String>,
    /// Memory for --last, 256MiB unless said
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "last")]
    pub memory: Option<u64>,
    /// For how long and how.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// What to record.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// `tracer view`.
#[derive(Clone, Debug, Args)]
pub struct ViewArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// What to show.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// `tracer export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// The form to export to: jsonl (JSON lines), csv (the same as a table), har (HTTP Archive), perfetto (a timeline for
    /// ui.perfetto.dev), pcapng (packets) or html (a page for a browser)
    #[arg(long, value_name = "FORM")]
    pub to: Format,
    /// Where to write, instead of stdout
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace OUT if it is there
    #[arg(long)]
    pub force: bool,
    /// What to export.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// `tracer merge`.
#[derive(Clone, Debug, Args)]
pub struct MergeArgs {
    /// The recording whose clock counts
    #[arg(value_name = "FILE")]
    pub first: PathBuf,
    /// The other host's
    #[arg(value_name = "OTHER")]
    pub second: PathBuf,
    /// The recording to make
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Replace OUT if it is there
    #[arg(long)]
    pub force: bool,
}

/// `tracer doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DoctorArgs {
    /// Say it as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `tracer demo`.
#[derive(Clone, Debug, Default, Args)]
pub struct DemoArgs {
    /// Live view, lines or JSON.
    #[command(flatten)]
    pub output: OutputArgs,
    /// For how long and how.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// `tracer drain`.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// For how long and with which hooks.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// `tracer completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}
