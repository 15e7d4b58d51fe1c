//! Connections that do not come to stand.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::demo::ADDRESS;
use crate::demo::wire::invalid;

/// SYN_SENT to CLOSE within microseconds, verdict "refused". The port is bound, so that nobody else can take
/// it, but nobody listens.
pub async fn refused(_: SocketAddr) -> io::Result<()> {
    let held = TcpSocket::new_v4()?;
    held.bind((ADDRESS, 0).into())?;
    match TcpStream::connect(held.local_addr()?).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(invalid("a port where nobody listens has answered".to_owned())),
    }
}

/// A listener that never accepts, its queue full with the first connection: the SYN of the second is dropped
/// and sent again after 1 s and 3 s, until the client gives up.
pub async fn full_backlog(_: SocketAddr) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_millis(3500);
    let socket = TcpSocket::new_v4()?;
    socket.bind((ADDRESS, 0).into())?;
    // Linux takes one more connection than the backlog says.
    let listener = socket.listen(0)?;
    let address = listener.local_addr()?;
    let _in_the_queue = TcpStream::connect(address).await?;
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Err(_) => Ok(()),
        Ok(answered) => answered.map(drop),
    }
}
