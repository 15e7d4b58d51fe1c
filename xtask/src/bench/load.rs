//! The loads: a server and a client that people use, on loopback, and what the client measured.

use std::{
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use super::{
    machine, parse,
    process::{Process, output},
};
use crate::project::Project;

/// The servers' port: one that nothing else on a host is likely to use, for peers are told apart
/// from other traffic by it.
pub const PORT: u16 = 8487;
/// The static file's size.
const FILE_BYTES: usize = 200;
/// The size of the page that nginx sends in chunks.
const PAGE_BYTES: usize = 1_000_000;
/// Connections at the same time.
const CHURN_CLIENTS: u32 = 8;
const KEEP_ALIVE_CLIENTS: u32 = 16;
const PAGE_CLIENTS: u32 = 4;
/// Connections to one server address: further ones would meet the TIME_WAIT of the first, for a
/// client takes every second port of its range.
const CONNECTIONS_TO_AN_ADDRESS: u32 = 10_000;
/// However slow a contender makes a load.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// ab: a connection for each request
    Churn,
    /// wrk: as many requests as possible on a few connections
    KeepAlive,
    /// wrk: as many large pages in chunks as possible on a few connections
    Chunked,
    /// h2load: half of the requests that are possible, and how long each takes
    FixedRate,
    /// iperf3: a few parallel streams
    Transfer,
}

impl Load {
    pub const ALL: [Self; 5] =
        [Self::Churn, Self::KeepAlive, Self::Chunked, Self::FixedRate, Self::Transfer];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Churn => "a connection per request",
            Self::KeepAlive => "keep-alive",
            Self::Chunked => "chunked pages",
            Self::FixedRate => "fixed rate",
            Self::Transfer => "transfer",
        }
    }

    /// What runs, for the report.
    pub fn describe(self) -> String {
        match self {
            Self::Churn => format!(
                "nginx (1 worker, {FILE_BYTES} B file), `ab -c {CHURN_CLIENTS}`, a connection for each request"
            ),
            Self::KeepAlive => {
                format!("the same nginx, `wrk -t1 -c{KEEP_ALIVE_CLIENTS}`, connections kept")
            }
            Self::Chunked => format!(
                "the same nginx with a page of {PAGE_BYTES} B, which its `ssi` filter makes chunked; `wrk -t1 -c{PAGE_CLIENTS}`, connections kept"
            ),
            Self::FixedRate => format!(
                "the same nginx, `h2load --h1 -c{KEEP_ALIVE_CLIENTS} --rps`, in all half of the requests per second that it serves untraced"
            ),
            Self::Transfer => "`iperf3 -P 4`".to_owned(),
        }
    }

    /// What the client measures.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Churn => "connections/s",
            Self::KeepAlive | Self::Chunked => "requests/s",
            Self::FixedRate => "p99 in µs",
            Self::Transfer => "bit/s",
        }
    }
}

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Server addresses in a run of [`Load::Churn`], each for so many connections.
    pub churn_addresses: u8,
    /// Length of the other loads.
    pub seconds: u32,
    /// Requests per second in all, for [`Load::FixedRate`].
    pub rate: u32,
}

/// What a client measured and counted.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// In the load's [`Load::unit`].
    pub score: f64,
    /// Requests answered.
    pub requests: u64,
    /// Requests that may have been under way beside them when the client stopped.
    pub under_way: u64,
    /// How long the load lasted.
    pub seconds: f64,
}

/// Where programs are found and where they may write.
pub struct Place<'a> {
    pub project: &'a Project,
    pub scratch: &'a Path,
}

impl Place<'_> {
    /// A command that reads nothing and says nothing, until told otherwise.
    pub fn program(&self, name: &str) -> Result<Command> {
        let file = self.project.which(name).with_context(|| format!("{name} is not here"))?;
        Ok(self.program_at(&file))
    }

    /// Likewise, by its path.
    pub fn program_at(&self, file: &Path) -> Command {
        let mut command = Command::new(file);
        // tshark keeps what it captures in a temporary file.
        command.current_dir(self.scratch).env("TMPDIR", self.scratch);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A new file for a program's output.
    pub fn create(&self, name: &str) -> Result<File> {
        let file = self.file(name);
        File::create(&file).with_context(|| format!("creating {}", file.display()))
    }
}

/// Starts the server of `load` in the present network namespace; it ends when dropped.
pub fn serve(place: &Place, load: Load) -> Result<Process> {
    let server = match load {
        Load::Transfer => Process::start(
            place.program("iperf3")?.args(["--server", "--port"]).arg(PORT.to_string()),
        )?,
        _ => nginx(place)?,
    };
    machine::wait_until_listening(PORT)?;
    Ok(server)
}

fn nginx(place: &Place) -> Result<Process> {
    let dir = place.scratch;
    for (name, bytes) in [("small", FILE_BYTES), ("page", PAGE_BYTES)] {
        fs::write(dir.join(name), "x".repeat(bytes)).context("writing a served file")?;
    }
    let config = dir.join("nginx.conf");
    fs::write(&config, nginx_config(dir)).context("writing nginx's configuration")?;
    let mut command = place.program("nginx")?;
    command.arg("-e").arg(dir.join("nginx.log")).arg("-c").arg(config).arg("-p").arg(dir);
    Process::start(command.stderr(place.create("nginx.err")?))
}

fn nginx_config(dir: &Path) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path '{dir}/{name}';\n"))
        .concat();
    format!(
        "daemon off;\n\
         # The checkout may be where nobody else can read.\n\
         user root;\n\
         worker_processes 1;\n\
         worker_rlimit_nofile {MAX_CONNECTIONS};\n\
         pid '{dir}/nginx.pid';\n\
         events {{ worker_connections {MAX_CONNECTIONS}; }}\n\
         http {{\n\
         {temporary}  \
           access_log off;\n  \
           sendfile on;\n  \
           open_file_cache max=16;\n  \
           keepalive_timeout 600s;\n  \
           client_header_timeout 600s;\n  \
           keepalive_requests 1000000000;\n  \
           server {{\n    \
             listen {PORT} backlog=65535;\n    \
             root '{dir}';\n    \
             # A filter that may change the length takes it away; this one costs less than gzip.\n    \
             location = /page {{ ssi on; ssi_types *; }}\n  \
           }}\n\
         }}\n"
    )
}

/// What nginx may hold open; more than any load here has.
const MAX_CONNECTIONS: u32 = 20_000;

/// Runs the client of `load` to its end.
pub fn run(place: &Place, load: Load, size: Size) -> Result<Outcome> {
    match load {
        Load::Churn => churn(place, 0..size.churn_addresses),
        Load::KeepAlive => keep_alive(place, KEEP_ALIVE_CLIENTS, "small", size.seconds),
        Load::Chunked => keep_alive(place, PAGE_CLIENTS, "page", size.seconds),
        Load::FixedRate => fixed_rate(place, size),
        Load::Transfer => transfer(place, size.seconds),
    }
}

fn url(number: u8, file: &str) -> String {
    format!("http://127.84.0.{}:{PORT}/{file}", number + 1)
}

/// A run of ab for each server address; their times are added up.
pub fn churn(place: &Place, addresses: Range<u8>) -> Result<Outcome> {
    let (mut requests, mut seconds) = (0, 0.0);
    for address in addresses {
        let mut command = place.program("ab")?;
        command.args(["-q", "-n", &CONNECTIONS_TO_AN_ADDRESS.to_string()]);
        command.args(["-c", &CHURN_CLIENTS.to_string(), &url(address, "small")]);
        let text = output(&mut command, place.scratch, PATIENCE)?;
        let said = parse::ab(&text).with_context(|| format!("ab said {text}"))?;
        if said.failed > 0 {
            bail!("{} of ab's requests failed", said.failed);
        }
        requests += said.requests;
        seconds += said.seconds;
    }
    Ok(Outcome { score: requests as f64 / seconds, requests, under_way: 0, seconds })
}

fn keep_alive(place: &Place, clients: u32, file: &str, seconds: u32) -> Result<Outcome> {
    let mut command = place.program("wrk")?;
    let (clients_flag, length_flag) = (format!("-c{clients}"), format!("-d{seconds}s"));
    command.args(["-t1", &clients_flag, &length_flag, &url(0, file)]);
    let text = output(&mut command, place.scratch, PATIENCE)?;
    let said = parse::wrk(&text).with_context(|| format!("wrk said {text}"))?;
    Ok(Outcome {
        score: said.per_second,
        requests: said.requests,
        under_way: u64::from(clients),
        seconds: said.requests as f64 / said.per_second,
    })
}

fn h2load(place: &Place, seconds: u32) -> Result<Command> {
    let mut command = place.program("h2load")?;
    command.args(["--h1", &format!("-c{KEEP_ALIVE_CLIENTS}"), &format!("-D{seconds}")]);
    Ok(command)
}

fn fixed_rate(place: &Place, size: Size) -> Result<Outcome> {
    let log = place.file("h2load.log");
    // h2load writes behind what is there.
    let _ = fs::remove_file(&log);
    let each = f64::from(size.rate) / f64::from(KEEP_ALIVE_CLIENTS);
    let mut command = h2load(place, size.seconds)?;
    command.arg(format!("--rps={each:.1}")).arg("--log-file").arg(&log).arg(url(0, "small"));
    output(&mut command, place.scratch, PATIENCE)?;
    let text = fs::read_to_string(&log).context("reading h2load's log")?;
    let said = parse::h2load_log(&text).context("h2load logged no successful request")?;
    Ok(Outcome {
        score: said.p99_us as f64,
        requests: said.requests,
        under_way: u64::from(KEEP_ALIVE_CLIENTS) + said.failed,
        seconds: f64::from(size.seconds),
    })
}

/// The requests per second that nginx serves h2load at most.
pub fn saturation(place: &Place) -> Result<f64> {
    const SECONDS: u32 = 1;
    let _server = serve(place, Load::FixedRate)?;
    let text = output(h2load(place, SECONDS)?.arg(url(0, "small")), place.scratch, PATIENCE)?;
    parse::h2load_per_second(&text).with_context(|| format!("h2load said {text}"))
}

fn transfer(place: &Place, seconds: u32) -> Result<Outcome> {
    let mut command = place.program("iperf3")?;
    command.args(["--client", "127.84.0.1", "--port", &PORT.to_string(), "--parallel", "4"]);
    command.args(["--json", "--time", &seconds.to_string()]);
    let text = output(&mut command, place.scratch, PATIENCE)?;
    let score = parse::iperf3(&text).with_context(|| format!("iperf3 said {text}"))?;
    Ok(Outcome { score, requests: 0, under_way: 0, seconds: f64::from(seconds) })
}
