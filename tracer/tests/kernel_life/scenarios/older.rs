//! Connections that are there before the tracer: they begin in the state it finds them in.

use tracer::tcp::TcpState::{
    Close, CloseWait, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent, TimeWait,
};
use tracer::tcp::flags;

use super::opening::close_client_first;
use crate::expect::{Expected, Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::Options;
use crate::support::packet;
use crate::support::wire::End;

pub fn established(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.send(10);
    pair.server.receive(10);
    stage.tracer_starts();
    close_client_first(&pair.client, &pair.server);
    Lives::new().pair(
        pair.client
            .client(&[Established, FinWait1, FinWait2, TimeWait, Close])
            .graceful("local")
            .older(),
        pair.server.server(&[Established, CloseWait, LastAck, Close]).graceful("remote").older(),
    )
}

pub fn half_closed(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.shutdown();
    pair.server.receive_end(0);
    pair.client.wait_state(Some(FinWait2));
    stage.tracer_starts();
    pair.server.close();
    pair.client.receive_end(0);
    pair.client.close();
    Lives::new().pair(
        pair.client.client(&[FinWait2, TimeWait, Close]).graceful("local").older(),
        pair.server.server(&[CloseWait, LastAck, Close]).graceful("remote").older(),
    )
}

/// Its process no longer has it: nobody can be named.
pub fn orphan(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.close();
    pair.client.wait_state(Some(FinWait2));
    pair.server.receive_end(0);
    stage.tracer_starts();
    pair.server.close();
    pair.client.wait_state(Some(TimeWait));
    Lives::new().pair(
        pair.client
            .client(&[FinWait2, TimeWait, Close])
            .graceful("local")
            .older()
            .owned_by_nobody(),
        pair.server.server(&[CloseWait, LastAck, Close]).graceful("remote").older(),
    )
}

pub fn time_wait(stage: &Stage) -> Lives {
    let pair = stage.pair();
    close_client_first(&pair.client, &pair.server);
    pair.client.wait_state(Some(TimeWait));
    pair.server.wait_state(None);
    stage.tracer_starts();
    Lives::new()
        .alone(pair.client.client(&[TimeWait, Close]).graceful("local").older().owned_by_nobody())
}

/// A half-open connection whose other end never answers; it is sent SYN+ACK again under the tracer's eyes.
pub fn syn_recv(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let nobody = stage.host(50, 5000);
    let wire = stage.wire();
    wire.inject(End::Right, &packet::tcp(nobody, stage.server_v4(), flags::SYN, 1000, 0));
    wire.wait_for("the SYN+ACK", |s| s.is_syn_ack());
    stage.tracer_starts();
    wire.inject(End::Right, &packet::tcp(nobody, stage.server_v4(), flags::RST, 1001, 0));
    stage.server_sees(listener.at, nobody.into(), None);
    let life = Expected::unaccepted(&stage.server, (listener.at, nobody.into()), &[SynRecv, Close]);
    Lives::new().alone(life.outcome("reset_by_remote").older())
}

pub fn syn_sent(stage: &Stage) -> Lives {
    let wire = stage.wire();
    wire.drop(|_| true);
    let client = stage.client.connect_start(stage.server_at(), Options::default());
    wire.wait_for("the SYN", |s| s.is_syn());
    stage.tracer_starts();
    client.close();
    client.wait_state(None);
    Lives::new().alone(client.client(&[SynSent, Close]).outcome("aborted").older())
}
