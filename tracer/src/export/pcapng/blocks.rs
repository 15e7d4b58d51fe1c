//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, as far as they are needed here.

use std::io::{self, Write};

use crate::time::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Packets begin with their IP header, whose version says the rest.
const LINKTYPE_RAW: u16 = 101;
/// An interface's packets are not cut at a common length.
const NO_SNAPLEN: u32 = 0;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// Times are whole nanoseconds: 10 to the power of minus this.
const NANOSECONDS: u8 = 9;

/// Which way a packet went, as its interface sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Inbound = 1,
    Outbound = 2,
}

/// What the section header says.
pub(super) struct Section<'a> {
    pub os: Option<&'a str>,
    pub application: &'a str,
    pub comment: &'a str,
}

/// An interface.
pub(super) struct Interface<'a> {
    pub name: &'a str,
    pub description: &'a str,
}

/// A packet.
pub(super) struct Packet<'a> {
    /// Number of its interface's block, from 0.
    pub interface: u32,
    pub at: Timestamp,
    /// Its first bytes.
    pub captured: &'a [u8],
    /// Bytes it had on the network.
    pub original_bytes: u32,
    pub way: Way,
    pub comment: &'a str,
}

/// Writes blocks.
pub(super) struct Blocks<'a> {
    out: &'a mut dyn Write,
    /// The body of the block being made; kept for its memory.
    body: Vec<u8>,
}

impl<'a> Blocks<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Blocks { out, body: Vec::new() }
    }

    pub fn section(&mut self, section: &Section<'_>) -> io::Result<()> {
        self.u32(BYTE_ORDER_MAGIC);
        // Version 1.0.
        self.u16(1);
        self.u16(0);
        // The section's length is not known beforehand.
        self.body.extend_from_slice(&u64::MAX.to_le_bytes());
        self.option(OPT_COMMENT, section.comment.as_bytes());
        if let Some(os) = section.os {
            self.option(SHB_OS, os.as_bytes());
        }
        self.option(SHB_USERAPPL, section.application.as_bytes());
        self.end_options();
        self.finish(SECTION_HEADER)
    }

    pub fn interface(&mut self, interface: &Interface<'_>) -> io::Result<()> {
        self.u16(LINKTYPE_RAW);
        self.u16(0);
        self.u32(NO_SNAPLEN);
        self.option(IF_NAME, interface.name.as_bytes());
        self.option(IF_DESCRIPTION, interface.description.as_bytes());
        self.option(IF_TSRESOL, &[NANOSECONDS]);
        self.end_options();
        self.finish(INTERFACE_DESCRIPTION)
    }

    pub fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        self.u32(packet.interface);
        self.time(packet.at);
        self.u32(length(packet.captured));
        self.u32(packet.original_bytes);
        self.padded(packet.captured);
        self.option(EPB_FLAGS, &(packet.way as u32).to_le_bytes());
        self.option(OPT_COMMENT, packet.comment.as_bytes());
        self.end_options();
        self.finish(ENHANCED_PACKET)
    }

    /// The last word on an interface.
    pub fn statistics(&mut self, interface: u32, at: Timestamp, comment: &str) -> io::Result<()> {
        self.u32(interface);
        self.time(at);
        self.option(OPT_COMMENT, comment.as_bytes());
        self.end_options();
        self.finish(INTERFACE_STATISTICS)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn u16(&mut self, number: u16) {
        self.body.extend_from_slice(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.body.extend_from_slice(&number.to_le_bytes());
    }

    /// The upper half of a time comes first, whatever the byte order.
    fn time(&mut self, at: Timestamp) {
        self.u32((at.0 >> 32) as u32);
        self.u32(at.0 as u32);
    }

    /// Everything begins at a multiple of four bytes.
    fn padded(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
    }

    /// A value beyond what an option's length can say is cut.
    fn option(&mut self, code: u16, value: &[u8]) {
        let bytes = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.u16(code);
        self.u16(bytes);
        self.padded(value.get(..usize::from(bytes)).unwrap_or(value));
    }

    fn end_options(&mut self) {
        self.u16(OPT_END);
        self.u16(0);
    }

    fn finish(&mut self, kind: u32) -> io::Result<()> {
        // Kind, and the length before and behind.
        let total = length(&self.body).saturating_add(12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&total)?;
        self.out.write_all(&self.body)?;
        self.out.write_all(&total)?;
        self.body.clear();
        Ok(())
    }
}

/// No block here comes near what 32 bits can say.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_block_is_laid_out_as_the_draft_says() {
        let mut out = Vec::new();
        let packet = Packet {
            interface: 1,
            at: Timestamp(0x0000_0002_0000_0003),
            captured: b"abcde",
            original_bytes: 9,
            way: Way::Outbound,
            comment: "hey",
        };
        Blocks::new(&mut out).packet(&packet).unwrap();
        let words: Vec<u32> =
            out.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        let text = |text: &[u8; 4]| u32::from_le_bytes(*text);
        let expected = [
            [6, 60, 1, 2, 3, 5, 9].as_slice(),
            &[text(b"abcd"), text(b"e\0\0\0")],
            &[2 | 4 << 16, 2],
            &[1 | 3 << 16, text(b"hey\0")],
            &[0, 60],
        ];
        assert_eq!(words, expected.concat());
    }

    #[test]
    fn what_an_option_cannot_hold_is_cut_and_the_block_stays_whole() {
        let mut out = Vec::new();
        Blocks::new(&mut out).statistics(0, Timestamp(0), &"x".repeat(100_000)).unwrap();
        let total = u32::from_le_bytes(out[4..8].try_into().unwrap());
        assert_eq!(total as usize, out.len());
        assert_eq!(out[out.len() - 4..], total.to_le_bytes());
        assert_eq!(u16::from_le_bytes(out[22..24].try_into().unwrap()), u16::MAX);
    }
}
