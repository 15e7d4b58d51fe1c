//! JSON inside of a page.

use std::io::{self, Write};

/// Writes JSON so that it means the same inside of a `<script>`, and cannot end it: the characters that HTML gives a
/// meaning to only stand in JSON's strings, where they may be written as `\u` escapes. Line separators, which are no
/// JSON to older readers, [`crate::record::json`] has escaped before.
pub struct Escaping<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl<'a> Escaping<'a> {
    /// Writes to `out`.
    pub fn new(out: &'a mut dyn Write) -> Escaping<'a> {
        Escaping { out, bytes: 0 }
    }

    /// Bytes of JSON written so far, before escaping.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Write for Escaping<'_> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        let mut rest = json;
        while let Some(at) = memchr::memchr3(b'<', b'>', b'&', rest) {
            let (plain, special) = rest.split_at(at);
            self.out.write_all(plain)?;
            write!(self.out, "\\u{:04x}", special[0])?;
            rest = &special[1..];
        }
        self.out.write_all(rest)?;
        self.bytes = self.bytes.saturating_add(json.len() as u64);
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::json;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        json::write_safely(&text, &mut Escaping::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_html_knows_is_left() {
        assert_eq!(escaped("</script>&"), r#""\u003c/script\u003e\u0026""#);
        assert_eq!(escaped("\u{2028}\u{2029}"), r#""\u2028\u2029""#);
    }

    proptest! {
        #[test]
        fn whatever_a_text_holds_it_reads_back_and_stays_inside(text in any::<String>()) {
            let written = escaped(&text);
            let is_special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
            prop_assert!(!written.chars().any(is_special), "{}", written);
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
