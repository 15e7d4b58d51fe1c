//! Cases with the servers and clients that people use.

use crate::expect::{Check, Ex, alike_at_both_ends, connections};
use crate::place::{PORT, PROXY_PORT, Place};
use crate::servers;

const SMALL: usize = 512;
const BIG: usize = 8 << 20;

fn url(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}{path}")
}

fn get(number: u64, path: &str, bytes: usize) -> Ex {
    Ex::new(number, "GET", path, 200, bytes as u64)
}

/// curl, quiet, its output thrown away.
fn curl(place: &Place, arguments: &[&str]) {
    place.run(place.command("curl").args(["-s", "-o", "/dev/null"]).args(arguments));
}

/// One connection: a file by sendfile, without content, not there, a body up with 100-continue.
pub fn nginx_curl(place: &mut Place) -> Vec<Check> {
    place.file("big", BIG);
    let upload = place.write("upload", &"u".repeat(3 << 20));
    servers::nginx(place);
    let data = format!("@{}", upload.display());
    let (big, empty, none, take) =
        (url(PORT, "/big"), url(PORT, "/empty"), url(PORT, "/none"), url(PORT, "/take"));
    #[rustfmt::skip]
    curl(place, &[
        &big,
        "--next", "-s", "-o", "/dev/null", "-I", &big,
        "--next", "-s", "-o", "/dev/null", "-H", "if-none-match: *", &big,
        "--next", "-s", "-o", "/dev/null", &empty,
        "--next", "-s", "-o", "/dev/null", &none,
        "--next", "-s", "-o", "/dev/null", "-H", "expect: 100-continue", "--data-binary", &data, &take,
    ]);
    // nginx answers the last request before its content is there.
    place.wait_until_closed();
    vec![Box::new(|seen| {
        let told: Vec<Vec<Ex>> = ["client", "server"]
            .iter()
            .map(|endpoint| {
                let lives = seen.ends(endpoint, PORT);
                lives.flat_map(|life| seen.of_life(life)).map(Ex::from).collect()
            })
            .collect();
        // nginx words its own 404 page: its length is not the test's.
        let none = told[0].get(4).and_then(|e| e.response_bytes).unwrap_or(0);
        let expected = vec![
            get(1, "/big", BIG),
            Ex::new(2, "HEAD", "/big", 200, 0),
            Ex::new(3, "GET", "/big", 304, 0),
            Ex::new(4, "GET", "/empty", 204, 0),
            Ex::new(5, "GET", "/none", 404, none),
            Ex::new(6, "POST", "/take", 200, 5).sent(3 << 20),
        ];
        connections(PORT, ("curl", "nginx"), vec![expected])(seen)
    })]
}

pub fn python_curl(place: &mut Place) -> Vec<Check> {
    place.file("small", SMALL);
    place.file("big", BIG);
    servers::python(place);
    curl(place, &[&url(PORT, "/small")]);
    curl(place, &["-0", &url(PORT, "/big")]);
    // It answers in HTTP/1.0 whatever it is asked in.
    vec![connections(
        PORT,
        ("curl", "python3"),
        vec![vec![get(1, "/small", SMALL).http10()], vec![get(1, "/big", BIG).http10()]],
    )]
}

/// haproxy reads and writes the requests itself: an exchange on each side of it.
pub fn haproxy_http(place: &mut Place) -> Vec<Check> {
    in_front_of_nginx(place, "http")
}

/// haproxy moves the bytes by splice and never looks at them.
pub fn haproxy_splice(place: &mut Place) -> Vec<Check> {
    in_front_of_nginx(place, "tcp")
}

fn in_front_of_nginx(place: &mut Place, mode: &str) -> Vec<Check> {
    place.file("small", SMALL);
    place.file("big", BIG);
    servers::nginx(place);
    servers::haproxy(place, mode);
    let (small, big) = (url(PROXY_PORT, "/small"), url(PROXY_PORT, "/big"));
    curl(place, &[&small, "--next", "-s", "-o", "/dev/null", &big]);
    let expected = || vec![vec![get(1, "/small", SMALL), get(2, "/big", BIG)]];
    vec![
        connections(PROXY_PORT, ("curl", "haproxy"), expected()),
        connections(PORT, ("haproxy", "nginx"), expected()),
    ]
}

/// HTTP/1.0, a connection for each request, and at the end a few that ab opens in vain.
pub fn nginx_ab(place: &mut Place) -> Vec<Check> {
    const REQUESTS: usize = 300;
    place.file("small", SMALL);
    servers::nginx(place);
    let requests = REQUESTS.to_string();
    let url = url(PORT, "/small");
    place.run(place.command("ab").args(["-q", "-n", &requests, "-c", "10", &url]));
    let (opened, accepted) = place.opens();
    assert_eq!(opened, accepted, "connections that the kernel counted at each end");
    let in_vain = usize::try_from(opened).expect("a few hundred") - REQUESTS;
    let mut expected = vec![vec![get(1, "/small", SMALL).http10()]; REQUESTS];
    expected.extend(vec![Vec::new(); in_vain]);
    vec![connections(PORT, ("ab", "nginx"), expected)]
}

/// HTTP/1.0 with keep-alive: ten connections, and perhaps one that ab opens in vain.
pub fn nginx_ab_keep_alive(place: &mut Place) -> Vec<Check> {
    place.file("small", SMALL);
    servers::nginx(place);
    place.run(place.command("ab").args([
        "-q",
        "-k",
        "-n",
        "300",
        "-c",
        "10",
        &url(PORT, "/small"),
    ]));
    let (opened, _) = place.opens();
    vec![Box::new(move |seen| match alike_at_both_ends(seen, PORT)? {
        (300, lives) if lives as u64 == opened => Ok(()),
        (exchanges, lives) => {
            Err(format!("{exchanges} exchanges on {lives} connections, {opened} were opened"))
        }
    })]
}

/// wrk stops in the middle: what it counted must be there, and at most one more for each connection.
pub fn nginx_wrk(place: &mut Place) -> Vec<Check> {
    const CONNECTIONS: usize = 8;
    place.file("small", SMALL);
    servers::nginx(place);
    let connections = CONNECTIONS.to_string();
    let said = place.run(place.command("wrk").args([
        "-t",
        "2",
        "-c",
        &connections,
        "-d",
        "1s",
        &url(PORT, "/small"),
    ]));
    let counted: usize = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse().ok())
        .unwrap_or_else(|| panic!("wrk said {said}"));
    let (opened, _) = place.opens();
    vec![Box::new(move |seen| {
        let (exchanges, lives) = alike_at_both_ends(seen, PORT)?;
        let enough = (counted..=counted + CONNECTIONS).contains(&exchanges);
        if enough && lives as u64 == opened {
            return Ok(());
        }
        Err(format!(
            "wrk counted {counted} on {opened} connections, told were {exchanges} on {lives}"
        ))
    })]
}
