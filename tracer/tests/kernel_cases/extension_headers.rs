//! Headers between IP and TCP: a connection with them is recorded like one without.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use crate::SELF;
use crate::support::STEP;
use crate::support::expect::{Check, Ex, connections};
use crate::support::netns;
use crate::support::place::{PORT, Place};
use crate::support::table::Case;
use crate::talk::{Talk, at_both_ends, get, ok, small};

pub const CASES: &[Case] = &[
    Case::scripted("ipv4_options_change_nothing", ipv4_options),
    Case::scripted("ipv6_destination_options_change_nothing", destination_options),
    Case::scripted("ipv6_hop_by_hop_options_change_nothing", hop_by_hop_options),
    Case::scripted("ipv6_extension_headers_of_every_kind_together_change_nothing", all_headers),
    Case::scripted("a_long_ipv6_extension_header_changes_nothing", long_header),
    Case::scripted("options_of_one_end_alone_change_nothing", one_end),
    Case::scripted("ipv6_jumbo_packets_change_nothing", jumbo),
];

/// A socket option that puts a header or options into each packet.
type Extension = (libc::c_int, libc::c_int, Vec<u8>);

/// IPV6_HOPOPTS and IPV6_DSTOPTS take whole headers; the kernel fills in the next header (RFC 3542
/// section 7).
fn ipv6_options(option: libc::c_int, units: u8) -> Extension {
    // One option over all the room: an experiment's, which who does not know it skips (RFC 4727
    // section 3.6).
    const EXPERIMENT: u8 = 0x1e;
    let mut header = vec![0; 8 * (usize::from(units) + 1)];
    header[1] = units;
    header[2] = EXPERIMENT;
    header[3] = u8::try_from(header.len() - 4).expect("a short header");
    (libc::IPPROTO_IPV6, option, header)
}

fn connect(place: &Place, at: SocketAddr, client: &[Extension], server: &[Extension]) -> Talk {
    place.run_inside(|| {
        let socket = || {
            let socket =
                Socket::new(Domain::for_address(at), Type::STREAM, None).expect("a socket");
            socket.set_read_timeout(Some(STEP)).expect("set a time limit");
            socket
        };
        let listener = socket();
        listener.set_reuse_address(true).expect("set an option");
        listener.bind(&at.into()).expect("bind");
        listener.listen(1).expect("listen");
        let from = socket();
        client.iter().for_each(|extension| set(&from, extension));
        from.connect_timeout(&at.into(), STEP).expect("connect");
        let (to, _) = listener.accept().expect("accept");
        to.set_read_timeout(Some(STEP)).expect("set a time limit");
        server.iter().for_each(|extension| set(&to, extension));
        let (from, to) = (TcpStream::from(from), TcpStream::from(to));
        for end in [&from, &to] {
            end.set_nodelay(true).expect("set an option");
        }
        Talk::over((from, to))
    })
}

fn set(socket: &Socket, (level, option, value): &Extension) {
    // SAFETY: the value lives through the call, and its length is given.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            *level,
            *option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "option {option}: {}", std::io::Error::last_os_error());
}

fn ipv4() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

fn ipv6() -> SocketAddr {
    (Ipv6Addr::LOCALHOST, PORT).into()
}

/// Two small exchanges, one with much content each way, and what must be known of their connection.
fn play(talk: Talk) -> Vec<Check> {
    const BYTES: usize = 100_000;
    talk.small("/1");
    talk.small("/2");
    let head = format!("PUT /3 HTTP/1.1\r\nhost: a.test\r\ncontent-length: {BYTES}\r\n\r\n");
    let request = [head.as_bytes(), &[7; BYTES]].concat();
    let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{BYTES:x}\r\n");
    let response = [head.as_bytes(), &[7; BYTES], b"\r\n0\r\n\r\n"].concat();
    talk.ask_in_pieces(request.chunks(20_000));
    talk.answer_in_pieces(response.chunks(30_000));
    talk.close();
    let put = Ex::new(3, "PUT", "/3", 200, BYTES as u64).sent(BYTES as u64);
    let exchanges =
        connections(PORT, (SELF, SELF), vec![vec![small(1, "/1"), small(2, "/2"), put]]);
    let requests = get("/1").len() * 2 + request.len();
    let responses = ok("ok").len() * 2 + response.len();
    let life = at_both_ends(move |life, _| {
        let is_client = life.endpoint.as_deref() == Some("client");
        let (sent, received) =
            if is_client { (requests, responses) } else { (responses, requests) };
        let bytes = (life.bytes_sent, life.bytes_received);
        if bytes != (Some(sent as u64), Some(received as u64)) {
            return Err(format!("{bytes:?} bytes, not {sent} and {received}"));
        }
        // Known only from the segments of the handshake.
        match life.opened_at {
            Some(_) if life.outcome.as_deref() == Some("graceful") => Ok(()),
            _ => Err(format!("opened {:?}, ended {:?}", life.opened_at, life.outcome)),
        }
    });
    vec![exchanges, life, segments()]
}

/// Both ends have seen SYN, SYN+ACK and the FIN of each.
fn segments() -> Check {
    Box::new(|seen| {
        for life in seen.ends("client", PORT).chain(seen.ends("server", PORT)) {
            let flags: Vec<&str> = seen.segments_of(life).map(|s| s.flags.as_str()).collect();
            let count = |letter| flags.iter().filter(|flags| flags.contains(letter)).count();
            if count('S') != 2 || count('F') != 2 {
                return Err(format!("{}: segments {flags:?}", life.id));
            }
        }
        Ok(())
    })
}

fn ipv4_options(place: &mut Place) -> Vec<Check> {
    // No-operation options, as many as there is room for (RFC 791 section 3.1).
    let options = [(libc::IPPROTO_IP, libc::IP_OPTIONS, vec![1; 40])];
    play(connect(place, ipv4(), &options, &options))
}

fn destination_options(place: &mut Place) -> Vec<Check> {
    let options = [ipv6_options(libc::IPV6_DSTOPTS, 0)];
    play(connect(place, ipv6(), &options, &options))
}

fn hop_by_hop_options(place: &mut Place) -> Vec<Check> {
    let options = [ipv6_options(libc::IPV6_HOPOPTS, 0)];
    play(connect(place, ipv6(), &options, &options))
}

fn all_headers(place: &mut Place) -> Vec<Check> {
    let headers = [ipv6_options(libc::IPV6_HOPOPTS, 1), ipv6_options(libc::IPV6_DSTOPTS, 2)];
    play(connect(place, ipv6(), &headers, &headers))
}

/// 248 bytes.
fn long_header(place: &mut Place) -> Vec<Check> {
    let header = [ipv6_options(libc::IPV6_DSTOPTS, 30)];
    play(connect(place, ipv6(), &header, &header))
}

fn one_end(place: &mut Place) -> Vec<Check> {
    let header = [ipv6_options(libc::IPV6_HOPOPTS, 3)];
    play(connect(place, ipv6(), &[], &header))
}

/// Packets of more than 64 KiB, whose length is in a hop-by-hop option (RFC 2675); the kernel makes
/// them where the device says that it takes them.
fn jumbo(place: &mut Place) -> Vec<Check> {
    const BYTES: usize = 4_000_000;
    place.run_inside(|| netns::set_max_packet_bytes("lo", 400_000)).expect("allow large packets");
    let talk = connect(place, ipv6(), &[], &[]);
    let content = vec![7; BYTES];
    for path in ["/1", "/2"] {
        talk.ask(get(path));
        talk.answer(format!("HTTP/1.1 200 OK\r\ncontent-length: {BYTES}\r\n\r\n"));
        talk.answer_in_pieces([&content[..]].into_iter());
    }
    talk.small("/3");
    talk.close();
    let large = |number, path| Ex::new(number, "GET", path, 200, BYTES as u64);
    let exchanges = vec![large(1, "/1"), large(2, "/2"), small(3, "/3")];
    vec![connections(PORT, (SELF, SELF), vec![exchanges]), segments()]
}
