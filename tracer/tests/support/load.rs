//! Many connections.

use std::io::Read;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use super::netns::Namespace;

/// Connections to `port`, one at a time, whose client closes first.
pub fn closed_by_clients(namespace: &Namespace, port: u16, connections: u64) {
    let one = |listener: &TcpListener, address: SocketAddr| -> std::io::Result<()> {
        let mut client = TcpStream::connect(address)?;
        let (mut server, _) = listener.accept()?;
        client.shutdown(Shutdown::Write)?;
        server.read_to_end(&mut Vec::new())?;
        drop(server);
        client.read_to_end(&mut Vec::new())?;
        Ok(())
    };
    namespace.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("listen");
        let address = listener.local_addr().expect("a listener is bound");
        (0..connections).for_each(|_| one(&listener, address).expect("make a connection"));
    });
}
