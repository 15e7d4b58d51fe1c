//! The forms that what is shown can be exported to, and their keys.

use crate::export::Format;

/// A form with its key and its name, in the order in which they are offered. The first is what Enter takes.
pub const FORMS: [(char, Format, &str); Format::ALL.len()] = [
    ('j', Format::Jsonl, "JSON lines"),
    ('c', Format::Csv, "CSV"),
    ('h', Format::Har, "HAR"),
    ('p', Format::Perfetto, "Perfetto"),
    ('w', Format::Pcapng, "pcapng"),
    ('b', Format::Html, "a page"),
];

/// The form of a key.
#[must_use]
pub fn by_key(letter: char) -> Option<Format> {
    FORMS.iter().find(|(key, ..)| *key == letter).map(|(_, form, _)| *form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_a_key_of_its_own() {
        for form in Format::ALL {
            let keys: Vec<char> =
                FORMS.iter().filter(|(_, is, _)| *is == form).map(|(key, ..)| *key).collect();
            assert_eq!(keys.len(), 1, "{form:?}");
            assert_eq!(by_key(keys[0]), Some(form));
        }
    }
}
