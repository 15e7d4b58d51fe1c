//! Sockets in repair mode (TCP_REPAIR), as CRIU moves a container's connections.

use tracer::tcp::TcpState::{
    self, Close, CloseWait, Established, FinWait1, FinWait2, LastAck, TimeWait,
};

use super::opening::close_client_first;
use super::{CUT_CLIENT, PASSIVE_SERVER};
use crate::expect::{Expected, Lived, Lives, UNKNOWN};
use crate::stage::Stage;

const ACTIVE: &[TcpState] = &[Established, FinWait1, FinWait2, TimeWait, Close];
const PASSIVE: &[TcpState] = &[Established, CloseWait, LastAck, Close];

/// The next numbers to send and to receive.
const SEQS: [u32; 2] = [1_000, 2_000];

fn closes_first(life: Expected) -> Expected {
    life.restored().graceful("local").bytes(10, 0).segments(&["sent FA", "received FA"])
}

pub fn both_ends(stage: &Stage) -> Lives {
    let (here, there) = (stage.client_at(6_000), stage.server_at());
    let one = stage.client.restore(here, there, SEQS);
    let other = stage.server.restore(there, here, [SEQS[1], SEQS[0]]);
    one.send(10);
    other.receive(10);
    close_client_first(&one, &other);
    Lives::new().pair(
        closes_first(one.client(ACTIVE)),
        other
            .client(PASSIVE)
            .restored()
            .graceful("remote")
            .bytes(0, 10)
            .segments(&["received FA", "sent FA"]),
    )
}

/// The socket is closed in repair mode, and its connection goes on in a new one.
pub fn moved(stage: &Stage) -> Lives {
    // What else was agreed on is not restored here.
    for option in ["tcp_timestamps", "tcp_window_scaling", "tcp_sack"] {
        stage.sysctl(&format!("ipv4/{option}"), "0");
    }
    let pair = stage.pair();
    let seqs = pair.client.next_seqs();
    pair.client.take_out();
    let again = stage.client.restore(pair.client.local, pair.client.remote, seqs);
    again.send(10);
    pair.server.receive(10);
    close_client_first(&again, &pair.server);
    Lives::new()
        .pair(
            pair.client.client(CUT_CLIENT).outcome(UNKNOWN),
            pair.server.server(PASSIVE_SERVER).graceful("remote").bytes(0, 10),
        )
        .alone(closes_first(again.client(ACTIVE)))
}
