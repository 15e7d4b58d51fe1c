//! Slices of a packet's payload as events.

use aya_ebpf::{helpers::generated::bpf_skb_load_bytes, programs::SkBuffContext};
use tracer_common::{
    Hook, Kind, Payload,
    framing::{WINDOW_SLACK_BYTES, hide},
};

use crate::{
    emit::{self, Origin},
    maps::SocketMemory,
    probes::packet::{self, Ends, Packet, PacketSocket},
};

/// A packet and its socket, of which slices are emitted.
pub struct Slice<'a> {
    ctx: &'a SkBuffContext,
    packet: &'a Packet,
    sk: PacketSocket,
    sk_state: u8,
    origin: Origin,
}

/// A payload event with room for `N` bytes, a power of two. `E` is `Endpoints` where they are told, else `()`.
#[repr(C)]
struct Room<E, const N: usize> {
    event: Payload,
    endpoints: E,
    bytes: [u8; N],
    slack: [u8; WINDOW_SLACK_BYTES],
}

impl<'a> Slice<'a> {
    #[inline(always)]
    pub fn new(
        ctx: &'a SkBuffContext,
        packet: &'a Packet,
        sk: PacketSocket,
        memory: *mut SocketMemory,
    ) -> Self {
        let origin = Origin {
            hook: Hook::Payload,
            kind: Kind::Payload,
            cookie: packet::cookie_of(ctx),
            memory,
        };
        Slice { ctx, packet, sk, sk_state: sk.state(), origin }
    }

    /// Emits the packet's first bytes, up to 1 KiB; none where only that it was seen is to be known.
    #[inline(always)]
    pub fn emit_first(&self, wanted: u32) {
        if wanted == 0 {
            self.emit_seen();
        } else if wanted <= 128 {
            self.emit::<(), 128>(0, wanted, false, |_, length| length);
        } else if wanted <= 256 {
            self.emit::<(), 256>(0, wanted, false, |_, length| length);
        } else {
            self.emit::<(), 1024>(0, wanted, false, |_, length| length);
        }
    }

    #[inline(always)]
    fn emit_seen(&self) -> Option<()> {
        let mut entry = emit::reserve_payload::<Payload>(&self.origin)?;
        // SAFETY: ring memory of this event, ours until it is submitted.
        unsafe { self.describe(entry.as_mut_ptr(), 0, 0, 0) };
        emit::submit(entry, Hook::Payload);
        Some(())
    }

    /// Emits `wanted` bytes, 1 to `N`, as far as `read` says that it used them; gives how many that were, `None` where there
    /// was no room for them. `is_quiet`: they are read only.
    #[inline(always)]
    pub fn emit<E: 'static, const N: usize>(
        &self,
        offset_bytes: u32,
        wanted: u32,
        is_quiet: bool,
        read: impl FnOnce(*const u8, u32) -> u32,
    ) -> Option<u32> {
        let mut entry = emit::reserve_payload::<Room<E, N>>(&self.origin)?;
        let room = entry.as_mut_ptr();
        // The verifier must see 1..=N on the very register it passes (6.1 insists on both bounds).
        let length = (hide(wanted).wrapping_sub(1) & (N as u32 - 1)) + 1;
        let is_named = size_of::<E>() != 0;
        // SAFETY: ring memory of this event, ours until it is submitted; the helper writes at most N bytes.
        let used = unsafe {
            if is_named {
                let endpoints = (&raw mut (*room).endpoints).cast();
                Ends::of(self.ctx, self.packet).write(
                    self.packet.direction,
                    self.sk.netns(),
                    endpoints,
                );
            }
            let bytes = (&raw mut (*room).bytes).cast::<u8>();
            let failed = bpf_skb_load_bytes(
                self.ctx.skb.skb.cast(),
                self.packet.payload_offset as u32 + offset_bytes,
                bytes.cast(),
                length,
            );
            let used = if failed == 0 { read(bytes, length) } else { 0 };
            self.describe(&raw mut (*room).event, offset_bytes, used, u32::from(is_named));
            used
        };
        if is_quiet {
            emit::discard(entry);
        } else {
            emit::submit(entry, Hook::Payload);
        }
        Some(used)
    }

    /// # Safety
    /// `event` must be ring memory of an event.
    #[inline(always)]
    unsafe fn describe(
        &self,
        event: *mut Payload,
        offset_bytes: u32,
        captured_bytes: u32,
        has_endpoints: u32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            (*event).seq = self.packet.seq;
            (*event).packet_bytes = self.packet.payload_bytes;
            (*event).offset_bytes = offset_bytes;
            (*event).captured_bytes = captured_bytes;
            (*event).family = self.packet.family;
            (*event).direction = self.packet.direction;
            (*event).sk_state = self.sk_state;
            (*event).has_endpoints = has_endpoints;
        }
    }
}
