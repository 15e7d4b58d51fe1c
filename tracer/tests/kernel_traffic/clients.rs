//! The clients, and what they report of each response.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Serialize;

use crate::support::place::Place;

/// A request to be sent, and what is known of it then.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Of the server that the client speaks to.
    pub port: u16,
    pub method: &'static str,
    /// Unique in its place.
    pub target: String,
    /// Whether the client takes packed content.
    pub gzip: bool,
    /// Content to send.
    pub file: Option<PathBuf>,
    /// Whether it is sent in chunks.
    pub chunked: bool,
    /// Its length, bytes.
    #[serde(skip)]
    pub request_bytes: u64,
}

impl Request {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.target)
    }
}

/// Status and content bytes, as the client reports them.
pub type Answer = (u16, u64);

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Curl,
    Wget,
    Python,
}

impl Client {
    pub const ALL: [Client; 3] = [Client::Curl, Client::Wget, Client::Python];

    pub const fn name(self) -> &'static str {
        match self {
            Client::Curl => "curl",
            Client::Wget => "wget",
            Client::Python => "python",
        }
    }

    /// Whether it can send so much content in chunks. wget cannot at all; curl never ends a chunked
    /// upload of an empty file.
    pub const fn sends_chunks(self, bytes: u64) -> bool {
        match self {
            Client::Curl => bytes > 0,
            Client::Wget => false,
            Client::Python => true,
        }
    }

    /// Sends the requests one after the other, on one connection where it is kept.
    pub fn send(self, place: &Place, requests: &[Request], keep: bool) -> Vec<Answer> {
        let answers = match self {
            Client::Curl => curl(place, requests, keep),
            Client::Wget => requests.iter().map(|request| wget(place, request, keep)).collect(),
            Client::Python => python(place, requests, keep),
        };
        assert_eq!(answers.len(), requests.len(), "{self:?} answers for each request");
        answers
    }
}

fn curl(place: &Place, requests: &[Request], keep: bool) -> Vec<Answer> {
    let mut command = place.command("curl");
    for (i, request) in requests.iter().enumerate() {
        if i > 0 {
            command.arg("--next");
        }
        command.args([
            "-sS",
            "--max-time",
            "120",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_download}\n",
        ]);
        if !keep {
            command.args(["-H", "Connection: close"]);
        }
        if request.gzip {
            command.args(["-H", "Accept-Encoding: gzip"]);
        }
        if request.chunked {
            command.args(["-H", "Transfer-Encoding: chunked"]);
        }
        if let Some(file) = &request.file {
            command.arg("-T").arg(file);
        }
        command.arg(request.url());
    }
    answers(&place.run(&mut command))
}

/// A process, and so a connection, for each request: wget does not report lengths, only the file
/// has one.
fn wget(place: &Place, request: &Request, keep: bool) -> Answer {
    let output = place.folder().join("wget.out");
    let mut command = place.command("wget");
    command.args(["-q", "--tries=1", "--timeout=120", "-O"]).arg(&output);
    if !keep {
        command.arg("--no-http-keep-alive");
    }
    if request.gzip {
        command.arg("--header=Accept-Encoding: gzip");
    }
    if let Some(file) = &request.file {
        command.arg("--method=PUT").arg(format!("--body-file={}", file.display()));
    }
    // It ends with another status than 0 where the answer is an error.
    place.run(command.arg(request.url()));
    let bytes = std::fs::metadata(&output).map_or(0, |file| file.len());
    std::fs::remove_file(output).expect("wget has made its file");
    (200, bytes)
}

fn python(place: &Place, requests: &[Request], keep: bool) -> Vec<Answer> {
    let script = place.write("client.py", include_str!("client.py"));
    let mut command = place.command("python3");
    command.arg(script).arg(if keep { "keep" } else { "close" });
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start python");
    let list = serde_json::to_vec(requests).expect("requests are plain data");
    // Dropped after the write: the script reads to the end.
    child.stdin.take().expect("stdin is piped").write_all(&list).expect("hand over the requests");
    let output = child.wait_with_output().expect("wait for python");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    answers(&String::from_utf8_lossy(&output.stdout))
}

fn answers(text: &str) -> Vec<Answer> {
    let answer = |line: &str| -> Option<Answer> {
        let (status, bytes) = line.split_once(' ')?;
        Some((status.parse().ok()?, bytes.parse().ok()?))
    };
    text.lines()
        .map(|line| answer(line).unwrap_or_else(|| panic!("a client said {line}")))
        .collect()
}
