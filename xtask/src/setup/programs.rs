//! Servers, clients, peers and the emulator that tests and benchmarks use. What is on PATH is used as it is; the
//! rest comes from Debian packages unpacked into the target directory, each program behind a small
//! script that shows it its libraries and data.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::apt::Apt;
use crate::{
    project::{Project, is_root},
    shell::{capture, run, say},
};

/// A program and where to get it.
pub struct Program {
    /// What it is started as.
    pub name: &'static str,
    /// Debian's package.
    package: &'static str,
    /// An argument with which it says its version and ends.
    pub version: &'static str,
    /// What an unpacked copy needs to be told; `$root` is where it was unpacked.
    environment: &'static str,
    /// Arguments that an unpacked copy always needs.
    arguments: &'static str,
}

impl Program {
    const fn new(name: &'static str, package: &'static str, version: &'static str) -> Self {
        Self { name, package, version, environment: "", arguments: "" }
    }
}

/// Peers and witnesses of the kernel tests.
pub const FOR_TESTS: [Program; 15] = [
    Program::new("nginx", "nginx-light", "-v"),
    Program::new("haproxy", "haproxy", "-v"),
    Program::new("apache2", "apache2-bin", "-v"),
    Program::new("node", "nodejs", "--version"),
    Program::new("ab", "apache2-utils", "-V"),
    Program::new("wrk", "wrk", "-h"),
    Program::new("curl", "curl", "--version"),
    Program::new("wget", "wget", "--version"),
    Program::new("tcpstates", "libbpf-tools", "--version"),
    Program::new("tmux", "tmux", "-V"),
    Program::new("ip", "iproute2", "-V"),
    Program::new("nft", "nftables", "--version"),
    Program {
        environment: "PYTHONHOME=\"$root/usr\"",
        ..Program::new("python3", "python3", "--version")
    },
    EMULATOR,
    VALGRIND,
];

/// Servers, clients and peers of the benchmarks.
pub const FOR_BENCHMARKS: [Program; 11] = [
    Program::new("nginx", "nginx-light", "-v"),
    Program::new("ab", "apache2-utils", "-V"),
    Program::new("wrk", "wrk", "-v"),
    Program::new("h2load", "nghttp2-client", "--version"),
    Program::new("iperf3", "iperf3", "--version"),
    Program::new("tcpstates", "libbpf-tools", "--version"),
    Program::new("tcplife", "libbpf-tools", "--version"),
    Program::new("bpftrace", "bpftrace", "--version"),
    Program {
        environment: "WIRESHARK_DATA_DIR=\"$root/usr/share/wireshark\"",
        ..Program::new("tshark", "tshark", "--version")
    },
    Program::new("tcpdump", "tcpdump", "--version"),
    Program::new("ip", "iproute2", "-V"),
];

/// Boots other kernels.
pub const EMULATOR: Program = Program {
    environment: "QEMU_MODULE_DIR=\"$root/usr/lib/$triplet/qemu\"",
    arguments: "-L \"$root/usr/share/qemu\" -L \"$root/usr/share/seabios\" \
                -L \"$root/usr/lib/ipxe/qemu\"",
    ..Program::new("qemu-system-x86_64", "qemu-system-x86", "--version")
};

/// Counts instructions. What it runs gets the system's libraries, not the unpacked ones.
pub const VALGRIND: Program = Program {
    environment: "LD_LIBRARY_PATH= VALGRIND_LIB=\"$root/usr/libexec/valgrind\"",
    ..Program::new("valgrind", "valgrind", "--version")
};

/// Makes sure that `wanted` can be started by name (see [`Project::path_with_tools`]) and returns
/// a sentence for each that cannot.
pub fn ensure(project: &Project, wanted: &[Program]) -> Result<Vec<String>> {
    let missing: Vec<&Program> =
        wanted.iter().filter(|program| project.which(program.name).is_none()).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let Some(apt) = Apt::find(project)? else {
        let names = join(&missing);
        return Ok(vec![format!("not here, please install by hand: {names}")]);
    };
    let (offered, unknown) = by_offer(&apt, missing)?;
    let mut failures: Vec<String> = unknown
        .into_iter()
        .map(|program| format!("{}: no package {} here", program.name, program.package))
        .collect();
    if !offered.is_empty() {
        say(format_args!("programs: unpacking {}", join(&offered)));
        let mut packages: Vec<&str> = offered.iter().map(|program| program.package).collect();
        packages.dedup();
        apt.unpack_with_dependencies(&packages, &root_dir(project))?;
    }
    for program in offered {
        failures.extend(provide(project, program).err().map(|error| format!("{error:#}")));
    }
    Ok(failures)
}

/// Those whose package the lists have, and those that apt would stumble over.
fn by_offer<'a>(
    apt: &Apt,
    programs: Vec<&'a Program>,
) -> Result<(Vec<&'a Program>, Vec<&'a Program>)> {
    let (mut offered, mut unknown) = (Vec::new(), Vec::new());
    for program in programs {
        let list =
            if apt.version(program.package)?.is_some() { &mut offered } else { &mut unknown };
        list.push(program);
    }
    Ok((offered, unknown))
}

fn join(programs: &[&Program]) -> String {
    programs.iter().map(|program| program.name).collect::<Vec<_>>().join(", ")
}

fn root_dir(project: &Project) -> PathBuf {
    project.tools().join("root")
}

/// Puts the script in place and sees that the program starts.
fn provide(project: &Project, program: &Program) -> Result<()> {
    let script = write_script(project, program)?;
    let Err(error) = starts(&script, program) else { return Ok(()) };
    fs::remove_file(&script).with_context(|| format!("removing {}", script.display()))?;
    install(program).with_context(|| format!("{} does not run unpacked: {error:#}", program.name))
}

fn write_script(project: &Project, program: &Program) -> Result<PathBuf> {
    let root = root_dir(project);
    let file = ["bin", "sbin"]
        .map(|dir| root.join("usr").join(dir).join(program.name))
        .into_iter()
        .find(|file| file.exists())
        .with_context(|| format!("{} has no program {}", program.package, program.name))?;
    let bin = project.tools().join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    let script = bin.join(program.name);
    fs::write(&script, script_text(&root, &file, program))
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("writing {}", script.display()))?;
    Ok(script)
}

fn script_text(root: &Path, file: &Path, program: &Program) -> String {
    format!(
        "#!/bin/sh\n\
         # Starts {name} as unpacked from Debian's {package}; written by cargo xtask setup.\n\
         root='{root}'\n\
         triplet={triplet}\n\
         libraries=$root/usr/lib/$triplet\n\
         # Some libraries live one level down.\n\
         for dir in \"$root/usr/lib/$triplet\"/*/; do libraries=$libraries:${{dir%/}}; done\n\
         LD_LIBRARY_PATH=$libraries${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} {environment} \
         exec '{file}' {arguments} \"$@\"\n",
        name = program.name,
        package = program.package,
        root = root.display(),
        triplet = triplet(root),
        environment = program.environment,
        file = file.display(),
        arguments = program.arguments,
    )
}

/// Debian's name for the architecture's library directory.
fn triplet(root: &Path) -> String {
    let entries = fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.ends_with("-linux-gnu")).unwrap_or_default()
}

/// wrk's help, the only thing it says without a server, comes with exit status 1; a program that
/// misses its libraries ends with 127.
fn starts(file: &Path, program: &Program) -> Result<()> {
    let output = Command::new(file)
        .arg(program.version)
        .output()
        .with_context(|| format!("starting {}", file.display()))?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The last resort, and the only step of setup that changes the system.
fn install(program: &Program) -> Result<()> {
    if !is_root() {
        bail!("please install it by hand: apt-get install {}", program.package);
    }
    say(format_args!("installing system-wide: apt-get install {}", program.package));
    capture(Command::new("apt-get").arg("update"))?;
    run(Command::new("apt-get")
        .args(["install", "--assume-yes", "--no-install-recommends", program.package])
        .env("DEBIAN_FRONTEND", "noninteractive"))
}
