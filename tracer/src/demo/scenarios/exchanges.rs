//! Requests and answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::demo::client::Client;

/// One connection in ESTABLISHED for some seconds; REQ counts up to ten, each one but the first reuses it.
pub async fn keep_alive(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    for number in 1..=10 {
        client.get(&format!("/hello?number={number}"), 200).await?;
        sleep(Duration::from_millis(600)).await;
    }
    client.send("HEAD", "/hello", "", "").await?;
    client.answer(false).await?;
    Ok(())
}

/// A body whose length nobody knew before: chunks, and a trailer behind them.
pub async fn chunked(address: SocketAddr) -> io::Result<()> {
    Client::connect(address).await?.get("/chunks", 200).await?;
    Ok(())
}

/// Two failures in the colours of their classes; the connection outlives both.
pub async fn errors(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.get("/missing", 404).await?;
    client.get("/broken", 500).await?;
    Ok(())
}

/// WAIT is about 300 ms: the server thought, the network did not.
pub async fn slow(address: SocketAddr) -> io::Result<()> {
    Client::connect(address).await?.get("/slow", 200).await?;
    Ok(())
}

/// Three requests are sent before the first answer; the second waits behind the slow first one.
pub async fn pipelined(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    for target in ["/slow", "/hello", "/chunks"] {
        client.send("GET", target, "", "").await?;
    }
    for _ in 0..3 {
        client.expect(200).await?;
    }
    Ok(())
}

/// A request with a body of 20 KiB, sent in several segments.
pub async fn post(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    let order = "x".repeat(20 * 1024);
    client.send("POST", "/orders", "Content-Type: text/plain\r\n", &order).await?;
    client.expect(201).await?;
    Ok(())
}

/// The second request names the copy it has; the answer is 304 and has no body.
pub async fn cached(address: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect(address).await?;
    client.get("/cached", 200).await?;
    client.send("GET", "/cached", "If-None-Match: \"v1\"\r\n", "").await?;
    client.expect(304).await?;
    Ok(())
}
