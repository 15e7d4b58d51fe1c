//! Frames with their times; only those that differ from the one before.

use std::time::Duration;

use super::frames::Frame;

#[derive(Default)]
pub struct Film {
    shots: Vec<Shot>,
    length: Duration,
    still: usize,
}

/// A frame, and from when on it is seen.
pub struct Shot {
    pub at: Duration,
    pub frame: Frame,
}

impl Film {
    /// The screen at a time. What is seen first is seen from the beginning.
    pub fn take(&mut self, at: Duration, frame: Frame) {
        let at = if self.shots.is_empty() { Duration::ZERO } else { at };
        self.length = self.length.max(at);
        if self.shots.last().is_none_or(|last| last.frame != frame) {
            self.shots.push(Shot { at, frame });
        }
    }

    /// The frame taken last is the one that is shown where nothing moves.
    pub fn mark_still(&mut self) {
        self.still = self.shots.len().saturating_sub(1);
    }

    /// The last frame is seen until then.
    pub fn end(&mut self, at: Duration) {
        self.length = self.length.max(at);
    }

    pub fn shots(&self) -> &[Shot] {
        &self.shots
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    /// Which of the shots is shown where nothing moves.
    pub fn still(&self) -> usize {
        self.still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(key: &str) -> Frame {
        Frame { columns: 1, rows: Vec::new(), key: Some(key.to_owned()) }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn equal_frames_in_a_row_are_one() {
        let mut film = Film::default();
        for (at, key) in [(10, "a"), (20, "a"), (30, "b"), (40, "a")] {
            film.take(ms(at), frame(key));
        }
        film.end(ms(100));
        let seen: Vec<_> = film.shots().iter().map(|shot| shot.at.as_millis()).collect();
        assert_eq!(seen, [0, 30, 40]);
        assert_eq!(film.length(), ms(100));
    }

    #[test]
    fn the_still_is_the_frame_taken_last() {
        let mut film = Film::default();
        film.take(ms(0), frame("a"));
        film.take(ms(5), frame("b"));
        film.mark_still();
        film.take(ms(9), frame("c"));
        assert_eq!(film.still(), 1);
    }
}
