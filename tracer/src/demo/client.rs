//! The demo's client: sends what a scenario wants and checks what comes back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::wire::{invalid, read_body, read_head};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to the demo's server.
pub struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Content.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        Ok(Client { stream: BufReader::new(stream), address })
    }

    /// Sends a request without waiting for its answer. `more` is header lines, each with its CRLF.
    pub async fn send(
        &mut self,
        method: &str,
        target: &str,
        more: &str,
        body: &str,
    ) -> io::Result<()> {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tracer-demo\r\n{more}{length}\r\n{body}",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await
    }

    /// The next answer. That to HEAD has no body whatever its fields say (RFC 9112 section 6.3).
    pub async fn answer(&mut self, has_body: bool) -> io::Result<Answer> {
        let head = timeout(PATIENCE, read_head(&mut self.stream)).await??;
        let head = head.ok_or_else(|| invalid("closed instead of an answer".to_owned()))?;
        let status = head.first_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status =
            status.ok_or_else(|| invalid(format!("{:?} is no status line", head.first_line)))?;
        let body = match has_body {
            true => timeout(PATIENCE, read_body(&mut self.stream, &head)).await??,
            false => Vec::new(),
        };
        Ok(Answer { status, body })
    }

    /// GETs `target` and checks the status.
    pub async fn get(&mut self, target: &str, status: u16) -> io::Result<Answer> {
        self.send("GET", target, "", "").await?;
        self.expect(status).await
    }

    /// The next answer, which must have this status.
    pub async fn expect(&mut self, status: u16) -> io::Result<Answer> {
        let answer = self.answer(true).await?;
        match answer.status == status {
            true => Ok(answer),
            false => Err(invalid(format!("status {} came, not {status}", answer.status))),
        }
    }

    /// Sends FIN; the server may still send.
    pub async fn close_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Waits until the server has closed too.
    pub async fn wait_for_end(&mut self) -> io::Result<()> {
        match timeout(PATIENCE, self.stream.read_u8()).await? {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
            Ok(byte) => Err(invalid(format!("byte {byte} came after the last answer"))),
        }
    }

    /// Ends the connection with a reset instead of a FIN: what is on the way is lost.
    pub fn reset(self) -> io::Result<()> {
        self.stream.get_ref().set_zero_linger()
    }
}
