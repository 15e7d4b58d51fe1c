//! The input of a fuzz target as a series of choices: a target that builds valid input makes each
//! of its decisions with one. Where the bytes end, every further choice is the first one.

/// See the module.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// The choices that `bytes` make.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Choices(bytes)
    }

    /// Whether every byte has been used.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `bytes` bytes, fewer where the input ends before.
    pub fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The next byte, `None` at the end.
    pub fn next(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    /// A number below `count`, which is at most 256.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.next().unwrap_or(0)) % count
    }

    /// One of `all`, which is not empty.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
