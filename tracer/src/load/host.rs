//! What the host allows: the facts that `tracer doctor` tells and that errors name.

use std::path::Path;

use super::cgroup::{self, Layout};
use super::{mountinfo, offsets};

/// A Linux capability that some part of the program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name in capabilities(7).
    pub name: &'static str,
    /// Its number.
    pub bit: u8,
    /// What is lost without it.
    pub needed_for: &'static str,
    /// Whether CAP_SYS_ADMIN gives the same right.
    pub implied_by_sys_admin: bool,
}

const SYS_ADMIN_BIT: u8 = 21;

/// Every capability that the program uses, the indispensable ones first.
pub const CAPABILITIES: [Capability; 7] = [
    cap("CAP_BPF", 39, "loading any eBPF program", true),
    cap("CAP_PERFMON", 38, "following TCP states and timers (tracepoints)", true),
    cap("CAP_NET_ADMIN", 12, "seeing packets and HTTP (cgroup hooks)", true),
    cap(
        "CAP_SYS_ADMIN",
        SYS_ADMIN_BIT,
        "sockets of other network namespaces, a private cgroup mount, uprobes",
        false,
    ),
    cap("CAP_SYS_PTRACE", 19, "programs and sockets of other users' processes", false),
    cap("CAP_DAC_READ_SEARCH", 2, "files of other users", false),
    cap(
        "CAP_SYSLOG",
        34,
        "kernel addresses, without which TIME_WAIT and SYN_RECV are not followed",
        false,
    ),
];

const fn cap(
    name: &'static str,
    bit: u8,
    needed_for: &'static str,
    implied_by_sys_admin: bool,
) -> Capability {
    Capability { name, bit, needed_for, implied_by_sys_admin }
}

/// The effective capability set of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Reads `CapEff` out of a /proc/PID/status text.
    #[must_use]
    pub fn from_status(status: &str) -> Option<CapabilitySet> {
        let hex = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(hex.trim(), 16).ok().map(CapabilitySet)
    }

    const fn has_bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Whether the right is held, by the capability or by CAP_SYS_ADMIN where that includes it.
    #[must_use]
    pub const fn allows(self, capability: Capability) -> bool {
        self.has_bit(capability.bit)
            || (capability.implied_by_sys_admin && self.has_bit(SYS_ADMIN_BIT))
    }

    /// What is missing, of [`CAPABILITIES`].
    #[must_use]
    pub fn missing(self) -> Vec<Capability> {
        CAPABILITIES.into_iter().filter(|c| !self.allows(*c)).collect()
    }

    /// One sentence for people: what is missing, what for, what to do.
    #[must_use]
    pub fn sentence(self) -> String {
        let missing = self.missing();
        if missing.is_empty() {
            return "All needed capabilities are held.".to_owned();
        }
        let list: Vec<_> =
            missing.iter().map(|c| format!("{} ({})", c.name, c.needed_for)).collect();
        let word = if missing.len() == 1 { "capability" } else { "capabilities" };
        format!("Missing {word}: {}; run as root (sudo).", list.join(", "))
    }
}

/// The kernel's lockdown mode (kernel_lockdown(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not locked down.
    None,
    /// Kprobes and other ways to change the kernel are shut; this program works.
    Integrity,
    /// BPF may not read kernel memory either: timers, resets and owners cannot be followed.
    Confidentiality,
}

impl Lockdown {
    /// From `none [integrity] confidentiality`, where brackets mark the mode in force.
    #[must_use]
    pub fn parse(text: &str) -> Option<Lockdown> {
        let (_, rest) = text.split_once('[')?;
        match rest.split_once(']')?.0 {
            "none" => Some(Lockdown::None),
            "integrity" => Some(Lockdown::Integrity),
            "confidentiality" => Some(Lockdown::Confidentiality),
            _ => None,
        }
    }

    /// The kernel's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Lockdown::None => "none",
            Lockdown::Integrity => "integrity",
            Lockdown::Confidentiality => "confidentiality",
        }
    }
}

/// Major and minor number of a kernel release such as `6.1.0-18-cloud-amd64`.
#[must_use]
pub fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What to say of RLIMIT_MEMLOCK (`limit_bytes`: `None` is unlimited); `None` when it does not matter.
///
/// From Linux 5.11 on BPF memory is charged to the cgroup and the limit is not looked at.
#[must_use]
pub fn memlock_note(release: &str, limit_bytes: Option<u64>) -> Option<String> {
    let limit_bytes = limit_bytes?;
    if kernel_version(release).is_none_or(|version| version >= (5, 11)) {
        return None;
    }
    Some(format!(
        "Linux {release} counts eBPF memory against RLIMIT_MEMLOCK ({limit_bytes} bytes); raise it with `ulimit -l unlimited`."
    ))
}

/// Facts about the host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Node name.
    pub hostname: String,
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Whether the kernel shows its type information (BTF).
    pub btf: bool,
    /// Effective capabilities; `None` where /proc could not be read.
    pub capabilities: Option<CapabilitySet>,
    /// Lockdown mode; `None` where it cannot be read (securityfs is not mounted).
    pub lockdown: Option<Lockdown>,
    /// How cgroups are mounted; `None` where /proc could not be read.
    pub cgroups: Option<Layout>,
    /// Whether this process sees the kernel's own process ids in /proc; `None` where unknown.
    ///
    /// In a container's pid namespace the pids in events are not those of its /proc.
    pub in_initial_pid_namespace: Option<bool>,
    /// What to say of RLIMIT_MEMLOCK, if anything.
    pub memlock_note: Option<String>,
}

impl Host {
    /// Asks the running system; what cannot be read is `None`.
    #[must_use]
    pub fn read() -> Host {
        let uname = rustix::system::uname();
        let kernel = uname.release().to_string_lossy().into_owned();
        let memlock = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
        Host {
            hostname: uname.nodename().to_string_lossy().into_owned(),
            btf: Path::new(offsets::KERNEL_BTF).exists(),
            capabilities: read("/proc/self/status").and_then(|s| CapabilitySet::from_status(&s)),
            lockdown: read("/sys/kernel/security/lockdown").and_then(|s| Lockdown::parse(&s)),
            cgroups: mountinfo::of_this_process().ok().map(|mounts| cgroup::layout(&mounts)),
            in_initial_pid_namespace: in_initial_pid_namespace(),
            memlock_note: memlock_note(&kernel, memlock),
            kernel,
        }
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Whether /proc/self shows this process in the pid namespace that the kernel booted with.
#[must_use]
pub fn in_initial_pid_namespace() -> Option<bool> {
    // PROC_PID_INIT_INO (include/linux/proc_ns.h) has been this number since namespaces have inodes.
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(link == Path::new("pid:[4026531836]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(cap_eff: &str) -> String {
        format!(
            "Name:\ttracer\nCapPrm:\t0000000000000000\nCapEff:\t{cap_eff}\nCapBnd:\t000001ffffffffff\n"
        )
    }

    fn missing(cap_eff: &str) -> Vec<&'static str> {
        let set = CapabilitySet::from_status(&status(cap_eff)).unwrap();
        set.missing().iter().map(|c| c.name).collect()
    }

    #[test]
    fn missing_capabilities_are_named_from_cap_eff() {
        let all: Vec<_> = CAPABILITIES.iter().map(|c| c.name).collect();
        for (cap_eff, expected) in [
            ("000001ffffffffff", vec![]),
            ("000001fffeffffff", vec![]),
            ("0000000000000000", all.clone()),
            // docker run without flags.
            ("00000000a80425fb", all.clone()),
            // CAP_SYS_ADMIN alone stands in for the three.
            ("0000000000200000", vec!["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYSLOG"]),
            // CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN.
            ("000000c000001000", all[3..].to_vec()),
        ] {
            assert_eq!(missing(cap_eff), expected, "{cap_eff}");
        }
    }

    #[test]
    fn the_sentence_names_what_is_missing_and_what_to_do() {
        let set = CapabilitySet(u64::MAX ^ (1 << 19));
        assert_eq!(
            set.sentence(),
            "Missing capability: CAP_SYS_PTRACE (programs and sockets of other users' processes); run as root (sudo)."
        );
        assert_eq!(CapabilitySet(u64::MAX).sentence(), "All needed capabilities are held.");
    }

    #[test]
    fn a_status_without_cap_eff_is_unknown() {
        for text in ["", "CapEff:\n", "CapEff:\txyz\n", "Name:\tCapEff\n"] {
            assert_eq!(CapabilitySet::from_status(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_lockdown_mode_in_brackets_is_the_one_in_force() {
        for (text, expected) in [
            ("[none] integrity confidentiality\n", Some(Lockdown::None)),
            ("none [integrity] confidentiality\n", Some(Lockdown::Integrity)),
            ("none integrity [confidentiality]\n", Some(Lockdown::Confidentiality)),
            ("none integrity confidentiality\n", None),
            ("[future]\n", None),
            ("[", None),
            ("", None),
        ] {
            assert_eq!(Lockdown::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn kernel_versions_are_read_from_releases_of_all_makes() {
        for (release, expected) in [
            ("6.1.0-18-cloud-amd64", Some((6, 1))),
            ("5.10.0", Some((5, 10))),
            ("6.12", Some((6, 12))),
            ("5.4-rc1", Some((5, 4))),
            ("6", None),
            ("", None),
            ("x.y", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(kernel_version(release), expected, "{release:?}");
        }
    }

    #[test]
    fn the_memlock_limit_matters_before_5_11_only() {
        assert_eq!(memlock_note("6.18.44", Some(65536)), None);
        assert_eq!(memlock_note("5.11.0", Some(65536)), None);
        assert_eq!(memlock_note("5.10.0", None), None);
        assert!(memlock_note("5.10.0", Some(65536)).unwrap().contains("65536 bytes"));
    }

    #[test]
    fn this_host_tells_its_name_kernel_and_capabilities() {
        let host = Host::read();
        assert!(kernel_version(&host.kernel).is_some(), "{}", host.kernel);
        assert!(!host.hostname.is_empty());
        assert!(host.capabilities.is_some() && host.cgroups.is_some());
    }
}
