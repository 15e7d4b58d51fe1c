//! Text from the network or from process names, made fit for a terminal.
//!
//! A terminal obeys control bytes and escape sequences, and bidirectional or invisible characters make text
//! read as something else than it is. Everything of that kind is replaced by a visible escape. Output that
//! is meant for machines (JSON lines) escapes the same characters in JSON's own way ([`crate::record::json`]).

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with every character that could act on a terminal or hide replaced by a visible escape.
///
/// Borrows where nothing needs replacing. Line breaks and tabs are replaced too: the result is one line.
/// A backslash stays as it is, so the result is for reading, not for parsing back.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if is_plain_ascii(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let Some(first) = text.find(is_hazard) else { return Cow::Borrowed(text) };
    let (head, tail) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(head);
    for c in tail.chars() {
        if is_hazard(c) { push_escape(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// [`printable`] line by line: line breaks stay. For texts of several lines that the program itself laid out.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && is_hazard(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(printable).collect::<Vec<_>>().join("\n"))
}

/// Whether every byte is a graphic ASCII character or a space: nothing to replace.
pub(crate) fn is_plain_ascii(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| (0x20..0x7f).contains(b))
}

/// Whether a terminal may act on `c`, reorder text because of it, or show nothing for it.
#[must_use]
pub fn is_hazard(c: char) -> bool {
    match c {
        '\u{20}'..='\u{7e}' => false,
        // C0 controls, DEL and C1 controls: U+009B alone begins an escape sequence on an 8-bit terminal.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        // Soft hyphen, grapheme joiner, and the fillers that are drawn as nothing.
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
        | '\u{ffa0}' => true,
        // Mongolian variation selectors and vowel separator.
        '\u{180b}'..='\u{180f}' => true,
        // Bidirectional marks, embeddings, overrides and isolates (Unicode Standard Annex 9).
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        // Zero-width characters, line and paragraph separators, invisible operators, deprecated format characters.
        '\u{200b}'..='\u{200d}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}' => true,
        // Variation selectors, byte order mark, interlinear annotation.
        '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        // Musical format characters, tags, variation selectors supplement.
        '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

fn push_escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a String cannot fail.
        _ if c.is_ascii() => _ = write!(out, "\\x{:02x}", u32::from(c)),
        _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escape_sequence_is_shown_not_obeyed() {
        assert_eq!(printable("\x1b[2Jgone"), "\\x1b[2Jgone");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(printable("a\0b\x7f"), "a\\x00b\\x7f");
    }

    #[test]
    fn line_breaks_cannot_forge_a_row() {
        assert_eq!(printable("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(printable("a\u{2028}b"), "a\\u{2028}b");
    }

    #[test]
    fn bidi_overrides_and_invisible_characters_become_visible() {
        assert_eq!(printable("user\u{202e}txt.exe"), "user\\u{202e}txt.exe");
        assert_eq!(printable("pay\u{200b}pal"), "pay\\u{200b}pal");
        assert_eq!(printable("a\u{e0041}"), "a\\u{e0041}");
    }

    #[test]
    fn text_in_any_script_passes_unchanged_and_uncopied() {
        for text in ["", "GET /index.html", "Grüße", "日本語", "שלום", "\\x1b is only text"]
        {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn laid_out_lines_keep_their_breaks() {
        assert_eq!(printable_lines("a\n\x1bb\n"), "a\n\\x1bb\n");
        assert!(matches!(printable_lines("a\nb"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_hazardous_is_left(text in any::<String>()) {
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(is_hazard));
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn safe_text_is_borrowed(text in "[ -~äß漢]{0,40}") {
            prop_assert!(matches!(printable(&text), Cow::Borrowed(_)));
        }
    }
}
