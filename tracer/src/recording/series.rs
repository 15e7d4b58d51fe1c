//! A recording in several files, one after the other.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Existing, WriteError, create};
use crate::time::Timestamp;

/// When a file is full. Without either, never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in it.
    pub bytes: Option<u64>,
    /// Time since it was begun, nanoseconds.
    pub age_ns: Option<u64>,
}

impl Limits {
    /// Whether a file that was begun then and has so many bytes is full.
    #[must_use]
    pub fn are_reached(&self, bytes: u64, begun: Timestamp, now: Timestamp) -> bool {
        self.bytes.is_some_and(|most| bytes >= most)
            || self.age_ns.is_some_and(|most| now.since_ns(begun) >= most)
    }

    /// Whether a file is ever full.
    #[must_use]
    pub const fn are_none(&self) -> bool {
        self.bytes.is_none() && self.age_ns.is_none()
    }
}

/// Files with numbers: of `run.trace` the first is `run.0001.trace`.
#[derive(Debug)]
pub struct Series {
    path: PathBuf,
    existing: Existing,
    /// Files to keep; the oldest goes when there is one more.
    keep: Option<usize>,
    made: VecDeque<PathBuf>,
    number: u32,
}

impl Series {
    /// A series without a file yet. What is there already is never counted, and removed only where `existing` says so
    /// and its name is wanted.
    #[must_use]
    pub const fn new(path: PathBuf, existing: Existing, keep: Option<usize>) -> Series {
        Series { path, existing, keep, made: VecDeque::new(), number: 0 }
    }

    /// Makes the next file, and removes the oldest of this series where that makes too many.
    ///
    /// # Errors
    /// [`WriteError::Exists`], [`WriteError::NotAFile`], [`WriteError::Create`].
    pub fn begin_next(&mut self) -> Result<(PathBuf, File), WriteError> {
        self.number += 1;
        let path = numbered(&self.path, self.number);
        let file = create(&path, self.existing)?;
        self.made.push_back(path.clone());
        while self.keep.is_some_and(|keep| self.made.len() > keep.max(1)) {
            let Some(oldest) = self.made.pop_front() else { break };
            if let Err(error) = fs::remove_file(&oldest) {
                log::warn!("cannot remove {}, the oldest recording: {error}", oldest.display());
            }
        }
        Ok((path, file))
    }
}

/// `run.trace` with 7: `run.0007.trace`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!(".{number:04}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_full_at_its_size_or_age() {
        let second = |n: u64| Timestamp(n * 1_000_000_000);
        let limits = Limits { bytes: Some(100), age_ns: Some(5_000_000_000) };
        assert!(!limits.are_reached(99, second(10), second(14)));
        assert!(limits.are_reached(100, second(10), second(11)));
        assert!(limits.are_reached(0, second(10), second(15)));
        assert!(!Limits::default().are_reached(u64::MAX, second(0), second(1_000_000)));
        assert!(Limits::default().are_none());
    }

    #[test]
    fn files_are_numbered_before_their_ending() {
        for (path, expected) in [
            ("run.trace", "run.0007.trace"),
            ("/a.b/run", "/a.b/run.0007"),
            ("a.tar.gz", "a.tar.0007.gz"),
        ] {
            assert_eq!(numbered(Path::new(path), 7), Path::new(expected));
        }
    }

    #[test]
    fn the_oldest_files_of_the_series_go_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("run.0000.trace");
        fs::write(&other, "precious").unwrap();
        let mut series = Series::new(folder.path().join("run.trace"), Existing::Refuse, Some(2));
        for _ in 0..5 {
            series.begin_next().unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["run.0000.trace", "run.0004.trace", "run.0005.trace"]);
    }

    #[test]
    fn a_file_that_is_there_already_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("run.0001.trace"), "precious").unwrap();
        let path = folder.path().join("run.trace");
        let refused = Series::new(path.clone(), Existing::Refuse, None).begin_next();
        assert!(matches!(refused, Err(WriteError::Exists { .. })));
        assert!(Series::new(path, Existing::Replace, None).begin_next().is_ok());
    }
}
