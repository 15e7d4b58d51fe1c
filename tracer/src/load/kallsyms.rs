//! Addresses of the two timer handlers that mark timewait and request sockets, from /proc/kallsyms.
//!
//! The handlers are static functions: neither BTF nor the BPF loader knows their addresses.

use std::fs::File;
use std::io::{self, Read};

const KALLSYMS: &str = "/proc/kallsyms";
/// More than the page that the kernel hands out per read, and than the longest line (512 bytes of name).
const CHUNK_BYTES: usize = 64 * 1024;

/// Addresses of the timer handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerHandlers {
    /// `tw_timer_handler`: `timer_list.function` of an `inet_timewait_sock`.
    pub timewait: u64,
    /// `reqsk_timer_handler`: `timer_list.function` of a `request_sock`.
    pub request: u64,
}

/// Why the addresses could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KallsymsError {
    /// /proc/kallsyms could not be read.
    #[error(
        "cannot read {KALLSYMS}: {0}; mount /proc, and the kernel must be built with CONFIG_KALLSYMS=y"
    )]
    Read(#[from] io::Error),
    /// The kernel shows every address as zero.
    #[error(
        "{KALLSYMS} hides its addresses; run as root with CAP_SYSLOG, and set kernel.kptr_restrict to 0 or 1 (`sysctl kernel.kptr_restrict=1`)"
    )]
    Hidden,
    /// The kernel has no such function by name.
    #[error(
        "{KALLSYMS} does not have `{0}`; TIME_WAIT and SYN_RECV cannot be followed live on this kernel"
    )]
    Missing(&'static str),
}

/// The running kernel's timer handlers.
///
/// # Errors
/// See [`KallsymsError`].
pub fn timer_handlers() -> Result<TimerHandlers, KallsymsError> {
    timer_handlers_in(File::open(KALLSYMS)?)
}

/// The timer handlers that a symbol table names.
///
/// # Errors
/// See [`KallsymsError`].
pub fn timer_handlers_in(mut symbols: impl Read) -> Result<TimerHandlers, KallsymsError> {
    let mut finder = Finder::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut filled = 0;
    loop {
        let n = symbols.read(&mut buffer[filled..])?;
        filled += n;
        let whole = memchr::memrchr(b'\n', &buffer[..filled]).map_or(0, |i| i + 1);
        let end = n == 0;
        // The symbols come by address, and the kernel is slow to tell the rest: stop when both are there.
        if finder.feed(&buffer[..if end { filled } else { whole }]) || end {
            return finder.finish();
        }
        if whole == 0 && filled == buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end").into());
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

const TIMEWAIT: &str = "tw_timer_handler";
const REQUEST: &str = "reqsk_timer_handler";

/// Looks for the two names in whole lines; values in, values out.
#[derive(Default)]
struct Finder {
    timewait: Option<u64>,
    request: Option<u64>,
}

impl Finder {
    /// Takes whole lines; true when both names were found.
    fn feed(&mut self, lines: &[u8]) -> bool {
        // Both names end in it, and no more than a few dozen others contain it.
        for at in memchr::memmem::find_iter(lines, b"_timer_handler") {
            let from = memchr::memrchr(b'\n', &lines[..at]).map_or(0, |i| i + 1);
            let to = memchr::memchr(b'\n', &lines[at..]).map_or(lines.len(), |i| at + i);
            if let Some((address, name)) = symbol(&lines[from..to]) {
                self.offer(address, name);
            }
        }
        self.timewait.is_some() && self.request.is_some()
    }

    fn offer(&mut self, address: u64, name: &str) {
        for (wanted, slot) in [(TIMEWAIT, &mut self.timewait), (REQUEST, &mut self.request)] {
            if name == wanted {
                slot.get_or_insert(address);
            }
        }
    }

    fn finish(self) -> Result<TimerHandlers, KallsymsError> {
        let timewait = self.timewait.ok_or(KallsymsError::Missing(TIMEWAIT))?;
        let request = self.request.ok_or(KallsymsError::Missing(REQUEST))?;
        if timewait == 0 || request == 0 {
            return Err(KallsymsError::Hidden);
        }
        Ok(TimerHandlers { timewait, request })
    }
}

/// A line `ffffffff82006070 t tw_timer_handler` of the kernel proper, text symbols only.
///
/// The suffixes that compilers give to copies of a function (`.llvm.123` with LTO, `.isra.0`) are cut off.
fn symbol(line: &[u8]) -> Option<(u64, &str)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let (address, kind, name, module) = (words.next()?, words.next()?, words.next()?, words.next());
    if module.is_some() || !matches!(kind, "t" | "T") {
        return None;
    }
    let address = u64::from_str_radix(address, 16).ok()?;
    Some((address, name.split_once('.').map_or(name, |(base, _)| base)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "\
ffffffff81000000 T _stext
ffffffff82006070 t tw_timer_handler
ffffffff82006100 d tw_timer_handler_data
ffffffff820085b0 t reqsk_timer_handler
ffffffffc0001000 t reqsk_timer_handler\t[other]
";

    fn find(text: &str) -> Result<TimerHandlers, String> {
        let mut finder = Finder::default();
        finder.feed(text.as_bytes());
        finder.finish().map_err(|e| e.to_string())
    }

    #[test]
    fn both_handlers_are_found_by_their_whole_names() {
        let expected =
            TimerHandlers { timewait: 0xffff_ffff_8200_6070, request: 0xffff_ffff_8200_85b0 };
        assert_eq!(find(SAMPLE), Ok(expected));
    }

    #[test]
    fn a_compilers_suffix_does_not_hide_a_handler() {
        let text = SAMPLE.replace("t tw_timer_handler", "t tw_timer_handler.llvm.9876");
        assert_eq!(find(&text), find(SAMPLE));
    }

    #[test]
    fn names_that_only_contain_the_wanted_one_do_not_count() {
        let text = SAMPLE.replace(" tw_timer", " not_tw_timer");
        assert!(find(&text).unwrap_err().contains("`tw_timer_handler`"));
    }

    #[test]
    fn data_and_module_symbols_do_not_count() {
        let text = SAMPLE.replace("ffffffff820085b0 t", "ffffffff820085b0 d");
        assert!(find(&text).unwrap_err().contains("`reqsk_timer_handler`"));
    }

    #[test]
    fn addresses_shown_as_zero_are_told_with_the_remedy() {
        let hidden =
            "0000000000000000 t tw_timer_handler\n0000000000000000 t reqsk_timer_handler\n";
        let said = find(hidden).unwrap_err();
        assert!(said.contains("kptr_restrict") && said.contains("CAP_SYSLOG"), "{said}");
    }

    #[test]
    fn garbage_is_passed_over() {
        let text = format!("\n_timer_handler\nzz t tw_timer_handler\n\u{1}\u{2}\n{SAMPLE}");
        assert_eq!(find(&text), find(SAMPLE));
        let mut finder = Finder::default();
        assert!(!finder.feed(b"\xff\xfe_timer_handler\xff\n"));
    }

    #[test]
    fn a_name_cut_by_the_end_of_the_text_is_missing() {
        assert!(find("ffffffff82006070 t tw_timer_hand").is_err());
    }

    #[test]
    fn the_running_kernel_tells_both_or_says_why_not() {
        match timer_handlers() {
            Ok(found) => assert_ne!(found.timewait, found.request),
            Err(KallsymsError::Hidden) => eprintln!("SKIPPED: {}", KallsymsError::Hidden),
            Err(e) => panic!("{e}"),
        }
    }
}
