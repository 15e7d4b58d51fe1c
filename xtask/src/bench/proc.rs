//! What the kernel tells in /proc: counters of a network namespace, memory and BPF programs of a
//! process.

use std::fs;

/// Counters of a network namespace since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections opened by this side's connect.
    pub active_opens: u64,
    /// Connections that listeners got.
    pub passive_opens: u64,
    /// Connections that ended by a reset.
    pub resets: u64,
    /// Packets over loopback, each counted once.
    pub packets: u64,
}

impl Counters {
    /// Of the calling thread's network namespace.
    pub fn read() -> Self {
        let file = |name: &str| {
            fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
        };
        let (snmp, dev) = (file("snmp"), file("dev"));
        let tcp = |name| table_value(&snmp, "Tcp:", name).unwrap_or(0);
        Self {
            active_opens: tcp("ActiveOpens"),
            passive_opens: tcp("PassiveOpens"),
            resets: tcp("EstabResets"),
            packets: loopback_packets(&dev).unwrap_or(0),
        }
    }

    /// Ends of connections: each connection here has both.
    pub fn ends(self) -> u64 {
        self.active_opens + self.passive_opens
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            active_opens: self.active_opens - before.active_opens,
            passive_opens: self.passive_opens - before.passive_opens,
            resets: self.resets - before.resets,
            packets: self.packets - before.packets,
        }
    }
}

/// A value of /proc/net/snmp and netstat: a line of names, then a line of values.
fn table_value(text: &str, table: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(table));
    let (names, values) = (lines.next()?, lines.next()?);
    let index = names.split_whitespace().position(|found| found == name)?;
    values.split_whitespace().nth(index)?.parse().ok()
}

/// Packets received by `lo` in /proc/net/dev: after the name come bytes and packets.
fn loopback_packets(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("lo:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a socket listens on `port`, in the text of /proc/net/tcp.
pub fn listens(text: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    text.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or_default();
        local.ends_with(&port) && words.nth(1) == Some(LISTEN)
    })
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Greatest resident size so far.
    pub peak_kib: u64,
    /// Resident now and its own, not of a file or of the kernel.
    pub own_kib: u64,
    /// Of BPF maps, mapped by it and resident. A ring is mapped twice and counts twice.
    pub rings_kib: u64,
}

impl Memory {
    /// Of process `pid`; zeroes once it is gone.
    pub fn of(pid: u32) -> Self {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let status = file("status");
        Self {
            peak_kib: labelled(&status, "VmHWM:").unwrap_or(0),
            own_kib: labelled(&status, "RssAnon:").unwrap_or(0),
            rings_kib: mapped_kib(&file("smaps"), "anon_inode:bpf-map"),
        }
    }
}

/// The number behind a label at the start of a line.
fn labelled(text: &str, label: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The resident part of all mappings of `name` in the text of /proc/PID/smaps.
fn mapped_kib(smaps: &str, name: &str) -> u64 {
    let mut sum = 0;
    let mut inside = false;
    for line in smaps.lines() {
        if let Some(rest) = line.strip_prefix("Rss:") {
            let kib: u64 = rest.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
            sum += if inside { kib } else { 0 };
        } else if line.split_whitespace().next().is_some_and(|word| !word.ends_with(':')) {
            inside = line.ends_with(name);
        }
    }
    sum
}

/// How often and how long a BPF program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    pub id: u32,
    pub runs: u64,
    pub time_ns: u64,
    /// Runs that the kernel left out.
    pub missed: u64,
}

/// The BPF programs that process `pid` holds.
pub fn programs_of(pid: u32) -> Vec<ProgramRuns> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut programs: Vec<ProgramRuns> = texts.filter_map(|text| program_runs(&text)).collect();
    programs.sort_by_key(|program| program.id);
    programs.dedup_by_key(|program| program.id);
    programs
}

/// None where the descriptor is no program: links name the program's id too, but no runs.
fn program_runs(fdinfo: &str) -> Option<ProgramRuns> {
    Some(ProgramRuns {
        id: labelled(fdinfo, "prog_id:")?.try_into().ok()?,
        runs: labelled(fdinfo, "run_cnt:")?,
        time_ns: labelled(fdinfo, "run_time_ns:")?,
        missed: labelled(fdinfo, "recursion_misses:").unwrap_or(0),
    })
}

/// TCP sockets of a network namespace, request and timewait sockets left out, in the text of
/// /proc/net/sockstat.
pub fn sockets_in_use(sockstat: &str) -> Option<u64> {
    labelled(sockstat, "TCP: inuse ")
}

/// Time of all processors since boot, in ticks of 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// Nothing to do, waiting for disks included.
    pub idle: u64,
    pub all: u64,
}

impl Ticks {
    pub fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(&stat).unwrap_or_default()
    }

    /// The first line of /proc/stat.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // Guests' time (the 9th and 10th) is contained in the first two.
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().take(8).sum() })
    }

    pub const fn since(self, before: Self) -> Self {
        Self {
            idle: self.idle.saturating_sub(before.idle),
            all: self.all.saturating_sub(before.all),
        }
    }

    /// The share of the processors' time that went to others than those who used `own_us`: other
    /// programs, and other guests of the machine below.
    pub fn others_share(self, own_us: u64) -> f64 {
        const TICK_US: u64 = 10_000;
        let busy_us = (self.all - self.idle) * TICK_US;
        busy_us.saturating_sub(own_us) as f64 / (self.all * TICK_US).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
        Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets\n\
        Tcp: 1 -1 20002 20001 0 3\n";

    #[test]
    fn values_stand_below_their_names() {
        assert_eq!(table_value(SNMP, "Tcp:", "ActiveOpens"), Some(20002));
        assert_eq!(table_value(SNMP, "Tcp:", "EstabResets"), Some(3));
        assert_eq!(table_value(SNMP, "Tcp:", "OutSegs"), None);
        assert_eq!(table_value(SNMP, "Udp:", "InErrors"), None);
    }

    #[test]
    fn loopback_packets_are_the_second_figure() {
        let text = "Inter-| Receive\n face |bytes packets errs\n  eth0: 9 8 0\n    lo:    2408      33 0\n";
        assert_eq!(loopback_packets(text), Some(33));
        assert_eq!(loopback_packets("eth0: 1 2"), None);
    }

    #[test]
    fn only_a_listener_on_the_port_listens() {
        let text = "  sl  local_address rem_address   st tx_queue\n\
            \x20  0: 00000000:2120 00000000:0000 0A 00000000:00000000\n\
            \x20  1: 0100547F:2121 0100007F:F53A 01 00000000:00000000\n";
        assert!(listens(text, 0x2120));
        assert!(!listens(text, 0x2121));
        assert!(!listens("", 80));
    }

    #[test]
    fn only_mappings_of_the_name_are_summed() {
        let smaps = "7fe4-7fe8 r--s 00001000 00:10 1039   anon_inode:bpf-map\nSize: 65536 kB\n\
            Rss:   100 kB\nVmFlags: rd mr\n7fe9-7fea rw-p 00000000 00:00 0\nRss:   7 kB\n\
            7feb-7fec r--s 00001000 00:10 1039   anon_inode:bpf-map\nRss:   20 kB\n";
        assert_eq!(mapped_kib(smaps, "anon_inode:bpf-map"), 120);
    }

    #[test]
    fn a_link_is_no_program() {
        let program = "pos:\t0\nprog_type:\t26\nmemlock:\t4096\nprog_id:\t2120\n\
            run_time_ns:\t5000\nrun_cnt:\t10\nrecursion_misses:\t1\n";
        let expected = ProgramRuns { id: 2120, runs: 10, time_ns: 5000, missed: 1 };
        assert_eq!(program_runs(program), Some(expected));
        assert_eq!(program_runs("link_type:\ttracing\nlink_id:\t3\nprog_id:\t2120\n"), None);
    }

    #[test]
    fn the_time_of_all_processors_is_read_from_the_first_line() {
        let stat = "cpu  10 1 20 300 5 0 2 4 9 9\ncpu0 5 0 10 150 2 0 1 2 0 0\n";
        assert_eq!(Ticks::parse(stat), Some(Ticks { idle: 305, all: 342 }));
        assert_eq!(Ticks::parse("intr 5"), None);
    }

    #[test]
    fn what_is_busy_and_not_own_is_others() {
        let ticks = Ticks { idle: 50, all: 100 };
        assert_eq!(ticks.others_share(200_000), 0.3);
        assert_eq!(ticks.others_share(900_000), 0.0);
        assert_eq!(Ticks::default().others_share(0), 0.0);
    }

    #[test]
    fn sockets_in_use_are_those_of_tcp() {
        let text =
            "sockets: used 3\nTCP: inuse 17 orphan 0 tw 20000 alloc 20 mem 5\nUDP: inuse 2 mem 0\n";
        assert_eq!(sockets_in_use(text), Some(17));
        assert_eq!(sockets_in_use("UDP: inuse 2"), None);
    }
}
