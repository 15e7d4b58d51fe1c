//! Ring bytes to [`Event`]s: bounds and values checked, nothing trusted, no unsafe code.

use std::num::NonZeroU32;

use thiserror::Error;
use tracer_common as wire;
use wire::{Hook, Kind, TimerOf, TimerOp, state_flags};
use zerocopy::FromBytes;

use crate::event::{
    Body, Counters, Event, Exec, Fork, Interface, Isns, Owner, Payload, Reset, Segment, State,
    Task, Timer, Tuple, address,
};
use crate::record::SocketAddress;
use crate::tcp::{Direction, TcpState, flags};
use crate::time::TimeAnchor;

/// Why bytes are no event. Each is counted by the caller: it means that the two halves of tracer disagree.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the kind needs.
    #[error("{what} needs {needed_bytes} bytes, the ring gave {found_bytes}")]
    Short {
        /// The struct.
        what: &'static str,
        /// Its size.
        needed_bytes: usize,
        /// What was there.
        found_bytes: usize,
    },
    /// A number that stands for nothing.
    #[error("{field} is {value}, which stands for nothing")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
}

/// The event in `bytes`, its time set by `anchor`.
///
/// # Errors
/// When the bytes are too few, or a number in them stands for nothing.
pub fn decode(bytes: &[u8], anchor: TimeAnchor) -> Result<Event<'_>, DecodeError> {
    let header: wire::Header = prefix("header", bytes)?;
    Ok(Event {
        at: anchor.at(header.at_ns),
        cookie: (header.cookie != 0).then_some(header.cookie),
        socket_lost: header.socket_lost,
        hook: hook(header.hook)?,
        body: body(kind(header.kind)?, bytes)?,
    })
}

/// When the event in `bytes` happened (CLOCK_MONOTONIC, ns); `None` where they are too few for a header.
#[must_use]
pub fn peek_at_ns(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.first_chunk::<8>()?))
}

fn prefix<T: FromBytes>(what: &'static str, bytes: &[u8]) -> Result<T, DecodeError> {
    T::read_from_prefix(bytes).map(|(value, _)| value).map_err(|_short| DecodeError::Short {
        what,
        needed_bytes: size_of::<T>(),
        found_bytes: bytes.len(),
    })
}

fn unknown(field: &'static str, value: impl Into<u64>) -> DecodeError {
    DecodeError::Unknown { field, value: value.into() }
}

fn hook(number: u8) -> Result<Hook, DecodeError> {
    Hook::ALL.get(usize::from(number)).copied().ok_or_else(|| unknown("hook", number))
}

fn kind(number: u8) -> Result<Kind, DecodeError> {
    Ok(match number {
        1 => Kind::State,
        2 => Kind::Timer,
        3 => Kind::Segment,
        4 => Kind::Payload,
        5 => Kind::Owner,
        6 => Kind::Reset,
        7 => Kind::Exec,
        8 => Kind::Fork,
        other => return Err(unknown("kind", other)),
    })
}

fn body(kind: Kind, bytes: &[u8]) -> Result<Body<'_>, DecodeError> {
    Ok(match kind {
        Kind::State => Body::State(state(&prefix("state", bytes)?)?),
        Kind::Timer => Body::Timer(timer(&prefix("timer", bytes)?)?),
        Kind::Segment => Body::Segment(segment(&prefix("segment", bytes)?)?),
        Kind::Payload => Body::Payload(payload(bytes)?),
        Kind::Owner => Body::Owner(owner(&prefix("owner", bytes)?)),
        Kind::Reset => Body::Reset(reset(&prefix("reset", bytes)?)?),
        Kind::Exec => Body::Exec(exec(bytes)?),
        Kind::Fork => Body::Fork(fork(&prefix("fork", bytes)?)),
    })
}

/// A state's number as the kernel counts them; one that is too large for that stands for nothing, as 255 does.
fn narrow(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn tcp_state(field: &'static str, number: u8) -> Result<TcpState, DecodeError> {
    TcpState::from_kernel(number).ok_or_else(|| unknown(field, number))
}

fn direction(number: u8) -> Result<Direction, DecodeError> {
    match number {
        wire::SENT => Ok(Direction::Sent),
        wire::RECEIVED => Ok(Direction::Received),
        other => Err(unknown("direction", other)),
    }
}

/// The tuple without the interface, which packets do not carry.
fn tuple(endpoints: &wire::Endpoints, family: u16) -> Tuple {
    Tuple {
        netns: endpoints.netns,
        interface: Interface::UNKNOWN,
        local: SocketAddress {
            ip: address(endpoints.local_addr, family),
            port: endpoints.local_port,
        },
        remote: SocketAddress {
            ip: address(endpoints.remote_addr, family),
            port: endpoints.remote_port,
        },
    }
}

fn task(task: &wire::Task) -> Task {
    Task { pid: task.pid, tid: task.tid, cgroup_id: task.cgroup_id, comm: task.comm }
}

fn socket_tuple(endpoints: &wire::Endpoints, family: u16, interface: u32) -> Tuple {
    Tuple { interface: Interface::with_index(interface), ..tuple(endpoints, family) }
}

fn state(event: &wire::State) -> Result<State, DecodeError> {
    let has = |flag| event.flags & flag != 0;
    let isns = Isns { sent: event.isn_sent, received: event.isn_received };
    Ok(State {
        tuple: socket_tuple(&event.endpoints, event.family, event.interface),
        skaddr: event.skaddr,
        from: tcp_state("old_state", event.old_state)?,
        to: tcp_state("new_state", event.new_state)?,
        task: task(&event.task),
        errno: event.sk_err,
        fin_received: has(state_flags::FIN_RECEIVED),
        orphan: has(state_flags::ORPHAN),
        unwatched: has(state_flags::UNWATCHED),
        repair: has(state_flags::REPAIR),
        in_sockmap: has(state_flags::IN_SOCKMAP),
        isns: has(state_flags::HAS_ISNS).then_some(isns),
        counters: counters(event),
    })
}

fn counters(event: &wire::State) -> Counters {
    let fin_received = event.flags & state_flags::FIN_RECEIVED != 0;
    Counters {
        // bytes_sent counts repeats, and each repeat is in bytes_retrans.
        bytes_sent: event.bytes_sent.saturating_sub(event.bytes_retrans),
        // tcp_rcv_nxt_update() counts the FIN's sequence number as a byte.
        bytes_received: event.bytes_received.saturating_sub(u64::from(fin_received)),
        segments_retransmitted: event.total_retrans,
        srtt_us: NonZeroU32::new(event.srtt_us_8 >> 3),
    }
}

fn timer(event: &wire::Timer) -> Result<Timer, DecodeError> {
    let op = match event.op {
        1 => TimerOp::Start,
        2 => TimerOp::Cancel,
        3 => TimerOp::Expire,
        other => return Err(unknown("timer op", other)),
    };
    let (of, state) = match event.of {
        1 => (TimerOf::TimeWait, tcp_state("tw_substate", event.substate)?),
        2 => (TimerOf::Request, TcpState::SynRecv),
        other => return Err(unknown("timer of", other)),
    };
    let tuple = socket_tuple(&event.endpoints, event.family.into(), event.interface);
    let isns = Isns { sent: event.isn_sent, received: event.isn_received };
    let isns = (of == TimerOf::Request && op == TimerOp::Start).then_some(isns);
    Ok(Timer { tuple, skaddr: event.skaddr, op, of, state, isns })
}

/// Numbers of states whose socket is not the connection's own: listeners, and the kernel's closed control sockets.
fn is_by_tuple(sk_state: u8) -> bool {
    matches!(TcpState::from_kernel(sk_state), None | Some(TcpState::Listen | TcpState::Close))
}

fn segment(event: &wire::Segment) -> Result<Segment, DecodeError> {
    Ok(Segment {
        tuple: tuple(&event.endpoints, event.family),
        direction: direction(event.direction)?,
        flags: event.flags,
        seq: event.seq,
        ack: (event.flags & flags::ACK != 0 && event.retransmit == 0).then_some(event.ack),
        payload_bytes: event.payload_bytes,
        retransmit: event.retransmit != 0,
        by_tuple: is_by_tuple(narrow(event.sk_state)),
    })
}

fn payload(bytes: &[u8]) -> Result<Payload<'_>, DecodeError> {
    let event: wire::Payload = prefix("payload", bytes)?;
    let mut head_bytes = size_of::<wire::Payload>();
    let tuple = match event.has_endpoints {
        0 => Tuple::UNKNOWN,
        1 => {
            let endpoints = prefix("endpoints", bytes.get(head_bytes..).unwrap_or_default())?;
            head_bytes += size_of::<wire::Endpoints>();
            tuple(&endpoints, event.family)
        }
        other => return Err(unknown("has_endpoints", other)),
    };
    let end = head_bytes.saturating_add(event.captured_bytes as usize);
    let captured = bytes.get(head_bytes..end).ok_or(DecodeError::Short {
        what: "payload",
        needed_bytes: end,
        found_bytes: bytes.len(),
    })?;
    Ok(Payload {
        tuple,
        direction: direction(event.direction)?,
        seq: event.seq,
        packet_bytes: event.packet_bytes,
        offset_bytes: event.offset_bytes,
        captured,
        by_tuple: is_by_tuple(event.sk_state),
    })
}

fn owner(event: &wire::Owner) -> Owner {
    // The family is not told: IPv4 addresses leave the last twelve bytes zero.
    let ends = [&event.endpoints.local_addr, &event.endpoints.remote_addr];
    let is_v6 = ends.iter().any(|address| address[4..].iter().any(|&b| b != 0));
    let family = if is_v6 { 10 } else { 2 };
    Owner {
        tuple: tuple(&event.endpoints, family),
        task: task(&event.task),
        in_sockmap: event.in_sockmap != 0,
    }
}

fn reset(event: &wire::Reset) -> Result<Reset, DecodeError> {
    Ok(Reset {
        tuple: tuple(&event.endpoints, event.family),
        direction: direction(event.direction)?,
    })
}

fn fork(event: &wire::Fork) -> Fork {
    Fork { pid: event.pid, parent_pid: event.parent_pid }
}

fn exec(bytes: &[u8]) -> Result<Exec<'_>, DecodeError> {
    let event: wire::Exec = prefix("exec", bytes)?;
    let start = size_of::<wire::Exec>();
    let end = start + usize::from(event.names_bytes);
    let names = bytes.get(start..end).ok_or(DecodeError::Short {
        what: "exec",
        needed_bytes: end,
        found_bytes: bytes.len(),
    })?;
    Ok(Exec { pid: event.pid, names, is_pathless: event.is_pathless != 0 })
}

#[cfg(test)]
mod tests;
