//! Who uses a socket, where it is not who made it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::{ACTIVE_CLIENT, PASSIVE_SERVER};
use crate::expect::{Endpoint, Expected, Lived, Lives, Owner};
use crate::stage::Stage;
use crate::support::actor::Actor;
use crate::support::environment::kernel_is_at_least;

/// Who is told to own a socket that was handed on: who uses it, where the kernel has a hook in sending and receiving
/// (`sock_send_length` and `sock_recv_length`, since 6.3); before, who accepted or connected it.
fn told_owner<'a>(maker: &'a Actor, user: &'a Actor) -> &'a Actor {
    if kernel_is_at_least(6, 3) { user } else { maker }
}

/// A listener's forked worker accepts, as in a pre-fork server.
pub fn another_process_accepts(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let worker = stage.server.fork_for_good("life-worker");
    let client = stage.client.connect(listener.at);
    let server = worker.inherit_listener(&listener).accept();
    client.send(10);
    server.receive(10);
    server.send(20);
    client.receive(20);
    client.shutdown();
    server.receive_end(0);
    server.close();
    client.receive_end(0);
    client.close();
    Lives::new().pair(
        client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 20),
        server.server(PASSIVE_SERVER).graceful("remote").bytes(20, 10).owner(worker),
    )
}

/// The parent accepts and hands the connection to a child, as inetd does.
pub fn child_goes_on(stage: &Stage) -> Lives {
    let pair = stage.pair();
    let child = stage.server.fork_for_good("life-child");
    pair.server.close();
    let server = child.inherit(&pair.server);
    pair.client.send(10);
    server.receive(10);
    server.send(20);
    pair.client.receive(20);
    pair.client.shutdown();
    server.receive_end(0);
    server.close();
    pair.client.receive_end(0);
    pair.client.close();
    Lives::new().pair(
        pair.client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 20),
        server
            .server(PASSIVE_SERVER)
            .graceful("remote")
            .bytes(20, 10)
            .owner(told_owner(&stage.server, child)),
    )
}

/// The same on the connecting side.
pub fn client_child_goes_on(stage: &Stage) -> Lives {
    let pair = stage.pair();
    let child = stage.client.fork_for_good("life-heir");
    pair.client.close();
    let client = child.inherit(&pair.client);
    client.send(10);
    pair.server.receive(10);
    client.shutdown();
    pair.server.receive_end(0);
    pair.server.close();
    client.receive_end(0);
    client.close();
    Lives::new().pair(
        client
            .client(ACTIVE_CLIENT)
            .graceful("local")
            .bytes(10, 0)
            .owner(told_owner(&stage.client, child)),
        pair.server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
    )
}

/// Set for a process that connects to this address and ends.
pub const CONNECT_AND_END: &str = "TRACER_TEST_CONNECT_AND_END";

/// It is started by a relative path through a link, and gone before its connection is: nobody can
/// ask /proc.
pub fn ends_at_once(stage: &Stage) -> Lives {
    const NAME: &str = "life-at-once";
    let listener = stage.server.listen(stage.server_at());
    let folder = tempfile::tempdir().expect("make a folder");
    let binary = std::env::current_exe().expect("this binary has a path");
    std::os::unix::fs::symlink(binary, folder.path().join(NAME)).expect("make a link");
    let mut command = Command::new(format!("./{NAME}"));
    command.current_dir(folder.path()).env(CONNECT_AND_END, listener.at.to_string());
    let namespace = stage.client_namespace();
    // SAFETY: setns is a bare system call: safe between fork and exec; the descriptor is open in
    // the child.
    unsafe {
        command.pre_exec(move || match libc::setns(namespace, libc::CLONE_NEWNET) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn().expect("start this binary again");
    let pid = child.id();
    assert!(child.wait().expect("it ends").success(), "it connects");
    let server = listener.accept();
    server.receive_end(0);
    server.close();
    let owner = Owner::Process { pid, comm: NAME.into() };
    let client = Expected::new(
        &stage.client,
        (server.remote, server.local),
        Endpoint::Client,
        ACTIVE_CLIENT,
    );
    Lives::new().pair(
        Expected { owner, ..client.graceful("local") },
        server.server(PASSIVE_SERVER).graceful("remote"),
    )
}

/// If this process was started by [`ends_at_once`], it does so and never comes back.
pub fn connect_and_end_if_asked() {
    let Ok(address) = std::env::var(CONNECT_AND_END) else { return };
    let connected = std::net::TcpStream::connect(address);
    std::process::exit(i32::from(connected.is_err()))
}
