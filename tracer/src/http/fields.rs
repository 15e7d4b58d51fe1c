//! What the fields of a head are about, noted while it is parsed, so that nothing is looked for in vain.

use crate::record::redact;

/// The subjects of a head's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Subjects(u8);

impl Subjects {
    /// Whether a cache answered.
    pub const CACHE: Subjects = Subjects(1);
    /// What may be a secret.
    pub const SECRET: Subjects = Subjects(2);

    /// Adds those of a field; `name` in lower case.
    pub fn add(&mut self, name: &[u8]) {
        self.0 |= Subjects::of(name).0;
    }

    /// Whether a field is about `subject`.
    pub const fn has(self, subject: Subjects) -> bool {
        self.0 & subject.0 != 0
    }

    fn of(name: &[u8]) -> Subjects {
        match name {
            b"age" | b"x-cache" | b"x-cache-status" | b"x-proxy-cache" | b"cf-cache-status"
            | b"x-cache-hit" | b"x-varnish-cache" | b"cache-status" | b"x-varnish" => {
                Subjects::CACHE
            }
            _ if redact::may_hold_secret(name) => Subjects::SECRET,
            _ => Subjects::default(),
        }
    }
}
