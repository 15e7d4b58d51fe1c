//! How many records of each kind a recording has, for forms that cannot hold them all.

use crate::record::Record;

/// What kind of record one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the records")]
pub enum Kind {
    Host,
    Transition,
    Segment,
    Exchange,
    Connection,
    Loss,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 6;

    /// The kind of `record`.
    #[must_use]
    pub const fn of(record: &Record) -> Kind {
        match record {
            Record::Host(_) => Kind::Host,
            Record::Transition(_) => Kind::Transition,
            Record::Segment(_) => Kind::Segment,
            Record::Exchange(_) => Kind::Exchange,
            Record::Connection(_) => Kind::Connection,
            Record::Loss(_) => Kind::Loss,
        }
    }

    /// Its `type` in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Host => "host",
            Kind::Transition => "transition",
            Kind::Segment => "segment",
            Kind::Exchange => "exchange",
            Kind::Connection => "connection",
            Kind::Loss => "loss",
        }
    }
}

/// Records of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Kind::COUNT]);

impl Counts {
    /// Counts a record.
    pub fn count(&mut self, record: &Record) {
        let count = &mut self.0[Kind::of(record) as usize];
        *count = count.saturating_add(1);
    }

    /// How many of a kind were counted.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::examples;

    #[test]
    fn each_kind_is_counted_by_itself() {
        let mut counts = Counts::default();
        examples().iter().flatten().for_each(|record| counts.count(record));
        let of = |kind| counts.of(kind);
        assert_eq!((of(Kind::Host), of(Kind::Transition), of(Kind::Segment)), (2, 3, 2));
        assert_eq!((of(Kind::Exchange), of(Kind::Connection), of(Kind::Loss)), (2, 2, 1));
    }
}
