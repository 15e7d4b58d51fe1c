//! The ways a connection ends.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::demo::client::Client;

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
