//! TIME_WAIT and the orphan's FIN_WAIT2: what happens after the socket is gone.

use std::net::SocketAddrV4;
use std::thread::sleep;
use std::time::Duration;

use tracer::tcp::TcpState::{Close, Established, FinWait1, FinWait2, LastAck, SynSent, TimeWait};
use tracer::tcp::flags;

use super::{ACTIVE_CLIENT, ACTIVE_SERVER, PASSIVE_CLIENT, PASSIVE_SERVER};
use crate::expect::{Lived, Lives};
use crate::stage::Stage;
use crate::support::actor::{Conn, Options};
use crate::support::packet::{self, Segment};
use crate::support::records::Life;
use crate::support::wire::End;

/// 2MSL on Linux, and how late its timer wheel may be.
const TIME_WAIT_US: std::ops::RangeInclusive<u64> = 59_900_000..=62_500_000;

/// How late TIME_WAIT behind an orphan's FIN_WAIT2 may be told.
const SOON_US: u64 = 2_100_000;

/// Closes an open connection from `first`'s side, the second FIN not before the first is acknowledged. An ACK that the
/// second FIN overtook (a delayed one, from another processor) would be old to the TIME_WAIT, which answers it to a
/// socket that is gone, and the reset that comes back kills the TIME_WAIT (RFC 1337).
fn close_in_turn(first: &Conn<'_>, second: &Conn<'_>) {
    first.shutdown();
    second.receive_end(0);
    first.wait_state(Some(FinWait2));
    second.close();
    first.receive_end(0);
    first.close();
}

pub fn natural_end(stage: &Stage) -> Lives {
    let pair = stage.pair();
    close_in_turn(&pair.client, &pair.server);
    Lives::new()
        .pair(
            pair.client.client(ACTIVE_CLIENT).graceful("local"),
            pair.server.server(PASSIVE_SERVER).graceful("remote"),
        )
        .check(|lives| match lives[0].between_us(TimeWait, Close) {
            Some(us) if TIME_WAIT_US.contains(&us) => Ok(()),
            other => Err(format!("TIME_WAIT should last 60.0 to 62.1 s, lasted {other:?} us")),
        })
}

fn cut_short(life: &Life) -> Result<(), String> {
    match life.between_us(TimeWait, Close) {
        Some(0..30_000_000) => Ok(()),
        other => Err(format!("TIME_WAIT of {} was cut short, lasted {other:?} us", life.id)),
    }
}

/// `tcp_tw_reuse` lets a connect have the port of a TIME_WAIT that is more than a second old.
pub fn taken_over_by_connect(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_tw_reuse", "1");
    let listener = stage.server.listen(stage.server_at());
    let from = stage.client_at(6000);
    let client = stage.client.connect_from(from, listener.at);
    let server = listener.accept();
    close_in_turn(&client, &server);
    client.wait_state(Some(TimeWait));
    // The kernel's own rule is about time that passes: a second, counted in whole seconds.
    sleep(Duration::from_millis(2100));
    let again = stage.client.connect_from(from, listener.at);
    let server_again = listener.accept();
    close_in_turn(&again, &server_again);
    Lives::new()
        .pair(
            client.client(ACTIVE_CLIENT).graceful("local"),
            server.server(PASSIVE_SERVER).graceful("remote"),
        )
        .pair(
            again.client(ACTIVE_CLIENT).graceful("local"),
            server_again.server(PASSIVE_SERVER).graceful("remote"),
        )
        .check(|lives| cut_short(&lives[0]))
}

/// RFC 6191: a SYN with a later time stamp may open anew out of TIME_WAIT.
pub fn taken_over_by_syn(stage: &Stage) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    let from = stage.client_at(6000);
    let open = || {
        let client = stage.client.connect_from(from, listener.at);
        let server = listener.accept();
        close_in_turn(&server, &client);
        server.wait_state(Some(TimeWait));
        (client, server)
    };
    let rounds = [open(), open()];
    rounds
        .iter()
        .fold(Lives::new(), |lives, (client, server)| {
            lives.pair(
                client.client(PASSIVE_CLIENT).graceful("remote"),
                server.server(ACTIVE_SERVER).graceful("local"),
            )
        })
        .check(|lives| cut_short(&lives[1]))
}

/// RFC 1337's hazard, on by default. Both FINs were acknowledged before: the verdict stays.
pub fn killed_by_reset(stage: &Stage) -> Lives {
    let pair = stage.pair();
    close_in_turn(&pair.client, &pair.server);
    pair.client.wait_state(Some(TimeWait));
    pair.server.wait_state(None);
    let wire = stage.wire();
    let fin = wire.wait_for("the server's FIN", |s| s.is_fin() && s.from == stage.server_v4());
    wire.inject(End::Left, &packet::tcp(fin.from, fin.to, flags::RST, fin.end(), 0));
    pair.client.wait_state(None);
    Lives::new()
        .pair(
            pair.client.client(ACTIVE_CLIENT).graceful("local"),
            pair.server.server(PASSIVE_SERVER).graceful("remote"),
        )
        .check(|lives| cut_short(&lives[0]))
}

/// `tcp_max_tw_buckets` is reached: the kernel makes no timewait socket.
pub fn no_room(stage: &Stage) -> Lives {
    stage.sysctl("ipv4/tcp_max_tw_buckets", "0");
    let pair = stage.pair();
    close_in_turn(&pair.client, &pair.server);
    pair.client.wait_state(None);
    Lives::new().pair(
        pair.client.client(&[SynSent, Established, FinWait1, FinWait2, Close]).graceful("local"),
        pair.server.server(PASSIVE_SERVER).graceful("remote"),
    )
}

/// The client is an orphan in FIN_WAIT2 for so long before the server closes.
fn orphans(stage: &Stage, waits_ms: &[u64]) -> Lives {
    let listener = stage.server.listen(stage.server_at());
    waits_ms.iter().fold(Lives::new(), |lives, &wait_ms| {
        let client = stage.client.connect(listener.at);
        let server = listener.accept();
        client.close();
        client.wait_state(Some(FinWait2));
        server.receive_end(0);
        sleep(Duration::from_millis(wait_ms));
        server.close();
        client.wait_state(Some(TimeWait));
        lives.pair(
            client.client(ACTIVE_CLIENT).graceful("local"),
            server.server(PASSIVE_SERVER).graceful("remote"),
        )
    })
}

/// Each client's TIME_WAIT begins when its server's LAST_ACK does.
fn begins_with_last_ack(lives: &[Life], within_us: u64) -> Result<(), String> {
    for pair in lives.chunks(2) {
        let (Some(fin), Some(told)) = (pair[1].entered(LastAck), pair[0].entered(TimeWait)) else {
            return Err(format!("{} or {} has no times", pair[0].id, pair[1].id));
        };
        // A microsecond of clock reading apart, either way round.
        if told.plus_ns(100_000) < fin || told.since_us(fin) > within_us {
            return Err(format!(
                "{} entered TIME_WAIT at {told}, its FIN left at {fin}",
                pair[0].id
            ));
        }
    }
    Ok(())
}

/// The hole: the kernel re-arms the timer without a word. The peer on this host tells.
pub fn orphan_gets_fin_soon(stage: &Stage) -> Lives {
    orphans(stage, &[0, 5, 40, 200, 1000]).check(|lives| begins_with_last_ack(lives, 50_000))
}

pub fn orphan_gets_fin_late(stage: &Stage) -> Lives {
    orphans(stage, &[4000]).check(|lives| begins_with_last_ack(lives, 50_000))
}

/// The other end is not on this host (the test plays it): nothing tells but a look at the socket itself.
pub fn orphan_gets_fin_from_afar(stage: &Stage) -> Lives {
    let wire = stage.wire();
    let afar = stage.host(50, 80);
    wire.drop(move |segment| segment.to == afar);
    let client = stage.client.connect_start(afar.into(), Options::default());
    let syn = wire.wait_for("the SYN", |s| s.is_syn());
    let say = |to: SocketAddrV4, bits, seq, ack| {
        wire.inject(End::Left, &packet::tcp(afar, to, bits, seq, ack));
    };
    say(syn.from, flags::SYN | flags::ACK, 5000, syn.end());
    client.connected();
    client.close();
    let fin: Segment = wire.wait_for("the FIN", |s| s.is_fin());
    say(fin.from, flags::ACK, 5001, fin.end());
    client.wait_state(Some(FinWait2));
    sleep(Duration::from_millis(100));
    say(fin.from, flags::FIN | flags::ACK, 5001, fin.end());
    client.wait_state(Some(TimeWait));
    Lives::new().alone(client.client(ACTIVE_CLIENT).graceful("local")).check(|lives| {
        match lives[0].between_us(FinWait2, TimeWait) {
            Some(90_000..SOON_US) => Ok(()),
            other => Err(format!("FIN_WAIT2 lasted 0.1 s, was told to last {other:?} us")),
        }
    })
}
