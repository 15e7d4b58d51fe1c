//! The ways a connection ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

use crate::demo::ADDRESS;
use crate::demo::client::{Client, PATIENCE};

/// Client: FIN_WAIT1, FIN_WAIT2, TIME_WAIT. Server: CLOSE_WAIT, LAST_ACK, gone. "closed by us" at the client.
pub async fn client_first(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.get("/hello", 200).await?;
    client.close_sending().await?;
    client.wait_for_end().await
}

/// The same with the roles changed: TIME_WAIT is the server's.
pub async fn server_first(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.get("/bye", 200).await?;
    client.wait_for_end().await
}

/// The server does not notice the client's FIN for six seconds: its end sits in CLOSE_WAIT, and the client's,
/// which has gone, in FIN_WAIT2.
pub async fn leaked_close_wait(address: SocketAddr) -> io::Result<()> {
    Client::connect(address).await?.get("/leak", 200).await?;
    Ok(())
}

/// The client's FIN comes 400 ms before the answer: the server answers out of CLOSE_WAIT, and the client
/// reads in FIN_WAIT2.
pub async fn half_close(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.send("GET", "/late", "", "").await?;
    client.close_sending().await?;
    client.expect(200).await?;
    client.wait_for_end().await
}

/// ESTABLISHED to CLOSE at both ends, no FIN, no TIME_WAIT.
pub async fn reset_by_client(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.get("/hello", 200).await?;
    client.reset()
}

/// The same from the other side: the client's verdict is "reset by remote".
pub async fn reset_by_server(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    // The reset may overtake the reading of the answer.
    let answered = client.get("/reset", 200).await;
    match answered.and(client.wait_for_end().await) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        other => other,
    }
}

/// The client has closed and gone, the server closes a second later: FIN_WAIT2 without an owner in between,
/// then TIME_WAIT.
pub async fn orphan(address: SocketAddr) -> io::Result<()> {
    Client::connect(address).await?.get("/hold", 200).await?;
    Ok(())
}

/// The client closes while the server still thinks. The answer meets a closed socket, and the kernel
/// answers it with a reset.
pub async fn gone_before_the_answer(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.send("GET", "/slow", "", "").await?;
    sleep(Duration::from_millis(50)).await;
    Ok(())
}

/// Each end's FIN waits in its send queue behind data that the other does not read yet, so both are in FIN_WAIT1. Then
/// the client reads: the server's FIN reaches it while its own is still unsent (RFC 9293 section 3.6, case 3).
pub async fn both_at_once(_: SocketAddr) -> io::Result<()> {
    /// More than a receive buffer takes, less than a send buffer holds.
    const QUEUED_BYTES: usize = 64 * 1024;
    let listener = narrow_socket()?;
    listener.bind(SocketAddr::from((ADDRESS, 0)))?;
    let listener = listener.listen(1)?;
    let mut client = narrow_socket()?.connect(listener.local_addr()?).await?;
    let (mut server, _) = listener.accept().await?;
    let body = "x".repeat(QUEUED_BYTES);
    let fields = format!("Content-Length: {QUEUED_BYTES}\r\n\r\n{body}");
    let request = format!("POST /both-at-once HTTP/1.1\r\nHost: {ADDRESS}\r\n{fields}");
    client.write_all(request.as_bytes()).await?;
    server.write_all(format!("HTTP/1.1 200 OK\r\n{fields}").as_bytes()).await?;
    client.shutdown().await?;
    server.shutdown().await?;
    for end in [&mut client, &mut server] {
        timeout(PATIENCE, end.read_to_end(&mut Vec::new())).await??;
    }
    Ok(())
}

/// A socket that takes in little and queues much.
fn narrow_socket() -> io::Result<TcpSocket> {
    const RECEIVE_BYTES: u32 = 4096;
    const SEND_BYTES: u32 = 200 * 1024;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.set_send_buffer_size(SEND_BYTES)?;
    Ok(socket)
}
