//! Connections that stood and were cut off.

use tracer::tcp::TcpState::{Close, CloseWait, Established, FinWait1, FinWait2, SynRecv, SynSent};

use super::{CUT_CLIENT, CUT_SERVER};
use crate::expect::{Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::Options;

pub fn by_the_client(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.reset();
    pair.server.receive_fails_with(libc::ECONNRESET);
    pair.server.close();
    Lives::new().pair(
        pair.client.client(CUT_CLIENT).outcome("reset_by_local").closed_by("local").segments(&[
            "sent S",
            "received SA",
            "sent RA",
        ]),
        pair.server.server(CUT_SERVER).outcome("reset_by_remote").closed_by("remote").segments(&[
            "received S",
            "sent SA",
            "received RA",
        ]),
    )
}

pub fn by_the_server(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.server.reset();
    pair.client.receive_fails_with(libc::ECONNRESET);
    pair.client.close();
    Lives::new().pair(
        pair.client.client(CUT_CLIENT).outcome("reset_by_remote").closed_by("remote"),
        pair.server.server(CUT_SERVER).outcome("reset_by_local").closed_by("local"),
    )
}

/// RFC 1122, 4.2.2.13: a program that closes with data unread loses data, and the peer must know.
pub fn unread_data(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.send(1000);
    pair.server.receive(10);
    pair.server.close();
    pair.client.receive_fails_with(libc::ECONNRESET);
    pair.client.close();
    Lives::new().pair(
        pair.client
            .client(CUT_CLIENT)
            .outcome("reset_by_remote")
            .closed_by("remote")
            .bytes(1000, 0),
        pair.server.server(CUT_SERVER).outcome("reset_by_local").closed_by("local").bytes(0, 1000),
    )
}

/// The client closes its half, the server resets: the FIN came first, the end was the reset.
pub fn after_fin(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.shutdown();
    pair.server.receive_end(0);
    pair.client.wait_state(Some(FinWait2));
    pair.server.reset();
    pair.client.receive_fails_with(libc::ECONNRESET);
    pair.client.close();
    Lives::new().pair(
        pair.client
            .client(&[SynSent, Established, FinWait1, FinWait2, Close])
            .outcome("reset_by_remote")
            .closed_by("local"),
        pair.server
            .server(&[SynRecv, Established, CloseWait, Close])
            .outcome("reset_by_local")
            .closed_by("remote"),
    )
}

/// The client has closed for good; what the server still sends is answered by a reset.
pub fn data_at_a_closed_peer(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.close();
    pair.client.wait_state(Some(FinWait2));
    pair.server.receive_end(0);
    pair.server.send(50);
    pair.server.wait_state(None);
    pair.server.close();
    Lives::new().pair(
        pair.client
            .client(&[SynSent, Established, FinWait1, FinWait2, Close])
            .outcome("reset_by_local")
            .closed_by("local"),
        pair.server
            .server(&[SynRecv, Established, CloseWait, Close])
            .outcome("reset_by_remote")
            .closed_by("remote")
            .bytes(50, 0),
    )
}

/// `TCP_USER_TIMEOUT`: sent data that is not acknowledged ends the connection. The server never learns.
pub fn user_timeout(stage: &Stage) -> Lives {
    let pair = stage.pair_with(Options { user_timeout_ms: Some(700), ..Options::default() });
    stage.wire().drop(|_| true);
    pair.client.send(10);
    pair.client.receive_fails_with(libc::ETIMEDOUT);
    pair.client.wait_state(None);
    pair.client.close();
    Lives::new().pair(
        pair.client.client(CUT_CLIENT).outcome("timed_out").bytes(10, 0).retransmitted(1),
        pair.server.server(&[SynRecv, Established]),
    )
}
