//! The client's side.

use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::protocol::{self, Refusal, Request, VERSION, Want};

/// What a daemon answers, from its first byte: a recording.
pub type Answer = BufReader<UnixStream>;

/// Asks the daemon that listens at `path`.
///
/// # Errors
/// Where nobody listens there, or the daemon refuses, in its words.
pub fn ask(path: &Path, want: Want) -> anyhow::Result<Answer> {
    let shown = path.display();
    let mut stream = UnixStream::connect(path).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::PermissionDenied => {
                format!(
                    "this user may not ask the daemon at {shown}; its own user may, and root (sudo)"
                )
            }
            _ => format!(
                "no daemon can be asked at {shown}; `tracer daemon --socket {shown}` starts one"
            ),
        };
        anyhow::Error::new(error).context(why)
    })?;
    protocol::send(&Request { tracer: VERSION, want }, &mut stream)
        .with_context(|| format!("the daemon at {shown}"))?;
    let mut answer = BufReader::new(stream);
    let begin = answer.fill_buf().with_context(|| format!("the daemon at {shown}"))?;
    match begin.first() {
        Some(b'{') => {}
        Some(_) => return Ok(answer),
        None => bail!("the daemon at {shown} has hung up"),
    }
    let mut line = String::new();
    answer.read_line(&mut line).with_context(|| format!("the daemon at {shown}"))?;
    let refusal: Refusal =
        serde_json::from_str(&line).with_context(|| format!("{shown} is no daemon of tracer"))?;
    bail!("the daemon at {shown} refuses: {}", refusal.error)
}
