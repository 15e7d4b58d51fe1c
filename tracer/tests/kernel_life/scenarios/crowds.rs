//! Many connections at once, and many in the same place.

use super::opening::close_client_first;
use super::{ACTIVE_CLIENT, CUT_CLIENT, CUT_SERVER, PASSIVE_SERVER};
use crate::expect::{Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::{Conn, Options};

const CROWD: usize = 500;
const ROUNDS: usize = 20;

/// All are open at the same time.
pub fn five_hundred(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let started: Vec<Conn<'_>> =
        (0..CROWD).map(|_| stage.client.connect_start(listener.at, Options::default())).collect();
    started.iter().for_each(Conn::connected);
    let mut accepted: Vec<Conn<'_>> = (0..CROWD).map(|_| listener.accept()).collect();
    accepted.sort_by_key(|server| started.iter().position(|c| c.local == server.remote));
    let pairs: Vec<(Conn<'_>, Conn<'_>)> = started.into_iter().zip(accepted).collect();
    for (client, server) in &pairs {
        close_client_first(client, server);
    }
    pairs.iter().fold(Lives::new(), |lives, (client, server)| {
        lives.pair(
            client.client(ACTIVE_CLIENT).graceful("local"),
            server.server(PASSIVE_SERVER).graceful("remote"),
        )
    })
}

/// Resets leave no TIME_WAIT, so the next one can begin at once.
pub fn same_tuple(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    (0..ROUNDS).fold(Lives::new(), |lives, _| {
        let client = stage.client.connect_from(stage.client_at(6000), listener.at);
        let server = listener.accept();
        server.reset();
        client.receive_fails_with(libc::ECONNRESET);
        client.close();
        lives.pair(
            client.client(CUT_CLIENT).outcome("reset_by_remote").closed_by("remote"),
            server.server(CUT_SERVER).outcome("reset_by_local").closed_by("local"),
        )
    })
}
