//! A small web site by nginx, and its visitors.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{process::Process, write};
use crate::{
    project::Project,
    shell::{capture, run},
};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 84, 0, 1);
pub const PORT: u16 = 8487;
/// Its name; nobody asks a name server for it.
pub const NAME: &str = "shop.test";

const PAGE: &str = include_str!("site/index.html");
const STYLE: &str = include_str!("site/style.css");
const SCRIPT: &str = include_str!("site/app.js");
/// The smallest picture there is: one pixel.
const PIXEL: [u8; 67] = [
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0,
    1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55, 0, 0, 0, 10, b'I', b'D', b'A', b'T',
    0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1, 0x48, 0xaf, 0xa4, 0x71, 0, 0, 0, 0, b'I', b'E', b'N',
    b'D', 0xae, 0x42, 0x60, 0x82,
];
/// More than three packets hold.
const LARGE_BYTES: usize = 200_000;

/// A running nginx.
pub struct Site {
    _server: Process,
}

impl Site {
    pub fn serve(project: &Project, dir: &Path) -> Result<Self> {
        write_pages(&dir.join("www"))?;
        let config = dir.join("nginx.conf");
        write(&config, &nginx_config(dir, has_ipv6()))?;
        let mut command = Command::new(program(project, "nginx")?);
        command.arg("-e").arg(dir.join("error.log")).arg("-p").arg(dir).arg("-c").arg(config);
        let mut server = Process::start(&mut command)?;
        let address = SocketAddr::from((ADDRESS, PORT));
        server.wait_until("nginx", || TcpStream::connect(address).is_ok())?;
        Ok(Self { _server: server })
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((ADDRESS, PORT))
    }

    /// Every visit once.
    pub fn visit(&self, project: &Project) -> Result<()> {
        for visit in VISITS {
            let urls = visit.targets.iter().map(|target| format!("http://{NAME}:{PORT}{target}"));
            run(curl(project)?.args(visit.options).args(urls))?;
        }
        if has_ipv6() {
            run(curl(project)?.arg(format!("http://[::1]:{PORT}/")))?;
        }
        let mut command = Command::new(program(project, "ab")?);
        command.args(["-q", "-k", "-n", "40", "-c", "4"]);
        capture(command.arg(format!("http://{ADDRESS}:{PORT}/app.js")))?;
        Ok(())
    }
}

/// One run of curl: its targets share a connection.
struct Visit {
    options: &'static [&'static str],
    targets: &'static [&'static str],
}

const VISITS: [Visit; 8] = [
    Visit { options: &[], targets: &["/", "/style.css", "/app.js", "/pixel.png", "/missing"] },
    Visit { options: &["--location"], targets: &["/old", "/large.txt"] },
    Visit { options: &["--compressed"], targets: &["/", "/style.css"] },
    Visit { options: &["--head"], targets: &["/", "/missing"] },
    Visit { options: &["--time-cond", "2037-01-01"], targets: &["/style.css"] },
    Visit { options: &["--range", "0-99"], targets: &["/large.txt"] },
    Visit { options: &["--data", "name=tea"], targets: &["/orders"] },
    Visit { options: &["--cookie", "session=1"], targets: &["/search?q=tea&token=x", "/empty"] },
];

fn curl(project: &Project) -> Result<Command> {
    let mut command = Command::new(program(project, "curl")?);
    command.args(["--silent", "--show-error", "--max-time", "10", "--resolve"]);
    command.arg(format!("{NAME}:{PORT}:{ADDRESS}")).stdout(Stdio::null());
    Ok(command)
}

fn program(project: &Project, name: &str) -> Result<PathBuf> {
    project.which(name).with_context(|| format!("{name} is not here"))
}

fn write_pages(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    write(&dir.join("index.html"), PAGE)?;
    write(&dir.join("style.css"), STYLE)?;
    write(&dir.join("app.js"), SCRIPT)?;
    write(&dir.join("large.txt"), &"large\n".repeat(LARGE_BYTES / 6))?;
    fs::write(dir.join("pixel.png"), PIXEL).context("writing the picture")
}

/// Whether this network has an IPv6 loopback.
fn has_ipv6() -> bool {
    fs::read_to_string("/proc/self/net/if_inet6").is_ok_and(|text| !text.is_empty())
}

fn nginx_config(dir: &Path, has_ipv6: bool) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path '{dir}/{kind}';\n"))
        .concat();
    let ipv6 = if has_ipv6 { format!("listen [::1]:{PORT};") } else { String::new() };
    format!(
        "daemon off;\n\
         # The checkout may be where nobody else can read.\n\
         user root;\n\
         worker_processes 1;\n\
         pid '{dir}/nginx.pid';\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
         {temporary}  \
           access_log off;\n  \
           sendfile on;\n  \
           if_modified_since before;\n  \
           gzip on;\n  \
           gzip_min_length 1;\n  \
           gzip_types text/css;\n  \
           types {{ text/html html; text/css css; text/javascript js; image/png png; text/plain txt; }}\n  \
           server {{\n    \
             listen {ADDRESS}:{PORT};\n    \
             {ipv6}\n    \
             root '{dir}/www';\n    \
             location = /old {{ return 301 /; }}\n    \
             location = /empty {{ return 204; }}\n    \
             location = /orders {{ return 303 /; }}\n    \
             location = /search {{ default_type text/html; return 200 'found'; }}\n  \
           }}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_all_its_lines_and_braces() {
        let text = nginx_config(Path::new("/a b"), true);
        assert!(text.contains("listen [::1]:8487;"), "{text}");
        assert!(text.contains("root '/a b/www';"), "{text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
