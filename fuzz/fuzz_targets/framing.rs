//! Any bytes in any packets under the cursor that the eBPF programs follow a stream with: no step uses more than there is, and
//! captured ranges lie within their packet.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracer_common::framing::{Cursor, model};

fuzz_target!(|data: &[u8]| {
    let mut cursor = Cursor::default();
    let mut seq = u32::MAX - 1000;
    let mut rest = data;
    // Two bytes say how long a packet is and where it lies, then come its bytes.
    while let [length, jump, bytes @ ..] = rest {
        let length = bytes.len().min(usize::from(*length) * 9 + 1);
        let (packet, behind) = bytes.split_at(length);
        // Mostly in order; now and then sent again, or behind a hole.
        let offset = if jump & 0xf0 == 0 { i32::from(jump.cast_signed() - 8) * 7 } else { 0 };
        model::packet(&mut cursor, seq.wrapping_add_signed(offset), packet, |range| {
            assert!(range.start < range.end && range.end <= packet.len() || range.is_empty());
        });
        seq = seq.wrapping_add(packet.len() as u32);
        rest = behind;
    }
});
