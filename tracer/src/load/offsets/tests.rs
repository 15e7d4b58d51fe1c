use std::sync::OnceLock;

use proptest::prelude::*;

use super::btf::Btf;
use super::*;

/// Writes BTF: what a compiler would say of a few structs.
#[derive(Default)]
struct Writer {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const CONST: u32 = 10;
const FUNC_PROTO: u32 = 13;
const DATASEC: u32 = 15;
const ENUM64: u32 = 19;
const KIND_FLAG: u32 = 1 << 31;

impl Writer {
    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|w| self.types.extend(w.to_ne_bytes()));
    }

    fn ty(&mut self, kind: u32, name: &str, vlen: u32, size_or_type: u32, tail: &[u32]) -> u32 {
        let name = self.name(name);
        let kind = (kind & KIND_FLAG) | ((kind & 0x1f) << 24) | vlen;
        self.words(&[name, kind, size_or_type]);
        self.words(tail);
        self.count += 1;
        self.count
    }

    /// A struct or union of (name, type, offset word).
    fn record(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) -> u32 {
        let tail: Vec<u32> =
            members.iter().flat_map(|(n, t, o)| [self.name(n), *t, *o]).collect::<Vec<_>>();
        self.ty(kind, name, members.len() as u32, 64, &tail)
    }

    fn finish(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(0xeb9f_u16.to_ne_bytes());
        out.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for w in [24, 0, types, types, strings] {
            out.extend(w.to_ne_bytes());
        }
        out.extend(&self.types);
        out.extend(&self.strings);
        out
    }
}

fn sample() -> Vec<u8> {
    let mut w = Writer::default();
    let int = w.ty(INT, "int", 0, 4, &[32]);
    let ptr = w.ty(PTR, "", 0, int, &[]);
    w.ty(ARRAY, "", 0, 0, &[int, int, 4]);
    w.ty(FWD, "net", 0, 0, &[]);
    w.ty(FUNC_PROTO, "", 1, int, &[0, int]);
    w.ty(DATASEC, ".data", 1, 8, &[int, 0, 4]);
    let pair = w.record(STRUCT, "", &[("daddr", int, 0), ("rcv_saddr", int, 32)]);
    let union = w.record(UNION, "", &[("addrpair", int, 0), ("", pair, 0)]);
    let common =
        w.record(STRUCT, "sock_common", &[("hash", ptr, 0), ("", union, 64), ("num", int, 128)]);
    let alias = w.ty(TYPEDEF, "common_t", 0, common, &[]);
    let fixed = w.ty(CONST, "", 0, alias, &[]);
    w.record(
        STRUCT | KIND_FLAG,
        "sock",
        &[("__sk_common", fixed, 256), ("protocol", int, (8 << 24) | 512), ("whole", int, 544)],
    );
    // The same name again, with another content: two translation units that differ.
    w.record(STRUCT, "sock", &[("elsewhere", int, 96)]);
    let (a, b) = (w.name("SOCK_DEAD"), w.name("SOCK_DONE"));
    w.ty(ENUM, "sock_flags", 2, 4, &[a, 0, b, 1]);
    let c = w.name("BIG");
    w.ty(ENUM64, "wide", 1, 8, &[c, 7, 0]);
    w.finish()
}

fn offset(of: &str, path: &str) -> Result<u32, String> {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    btf.member_offset_bytes(of, path).map_err(|e| e.to_string())
}

#[test]
fn members_of_anonymous_structs_in_unions_are_found_with_their_whole_offset() {
    assert_eq!(offset("sock_common", "rcv_saddr"), Ok(12));
    assert_eq!(offset("sock_common", "num"), Ok(16));
}

#[test]
fn a_path_goes_through_named_members_behind_typedefs_and_qualifiers() {
    assert_eq!(offset("sock", "__sk_common.rcv_saddr"), Ok(32 + 12));
}

#[test]
fn a_struct_with_bitfields_still_tells_its_whole_members() {
    assert_eq!(offset("sock", "whole"), Ok(68));
}

#[test]
fn a_bitfield_is_refused_by_name() {
    assert_eq!(
        offset("sock", "protocol"),
        Err("`sock.protocol` is a bitfield in this kernel".into())
    );
}

#[test]
fn of_two_definitions_the_one_that_has_the_member_is_taken() {
    assert_eq!(offset("sock", "elsewhere"), Ok(12));
}

#[test]
fn what_a_kernel_lacks_is_named() {
    assert_eq!(offset("sock", "nothing"), Err("this kernel has no `sock.nothing`".into()));
    assert_eq!(offset("inet_sock", "sport"), Err("this kernel has no type `inet_sock`".into()));
    let lack = Offsets::from_btf(&sample()).unwrap().lack(Group::State).unwrap();
    assert!(lack.starts_with("this kernel has no `sock_common.skc_daddr`, "), "{lack}");
}

#[test]
fn enumerators_of_both_widths_are_found() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.enum_value("sock_flags", "SOCK_DONE").unwrap(), 1);
    assert_eq!(btf.enum_value("wide", "BIG").unwrap(), 7);
    assert!(matches!(btf.enum_value("sock_flags", "NO"), Err(OffsetsError::NoMember(_))));
}

#[test]
fn a_struct_nested_in_itself_ends_in_an_error() {
    let mut w = Writer::default();
    let members = [("", 1, 0); 20];
    w.record(STRUCT, "loop", &members);
    let bytes = w.finish();
    let btf = Btf::parse(&bytes).unwrap();
    assert!(matches!(btf.member_offset_bytes("loop", "x"), Err(OffsetsError::Damaged { .. })));
}

#[test]
fn a_typedef_of_itself_ends_in_an_error() {
    let mut w = Writer::default();
    w.ty(TYPEDEF, "t", 0, 1, &[]);
    w.record(STRUCT, "s", &[("", 1, 0)]);
    let bytes = w.finish();
    let btf = Btf::parse(&bytes).unwrap();
    assert!(matches!(btf.member_offset_bytes("s", "x"), Err(OffsetsError::Damaged { .. })));
}

#[test]
fn a_kind_from_the_future_is_told_and_not_guessed_over() {
    let mut w = Writer::default();
    w.ty(31, "future", 0, 0, &[]);
    assert!(matches!(Btf::parse(&w.finish()), Err(OffsetsError::UnknownKind { kind: 31 })));
}

#[test]
fn bytes_that_are_no_btf_are_refused() {
    for bytes in [&b""[..], b"\x7fELF", &[0xeb, 0x9f, 0, 0], &[0; 64]] {
        assert!(matches!(Offsets::from_btf(bytes), Err(OffsetsError::NotBtf { .. })), "{bytes:?}");
    }
}

#[test]
fn every_cut_of_a_blob_is_an_error_and_no_panic() {
    let whole = sample();
    for cut in 0..whole.len() {
        assert!(Btf::parse(&whole[..cut]).is_err(), "cut at {cut}");
    }
}

/// What a kernel has that has all, but `without`.
fn btf_without(without: Option<(&str, &str)>) -> Vec<u8> {
    let mut w = Writer::default();
    let int = w.ty(INT, "int", 0, 4, &[32]);
    let has = |(_, of, path): &&(&str, &str, &str)| Some((*of, *path)) != without;
    let mut paths = std::collections::BTreeMap::<(&str, &str), Vec<&str>>::new();
    for (_, of, path) in MEMBERS.iter().filter(has) {
        let (name, inner) = path.split_once('.').map_or((*path, None), |(o, i)| (o, Some(i)));
        paths.entry((of, name)).or_default().extend(inner);
    }
    let mut members = std::collections::BTreeMap::<&str, Vec<(&str, u32, u32)>>::new();
    for ((of, name), inner) in paths {
        let inner: Vec<_> = (0..).zip(inner).map(|(i, name)| (name, int, i * 32)).collect();
        let ty = if inner.is_empty() { int } else { w.record(STRUCT, "", &inner) };
        let known = members.entry(of).or_default();
        known.push((name, ty, known.len() as u32 * 32));
    }
    members.iter().for_each(|(of, members)| _ = w.record(STRUCT, of, members));
    let mut values = std::collections::BTreeMap::<&str, Vec<u32>>::new();
    for (value, (_, of, name)) in (0..).zip(ENUMERATORS.iter().filter(has)) {
        let name = w.name(name);
        values.entry(*of).or_default().extend([name, value]);
    }
    values.iter().for_each(|(of, tail)| _ = w.ty(ENUM, of, tail.len() as u32 / 2, 4, tail));
    w.finish()
}

#[test]
fn without_a_member_exactly_the_groups_that_need_it_go() {
    assert_eq!(Offsets::from_btf(&btf_without(None)).unwrap().missing, []);
    for (field, of, member) in MEMBERS.iter().chain(ENUMERATORS) {
        let groups = groups_of(field);
        assert!(!groups.is_empty(), "{field}");
        let offsets = Offsets::from_btf(&btf_without(Some((of, member)))).unwrap();
        for other in Group::ALL {
            let lack = offsets.lack(other);
            assert_eq!(lack.is_some(), groups.contains(&other), "{of}.{member}: {lack:?}");
            assert!(lack.is_none_or(|why| why.contains(&format!("`{of}"))), "{of}.{member}");
        }
    }
}

#[test]
fn members_stand_with_the_groups_that_need_them() {
    for (field, groups) in [
        ("sock_common_daddr", &[Group::State][..]),
        ("timer_list_function", &[Group::Timers]),
        ("fdtable_fd", &[Group::Owner]),
        ("tcp_request_sock_snt_isn", &[Group::Timers, Group::Retransmit]),
        ("tcp_skb_cb_seq", &[Group::Retransmit]),
        ("binprm_file", &[Group::Exec]),
    ] {
        assert_eq!(groups_of(field), groups, "{field}");
    }
}

fn kernel_btf() -> Option<&'static [u8]> {
    static BYTES: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| std::fs::read(KERNEL_BTF).ok()).as_deref();
    if bytes.is_none() {
        eprintln!("SKIPPED: {KERNEL_BTF} cannot be read here");
    }
    bytes
}

#[test]
fn the_running_kernel_has_every_member_in_a_believable_place() {
    let Some(bytes) = kernel_btf() else { return };
    let o = Offsets::from_btf(bytes).unwrap();
    assert_eq!(o.missing, []);
    // include/net/sock.h: skc_addrpair is first, skc_portpair after skc_hash, and BPF itself counts on it.
    assert_eq!((o.sock_common_daddr, o.sock_common_rcv_saddr), (0, 4));
    assert_eq!((o.sock_common_dport, o.sock_common_num), (12, 14));
    assert_eq!((o.sock_common_family, o.sock_common_state), (16, 18));
    assert_eq!(o.sock_common_v6_rcv_saddr, o.sock_common_v6_daddr + 16);
    assert!(o.timewait_substate < o.timewait_timer);
    assert_ne!(o.net_ns_inum, 0);
    assert_eq!((o.sock_dead_bit, o.sock_done_bit), (0, 1));
}

#[test]
fn real_btf_cut_anywhere_is_an_error_and_no_panic() {
    let Some(bytes) = kernel_btf() else { return };
    let step = bytes.len() / 97;
    for cut in (0..bytes.len()).step_by(step.max(1)) {
        assert!(Offsets::from_btf(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn overwritten_bytes_never_panic(
        at in any::<prop::sample::Index>(),
        with in proptest::collection::vec(any::<u8>(), 1..8),
    ) {
        let mut bytes = sample();
        let at = at.index(bytes.len());
        for (to, from) in bytes[at..].iter_mut().zip(with) {
            *to = from;
        }
        if let Ok(btf) = Btf::parse(&bytes) {
            let _ = btf.member_offset_bytes("sock", "__sk_common.rcv_saddr");
            let _ = btf.member_offset_bytes("sock_common", "none");
            let _ = btf.enum_value("sock_flags", "SOCK_DONE");
        }
    }
}
