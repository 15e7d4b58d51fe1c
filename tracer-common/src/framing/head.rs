//! The lines of a head or trailer section, up to the empty one (RFC 9112 section 2.1).

use super::{Cursor, Window, flag, get, place, set};

const LINE_FEEDS: u64 = repeat(b'\n');
const RETURNS: u64 = repeat(b'\r');
/// Bit 5 of each byte: makes letters lower case, and leaves `-` and `:` as they are.
const LOWER: u64 = repeat(0x20);
const CONTENT_LENGTH: [u64; 2] =
    [u64::from_le_bytes(*b"content-"), u64::from_le_bytes(*b"length:\0")];
const TRANSFER_ENCODING: [u64; 2] =
    [u64::from_le_bytes(*b"transfer"), u64::from_le_bytes(*b"-encodin")];
const SEVEN_BYTES: u64 = u64::MAX >> 8;
/// From the start of a `content-length` line to its value.
const LENGTH_NAME_BYTES: u32 = 15;
/// Words in which [`Cursor::read_length`] is given the name and its value, blanks before it included.
pub const LENGTH_WORDS: usize = 5;
/// See [`LENGTH_WORDS`].
pub const LENGTH_BYTES: u32 = 8 * LENGTH_WORDS as u32;
/// [`Cursor::matched`] of a line that is no `content-length`.
pub(super) const NO_NAME: u8 = u8::MAX;

/// A word of one byte.
pub(super) const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The highest bit of each byte of `word` that is zero, and no other bit.
#[inline(always)]
pub(super) const fn zero_bytes(word: u64) -> u64 {
    const LOW_BITS: u64 = repeat(0x7f);
    !(((word & LOW_BITS) + LOW_BITS) | word | LOW_BITS)
}

/// Index behind the lowest byte that is marked in `marks`, which has at most bit 7 of each byte set.
#[inline(always)]
pub(super) const fn behind_first(marks: u64) -> u32 {
    const LOWEST_BITS: u64 = repeat(1);
    let below = (marks & marks.wrapping_neg()).wrapping_sub(1);
    ((below & LOWEST_BITS).wrapping_mul(LOWEST_BITS) >> 56) as u32
}

/// Index behind the highest byte that is marked.
#[inline(always)]
const fn behind_last(marks: u64) -> u32 {
    // Every bit below the highest mark, and that mark.
    let mut below = marks | marks >> 8;
    below |= below >> 16;
    below |= below >> 32;
    ((below >> 7 & repeat(1)).wrapping_mul(repeat(1)) >> 56) as u32
}

/// The mark of a word's last byte where `byte` is `wanted`.
#[inline(always)]
const fn mark_last(byte: u8, wanted: u8) -> u64 {
    (zero_bytes((byte ^ wanted) as u64) & 0x80) << 56
}

impl Cursor {
    /// Reads lines up to the empty one; gives how many bytes it used.
    #[inline(always)]
    pub fn read_lines<const N: usize>(&mut self, window: &Window<N>) -> u32 {
        // What the loop carries on lies in the cursor, of which a verifier knows nothing: it would follow what differs in one
        // value as another path. There is no branch that need not be.
        let mut index = 0u32;
        set(&mut self.length, window.length);
        set(&mut self.index, 0);
        set(&mut self.line, 0);
        set(&mut self.value, 0);
        // Marks of the word before: a line end may lie across two words.
        let mut feeds_before =
            mark_last(self.last, b'\n') | mark_last(self.before_last, b'\n') >> 8;
        let mut returns_before = mark_last(self.last, b'\r');
        for _ in 0..N / 8 + 1 {
            if index >= window.length {
                break;
            }
            let mut word = window.word(index);
            if window.length - index < 8 {
                // What is not the packet's must not end a line.
                word |= u64::MAX << (8 * (window.length - index));
            }
            let feeds = zero_bytes(word ^ LINE_FEEDS);
            let returns = zero_bytes(word ^ RETURNS);
            let after_feed = feeds << 8 | feeds_before >> 56;
            let after_return = returns << 8 | returns_before >> 56;
            let feed_two_before = feeds << 16 | feeds_before >> 48;
            let ends = feeds & (after_feed | after_return & feed_two_before);
            if ends != 0 {
                set(&mut self.index, index + behind_first(ends));
                break;
            }
            feeds_before = feeds;
            returns_before = returns;
            if feeds != 0 {
                if get(&self.flags) & (flag::UNPROVEN | flag::PROXY) != 0 {
                    let first_line = index + behind_first(feeds);
                    if self.end_start_line(window, first_line) {
                        return first_line;
                    }
                }
                // The last line that begins here: one before it is shorter than the names.
                self.recognise(window, index + behind_last(feeds));
            }
            index += 8;
        }
        self.end_window(&window.settle(self))
    }

    /// A line begins at `line`: notes whether it says where the message ends.
    #[inline(always)]
    fn recognise<const N: usize>(&mut self, window: &Window<N>, line: u32) {
        set(&mut self.line, line);
        // A name that goes on behind the window is not recognised: what lies there is not the packet's.
        if line + LENGTH_NAME_BYTES >= get(&self.length) {
            return;
        }
        let name = [window.word(line) | LOWER, window.word(line.wrapping_add(8)) | LOWER];
        if name[0] == CONTENT_LENGTH[0] && name[1] & SEVEN_BYTES == CONTENT_LENGTH[1] {
            set(&mut self.value, line + LENGTH_NAME_BYTES);
        }
        if name[0] == TRANSFER_ENCODING[0] && name[1] == TRANSFER_ENCODING[1] {
            self.raise(flag::CODED);
        }
    }

    /// All of the window was read, or up to [`Cursor::index`] where the lines end there. A length in it, and a last line that
    /// goes on behind it, are read by [`Cursor::read_length`].
    #[inline(always)]
    fn end_window<const N: usize>(&mut self, window: &Window<N>) -> u32 {
        let end = get(&self.index);
        let value = get(&self.value);
        let in_head = get(&self.place) != place::TRAILER;
        if in_head {
            set(&mut self.place, place::HEAD);
        }
        let mut length_at = value;
        if value != 0 {
            set(&mut self.matched, LENGTH_NAME_BYTES as u8);
            set(&mut self.number, 0);
        } else if end == 0 && in_head && get(&self.line) != 0 {
            set(&mut self.matched, 0);
            length_at = get(&self.line);
        }
        let used = if end != 0 { end } else { window.length };
        if end == 0 {
            if window.length >= 2 {
                self.before_last = window.byte(window.length.wrapping_sub(2));
            } else {
                self.before_last = self.last;
            }
            self.last = window.byte(window.length.wrapping_sub(1));
            self.spend(window.length);
        } else if length_at == 0 {
            self.end_lines();
        }
        if length_at != 0 && !self.is_lost() {
            set(&mut self.place, if end != 0 { place::LAST_LENGTH } else { place::LENGTH });
        }
        set(&mut self.value, length_at);
        used
    }

    /// Takes bytes off what may be read of this head.
    #[inline(always)]
    fn spend(&mut self, bytes: u32) {
        self.budget_bytes = self.budget_bytes.saturating_sub(bytes);
        if self.budget_bytes == 0 {
            if get(&self.flags) & flag::UNPROVEN != 0 {
                self.give_up();
            } else {
                self.lose();
            }
        }
    }

    /// Reads a `content-length`, from where [`Cursor::matched`] says on: a line may go on in the next packet. `words`
    /// are the packet's bytes from there, `there` how many of them there are.
    #[inline(always)]
    pub fn read_length(&mut self, words: [u64; LENGTH_WORDS], there: u32) {
        let mut words = words;
        for i in 0..LENGTH_BYTES {
            let matched = get(&self.matched);
            if i >= there || matched == NO_NAME {
                break;
            }
            let byte = words[0] as u8;
            let mut word = 0;
            while word < LENGTH_WORDS {
                let next = if word + 1 < LENGTH_WORDS { words[word + 1] } else { 0 };
                words[word] = words[word] >> 8 | next << 56;
                word += 1;
            }
            self.read_length_byte(matched, byte);
        }
        let place = get(&self.place);
        if place == place::LAST_LENGTH {
            set(&mut self.place, place::HEAD);
            self.end_lines();
        } else if place == place::LENGTH {
            set(&mut self.place, place::HEAD);
        } else {
            // It began in the packet before: the lines of this packet are still to be read.
            set(&mut self.place, place::LINES);
        }
    }

    #[inline(always)]
    fn read_length_byte(&mut self, matched: u8, byte: u8) {
        if u32::from(matched) < LENGTH_NAME_BYTES {
            // Not an index into the name: that would be a table in memory.
            let word = if matched >= 8 { CONTENT_LENGTH[1] } else { CONTENT_LENGTH[0] };
            let expected = (word >> (8 * (matched & 7))) as u8;
            let is_next = byte | 0x20 == expected;
            set(&mut self.matched, if is_next { matched + 1 } else { NO_NAME });
            if u32::from(matched) + 1 == LENGTH_NAME_BYTES {
                set(&mut self.number, 0);
            }
            return;
        }
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            let value = get(&self.number).saturating_sub(1);
            let value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            set(&mut self.number, value.wrapping_add(1));
        } else if byte != b' ' && byte != b'\t' {
            set(&mut self.matched, NO_NAME);
        }
    }

    /// A start line that had to prove itself ends before `line`; true where nothing more of it is to be read.
    #[inline(always)]
    fn end_start_line<const N: usize>(&mut self, window: &Window<N>, line: u32) -> bool {
        const VERSION: u64 = u64::from_le_bytes(*b"HTTP/1.\0");
        let flags = get(&self.flags);
        set(&mut self.flags, flags & !(flag::UNPROVEN | flag::PROXY));
        if flags & flag::PROXY != 0 {
            set(&mut self.place, place::START);
            return true;
        }
        // `HTTP/1.1` and the line end. Where they lie across packets the start line is believed.
        if line < 10 {
            return false;
        }
        let with_return = (window.word(line.wrapping_sub(10)) & SEVEN_BYTES) ^ VERSION;
        let without = (window.word(line.wrapping_sub(9)) & SEVEN_BYTES) ^ VERSION;
        if with_return != 0 && without != 0 {
            self.raise(flag::ALIEN);
            self.give_up();
            return true;
        }
        false
    }

    /// The empty line was read.
    #[inline(always)]
    fn end_lines(&mut self) {
        let flags = get(&self.flags);
        // RFC 9112 section 6.3: a transfer coding goes before a length.
        let number = if flags & flag::CODED != 0 { 0 } else { get(&self.number) };
        let in_head = get(&self.place) != place::TRAILER;
        self.number = 0;
        self.last = 0;
        self.before_last = 0;
        let mut left = flags & !(flag::NO_CONTENT | flag::UNPROVEN | flag::LEAVES | flag::CODED);
        if flags & flag::LEAVES != 0 {
            left |= flag::LEFT;
        }
        let mut next = place::START;
        if in_head && flags & flag::NO_CONTENT == 0 {
            if number == 0 {
                next = place::BODY;
            } else {
                self.skip_bytes = number - 1;
                left |= flag::UNTOUCHED;
            }
        }
        set(&mut self.place, next);
        set(&mut self.flags, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_zero_bytes_are_marked() {
        for bytes in [[0u8, 1, 0, 0x80, 0xff, 0, 1, 0], [1, 0, 0, 1, 0x80, 0x80, 0, 0xff]] {
            let marks = zero_bytes(u64::from_le_bytes(bytes)).to_le_bytes();
            for (byte, mark) in bytes.into_iter().zip(marks) {
                assert_eq!(mark, if byte == 0 { 0x80 } else { 0 });
            }
        }
    }

    #[test]
    fn the_indexes_behind_the_first_and_the_last_mark_are_found() {
        for i in 0..8u32 {
            for j in i..8 {
                let marks = 0x80 << (8 * i) | 0x80 << (8 * j);
                assert_eq!((behind_first(marks), behind_last(marks)), (i + 1, j + 1));
            }
        }
    }
}
