//! Header fields of a message as one value: one allocation however many there are, shared by the messages that have
//! the same ones.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Set in a digit of a length where more digits follow.
const MORE: u8 = 0x40;
const DIGIT_BITS: u32 = 6;

/// Header fields in order, each a name and a value. In JSON a list of pairs.
///
/// In a binary form it is nothing at all: what packs a message says beside it which fields it has ([`Headers::text`]).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Names and values by turns, each behind its length. A length is written in ASCII characters of six
    /// bits each, the lowest first, so that the whole is text and no length is too large.
    text: Arc<str>,
    count: usize,
}

impl Headers {
    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names and values, in order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.text, left: self.count }
    }

    /// The first value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.text.len()
    }

    /// Names and values by turns, each behind its length in digits of six bits, the lowest first: 0x40 is set in a
    /// digit where more digits follow.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Fields from [`Headers::text`]; `None` where that is not such a text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Headers> {
        let mut fields = Iter { rest: text, left: 0 };
        let mut count = 0;
        while !fields.rest.is_empty() {
            fields.piece()?;
            fields.piece()?;
            count += 1;
        }
        Some(Headers { text: text.into(), count })
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let mut builder = HeadersBuilder::default();
        for (name, value) in fields {
            builder.push(name.as_ref().as_bytes(), value.as_ref().as_bytes());
        }
        builder.finish()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Fields of [`Headers`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a str,
    left: usize,
}

impl<'a> Iter<'a> {
    fn piece(&mut self) -> Option<&'a str> {
        let (length, digits) = read_length(self.rest.as_bytes())?;
        let (piece, rest) = self.rest.get(digits..)?.split_at_checked(length)?;
        self.rest = rest;
        Some(piece)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let field = (self.piece()?, self.piece()?);
        self.left -= 1;
        Some(field)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Collects [`Headers`].
#[derive(Debug, Default)]
pub struct HeadersBuilder {
    bytes: Vec<u8>,
    count: usize,
}

impl HeadersBuilder {
    /// With room for so many bytes ([`HeadersBuilder::field_bytes`]).
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        HeadersBuilder { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    /// Bytes that a field takes.
    #[must_use]
    pub const fn field_bytes(name_bytes: usize, value_bytes: usize) -> usize {
        length_bytes(name_bytes) + name_bytes + length_bytes(value_bytes) + value_bytes
    }

    /// Appends a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.push_piece(name);
        self.push_piece(value);
        self.count += 1;
    }

    /// Appends a field, its name in lower case; gives that name.
    pub fn push_lowered(&mut self, name: &[u8], value: &[u8]) -> &[u8] {
        self.push_piece(name);
        let end = self.bytes.len();
        let start = end - name.len();
        lower(&mut self.bytes[start..]);
        self.push_piece(value);
        self.count += 1;
        &self.bytes[start..end]
    }

    /// The fields; bytes that are no UTF-8 are replaced by U+FFFD.
    #[must_use]
    pub fn finish(self) -> Headers {
        let HeadersBuilder { bytes, count } = self;
        let text = String::from_utf8(bytes).unwrap_or_else(|e| replace_invalid(e.as_bytes()));
        Headers { text: text.into(), count }
    }

    fn push_piece(&mut self, piece: &[u8]) {
        let mut length = piece.len();
        while length >= 1 << DIGIT_BITS {
            self.bytes.push(length as u8 & (MORE - 1) | MORE);
            length >>= DIGIT_BITS;
        }
        self.bytes.push(length as u8);
        self.bytes.extend_from_slice(piece);
    }
}

/// Eight bytes are lowered in one step, where one by one they take eight. What is lowered twice does not
/// change any more, so the last eight may overlap those before.
fn lower(name: &mut [u8]) {
    for eight in name.as_chunks_mut::<8>().0 {
        eight.make_ascii_lowercase();
    }
    match name.last_chunk_mut::<8>() {
        Some(eight) => eight.make_ascii_lowercase(),
        None => name.iter_mut().for_each(u8::make_ascii_lowercase),
    }
}

const fn length_bytes(length: usize) -> usize {
    match length {
        0..64 => 1,
        64..4096 => 2,
        _ => (length.ilog2() / DIGIT_BITS) as usize + 1,
    }
}

/// A length and how many digits it has.
fn read_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (i, &digit) in bytes.iter().enumerate() {
        let shift = DIGIT_BITS * u32::try_from(i).ok()?;
        length |= usize::from(digit & (MORE - 1)).checked_shl(shift)?;
        if digit & MORE == 0 {
            return Some((length, i + 1));
        }
    }
    None
}

/// Lengths are ASCII and stand between all pieces: what is invalid is so within one piece.
fn replace_invalid(bytes: &[u8]) -> String {
    let mut replaced = HeadersBuilder::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((length, digits)) = read_length(rest)
        && let Some((piece, behind)) = rest[digits..].split_at_checked(length)
    {
        replaced.push_piece(String::from_utf8_lossy(piece).as_bytes());
        rest = behind;
    }
    String::from_utf8_lossy(&replaced.bytes).into_owned()
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_seq(self) } else { s.serialize_unit() }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            d.deserialize_seq(Pairs)
        } else {
            <()>::deserialize(d).map(|()| Headers::default())
        }
    }
}

/// A field that need not be copied twice.
#[derive(Deserialize)]
struct Pair<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names and values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Headers, A::Error> {
        let mut builder = HeadersBuilder::default();
        while let Some(Pair(name, value)) = fields.next_element()? {
            builder.push(name.as_bytes(), value.as_bytes());
        }
        Ok(builder.finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
        let text = || prop_oneof![any::<String>(), "[a-z-]{0,20}", "[ -~]{60,70}", "x{4090,4100}"];
        proptest::collection::vec((text(), text()), 0..8)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(pairs in pairs()) {
            let headers: Headers = pairs.iter().map(|(n, v)| (n, v)).collect();
            let expected: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(headers.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!((headers.len(), headers.iter().len()), (pairs.len(), pairs.len()));
            let bytes = pairs.iter().map(|(n, v)| HeadersBuilder::field_bytes(n.len(), v.len()));
            prop_assert_eq!(headers.heap_bytes(), bytes.sum::<usize>());
        }

        #[test]
        fn in_json_they_are_a_list_of_pairs_of_strings(pairs in pairs()) {
            let headers: Headers = pairs.iter().map(|(n, v)| (n, v)).collect();
            let json = serde_json::to_string(&headers).unwrap();
            prop_assert_eq!(&json, &serde_json::to_string(&pairs).unwrap());
            prop_assert_eq!(&serde_json::from_str::<Headers>(&json).unwrap(), &headers);
            prop_assert!(postcard::to_stdvec(&headers).unwrap().is_empty());
        }

        #[test]
        fn their_text_reads_as_they_are(pairs in pairs()) {
            let headers: Headers = pairs.iter().map(|(n, v)| (n, v)).collect();
            prop_assert_eq!(Headers::from_text(headers.text()), Some(headers));
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            if let Some(headers) = Headers::from_text(&text) {
                prop_assert_eq!(headers.iter().count(), headers.len());
            }
        }

        #[test]
        fn bytes_that_are_no_utf8_are_replaced_piece_by_piece(
            pieces in proptest::collection::vec(any::<(Vec<u8>, Vec<u8>)>(), 0..5)
        ) {
            let mut builder = HeadersBuilder::default();
            pieces.iter().for_each(|(name, value)| builder.push(name, value));
            let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let expected: Vec<_> = pieces.iter().map(|(n, v)| (lossy(n), lossy(v))).collect();
            let headers = builder.finish();
            let found: Vec<_> =
                headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_first_of_equal_names_is_found() {
        let headers: Headers = [("a", "1"), ("b", "2"), ("b", "3")].into_iter().collect();
        assert_eq!((headers.get("b"), headers.get("c")), (Some("2"), None));
    }

    #[test]
    fn names_are_lowered_on_demand() {
        let mut builder = HeadersBuilder::default();
        assert_eq!(builder.push_lowered(b"X-Ab", b"Cd"), b"x-ab");
        assert_eq!(builder.finish().iter().collect::<Vec<_>>(), [("x-ab", "Cd")]);
    }
}
