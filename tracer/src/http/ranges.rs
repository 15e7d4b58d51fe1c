//! Ranges of a stream that some packet covered.

use super::moment::Moment;

/// Ranges kept apart at once; more than so many holes are not worth telling apart.
const MAX_RANGES: usize = 128;

/// A covered range, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub start: u64,
    pub end: u64,
    /// When the first packet of it passed.
    pub at: Moment,
}

/// Sorted ranges that neither overlap nor touch.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<Range>);

impl Ranges {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn first(&self) -> Option<&Range> {
        self.0.first()
    }

    /// Adds a range; false where there was no room for one more.
    pub fn add(&mut self, start: u64, end: u64, at: Moment) -> bool {
        if start >= end {
            return true;
        }
        let from = self.0.partition_point(|r| r.end < start);
        let to = self.0.partition_point(|r| r.start <= end);
        if from == to {
            if self.0.len() == MAX_RANGES {
                return false;
            }
            self.0.insert(from, Range { start, end, at });
            return true;
        }
        let merged = Range {
            start: start.min(self.0[from].start),
            end: end.max(self.0[to - 1].end),
            at: self.0[from..to].iter().map(|r| r.at).fold(at, Moment::min),
        };
        self.0[from] = merged;
        self.0.drain(from + 1..to);
        true
    }

    /// Forgets what lies before `position`.
    pub fn trim(&mut self, position: u64) {
        let gone = self.0.iter().take_while(|r| r.end <= position).count();
        if gone > 0 {
            self.0.drain(..gone);
        }
        if let Some(first) = self.0.first_mut() {
            first.start = first.start.max(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn moment(at_ns: u64) -> Moment {
        Moment { at: Timestamp(at_ns), opposite_end: 0 }
    }

    fn listed(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges.0.iter().map(|r| (r.start, r.end)).collect()
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        let mut ranges = Ranges::default();
        for (start, end) in [(10, 20), (30, 40), (50, 60), (20, 30), (5, 5), (0, 2)] {
            ranges.add(start, end, moment(start));
        }
        assert_eq!(listed(&ranges), [(0, 2), (10, 40), (50, 60)]);
        ranges.add(1, 55, moment(99));
        assert_eq!(listed(&ranges), [(0, 60)]);
        assert_eq!(ranges.first().unwrap().at, moment(0));
    }

    #[test]
    fn trimming_cuts_the_first_range() {
        let mut ranges = Ranges::default();
        ranges.add(0, 10, moment(1));
        ranges.add(20, 30, moment(2));
        ranges.trim(5);
        assert_eq!(listed(&ranges), [(5, 10), (20, 30)]);
        ranges.trim(30);
        assert!(ranges.is_empty());
    }

    #[test]
    fn the_number_of_ranges_is_bounded() {
        let mut ranges = Ranges::default();
        let added = (0..1000).filter(|i| ranges.add(i * 10, i * 10 + 1, moment(0))).count();
        assert_eq!(added, MAX_RANGES);
    }
}
