//! Connections that stand and are closed by FIN.

use tracer::tcp::TcpState::{
    Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynRecv, SynSent, TimeWait,
};

use super::{ACTIVE_CLIENT, ACTIVE_SERVER, PASSIVE_CLIENT, PASSIVE_SERVER};
use crate::expect::{Lived, Lives};
use crate::stage::Stage;
use crate::support::wire::Fate;

pub fn client_first(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.send(10);
    pair.server.receive(10);
    pair.server.send(200);
    pair.client.receive(200);
    pair.client.shutdown();
    pair.server.receive_end(0);
    pair.client.wait_state(Some(FinWait2));
    pair.server.close();
    pair.client.receive_end(0);
    pair.client.close();
    pair.client.wait_state(Some(TimeWait));
    Lives::new().pair(
        pair.client.client(ACTIVE_CLIENT).graceful("local").bytes(10, 200).segments(&[
            "sent S",
            "received SA",
            "sent FA",
            "received FA",
        ]),
        pair.server.server(PASSIVE_SERVER).graceful("remote").bytes(200, 10).segments(&[
            "received S",
            "sent SA",
            "received FA",
            "sent FA",
        ]),
    )
}

pub fn server_first(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.server.shutdown();
    pair.client.receive_end(0);
    pair.server.wait_state(Some(FinWait2));
    pair.client.close();
    pair.server.receive_end(0);
    pair.server.close();
    pair.server.wait_state(Some(TimeWait));
    Lives::new().pair(
        pair.client.client(PASSIVE_CLIENT).graceful("remote").segments(&[
            "sent S",
            "received SA",
            "received FA",
            "sent FA",
        ]),
        pair.server.server(ACTIVE_SERVER).graceful("local").segments(&[
            "received S",
            "sent SA",
            "sent FA",
            "received FA",
        ]),
    )
}

/// The wire holds both FINs until both are under way.
pub fn both_at_once(stage: &Stage) -> Lives {
    let pair = stage.pair();
    let wire = stage.wire();
    wire.hold(|segment| segment.is_fin());
    pair.client.shutdown();
    pair.server.shutdown();
    let (client, server) = (stage.client_at(0).ip(), stage.server_at().ip());
    wire.wait_for("the client's FIN", |s| s.is_fin() && s.from.ip() == &client);
    wire.wait_for("the server's FIN", |s| s.is_fin() && s.from.ip() == &server);
    wire.release();
    pair.client.wait_state(Some(TimeWait));
    pair.server.wait_state(Some(TimeWait));
    pair.client.close();
    pair.server.close();
    let after = [Established, FinWait1, Closing, TimeWait, Close];
    Lives::new().pair(
        pair.client.client(&[&[SynSent], &after[..]].concat()).graceful("both"),
        pair.server.server(&[&[SynRecv], &after[..]].concat()).graceful("both"),
    )
}

/// The ACK of the client's FIN is lost until the server's own FIN brings it.
///
/// Linux takes the two pieces of news one after the other: FIN_WAIT2 lasts no time, but it is entered.
pub fn fin_and_ack_combined(stage: &Stage) -> Lives {
    let pair = stage.pair();
    let server = stage.server_at().ip();
    stage.wire().drop(move |segment| segment.is_pure_ack() && segment.from.ip() == &server);
    pair.client.shutdown();
    pair.server.receive_end(0);
    pair.client.wait_state(Some(FinWait1));
    pair.server.close();
    pair.client.wait_state(Some(TimeWait));
    pair.client.close();
    Lives::new()
        .pair(
            pair.client.client(ACTIVE_CLIENT).graceful("local"),
            pair.server.server(PASSIVE_SERVER).graceful("remote"),
        )
        .check(|lives| match lives[0].between_us(FinWait2, TimeWait) {
            Some(0..10_000) => Ok(()),
            other => Err(format!("FIN_WAIT2 should last no time, lasted {other:?} us")),
        })
}

pub fn half_close_with_late_data(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.send(7);
    pair.client.shutdown();
    pair.server.receive_end(7);
    pair.client.wait_state(Some(FinWait2));
    pair.server.send(100_000);
    pair.client.receive(100_000);
    pair.client.wait_state(Some(FinWait2));
    pair.server.wait_state(Some(CloseWait));
    pair.server.close();
    pair.client.receive_end(0);
    pair.client.close();
    Lives::new().pair(
        pair.client.client(ACTIVE_CLIENT).graceful("local").bytes(7, 100_000),
        pair.server.server(PASSIVE_SERVER).graceful("remote").bytes(100_000, 7),
    )
}

/// The server's FIN comes again, for the last ACK was lost; TIME_WAIT begins anew without being entered twice.
pub fn last_ack_lost(stage: &Stage) -> Lives {
    let pair = stage.pair();
    pair.client.shutdown();
    pair.server.receive_end(0);
    pair.client.wait_state(Some(FinWait2));
    let (client, mut lost) = (stage.client_at(0).ip(), 0);
    stage.wire().rule(move |segment| {
        if segment.is_pure_ack() && segment.from.ip() == &client && lost < 2 {
            lost += 1;
            return Fate::Drop;
        }
        Fate::Pass
    });
    pair.server.close();
    pair.client.wait_state(Some(TimeWait));
    pair.server.wait_state(None);
    pair.client.close();
    Lives::new().pair(
        pair.client.client(ACTIVE_CLIENT).graceful("local"),
        pair.server.server(PASSIVE_SERVER).graceful("remote").retransmitted(2),
    )
}

/// One process dies with the connection open: the kernel closes for it.
pub fn owner_dies(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let dying = stage.client.fork("life-dying");
    let client = dying.connect(listener.at);
    let server = listener.accept();
    let life = client.client(ACTIVE_CLIENT).graceful("local").short_lived_owner(&dying);
    drop(dying);
    server.receive_end(0);
    server.wait_state(Some(CloseWait));
    server.close();
    Lives::new().pair(life, server.server(PASSIVE_SERVER).graceful("remote"))
}

/// Nobody answers the FIN of a socket that its program has closed already.
pub fn orphan_in_fin_wait1_gives_up(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_orphan_retries", "1");
    let pair = stage.pair();
    stage.wire().drop(|_| true);
    pair.client.close();
    pair.client.wait_state(None);
    Lives::new().pair(
        pair.client
            .client(&[SynSent, Established, FinWait1, Close])
            .outcome("timed_out")
            .retransmitted(1),
        pair.server.server(&[SynRecv, Established]),
    )
}

/// The server's last FIN meets nobody: the client's half has given up waiting for it.
pub fn orphan_in_fin_wait2_times_out(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_fin_timeout", "3");
    let pair = stage.pair();
    pair.client.close();
    pair.client.wait_state(Some(FinWait2));
    pair.server.receive_end(0);
    pair.client.wait_state(None);
    pair.server.close();
    pair.server.wait_state(None);
    Lives::new()
        .pair(
            pair.client
                .client(&[SynSent, Established, FinWait1, FinWait2, Close])
                .outcome("timed_out"),
            pair.server
                .server(&[SynRecv, Established, CloseWait, LastAck, Close])
                .outcome("reset_by_remote")
                .closed_by("remote"),
        )
        .check(|lives| match lives[0].between_us(FinWait2, Close) {
            Some(2_900_000..=4_500_000) => Ok(()),
            other => Err(format!("FIN_WAIT2 should last 3 s, lasted {other:?} us")),
        })
}
