//! `tracer demo`: a small HTTP server and clients of its own on loopback, so that there is something to see on
//! any machine. About two connections a second, nothing leaves the host, and all is closed at the end.

mod client;
mod scenarios;
mod server;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use scenarios::{SCENARIOS, Scenario};
use server::Server;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Where everything of the demo listens: a loopback address of its own, so that it can be told from the rest.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 84, 67, 80);

/// Time between the starts of two scenarios: all of them have begun within ten seconds.
const PACE: Duration = Duration::from_millis(500);

/// Plays all scenarios again and again until `stop` is done, then closes everything. Each one is announced in
/// the log.
///
/// # Errors
/// Where no port of [`ADDRESS`] can be had.
pub async fn run(stop: impl Future<Output = ()>) -> io::Result<()> {
    let server = Server::start().await?;
    log::info!("demo: server on http://{}", server.address);
    play(server.address, stop).await;
    server.stop().await;
    Ok(())
}

async fn play(address: SocketAddr, stop: impl Future<Output = ()>) {
    let mut playing = JoinSet::new();
    let mut pace = interval(PACE);
    // After a suspend the scenarios go on at their pace, not all at once.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut scenarios = SCENARIOS.iter().cycle();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = pace.tick() => {
                if let Some(&scenario) = scenarios.next() {
                    playing.spawn(announced(scenario, address));
                }
            }
            Some(_) = playing.join_next() => {}
        }
    }
    playing.shutdown().await;
}

async fn announced(scenario: Scenario, address: SocketAddr) {
    log::info!("demo: {}", scenario.shows);
    if let Err(error) = (scenario.play)(address).await {
        log::warn!("demo: {}: {error}", scenario.shows);
    }
}

#[cfg(test)]
mod tests {
    use client::Client;
    use tokio::net::TcpStream;
    use tokio::time::sleep;

    use super::*;

    #[test]
    fn all_scenarios_begin_within_ten_seconds() {
        assert!(PACE * SCENARIOS.len() as u32 <= Duration::from_secs(10));
    }

    #[tokio::test]
    async fn every_scenario_plays_as_it_should() {
        let server = Server::start().await.unwrap();
        let mut playing = JoinSet::new();
        for scenario in SCENARIOS {
            let play = (scenario.play)(server.address);
            playing.spawn(async move { (scenario.shows, play.await) });
        }
        for (shows, result) in playing.join_all().await {
            assert!(result.is_ok(), "{shows}: {result:?}");
        }
        server.stop().await;
    }

    #[tokio::test]
    async fn the_server_answers_each_request_on_one_connection() {
        let server = Server::start().await.unwrap();
        let mut client = Client::connect(server.address).await.unwrap();
        assert_eq!(client.get("/hello", 200).await.unwrap().body, b"<h1>Hello</h1>\n");
        assert_eq!(client.get("/chunks", 200).await.unwrap().body, b"one two three\n");
        client.send("POST", "/orders", "", &"x".repeat(70_000)).await.unwrap();
        assert_eq!(client.expect(201).await.unwrap().body, b"{\"received_bytes\":70000}\n");
        client.get("/nowhere", 404).await.unwrap();
        client.send("GET", "/hello", "Connection: close\r\n", "").await.unwrap();
        client.expect(200).await.unwrap();
        client.wait_for_end().await.unwrap();
        server.stop().await;
    }

    #[tokio::test]
    async fn an_answer_to_head_has_no_body_and_the_next_one_is_found() {
        let server = Server::start().await.unwrap();
        let mut client = Client::connect(server.address).await.unwrap();
        client.send("HEAD", "/hello", "", "").await.unwrap();
        assert_eq!(client.answer(false).await.unwrap().status, 200);
        assert_eq!(client.get("/hello", 200).await.unwrap().body, b"<h1>Hello</h1>\n");
        server.stop().await;
    }

    #[tokio::test]
    async fn when_it_has_stopped_nobody_listens_any_more() {
        let server = Server::start().await.unwrap();
        let address = server.address;
        play(address, sleep(Duration::from_secs(1))).await;
        Client::connect(address).await.unwrap().get("/hello", 200).await.unwrap();
        server.stop().await;
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn the_whole_demo_runs_and_stops_when_it_is_told_to() {
        run(sleep(Duration::from_secs(1))).await.unwrap();
    }
}
