//! The demo's server: HTTP/1.1 on loopback, with routes that end a connection in every way there is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::ADDRESS;
use super::wire::{Head, invalid, read_body, read_head};

/// Connections at a time; more are closed at once. Anyone on this host may connect.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(30);
/// What `/slow` takes.
const SLOW: Duration = Duration::from_millis(300);
/// What `/late` takes, long enough for the client's FIN to come first.
const LATE: Duration = Duration::from_millis(400);
/// How long `/hold` keeps its side open after the client has closed.
const HOLD: Duration = Duration::from_secs(1);
/// How long `/leak` sits in CLOSE_WAIT.
const LEAK: Duration = Duration::from_secs(6);

/// What `/hello` says.
const HELLO: &str = "<h1>Hello</h1>\n";

/// The running server. Dropped, it stops.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Starts on an ephemeral port of [`ADDRESS`].
    pub async fn start() -> io::Result<Server> {
        let listener = TcpListener::bind((ADDRESS, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Server { address, accepting: tokio::spawn(accept(listener)) })
    }

    /// Stops and waits until listener and connections are closed.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // An aborted task reports that it was: there is nothing else to learn from it.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves until aborted; the connections' tasks end with the set that holds them.
async fn accept(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(async move {
                    if let Err(error) = serve(stream).await {
                        log::debug!("demo server: {error}");
                    }
                });
            }
            Ok(_) => log::debug!("demo server: {MAX_CONNECTIONS} connections are enough"),
            Err(error) => {
                log::warn!("demo server: cannot accept: {error}");
                // Out of file descriptors, most likely: trying again at once would spin.
                sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next request.
    GoOn,
    /// This side closes first.
    Close,
    /// This side sends a reset.
    Reset,
    /// When the client has closed, this side waits so long before it closes too.
    CloseLate(Duration),
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let head = timeout(IDLE, read_head(&mut stream)).await?;
        let Some(head) = head? else { return Ok(()) };
        let body = timeout(IDLE, read_body(&mut stream, &head)).await??;
        let (answer, then) = answer(&head, &body).await?;
        stream.write_all(answer.as_bytes()).await?;
        match then {
            Then::GoOn if head.closes() => return Ok(()),
            Then::GoOn => {}
            Then::Close => return Ok(()),
            Then::Reset => return stream.get_ref().set_zero_linger(),
            Then::CloseLate(after) => {
                timeout(IDLE, read_head(&mut stream)).await??;
                sleep(after).await;
                return Ok(());
            }
        }
    }
}

/// The answer to a request, and what follows it.
async fn answer(head: &Head, body: &[u8]) -> io::Result<(String, Then)> {
    let mut words = head.first_line.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(invalid(format!("{:?} is no request line", head.first_line)));
    };
    let path = target.split('?').next().unwrap_or(target);
    let go_on = |answer| Ok((answer, Then::GoOn));
    match (method, path) {
        ("GET", "/hello") => go_on(ok("text/html", HELLO)),
        ("HEAD", "/hello") => go_on(without_body(ok("text/html", HELLO))),
        ("GET", "/cached") if head.field("if-none-match") == Some("\"v1\"") => {
            go_on("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_owned())
        }
        ("GET", "/cached") => go_on(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"v1\"\r\nContent-Length: 7\r\n\r\ncached\n"
                .to_owned(),
        ),
        ("GET", "/chunks") => go_on(chunked()),
        ("GET", "/broken") => go_on(message("500 Internal Server Error", "text/plain", "It broke.\n")),
        ("GET", "/slow") => {
            sleep(SLOW).await;
            go_on(ok("application/json", "{\"slow\":true}\n"))
        }
        ("GET", "/late") => {
            sleep(LATE).await;
            Ok((ok("text/plain", "Late, but you still listen.\n"), Then::GoOn))
        }
        ("POST", "/orders") => {
            let text = format!("{{\"received_bytes\":{}}}\n", body.len());
            go_on(message("201 Created", "application/json", &text))
        }
        ("GET", "/bye") => Ok((bye(), Then::Close)),
        ("GET", "/reset") => Ok((ok("text/plain", "And out.\n"), Then::Reset)),
        ("GET", "/hold") => Ok((ok("text/plain", "Held.\n"), Then::CloseLate(HOLD))),
        ("GET", "/leak") => Ok((ok("text/plain", "Leaked.\n"), Then::CloseLate(LEAK))),
        _ => go_on(message("404 Not Found", "text/plain", "Nothing here.\n")),
    }
}

fn ok(media_type: &str, body: &str) -> String {
    message("200 OK", media_type, body)
}

fn message(status: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// What HEAD gets: the fields of GET's answer alone (RFC 9110 section 9.3.2).
fn without_body(mut message: String) -> String {
    if let Some(end) = message.find("\r\n\r\n") {
        message.truncate(end + 4);
    }
    message
}

fn bye() -> String {
    let text = "Goodbye.\n";
    let length = text.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
}

/// Three chunks and a trailer (RFC 9112 section 7.1).
fn chunked() -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n";
    format!("{head}4\r\none \r\n4\r\ntwo \r\n6\r\nthree\n\r\n0\r\nX-Checksum: 14\r\n\r\n")
}
