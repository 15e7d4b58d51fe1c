//! `tracer doctor`: what this host allows, hook by hook, what is lost without each, and what to do about it.

use std::io::{self, Write};

use serde::Serialize;

use super::args::DoctorArgs;
use crate::load::health::{GroupHealth, Health};
use crate::load::host::Host;
use crate::load::programs::Group;
use crate::load::programs::Groups;
use crate::load::{self, LoadError, RingSizes};
use crate::ports::PortSet;

/// The whole finding.
#[derive(Serialize)]
struct Finding {
    kernel: String,
    hostname: String,
    checks: Vec<Check>,
    hooks: Vec<HookFinding>,
    /// Why nothing can be traced at all; `null` when states can be.
    fatal: Option<String>,
}

/// One fact about the host.
#[derive(Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    says: String,
}

/// One group of hooks.
#[derive(Serialize)]
struct HookFinding {
    hook: &'static str,
    attached: bool,
    /// Why not, or what is wrong with a part of it.
    why: Option<String>,
    lost_without: &'static str,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let host = Host::read();
    let rings = RingSizes { events_kib: 64, payloads_kib: 64 };
    let loaded = load::load(rings, Groups::ALL, &PortSet::all());
    let checks = checks(&host, &loaded);
    let (hooks, fatal) = match &loaded {
        Ok(loaded) => (hooks(&loaded.health), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let finding = Finding { kernel: host.kernel, hostname: host.hostname, checks, hooks, fatal };
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &finding).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &finding)?;
    }
    match finding.fatal {
        Some(why) => anyhow::bail!("this host cannot be traced: {why}"),
        None => Ok(()),
    }
}

fn checks(host: &Host, loaded: &Result<load::Loaded, LoadError>) -> Vec<Check> {
    let mut checks = vec![Check {
        what: "BTF",
        ok: host.btf,
        says: if host.btf {
            "the kernel describes its data structures (/sys/kernel/btf/vmlinux)".to_owned()
        } else {
            "/sys/kernel/btf/vmlinux is missing: tracer needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"
                .to_owned()
        },
    }];
    if let Some(held) = host.capabilities {
        let ok = held.missing().is_empty();
        checks.push(Check { what: "capabilities", ok, says: held.sentence() });
    }
    if let Some(lockdown) = host.lockdown {
        let says = format!("kernel lockdown is {}", lockdown.name());
        checks.push(Check { what: "lockdown", ok: true, says });
    }
    if let Ok(loaded) = loaded {
        let (ok, says) = match &loaded.cgroup {
            Some(root) => (true, root.origin.to_string()),
            None => (false, "cgroup v2 can be neither found nor mounted".to_owned()),
        };
        checks.push(Check { what: "cgroup v2", ok, says });
    }
    if let Some(processes) = loaded.as_ref().ok().and_then(load::Loaded::shielded_processes) {
        let says = format!(
            "this kernel may run no tracing program in the time of processes {processes:?}, whose binaries root may \
             not learn: state changes and timers of that time are not seen, and counted as lost"
        );
        checks.push(Check { what: "shielded", ok: false, says });
    }
    if host.in_initial_pid_namespace == Some(false) {
        let says = "this is not the host's pid namespace: process ids in records are the host's, and /proc \
                    cannot be asked about them"
            .to_owned();
        checks.push(Check { what: "pid namespace", ok: false, says });
    }
    if let Some(note) = &host.memlock_note {
        checks.push(Check { what: "memlock", ok: true, says: note.clone() });
    }
    checks
}

fn hooks(health: &Health) -> Vec<HookFinding> {
    Group::ALL
        .into_iter()
        .map(|group| {
            let (attached, why) = match health.group(group) {
                GroupHealth::Attached => (true, None),
                GroupHealth::Partial(why) | GroupHealth::Off(why) => (false, Some(why)),
            };
            HookFinding { hook: group.name(), attached, why, lost_without: group.lost_without() }
        })
        .collect()
}

fn print(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    writeln!(out, "{} · kernel {}", finding.hostname, finding.kernel)?;
    for check in &finding.checks {
        writeln!(out, "  {} {:<14} {}", mark(check.ok), check.what, check.says)?;
    }
    writeln!(out, "hooks")?;
    for hook in &finding.hooks {
        match &hook.why {
            None => writeln!(out, "  {} {:<14} attached", mark(true), hook.hook)?,
            Some(why) => {
                writeln!(out, "  {} {:<14} {why}", mark(false), hook.hook)?;
                writeln!(out, "    {:<14} lost without it: {}", "", hook.lost_without)?;
            }
        }
    }
    writeln!(out, "  - {:<14} not in this version; requests inside TLS are not seen", "tls")
}

const fn mark(ok: bool) -> &'static str {
    if ok { "ok" } else { "!!" }
}
