//! Sets of ports, in the form in which the kernel side takes them.

use std::ops::RangeInclusive;

use tracer_common::WATCHED_PORT_WORDS;

/// A set of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet {
    /// Port `p` is bit `p % 64` of word `p / 64`.
    words: Box<[u64; WATCHED_PORT_WORDS]>,
}

impl PortSet {
    /// Every port, 0 included.
    #[must_use]
    pub fn all() -> PortSet {
        PortSet { words: Box::new([u64::MAX; WATCHED_PORT_WORDS]) }
    }

    /// The ports in `range`.
    #[must_use]
    pub fn of(range: RangeInclusive<u16>) -> PortSet {
        let mut words = Box::new([0; WATCHED_PORT_WORDS]);
        for port in range {
            words[usize::from(port / 64)] |= 1 << (port % 64);
        }
        PortSet { words }
    }

    /// Whether it leaves out no port.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.words.iter().all(|word| *word == u64::MAX)
    }

    /// Whether `port` is in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.words[usize::from(port / 64)] >> (port % 64) & 1 == 1
    }

    /// The ports that are in one of the two.
    #[must_use]
    pub fn or(mut self, other: &PortSet) -> PortSet {
        self.words.iter_mut().zip(&*other.words).for_each(|(word, other)| *word |= other);
        self
    }

    /// How many ports are in it, 0 included.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// See [`tracer_common::WATCHED_PORT_WORDS`].
    #[must_use]
    pub fn words(&self) -> &[u64; WATCHED_PORT_WORDS] {
        &self.words
    }
}

impl Default for PortSet {
    fn default() -> Self {
        PortSet::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_its_range_and_nothing_beside_it() {
        let set = PortSet::of(63..=128);
        let held: Vec<u16> = (0..=u16::MAX).filter(|port| set.contains(*port)).collect();
        assert_eq!(held, (63..=128).collect::<Vec<_>>());
        assert_eq!(set.len(), 66);
        assert!(!set.is_all());
        assert!(PortSet::of(0..=u16::MAX).is_all());
        assert_eq!(PortSet::default(), PortSet::all());
    }

    #[test]
    fn two_sets_together_hold_what_one_of_them_holds() {
        let both = PortSet::of(80..=80).or(&PortSet::of(65_535..=65_535));
        assert_eq!(both.len(), 2);
        assert!(both.contains(80) && both.contains(65_535));
    }
}
