//! A time that may be unknown, in eight bytes: there are up to a million lives with ten of them each.

use crate::time::Timestamp;

/// `Option<Timestamp>` in half its size. The last nanosecond of the 64-bit range, in the year 2554, stands for unknown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Moment {
    pub const UNKNOWN: Moment = Moment(u64::MAX);

    pub const fn at(at: Timestamp) -> Self {
        Moment(at.0)
    }

    pub const fn get(self) -> Option<Timestamp> {
        if self.0 == u64::MAX { None } else { Some(Timestamp(self.0)) }
    }

    pub const fn is_known(self) -> bool {
        self.0 != u64::MAX
    }
}

impl From<Option<Timestamp>> for Moment {
    fn from(at: Option<Timestamp>) -> Self {
        at.map_or(Moment::UNKNOWN, Moment::at)
    }
}

impl Default for Moment {
    fn default() -> Self {
        Moment::UNKNOWN
    }
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}
