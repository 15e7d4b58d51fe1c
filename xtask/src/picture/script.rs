//! What is played: which keys, when, and what is waited for.

use std::time::Duration;

use anyhow::{Result, bail};

use super::stage::{Screen, Stage};
use crate::shell::say;

const TAB: &str = "\t";
const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
/// So many keys down at most: more are tedious to watch.
const FIND_AMONG: usize = 10;

/// The demo for some twenty seconds, as a person looks around in it.
pub fn play(stage: &mut Stage) -> Result<()> {
    // Every scenario has begun by then, and the one whose ladder is shown begins three seconds later.
    stage.until("a screen full of connections", |screen| {
        let rows = connections(screen);
        rows.len() >= 24 && rows.iter().take(4).any(|row| row.contains("GET /bye"))
    })?;
    stage.record();
    stage.look(Duration::from_millis(3000))?;

    // One connection: the ladder.
    stage.until("a slow answer", |screen| {
        connections(screen).iter().take(FIND_AMONG).any(|row| is_slow_and_ended(row))
    })?;
    find(stage, "j", FIND_AMONG, is_slow_and_ended)?;
    stage.look(Duration::from_millis(500))?;
    stage.press("Enter", ENTER)?;
    stage.until("the ladder", |screen| screen.has("├─ SYN"))?;
    stage.look(Duration::from_millis(2000))?;
    stage.still();
    stage.look(Duration::from_millis(2500))?;
    stage.press("Esc", ESCAPE)?;
    stage.until("the table", |screen| !screen.has("├─ SYN"))?;
    stage.look(Duration::from_millis(400))?;
    // Without a selected row the table shows the youngest again.
    stage.press("Esc", ESCAPE)?;
    stage.until("no selected row", |screen| screen.selected().is_none())?;
    stage.look(Duration::from_millis(500))?;

    // The requests.
    stage.press("Tab", TAB)?;
    stage.until("the requests", |screen| screen.has("ROUTE"))?;
    stage.look(Duration::from_millis(2300))?;
    stage.press("s", "s")?;
    stage.until("the slowest request first", |screen| screen.has("TOTAL▼"))?;
    stage.look(Duration::from_millis(2800))?;

    // The groups.
    stage.press("Tab", TAB)?;
    stage.until("the groups", |screen| screen.has("PROCESS"))?;
    stage.look(Duration::from_millis(700))?;
    stage.press("b", "b")?;
    stage.until("the groups by host", |screen| screen.has("REMOTE HOST"))?;
    stage.look(Duration::from_millis(1500))?;
    stage.press("Tab", TAB)?;
    stage.until("the table", |screen| screen.has("VERDICT"))?;
    stage.look(Duration::from_millis(700))?;

    // The filter.
    stage.press("/", "/")?;
    stage.look(Duration::from_millis(700))?;
    // After the demo's own.
    stage.write("state:time_wait")?;
    stage.look(Duration::from_millis(1100))?;
    stage.press("Enter", ENTER)?;
    stage.until("only TIME_WAIT", |screen| {
        connections(screen).iter().all(|row| row.contains("TIME_WAIT"))
    })?;
    stage.look(Duration::from_millis(2600))?;
    if !stage.screen().has(" lost 0 ") {
        say("the film shows that events were lost: better play it again");
    }
    Ok(())
}

/// Presses `key` until the selected row is one that is looked for.
fn find(stage: &mut Stage, key: &str, most: usize, wanted: fn(&str) -> bool) -> Result<()> {
    for _ in 0..most {
        stage.press(key, key)?;
        stage.look(Duration::from_millis(170))?;
        if stage.screen().selected().is_some_and(|row| wanted(&row)) {
            return Ok(());
        }
    }
    bail!("no row like the one looked for is among the first {most}")
}

/// The rows of the table.
fn connections(screen: &Screen<'_>) -> Vec<String> {
    screen.rows().into_iter().filter(|row| is_connection(row)).collect()
}

/// A row of the table: it has an arrow between two addresses.
fn is_connection(row: &str) -> bool {
    let row = row.trim_start_matches(['▸', '!', ' ']);
    let state = row.split(' ').next().unwrap_or_default();
    let is_state = !state.is_empty()
        && state.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    is_state && (row.contains('→') || row.contains('←'))
}

/// The client's end of a connection that asked, waited for the answer, and closed.
fn is_slow_and_ended(row: &str) -> bool {
    is_connection(row)
        && row.contains("TIME_WAIT")
        && row.contains("GET /slow")
        && row.contains('→')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: &str = "▸ TIME_WAIT   58 s left tracer[26691]  127.0.0.1:38932 → ….84.67.80:37149 GET /bye            200   92 µs closed by us";

    #[test]
    fn rows_of_the_table_are_told_from_the_rest() {
        assert!(is_connection(ENDED));
        assert!(is_connection("  CLOSE  293 ms tracer[26691]  ….84.67.80:37149 ← 127.0.0.1:38944"));
        assert!(!is_connection("  STATE  AGE▲ OWNER  LOCAL  REMOTE"));
        assert!(!is_connection("┌ c10 tracer[1] 127.0.0.1:1 → 127.0.0.1:2 ──┐"));
        assert!(!is_connection(""));
    }

    #[test]
    fn the_slow_connection_is_found_once_it_has_ended() {
        let slow = ENDED.replace("/bye ", "/slow");
        assert!(is_slow_and_ended(&slow));
        assert!(!is_slow_and_ended(ENDED));
        assert!(!is_slow_and_ended(&slow.replace("TIME_WAIT", "ESTABLISHED")));
        assert!(!is_slow_and_ended(&slow.replace('→', "←")));
    }
}
