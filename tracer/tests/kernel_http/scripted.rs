//! Cases in which the test itself speaks at both ends, byte by byte.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::expect::{Check, Ex, connections};
use crate::place::{PORT, Place, pass};

/// This process, at both ends.
fn told(expected: Vec<Ex>) -> Vec<Check> {
    vec![connections(PORT, (SELF, SELF), vec![expected])]
}

/// The name of this process.
pub const SELF: &str = "kernel_http";

/// Both ends close, the client first, once all has arrived.
fn close((client, server): (TcpStream, TcpStream)) {
    client.shutdown(Shutdown::Write).expect("shut the client's half");
    assert_eq!(server.peek(&mut [0]).expect("wait for the end"), 0);
}

pub fn chunks_and_trailers(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    let (client, server) = (&ends.0, &ends.1);
    pass(client, server, b"POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    pass(client, server, b"5;name=value\r\nhello\r\n");
    pass(client, server, b"0\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: sum\r\n\r\n");
    pass(server, client, b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nsum: 13\r\n\r\n");
    pass(client, server, b"GET /again HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    close(ends);
    told(vec![Ex::new(1, "POST", "/up", 200, 13).sent(5), Ex::new(2, "GET", "/again", 200, 2)])
}

pub fn read_until_close(place: &mut Place) -> Vec<Check> {
    let (client, server) = place.pair();
    pass(&client, &server, b"GET / HTTP/1.0\r\n\r\n");
    pass(&server, &client, b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n");
    pass(&server, &client, &[b'x'; 70_000]);
    drop(server);
    assert_eq!(client.peek(&mut [0]).expect("wait for the end"), 0);
    told(vec![Ex::new(1, "GET", "/", 200, 70_000).http10()])
}

/// None of these responses has content, whatever its fields say.
pub fn without_content(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    let (client, server) = (&ends.0, &ends.1);
    pass(client, server, b"HEAD /a HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n");
    pass(client, server, b"GET /b HTTP/1.1\r\nhost: a\r\nif-none-match: \"1\"\r\n\r\n");
    pass(server, client, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5000\r\n\r\n");
    pass(client, server, b"DELETE /c HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 204 No Content\r\n\r\n");
    pass(client, server, b"GET /d HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n!");
    close(ends);
    told(vec![
        Ex::new(1, "HEAD", "/a", 200, 0),
        Ex::new(2, "GET", "/b", 304, 0),
        Ex::new(3, "DELETE", "/c", 204, 0),
        Ex::new(4, "GET", "/d", 200, 1),
    ])
}

/// Three requests in one segment, three answers in one.
pub fn pipelining(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let response =
        |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let requests = ["/1", "/2", "/3"].map(request).concat();
    pass(&ends.0, &ends.1, requests.as_bytes());
    pass(&ends.1, &ends.0, ["a", "bb", "ccc"].map(response).concat().as_bytes());
    close(ends);
    told(vec![
        Ex::new(1, "GET", "/1", 200, 1),
        Ex::new(2, "GET", "/2", 200, 2),
        Ex::new(3, "GET", "/3", 200, 3),
    ])
}

/// Behind the answer the connection is a tunnel: what looks like HTTP there is none of its own.
pub fn tunnel(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    pass(&ends.0, &ends.1, b"CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n");
    pass(&ends.1, &ends.0, b"HTTP/1.1 200 Connection established\r\n\r\n");
    pass(&ends.0, &ends.1, b"GET /inside HTTP/1.1\r\nhost: b\r\n\r\n");
    pass(&ends.1, &ends.0, b"\x16\x03\x01 some bytes");
    close(ends);
    told(vec![Ex::new(1, "CONNECT", "b:443", 200, 0)])
}

pub fn upgrade(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    pass(
        &ends.0,
        &ends.1,
        b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    pass(
        &ends.1,
        &ends.0,
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    pass(&ends.0, &ends.1, b"\x81\x85\x01\x02\x03\x04iggpn");
    pass(&ends.1, &ends.0, b"\x81\x05hello");
    close(ends);
    told(vec![Ex::new(1, "GET", "/chat", 101, 0)])
}

/// Interim responses belong to the exchange, they are none of their own.
pub fn interim_responses(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    let (client, server) = (&ends.0, &ends.1);
    pass(
        client,
        server,
        b"PUT /f HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
    );
    pass(server, client, b"HTTP/1.1 100 Continue\r\n\r\n");
    pass(client, server, b"data");
    pass(server, client, b"HTTP/1.1 103 Early Hints\r\nlink: </s.css>\r\n\r\n");
    pass(server, client, b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n");
    close(ends);
    told(vec![Ex::new(1, "PUT", "/f", 201, 0).sent(4)])
}

/// The server resets when 400 of 1000 bytes are out.
pub fn aborted_response(place: &mut Place) -> Vec<Check> {
    let (client, server) = place.pair();
    pass(&client, &server, b"GET /long HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(&server, &client, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    pass(&server, &client, &[b'x'; 400]);
    let linger = socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO));
    linger.expect("set an option");
    drop(server);
    client.peek(&mut [0]).expect_err("the connection is reset");
    told(vec![Ex::new(1, "GET", "/long", 200, 400).incomplete()])
}

/// The client goes when 3 of 10 bytes of its request are out; nobody answers.
pub fn aborted_request(place: &mut Place) -> Vec<Check> {
    let (client, server) = place.pair();
    pass(&client, &server, b"POST /form HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
    drop(client);
    assert_eq!(server.peek(&mut [0]).expect("wait for the end"), 0);
    let cut = Ex { status: None, response_bytes: None, ..Ex::new(1, "POST", "/form", 0, 0) };
    told(vec![cut.sent(3).incomplete()])
}

/// An answer before the request has ended (RFC 9112, 9.3).
pub fn early_answer(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    let (client, server) = (&ends.0, &ends.1);
    pass(client, server, b"POST /big HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n1234");
    pass(server, client, b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n");
    pass(client, server, b"5678");
    pass(client, server, b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    close(ends);
    told(vec![Ex::new(1, "POST", "/big", 413, 0).sent(8), Ex::new(2, "GET", "/next", 200, 0)])
}

/// The first byte of the request has the number behind the SYN's.
pub fn request_in_syn(place: &mut Place) -> Vec<Check> {
    let ends = place.pair_with_data_in_syn(b"GET /fast HTTP/1.1\r\nhost: a\r\n\r\n");
    let (client, server) = (&ends.0, &ends.1);
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    pass(client, server, b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    close(ends);
    told(vec![Ex::new(1, "GET", "/fast", 200, 2), Ex::new(2, "GET", "/next", 200, 0)])
}

/// Refused before its content: the client goes on with another request (RFC 9110, 10.1.1).
pub fn refused_expectation(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    let (client, server) = (&ends.0, &ends.1);
    pass(
        client,
        server,
        b"PUT /f HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
    );
    pass(server, client, b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n");
    pass(client, server, b"GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    pass(server, client, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    close(ends);
    told(vec![Ex::new(1, "PUT", "/f", 417, 0).incomplete(), Ex::new(2, "GET", "/next", 200, 0)])
}

/// What opens doors is not told.
pub fn secrets(place: &mut Place) -> Vec<Check> {
    let ends = place.pair();
    pass(
        &ends.0,
        &ends.1,
        b"GET /a?token=opensesame&page=2 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer opensesame\r\ncookie: id=opensesame\r\n\r\n",
    );
    pass(
        &ends.1,
        &ends.0,
        b"HTTP/1.1 200 OK\r\nset-cookie: id=opensesame\r\ncontent-length: 0\r\n\r\n",
    );
    close(ends);
    vec![Box::new(|seen| {
        let lives: Vec<_> = seen.ends("client", PORT).chain(seen.ends("server", PORT)).collect();
        let exchanges: Vec<_> = lives.iter().flat_map(|life| seen.of_life(life)).collect();
        let text = format!("{exchanges:?}");
        let page =
            exchanges.iter().all(|e| e.target.as_ref().is_some_and(|t| t.contains("page=2")));
        match (exchanges.len(), page, text.contains("opensesame")) {
            (2, true, false) => Ok(()),
            _ => Err(format!("a secret was told, or not all else: {text}")),
        }
    })]
}
