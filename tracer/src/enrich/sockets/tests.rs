use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::enrich::netns::own_inode;
use crate::enrich::netns::testing::{can_make_namespaces, in_new_namespace};

struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn connect(listen_on: &str) -> Pair {
        let listener = TcpListener::bind(listen_on).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        Pair { client, server }
    }
}

fn here() -> Vec<SocketSnapshot> {
    let netns = own_inode().unwrap();
    let snapshot = SocketDumper::default().dump_states(&[netns], StateMask::CONNECTIONS);
    assert!(snapshot.failures.is_empty(), "{:?}", snapshot.failures);
    snapshot.sockets
}

fn with_ports(sockets: &[SocketSnapshot], local: u16, remote: u16) -> Option<SocketSnapshot> {
    sockets.iter().find(|s| (s.local.port, s.remote.port) == (local, remote)).cloned()
}

fn end_of(stream: &TcpStream) -> Option<SocketSnapshot> {
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    with_ports(&here(), local.port(), remote.port())
}

/// Looks again until the socket is as wanted: the kernel's answers take a moment, loopback's ACKs 40 ms.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not seen within 10 s: {what}");
        std::thread::yield_now();
    }
}

fn exchange(pair: &mut Pair, sent: usize, received: usize) {
    pair.client.write_all(&vec![b'q'; sent]).unwrap();
    pair.server.read_exact(&mut vec![0; sent]).unwrap();
    pair.server.write_all(&vec![b'a'; received]).unwrap();
    pair.client.read_exact(&mut vec![0; received]).unwrap();
}

#[test]
fn both_ends_of_an_established_connection_are_told_with_their_payload() {
    let mut pair = Pair::connect("127.0.0.1:0");
    exchange(&mut pair, 1000, 30);
    let client = end_of(&pair.client).unwrap();
    assert_eq!(client.state, TcpState::Established);
    assert_eq!(client.kind, SocketKind::Full);
    assert_eq!(client.family, Family::Ipv4);
    assert_eq!(client.local.ip, IpAddr::V4(Ipv4Addr::LOCALHOST));
    assert_eq!((client.bytes_sent, client.bytes_received), (Some(1000), Some(30)));
    assert_eq!(client.segments_retransmitted, Some(0));
    assert!(client.srtt_us.is_some());
    assert_eq!(client.netns, own_inode().unwrap());
    let server = end_of(&pair.server).unwrap();
    assert_eq!((server.bytes_sent, server.bytes_received), (Some(30), Some(1000)));
    assert!(client.cookie != 0 && client.cookie != server.cookie);
}

#[test]
fn the_cookie_and_inode_are_those_that_the_socket_itself_tells() {
    let pair = Pair::connect("127.0.0.1:0");
    let told = end_of(&pair.client).unwrap();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", pair.client.as_raw_fd())).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("socket:[{}]", told.inode.unwrap()));
    assert_eq!(rustix::net::sockopt::socket_cookie(&pair.client).unwrap(), told.cookie);
}

#[test]
fn a_received_fin_is_not_counted_as_payload() {
    let mut pair = Pair::connect("127.0.0.1:0");
    exchange(&mut pair, 10, 20);
    pair.client.shutdown(Shutdown::Write).unwrap();
    let server =
        wait_for("CLOSE_WAIT", || end_of(&pair.server).filter(|s| s.state == TcpState::CloseWait));
    assert_eq!((server.bytes_sent, server.bytes_received), (Some(20), Some(10)));
    let client =
        wait_for("FIN_WAIT2", || end_of(&pair.client).filter(|s| s.state == TcpState::FinWait2));
    assert_eq!((client.bytes_sent, client.bytes_received), (Some(10), Some(20)));
    assert_eq!(client.kind, SocketKind::Full, "still held by its process");
}

#[test]
fn time_wait_is_told_with_its_remaining_time_and_its_cookie() {
    let Pair { client, server } = Pair::connect("127.0.0.1:0");
    let (local, remote) = (client.local_addr().unwrap().port(), client.peer_addr().unwrap().port());
    let cookie = end_of(&client).unwrap().cookie;
    client.shutdown(Shutdown::Both).unwrap();
    drop(server);
    drop(client);
    let told = wait_for("TIME_WAIT", || {
        with_ports(&here(), local, remote).filter(|s| s.state == TcpState::TimeWait)
    });
    assert_eq!(told.kind, SocketKind::TimeWait);
    assert_eq!((told.cookie, told.inode, told.uid), (cookie, None, None));
    assert_eq!((told.bytes_sent, told.bytes_received, told.srtt_us), (None, None, None));
    let left_ms = told.timer_expires_ms.unwrap();
    assert!((50_000..=62_500).contains(&left_ms), "{left_ms}");
}

#[test]
fn an_orphans_fin_wait2_is_told_by_its_substate_and_leaves_it_with_the_peers_fin() {
    let Pair { client, server } = Pair::connect("127.0.0.1:0");
    let (local, remote) = (client.local_addr().unwrap().port(), client.peer_addr().unwrap().port());
    let netns = own_inode().unwrap();
    let mut dumper = SocketDumper::default();
    let mut in_fin_wait2 = || {
        let states = StateMask::of(&[TcpState::FinWait2]);
        with_ports(&dumper.dump_states(&[netns], states).sockets, local, remote)
    };
    drop(client);
    let orphan = wait_for("a timewait socket in FIN_WAIT2", || {
        in_fin_wait2().filter(|s| s.kind == SocketKind::TimeWait)
    });
    assert_eq!((orphan.state, orphan.inode), (TcpState::FinWait2, None));
    drop(server);
    wait_for("the end of FIN_WAIT2", || in_fin_wait2().is_none().then_some(()));
    assert_eq!(with_ports(&here(), local, remote).unwrap().state, TcpState::TimeWait);
}

#[test]
fn a_listener_is_left_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(with_ports(&here(), listener.local_addr().unwrap().port(), 0), None);
}

#[test]
fn ipv6_addresses_are_told_and_mapped_ones_folded() {
    let v6 = Pair::connect("[::1]:0");
    let told = end_of(&v6.client).unwrap();
    assert_eq!((told.family, told.local.ip), (Family::Ipv6, IpAddr::V6(Ipv6Addr::LOCALHOST)));

    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (server, _) = listener.accept().unwrap();
    let told = end_of(&server).unwrap();
    assert_eq!((told.family, told.local.ip), (Family::Ipv4, IpAddr::V4(Ipv4Addr::LOCALHOST)));
}

#[test]
fn a_connection_nobody_has_accepted_has_no_inode() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let child = client.local_addr().unwrap().port();
    let told = wait_for("the child", || {
        with_ports(&here(), port, child).filter(|s| s.kind == SocketKind::Full)
    });
    assert_eq!((told.state, told.inode), (TcpState::Established, None));
}

/// With TCP_DEFER_ACCEPT a connection stays a request socket until its first data come.
fn defer_accept(listener: &TcpListener) {
    use nix::libc;
    let seconds: libc::c_int = 5;
    // SAFETY: the descriptor is open for the listener's life, and the option's value is a c_int that
    // outlives the call, with its size.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
fn a_half_open_connection_is_a_request_socket_in_syn_recv_whose_child_inherits_the_cookie() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    defer_accept(&listener);
    let port = listener.local_addr().unwrap().port();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let client_port = client.local_addr().unwrap().port();
    let request = wait_for("a request socket", || with_ports(&here(), port, client_port));
    assert_eq!((request.kind, request.state), (SocketKind::Request, TcpState::SynRecv));
    assert_eq!((request.inode, request.uid, request.bytes_received), (None, None, None));
    assert_eq!(request.segments_retransmitted, Some(0));
    client.write_all(b"now").unwrap();
    let (_server, _) = listener.accept().unwrap();
    let child = with_ports(&here(), port, client_port).unwrap();
    assert_eq!((child.kind, child.cookie), (SocketKind::Full, request.cookie));
    assert_eq!(child.bytes_received, Some(3));
}

#[test]
fn sockets_of_every_namespace_are_told_with_their_namespace() {
    if !can_make_namespaces() {
        return;
    }
    let outside = Pair::connect("127.0.0.1:0");
    let outside_netns = own_inode().unwrap();
    in_new_namespace(|| {
        let inside = Pair::connect("127.0.0.1:0");
        let inside_netns = own_inode().unwrap();
        let all = SocketDumper::default().dump_all();
        let gone_or_ours = |f: &Failure| f.netns != inside_netns && f.netns != outside_netns;
        assert!(all.failures.iter().all(gone_or_ours), "{:?}", all.failures);
        for (pair, netns) in [(&inside, inside_netns), (&outside, outside_netns)] {
            let of_namespace: Vec<_> =
                all.sockets.iter().filter(|s| s.netns == netns).cloned().collect();
            let local = pair.client.local_addr().unwrap().port();
            let remote = pair.server.local_addr().unwrap().port();
            assert!(with_ports(&of_namespace, local, remote).is_some());
        }
    });
}

#[test]
fn another_namespace_is_looked_into_by_its_number_and_one_that_has_ended_is_empty() {
    if !can_make_namespaces() {
        return;
    }
    let mut dumper = SocketDumper::default();
    let (to_test, inode) = std::sync::mpsc::channel();
    let (done, wait_done) = std::sync::mpsc::channel::<()>();
    let netns = std::thread::scope(|scope| {
        scope.spawn(move || {
            in_new_namespace(move || {
                let _pair = Pair::connect("127.0.0.1:0");
                to_test.send(own_inode().unwrap()).unwrap();
                let _ = wait_done.recv();
            });
        });
        let netns = inode.recv().unwrap();
        let seen = dumper.dump_states(&[netns], StateMask::of(&[TcpState::Established]));
        drop(done);
        assert!(seen.failures.is_empty(), "{:?}", seen.failures);
        assert_eq!(seen.sockets.len(), 2);
        netns
    });
    let after = dumper.dump_states(&[netns], StateMask::CONNECTIONS);
    assert!(after.sockets.is_empty() && after.failures.is_empty(), "{:?}", after.failures);
}

/// An `inet_diag_msg` with its attributes, as the kernel writes it.
fn answer(family: u8, state: u8, timer: u8, info: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = vec![family, state, timer, 2];
    bytes.extend([0x1f, 0x90, 0xa0, 0x0a]);
    bytes.extend([10, 0, 0, 1].into_iter().chain([0; 12]));
    bytes.extend([10, 0, 0, 2].into_iter().chain([0; 12]));
    for word in [0_u32, 7, 1, 59_000, 0, 0, 1000, 4242] {
        bytes.extend(word.to_ne_bytes());
    }
    if let Some(info) = info {
        bytes.extend((info.len() as u16 + 4).to_ne_bytes());
        bytes.extend(2_u16.to_ne_bytes());
        bytes.extend(info);
    }
    bytes
}

#[test]
fn a_message_is_read_field_by_field() {
    let told = message::parse(9, &answer(AF_INET, 1, 2, Some(&[1; 232]))).unwrap();
    assert_eq!((told.cookie, told.netns), (1 << 32 | 7, 9));
    assert_eq!(
        (told.local.to_string(), told.remote.to_string()),
        ("10.0.0.1:8080".into(), "10.0.0.2:40970".into())
    );
    assert_eq!(
        (told.inode, told.uid, told.timer_expires_ms),
        (Some(4242), Some(1000), Some(59_000))
    );
}

#[test]
fn an_older_kernels_shorter_tcp_info_leaves_what_it_lacks_unknown() {
    let told = message::parse(0, &answer(AF_INET, 1, 0, Some(&[1; 104]))).unwrap();
    assert_eq!((told.bytes_sent, told.bytes_received), (None, None));
    assert_eq!(told.segments_retransmitted, Some(0x0101_0101));
    assert_eq!(told.timer_expires_ms, None);
}

#[test]
fn a_state_or_family_from_the_future_is_no_socket() {
    assert_eq!(message::parse(0, &answer(AF_INET, 40, 0, None)), None);
    assert_eq!(message::parse(0, &answer(99, 1, 0, None)), None);
}

fn netlink(message_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 16).to_ne_bytes().to_vec();
    bytes.extend(message_type.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(payload);
    bytes
}

#[test]
fn an_error_from_the_kernel_is_told_with_its_reason() {
    let ports = PortSet::all();
    let mut collector = Collector::of(&ports);
    let refused = netlink(NLMSG_ERROR, &(-13_i32).to_ne_bytes());
    let error = collector.take(0, &refused).unwrap_err();
    assert!(error.to_string().contains("Permission denied"), "{error}");
    assert!(matches!(collector.take(0, &netlink(NLMSG_DONE, &[])), Err(DumpError::Netlink(_))));
    assert!(matches!(collector.take(0, &[1, 2, 3]), Err(DumpError::Malformed(_))));
}

#[test]
fn a_socket_that_comes_twice_is_told_once_as_it_was_last() {
    let ports = PortSet::all();
    let mut collector = Collector::of(&ports);
    let mut bytes = netlink(SOCK_DIAG_BY_FAMILY, &answer(AF_INET, 5, 0, Some(&[5; 232])));
    bytes.extend(netlink(SOCK_DIAG_BY_FAMILY, &answer(AF_INET, 6, 3, None)));
    bytes.extend(netlink(SOCK_DIAG_BY_FAMILY, b"short"));
    assert!(collector.take(0, &bytes).unwrap().is_continue());
    assert_eq!(collector.snapshot.sockets.len(), 1);
    assert_eq!(collector.snapshot.sockets[0].state, TcpState::TimeWait);
    assert_eq!(collector.snapshot.left_out, 1);
    assert!(collector.take(0, &netlink(NLMSG_DONE, &[0; 4])).unwrap().is_break());
}

/// One that connects again while its life before is in TIME_WAIT: both have its cookie.
#[test]
fn two_lives_of_one_socket_are_both_told() {
    let ports = PortSet::all();
    let mut collector = Collector::of(&ports);
    let mut again = answer(AF_INET, 1, 0, Some(&[1; 232]));
    again[5] ^= 1; // idiag_sport
    let mut bytes = netlink(SOCK_DIAG_BY_FAMILY, &answer(AF_INET, 6, 3, None));
    bytes.extend(netlink(SOCK_DIAG_BY_FAMILY, &again));
    assert!(collector.take(0, &bytes).unwrap().is_continue());
    let states: Vec<_> = collector.snapshot.sockets.iter().map(|s| s.state).collect();
    assert_eq!(states, [TcpState::TimeWait, TcpState::Established]);
}

#[test]
fn of_a_socket_whose_ports_are_not_asked_for_nothing_is_told() {
    let bytes = netlink(SOCK_DIAG_BY_FAMILY, &answer(AF_INET, 5, 0, Some(&[5; 232])));
    let all = PortSet::all();
    let mut collector = Collector::of(&all);
    assert!(collector.take(0, &bytes).unwrap().is_continue());
    let SocketSnapshot { local, remote, .. } = collector.snapshot.sockets[0];
    for (ports, told) in [(local.port, 1), (remote.port, 1), (local.port ^ 1, 0)] {
        let ports = PortSet::of(ports..=ports);
        let mut collector = Collector::of(&ports);
        assert!(collector.take(0, &bytes).unwrap().is_continue());
        assert_eq!((collector.snapshot.sockets.len(), collector.snapshot.left_out), (told, 0));
    }
}

proptest! {
    #[test]
    fn no_bytes_from_the_kernel_panic(
        cut in 0_usize..400,
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = netlink(SOCK_DIAG_BY_FAMILY, &answer(AF_INET6, 1, 1, Some(&[3; 232])));
        for (at, value) in noise {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut);
        let _ = Collector::of(&PortSet::all()).take(0, &bytes);
        let _ = message::parse(0, bytes.get(16..).unwrap_or_default());
    }
}
