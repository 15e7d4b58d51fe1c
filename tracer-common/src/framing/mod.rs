//! Which bytes of an HTTP/1 stream have to be read to know where its messages end: heads, chunk-size
//! lines and trailers (RFC 9112). The eBPF programs capture those and leave content out.
//!
//! A [`Cursor`] follows one direction of one connection. It is a *predictor*: it decides which bytes
//! user space gets, never what they mean. User space reads the same bytes with its own, strict reader;
//! where the cursor was wrong, a byte that is needed is missing there, and the message is reported as
//! incomplete. So a cursor may trade exactness for a bounded number of instructions.
//!
//! This module runs under the verifier of Linux 5.11 and newer. Loops have constant bounds, memory is
//! reached through masked indexes, and values that would make the verifier follow a path twice are
//! computed without branches.

mod chunk;
mod head;
#[cfg(any(test, feature = "user"))]
pub mod model;
mod start;
#[cfg(test)]
mod tests;

pub use head::{LENGTH_BYTES, LENGTH_WORDS};
pub use start::{FirstBytes, START_BYTES, Start};

/// Bytes that a window must have behind its `N`: words are loaded unaligned, up to three at once.
pub const WINDOW_SLACK_BYTES: usize = 32;
/// Steps in one packet: the kernel allows 33 tail calls in a row.
pub const MAX_STEPS: u32 = 31;
/// Bytes that a step captures where it does not read.
pub const WHOLE_BYTES: u32 = 16 * 1024;
/// Bytes that a step captures while it searches.
pub const REST_BYTES: u32 = 4096;

/// Whether the rest of a packet has to be captured whole now, for the steps that are left to suffice. They do for packets of up to
/// 448 KiB; BIG TCP allows 512 KiB.
#[inline(always)]
#[must_use]
pub const fn must_capture(step: u32, left_bytes: u32) -> bool {
    step + left_bytes / WHOLE_BYTES + 3 >= MAX_STEPS
}

/// Bytes that are captured without being read, once the place in the stream is lost.
const LOST_BUDGET_BYTES: u32 = 1 << 20;
/// The same in a chunked message: a line is found in one of eight places where it may lie.
const SEARCH_BUDGET_BYTES: u32 = 4 << 20;
/// See [`Cursor::doubt`].
const DOUBTED_LINES: u32 = 4;
/// In [`Cursor::doubt`]: a message began in the other direction since the place was lost.
const OTHER_HAS_SPOKEN: u32 = 0x100;
/// The same in a message of many small chunks. It is not searched for a line: in what is mostly lines a wrong one is found.
const DENSE_BUDGET_BYTES: u32 = 64 << 20;
/// Bytes of a head that are read before the place counts as lost.
pub const HEAD_BUDGET_BYTES: u32 = 2 << 20;

/// What the next byte that has to be read belongs to.
pub mod place {
    /// Not known. A packet that begins with a message ends this.
    pub const LOST: u8 = 0;
    /// A start line, or empty lines before it.
    pub const START: u8 = 1;
    /// A head, behind the first bytes of its start line.
    pub const HEAD: u8 = 2;
    /// The first byte behind a head without `content-length`: a chunk-size line, the next message, or
    /// content up to the end of the connection.
    pub const BODY: u8 = 3;
    /// The trailer section of a chunked message.
    pub const TRAILER: u8 = 4;
    /// The line end behind the data of a chunk.
    pub const DATA_END: u8 = 5;
    /// The digits of a chunk size.
    pub const SIZE: u8 = 6;
    /// Behind these digits, up to the line end.
    pub const EXTENSION: u8 = 7;
    /// Not known, in a chunked message. A chunk-size line that can be recognised ends this.
    pub const SEARCH: u8 = 8;
    /// In the first bytes of a start line that is split across packets.
    pub const START_PART: u8 = 9;
    /// A head, whose line that began in the packet before was read for a length.
    pub const LINES: u8 = 10;
    /// A `content-length` in a head that goes on.
    pub const LENGTH: u8 = 11;
    /// Likewise in one whose lines were all read.
    pub const LAST_LENGTH: u8 = 12;
}

/// Bits of [`Cursor::flags`].
pub mod flag {
    /// The response has no content, whatever its fields say.
    pub const NO_CONTENT: u8 = 1;
    /// The start line was taken for one by its first bytes alone: its end has to show `HTTP/1.`.
    pub const UNPROVEN: u8 = 2;
    /// HTTP ends with this head: 101, or 2xx to CONNECT.
    pub const LEAVES: u8 = 4;
    /// No byte of the content was seen yet.
    pub const UNTOUCHED: u8 = 8;
    /// The bytes are no HTTP.
    pub const ALIEN: u8 = 16;
    /// The connection has left HTTP.
    pub const LEFT: u8 = 32;
    /// A `transfer-encoding` field was seen in this head.
    pub const CODED: u8 = 64;
    /// What is read is the line of a PROXY protocol header.
    pub const PROXY: u8 = 128;
}

/// The place in one direction of a connection. All zero: [`place::LOST`], nothing seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Bytes of content before the next byte that has to be read.
    pub skip_bytes: u64,
    /// In a head: its `content-length` plus one, 0 while there is none. In a chunk-size line: the size
    /// so far.
    pub number: u64,
    /// Sequence number behind the highest byte that passed.
    pub frontier: u32,
    /// What may still be captured or read before this place is given up.
    pub budget_bytes: u32,
    /// One of [`place`].
    pub place: u8,
    /// Of [`flag`].
    pub flags: u8,
    /// The last byte of a head or trailer that was read, and the one before it.
    pub last: u8,
    /// See `last`.
    pub before_last: u8,
    /// Bytes of the start line, or of the name `content-length:`, that were read in packets before.
    pub matched: u8,
    /// What began last, one of [`asked`]; 0 where it was no request.
    pub started: u8,
    /// What the packet being met begins like, a [`Start`].
    pub start: u8,
    /// What is to be done with it, one of [`take`].
    pub take: u8,
    /// The first four bytes of a start line that is split across packets.
    pub first_word: u32,
    /// Where in the packet being met reading goes on.
    pub from: u32,
    /// While a window is read: how many bytes it has.
    pub length: u32,
    /// Likewise: how many of them were read; between windows: where in the packet reading goes on behind a length.
    pub index: u32,
    /// Likewise: where the last line begins.
    pub line: u32,
    /// Likewise: where a `content-length` is to be read.
    pub value: u32,
    /// Sequence number of the first byte that was needed and that other packets overtook.
    pub hole_from: u32,
    /// Behind the last such byte; the same number where there is no hole.
    pub hole_to: u32,
    /// Number of the CPU that reads a packet at this place, plus one; 0 while none does.
    pub busy: u32,
    /// Chunk-size lines that still have to be where they are expected before the place is believed: it was searched
    /// for, and content may hold what looks like a line. Until then packets are captured whole.
    pub doubt: u32,
}

const _: () = assert!(size_of::<Cursor>() == 72);

/// What a connection's last request was, as far as it changes the framing of its response.
pub mod asked {
    /// Not seen.
    pub const NOTHING: u8 = 0;
    /// Any other method.
    pub const OTHER: u8 = 1;
    /// HEAD: the response has no content.
    pub const HEAD: u8 = 2;
    /// CONNECT: a 2xx response ends HTTP.
    pub const CONNECT: u8 = 3;
}

/// What is to be done with a packet: [`Cursor::take`].
pub mod take {
    /// Nothing in it has to be read.
    pub const NOTHING: u8 = 0;
    /// All of it was seen before, or the place is lost: its first bytes are captured.
    pub const HEAD: u8 = 1;
    /// It is read from [`super::Cursor::from`] on.
    pub const READ: u8 = 2;
    /// All of it is captured, and nothing is read: the place is elsewhere.
    pub const WHOLE: u8 = 3;
}

/// What reads at a place. Each is a program of its own: one that did all would be more than a verifier follows.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follower {
    /// The first bytes of a message, or of what follows a head.
    Start = 0,
    /// The lines of heads and trailers.
    Head = 1,
    /// One chunk-size line.
    Line = 2,
    /// Chunk-size lines that lie close together.
    Lines = 3,
    /// Captures while it searches.
    Rest = 4,
    /// The value of a `content-length`.
    Length = 5,
    /// Captures without reading.
    Whole = 6,
}

impl Follower {
    /// Every one, with its program's name.
    pub const ALL: [(Follower, &'static str); 7] = [
        (Follower::Start, "follow_start"),
        (Follower::Head, "follow_head"),
        (Follower::Line, "follow_line"),
        (Follower::Lines, "follow_lines"),
        (Follower::Rest, "follow_rest"),
        (Follower::Length, "follow_length"),
        (Follower::Whole, "follow_whole"),
    ];
}

/// A value that the compiler knows nothing of, so that it does not take out what the verifier needs to see.
#[inline(always)]
pub fn hide<T: Copy>(value: T) -> T {
    // SAFETY: reads a local.
    unsafe { core::ptr::read_volatile(&raw const value) }
}

/// A field as it lies in memory. A verifier knows nothing of what lies in a map: paths that differ in a value it knows
/// become one where the value is written there and read again.
#[inline(always)]
fn get<T: Copy>(field: &T) -> T {
    // SAFETY: a reference.
    unsafe { core::ptr::read_volatile(field) }
}

/// Writes a field for [`get`].
#[inline(always)]
fn set<T: Copy>(field: &mut T, value: T) {
    // SAFETY: a reference.
    unsafe { core::ptr::write_volatile(field, value) }
}

impl Cursor {
    /// A message begins at sequence number `seq`.
    #[inline(always)]
    pub fn begin(&mut self, seq: u32, flags: u8) {
        self.doubt = 0;
        self.skip_bytes = 0;
        self.number = 0;
        self.frontier = seq;
        self.budget_bytes = HEAD_BUDGET_BYTES;
        self.place = place::START;
        self.flags = flags;
    }

    /// Takes note of a packet, whose beginning is in [`Cursor::start`]; sets [`Cursor::take`] and [`Cursor::from`].
    #[inline(always)]
    pub fn meet(&mut self, seq: u32, packet_bytes: u32) {
        let starts = Start::is_message(self.start);
        let end = seq.wrapping_add(packet_bytes);
        let is_lost = self.place == place::LOST;
        self.from = 0;
        if is_lost && !starts {
            self.frontier = end;
            self.take = if self.budget_bytes > 0 { take::WHOLE } else { take::HEAD };
            self.budget_bytes = self.budget_bytes.saturating_sub(packet_bytes);
            return;
        }
        let fresh_bytes = end.wrapping_sub(self.frontier).cast_signed();
        if !is_lost && fresh_bytes <= 0 {
            self.take = if self.may_fill_hole(seq) { take::WHOLE } else { take::HEAD };
            return;
        }
        if starts && (is_lost || self.frontier == seq && self.may_begin_here()) {
            self.begin(seq, 0);
        }
        let mut offset = self.frontier.wrapping_sub(seq).cast_signed();
        self.frontier = end;
        if offset < 0 {
            // Bytes are missing in between. Content may miss, anything else was needed.
            let missing = u64::from(offset.unsigned_abs());
            if self.skip_bytes >= missing {
                self.skip_bytes -= missing;
            } else {
                self.note_hole(seq.wrapping_add_signed(offset), seq);
                self.lose();
            }
            offset = 0;
        }
        self.go_on(offset.cast_unsigned(), packet_bytes);
    }

    /// Packets are missing that were needed: those that were overtaken are still to come, several at a time where a connection's
    /// packets arrive on two CPUs.
    #[inline(always)]
    fn note_hole(&mut self, from: u32, to: u32) {
        const RECENT_BYTES: u32 = 4 << 20;
        let is_recent = from.wrapping_sub(self.hole_from) < RECENT_BYTES;
        if self.hole_to == self.hole_from || !is_recent {
            self.hole_from = from;
        }
        self.hole_to = to;
    }

    /// Whether an old packet may bring bytes that were needed and that other packets overtook.
    #[inline(always)]
    fn may_fill_hole(&self, seq: u32) -> bool {
        let hole_bytes = self.hole_to.wrapping_sub(self.hole_from);
        self.place == place::SEARCH || seq.wrapping_sub(self.hole_from) < hole_bytes
    }

    /// Reading came to `offset` of the packet: sets where it goes on.
    #[inline(always)]
    pub fn go_on(&mut self, offset: u32, packet_bytes: u32) {
        let left = u64::from(packet_bytes.saturating_sub(offset));
        if left > 0 && self.skip_bytes != 0 {
            self.flags &= !flag::UNTOUCHED;
        }
        let skipped = if self.skip_bytes < left { self.skip_bytes } else { left };
        self.skip_bytes -= skipped;
        self.from = offset.wrapping_add(skipped as u32);
        self.take = if self.from < packet_bytes { take::READ } else { take::NOTHING };
    }

    /// A window that began at `offset` of the packet was read up to `used`: sets where reading goes on, which may be at a
    /// length within it.
    #[inline(always)]
    pub fn step(&mut self, offset: u32, used: u32, packet_bytes: u32) {
        const LENGTH: u32 = 1 << place::LENGTH | 1 << place::LAST_LENGTH;
        if LENGTH >> (get(&self.place) & 15) & 1 == 0 {
            return self.go_on(offset.wrapping_add(used), packet_bytes);
        }
        set(&mut self.index, offset.wrapping_add(used));
        set(&mut self.from, offset.wrapping_add(get(&self.value)));
        set(&mut self.take, take::READ);
    }

    /// Where in the packet reading goes on when the length at `from` was read.
    #[inline(always)]
    #[must_use]
    pub fn go_on_behind_length(&self, from: u32) -> u32 {
        // A line that began in the packet before: its lines are read from the same place.
        if get(&self.place) == place::HEAD { from } else { get(&self.index) }
    }

    /// Whether packets are to be captured whole although they are read.
    #[inline(always)]
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        get(&self.doubt) & !OTHER_HAS_SPOKEN != 0
    }

    /// Who reads at the place.
    #[inline(always)]
    #[must_use]
    pub fn follower(&self) -> u32 {
        const LARGE_BYTES: u64 = 1024;
        const HEAD: u32 = 1 << place::HEAD | 1 << place::TRAILER | 1 << place::LINES;
        const LENGTH: u32 = 1 << place::LENGTH | 1 << place::LAST_LENGTH;
        const START: u32 = 1 << place::START | 1 << place::BODY | 1 << place::START_PART;
        const LOST: u32 = 1 << place::LOST | 1 << place::SEARCH;
        let place = 1u32 << (self.place & 15);
        let goes_on = self.place == place::HEAD && self.matched != head::NO_NAME;
        let follower = if place & LENGTH != 0 || goes_on {
            Follower::Length
        } else if place & HEAD != 0 {
            Follower::Head
        } else if place & START != 0 {
            Follower::Start
        } else if place & LOST != 0 {
            Follower::Rest
        } else if self.number >= LARGE_BYTES {
            Follower::Line
        } else {
            Follower::Lines
        };
        follower as u32
    }

    /// Whether a packet that begins like a message may be believed: not in the middle of content, which
    /// may look like anything. While a line is searched for it may, once the other end has spoken.
    #[inline(always)]
    fn may_begin_here(&self) -> bool {
        if self.place == place::SEARCH {
            return get(&self.doubt) & OTHER_HAS_SPOKEN != 0;
        }
        self.skip_bytes == 0 || self.flags & flag::UNTOUCHED != 0
    }

    /// A message began in the other direction: the one that is searched in may be over.
    #[inline(always)]
    pub fn hear_other(&mut self) {
        let doubt = get(&self.doubt);
        set(&mut self.doubt, if doubt == 0 { 0 } else { doubt | OTHER_HAS_SPOKEN });
    }

    /// Sets a flag.
    #[inline(always)]
    fn raise(&mut self, flag: u8) {
        let flags = get(&self.flags);
        set(&mut self.flags, flags | flag);
    }

    /// The place in the stream is not known any more.
    #[inline(always)]
    pub fn lose(&mut self) {
        const CHUNKED: u32 =
            1 << place::DATA_END | 1 << place::SIZE | 1 << place::EXTENSION | 1 << place::SEARCH;
        let chunked = CHUNKED >> (get(&self.place) & 15) & 1 == 1;
        set(&mut self.place, if chunked { place::SEARCH } else { place::LOST });
        set(&mut self.doubt, if chunked { DOUBTED_LINES } else { 0 });
        set(&mut self.skip_bytes, 0);
        set(&mut self.number, 0);
        set(&mut self.budget_bytes, if chunked { SEARCH_BUDGET_BYTES } else { LOST_BUDGET_BYTES });
    }

    /// The packet has more lines than there are steps: what is left of it is captured, and not read.
    #[inline(always)]
    pub fn run_out(&mut self) {
        let is_dense = self.follower() == Follower::Lines as u32;
        self.lose();
        if is_dense {
            set(&mut self.place, place::LOST);
            set(&mut self.doubt, 0);
            set(&mut self.budget_bytes, DENSE_BUDGET_BYTES);
        }
    }

    /// The bytes at the place make no sense there: nothing more is captured than the heads of packets.
    #[inline(always)]
    fn give_up(&mut self) {
        set(&mut self.place, place::LOST);
        set(&mut self.doubt, 0);
        set(&mut self.skip_bytes, 0);
        set(&mut self.budget_bytes, 0);
    }

    /// Whether bytes are captured without a place.
    #[inline(always)]
    pub fn is_lost(&self) -> bool {
        self.place == place::LOST || self.place == place::SEARCH
    }
}

/// Bytes of a packet in memory that the verifier knows.
pub struct Window<const N: usize> {
    bytes: *const u8,
    length: u32,
    /// `N - 1`, of which the compiler knows nothing: it would leave out masks that the verifier needs.
    mask: u64,
}

impl<const N: usize> Window<N> {
    /// `length`: how many of the bytes are the packet's, 1 to `N`.
    ///
    /// # Safety
    /// `bytes` must point at `N` plus [`WINDOW_SLACK_BYTES`] readable bytes. `N` must be a power of two.
    #[inline(always)]
    #[must_use]
    pub unsafe fn new(bytes: *const u8, length: u32) -> Self {
        Window { bytes, length, mask: hide(N as u64 - 1) }
    }

    /// How many bytes are the packet's.
    #[inline(always)]
    #[must_use]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// The window as a verifier sees it that has forgotten what the bytes before this place said of its length: on each way out
    /// of a loop it knows something else, and would follow what comes behind the loop as often.
    #[inline(always)]
    fn settle(&self, cursor: &Cursor) -> Self {
        Window { bytes: self.bytes, length: get(&cursor.length), mask: self.mask }
    }

    /// The byte at `index`; one that is not the packet's where `index` is beyond its length.
    #[inline(always)]
    fn byte(&self, index: u32) -> u8 {
        // SAFETY: masked to N, the promise of `Window::new`.
        unsafe { *self.bytes.add((u64::from(index) & self.mask) as usize) }
    }

    /// Eight bytes from `index` on, the first one lowest. Likewise.
    #[inline(always)]
    fn word(&self, index: u32) -> u64 {
        // SAFETY: masked to N, and the slack behind it takes the rest of the word.
        unsafe {
            let at = self.bytes.add((u64::from(index) & self.mask) as usize);
            u64::from_le(at.cast::<u64>().read_unaligned())
        }
    }
}
