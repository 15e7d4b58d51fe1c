//! The lines between the data of a chunked message (RFC 9112 section 7.1).

use super::{Cursor, Window, get, head, place, set};

/// Bytes of lines that are read at once.
const STEPS: u32 = 96;
/// The same in a window of one line.
const LINE_STEPS: u32 = 40;
/// Data up to this size is passed over without a new look at the packet.
const SMALL_BYTES: u64 = 64;
/// Digits of a chunk size that fit into 64 bits leave this much free.
const MAX_BEFORE_DIGIT: u64 = u64::MAX >> 4;
/// Words of a window in which [`Cursor::find_chunk_line`] searches: more is more than a verifier follows.
const SEARCH_WORDS: u32 = 64;
/// Three digits and CRLF: smaller chunks are not searched for, and content has many shorter lines.
const MIN_LINE_BYTES: u32 = 5;
/// Eight digits and CRLF: the longest line that [`Cursor::find_chunk_line`] believes.
const MAX_LINE_BYTES: u32 = 10;

/// The value of a hexadecimal digit; 16 or more for any other byte.
#[inline(always)]
pub(super) const fn digit(byte: u8) -> u8 {
    let decimal = byte.wrapping_sub(b'0');
    let letter = (byte | 0x20).wrapping_sub(b'a');
    if decimal <= 9 {
        decimal
    } else if letter <= 5 {
        letter + 10
    } else {
        16
    }
}

impl Cursor {
    /// Reads lines and passes over small data between them; gives where it stopped.
    #[inline(always)]
    pub fn read_chunk_lines<const N: usize>(&mut self, window: &Window<N>) -> u32 {
        set(&mut self.length, window.length);
        set(&mut self.index, 0);
        for _ in 0..if N <= 64 { LINE_STEPS } else { STEPS } {
            let window = window.settle(self);
            let index = get(&self.index);
            if index >= window.length {
                break;
            }
            let byte = window.byte(index);
            let index = index.wrapping_add(1);
            set(&mut self.index, index);
            let place = get(&self.place);
            if place == place::DATA_END {
                if byte == b'\n' {
                    set(&mut self.place, place::SIZE);
                    set(&mut self.number, 0);
                } else if byte != b'\r' {
                    self.lose();
                    return window.length;
                }
                continue;
            }
            if place == place::SIZE {
                let digit = digit(byte);
                if digit < 16 {
                    let number = get(&self.number);
                    if number > MAX_BEFORE_DIGIT {
                        self.lose();
                        return window.length;
                    }
                    set(&mut self.number, number << 4 | u64::from(digit));
                    continue;
                }
                set(&mut self.place, place::EXTENSION);
            }
            if byte != b'\n' {
                continue;
            }
            let number = get(&self.number);
            let doubt = get(&self.doubt);
            set(&mut self.doubt, if doubt & 0xff == 0 { 0 } else { doubt - 1 });
            if number == 0 {
                return self.begin_trailer(&window, index);
            }
            set(&mut self.place, place::DATA_END);
            let left = u64::from(window.length.saturating_sub(index));
            if number > SMALL_BYTES || number >= left {
                set(&mut self.skip_bytes, number);
                return index;
            }
            set(&mut self.index, index.wrapping_add(number as u32));
        }
        get(&self.index)
    }

    /// The last chunk was read: nearly always the empty line follows at once.
    #[inline(always)]
    fn begin_trailer<const N: usize>(&mut self, window: &Window<N>, index: u32) -> u32 {
        let both = u16::from_le_bytes([window.byte(index), window.byte(index.wrapping_add(1))]);
        if index.saturating_add(2) <= window.length && both == u16::from_le_bytes(*b"\r\n") {
            set(&mut self.place, place::START);
            return index + 2;
        }
        set(&mut self.place, place::TRAILER);
        self.matched = super::head::NO_NAME;
        self.last = b'\n';
        self.before_last = 0;
        index
    }

    /// Captures without a place; in a chunked message a line that can be recognised gives one.
    #[inline(always)]
    pub fn read_rest<const N: usize>(&mut self, window: &Window<N>) -> u32 {
        let budget_bytes = get(&self.budget_bytes).saturating_sub(window.length);
        set(&mut self.budget_bytes, budget_bytes);
        if get(&self.place) == place::SEARCH {
            let found = self.find_chunk_line(window);
            if found != 0 {
                return found;
            }
            if budget_bytes == 0 {
                set(&mut self.place, place::LOST);
                set(&mut self.doubt, 0);
            }
        }
        window.length
    }

    /// Looks for a chunk-size line in the middle of a chunked message; gives where its data begins, or 0. The first line is
    /// tried that is as short as such a line: a window has few of them where chunks are large.
    #[inline(always)]
    fn find_chunk_line<const N: usize>(&mut self, window: &Window<N>) -> u32 {
        set(&mut self.length, window.length);
        set(&mut self.line, 0);
        set(&mut self.index, 0);
        let mut index = 0u32;
        let mut returns_before = 0u64;
        for _ in 0..SEARCH_WORDS {
            if index >= window.length {
                break;
            }
            let word = window.word(index);
            let returns = head::zero_bytes(word ^ head::repeat(b'\r'));
            let after_return = returns << 8 | returns_before >> 56;
            let ends = head::zero_bytes(word ^ head::repeat(b'\n')) & after_return;
            returns_before = returns;
            if ends != 0 {
                let end = index + head::behind_first(ends);
                let line = get(&self.line);
                set(&mut self.line, end);
                let bytes = end.wrapping_sub(line);
                if (MIN_LINE_BYTES..=MAX_LINE_BYTES).contains(&bytes) {
                    set(&mut self.index, end);
                    set(&mut self.value, line);
                    break;
                }
            }
            index += 8;
        }
        let end = get(&self.index);
        if end == 0 || end > get(&self.length) {
            return 0;
        }
        self.try_line(&window.settle(self), end)
    }

    /// Whether the bytes up to `end` are a chunk-size line whose data ends as it has to: then the place is known.
    #[inline(always)]
    fn try_line<const N: usize>(&mut self, window: &Window<N>, end: u32) -> u32 {
        set(&mut self.number, 0);
        for _ in 0..MAX_LINE_BYTES {
            let at = get(&self.value);
            let digit = digit(window.byte(at));
            if digit >= 16 {
                break;
            }
            let number = get(&self.number);
            set(&mut self.number, number << 4 | u64::from(digit));
            set(&mut self.value, at.wrapping_add(1));
        }
        let number = get(&self.number);
        let is_whole = get(&self.value).wrapping_add(2) == end;
        if is_whole && number > 0 && data_may_end(window, u64::from(end) + number) {
            set(&mut self.place, place::DATA_END);
            self.skip_bytes = number;
            return end;
        }
        0
    }
}

/// Whether chunk data may end at `end`: a line end follows, as far as the window reaches.
#[inline(always)]
fn data_may_end<const N: usize>(window: &Window<N>, end: u64) -> bool {
    end + 1 >= u64::from(window.length)
        || window.byte(end as u32) == b'\r' && window.byte(end as u32 + 1) == b'\n'
}
