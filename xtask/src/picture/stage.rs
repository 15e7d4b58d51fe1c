//! Where the play takes place: keys go to the program, what it draws goes to the film.

use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    film::Film,
    frames::Frame,
    pty::{Output, Terminal},
};

/// Between looks while nothing is typed. What changes faster is not read anyway, and costs bytes.
const EVERY: Duration = Duration::from_millis(500);
/// A screen is whole when nothing more came for so long.
const SETTLED: Duration = Duration::from_millis(25);
/// How long the program may take to show what the play waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a key stays in the title bar.
const KEY_SHOWN: Duration = Duration::from_millis(1100);

/// The program on its terminal, and the film when it runs.
pub struct Stage {
    terminal: Terminal,
    parser: vt100::Parser,
    /// The beginning of a character whose end has not come yet.
    unread: Vec<u8>,
    /// When something was drawn last.
    drawn: Instant,
    camera: Option<Camera>,
    /// The key pressed last, and until when it is shown.
    key: Option<(String, Instant)>,
}

struct Camera {
    film: Film,
    start: Instant,
    next: Instant,
}

impl Stage {
    pub fn new(terminal: Terminal, (columns, rows): (u16, u16)) -> Result<Self> {
        let size = |cells| NonZeroU16::new(cells).context("a terminal without cells");
        let parser = vt100::Parser::new(size(rows)?, size(columns)?, 0);
        let (unread, drawn) = (Vec::new(), Instant::now());
        Ok(Self { terminal, parser, unread, drawn, camera: None, key: None })
    }

    /// From now on it is filmed.
    pub fn record(&mut self) {
        let now = Instant::now();
        self.camera = Some(Camera { film: Film::default(), start: now, next: now });
    }

    /// What is seen now is the one frame that a picture without motion shows.
    pub fn still(&mut self) {
        let frame = self.frame();
        if let Some(camera) = &mut self.camera {
            camera.film.take(camera.start.elapsed(), frame);
            camera.film.mark_still();
        }
    }

    /// Watches for a time.
    pub fn look(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step(end)?;
        }
        Ok(())
    }

    /// Watches until the screen shows something.
    pub fn until(&mut self, what: &str, shows: impl Fn(&Screen) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !(self.is_settled() && shows(&self.screen())) {
            if Instant::now() >= deadline {
                let (seconds, screen) = (PATIENCE.as_secs(), self.parser.screen().contents());
                bail!("{what}: not seen within {seconds} s; the screen shows\n{screen}");
            }
            self.step(deadline)?;
        }
        Ok(())
    }

    /// Presses a key that is called `name` and that terminals send as `code`.
    pub fn press(&mut self, name: &str, code: &str) -> Result<()> {
        self.key = Some((name.to_owned(), Instant::now() + KEY_SHOWN));
        self.terminal.write(code)?;
        // Until it is drawn: programs answer a key at once, or not at all.
        self.look(Duration::from_millis(80))?;
        if let Some(camera) = &mut self.camera {
            camera.next = Instant::now();
        }
        Ok(())
    }

    /// Types a text. Half of it means something else or nothing: only the whole is filmed.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let camera = self.camera.take();
        let typed = self.write_letters(text);
        self.camera = camera;
        typed
    }

    fn write_letters(&mut self, text: &str) -> Result<()> {
        for letter in text.chars() {
            self.terminal.write(letter.encode_utf8(&mut [0; 4]))?;
            self.look(Duration::from_millis(30))?;
        }
        Ok(())
    }

    pub fn screen(&self) -> Screen<'_> {
        Screen(self.parser.screen())
    }

    /// Ends the program; what was filmed.
    pub fn close(self) -> Result<Film> {
        self.terminal.end("q")?;
        let mut camera = self.camera.context("nothing was filmed")?;
        camera.film.end(camera.start.elapsed());
        Ok(camera.film)
    }

    /// Waits for what comes next, but not beyond `until`, and films.
    fn step(&mut self, until: Instant) -> Result<()> {
        const STEP: Duration = Duration::from_millis(10);
        let patience = until.saturating_duration_since(Instant::now()).min(STEP);
        match self.terminal.read(patience) {
            Output::Bytes(bytes) => {
                self.unread.extend(bytes);
                self.parser.process(&take_with_stand_ins(&mut self.unread));
                self.drawn = Instant::now();
            }
            Output::Nothing => {}
            Output::End => bail!("the program ended before its time"),
        }
        let now = Instant::now();
        if self.key.as_ref().is_some_and(|(_, end)| now >= *end) {
            self.key = None;
        }
        if self.is_settled() && self.camera.as_ref().is_some_and(|camera| now >= camera.next) {
            let frame = self.frame();
            if let Some(camera) = &mut self.camera {
                camera.film.take(now - camera.start, frame);
                camera.next = now + EVERY;
            }
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        self.drawn.elapsed() >= SETTLED
    }

    fn frame(&self) -> Frame {
        let key = self.key.as_ref().map(|(name, _)| name.clone());
        Frame::of(self.parser.screen(), key)
    }
}

/// All of `bytes` but a character that is cut off at the end. The emulator drops U+FFFD, which programs
/// write for what cannot be shown, and what follows would stand too far to the left: `?` stands for it.
fn take_with_stand_ins(bytes: &mut Vec<u8>) -> Vec<u8> {
    const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
    let cut = (1..REPLACEMENT.len()).find(|cut| bytes.ends_with(&REPLACEMENT[..*cut]));
    let rest = bytes.split_off(bytes.len() - cut.unwrap_or(0));
    let mut ready = std::mem::replace(bytes, rest);
    let find = |bytes: &[u8]| bytes.windows(REPLACEMENT.len()).position(|part| part == REPLACEMENT);
    while let Some(at) = find(&ready) {
        ready.splice(at..at + REPLACEMENT.len(), *b"?");
    }
    ready
}

/// The screen as a person reads it.
pub struct Screen<'a>(&'a vt100::Screen);

impl Screen<'_> {
    /// The rows as text.
    pub fn rows(&self) -> Vec<String> {
        let (_, columns) = self.0.size();
        self.0.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect()
    }

    pub fn has(&self, words: &str) -> bool {
        self.rows().iter().any(|row| row.contains(words))
    }

    /// The row that the cursor of the view is on.
    pub fn selected(&self) -> Option<String> {
        self.rows().into_iter().find(|row| row.starts_with('▸'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_emulator_drops_is_replaced_even_when_it_comes_in_parts() {
        let all = "a\u{fffd}b → c\u{fffd}".as_bytes();
        for cut in 0..=all.len() {
            let mut unread = Vec::new();
            let mut seen = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                unread.extend(part);
                seen.extend(take_with_stand_ins(&mut unread));
            }
            assert_eq!(String::from_utf8(seen).unwrap(), "a?b → c?", "cut at {cut}");
            assert!(unread.is_empty());
        }
    }
}
