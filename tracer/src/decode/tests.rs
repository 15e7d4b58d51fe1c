use proptest::prelude::*;
use zerocopy::IntoBytes as _;

use super::*;

const ANCHOR: TimeAnchor = TimeAnchor::new(0, 0);

fn header(kind: Kind, hook: Hook) -> wire::Header {
    wire::Header { at_ns: 5, cookie: 7, socket_lost: 0, kind: kind as u8, hook: hook as u8, cpu: 0 }
}

fn endpoints() -> wire::Endpoints {
    let mut local_addr = [0; 16];
    local_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
    let mut remote_addr = [0; 16];
    remote_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    wire::Endpoints { local_addr, remote_addr, local_port: 80, remote_port: 40_000, netns: 9 }
}

fn payload_head(has_endpoints: u32, captured_bytes: u32) -> wire::Payload {
    wire::Payload {
        header: header(Kind::Payload, Hook::Payload),
        seq: 11,
        packet_bytes: 3,
        offset_bytes: 0,
        captured_bytes,
        family: 2,
        direction: wire::SENT,
        sk_state: if has_endpoints == 1 { 10 } else { 1 },
        has_endpoints,
    }
}

fn decoded_payload(bytes: &[u8]) -> Result<Payload<'_>, DecodeError> {
    match decode(bytes, ANCHOR)?.body {
        Body::Payload(payload) => Ok(payload),
        other => panic!("{other:?}"),
    }
}

#[test]
fn payload_of_a_connections_own_socket_carries_no_tuple() {
    let bytes = [payload_head(0, 3).as_bytes(), b"GET", b"room left over"].concat();
    let payload = decoded_payload(&bytes).unwrap();
    assert_eq!((payload.tuple, payload.by_tuple), (Tuple::UNKNOWN, false));
    assert_eq!((payload.seq, payload.captured), (11, b"GET".as_slice()));
}

#[test]
fn payload_at_a_listener_is_named_by_its_tuple() {
    let bytes = [payload_head(1, 3).as_bytes(), endpoints().as_bytes(), b"GET"].concat();
    let payload = decoded_payload(&bytes).unwrap();
    assert!(payload.by_tuple);
    assert_eq!(payload.tuple, tuple(&endpoints(), 2));
    assert_eq!(payload.tuple.remote.to_string(), "10.0.0.2:40000");
    assert_eq!(payload.captured, b"GET");
}

#[test]
fn payload_that_ends_before_its_parts_do_is_short() {
    for has_endpoints in [0, 1] {
        let head = payload_head(has_endpoints, 3);
        let tail = if has_endpoints == 1 { endpoints().as_bytes().to_vec() } else { Vec::new() };
        let whole = [head.as_bytes(), &tail, b"GET"].concat();
        for cut in size_of::<wire::Header>()..whole.len() {
            let error = decoded_payload(&whole[..cut]).unwrap_err();
            assert!(matches!(error, DecodeError::Short { .. }), "{cut}: {error}");
        }
    }
}

#[test]
fn a_marker_that_stands_for_nothing_is_refused() {
    let bytes = [payload_head(2, 0).as_bytes(), endpoints().as_bytes()].concat();
    let error = decoded_payload(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "has_endpoints is 2, which stands for nothing");
}

fn exec_of(names: &[u8], is_pathless: u16) -> Option<String> {
    let head = wire::Exec {
        header: header(Kind::Exec, Hook::Exec),
        pid: 7,
        names_bytes: names.len() as u16,
        is_pathless,
    };
    let bytes = [head.as_bytes(), names, b"room left over"].concat();
    match decode(&bytes, ANCHOR).unwrap().body {
        Body::Exec(exec) => exec.path(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_names_of_an_exec_are_joined_from_the_root() {
    assert_eq!(exec_of(b"nginx\0sbin\0usr\0", 0).as_deref(), Some("/usr/sbin/nginx"));
    assert_eq!(exec_of(b"init\0", 0).as_deref(), Some("/init"));
    assert_eq!(exec_of(b"b\xff\0", 0).as_deref(), Some("/b\u{fffd}"));
}

#[test]
fn an_exec_whose_names_were_not_read_has_no_path() {
    assert_eq!(exec_of(b"", 0), None);
    assert_eq!(exec_of(b"", 1), None);
}

#[test]
fn a_file_in_no_directory_has_the_kernels_name_for_it() {
    assert_eq!(exec_of(b"memfd:tool\0", 1).as_deref(), Some("/memfd:tool (deleted)"));
    // A part of a tree that was left: not a name from the root.
    assert_eq!(exec_of(b"tool\0bin\0", 1), None);
}

#[test]
fn names_that_end_before_they_should_are_short() {
    let head = wire::Exec {
        header: header(Kind::Exec, Hook::Exec),
        pid: 7,
        names_bytes: 9,
        is_pathless: 0,
    };
    let error = decode(&[head.as_bytes(), b"nginx"].concat(), ANCHOR).unwrap_err();
    assert!(matches!(error, DecodeError::Short { what: "exec", .. }), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_decode_or_say_why_not(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..10) {
        let mut bytes = bytes;
        if let Some(place) = bytes.get_mut(20) {
            *place = kind;
        }
        let _ = decode(&bytes, ANCHOR);
    }
}
