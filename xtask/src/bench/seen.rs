//! Completeness: what a contender told of, against what happened.

use std::{
    collections::HashMap,
    fs::File,
    ops::RangeInclusive,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{load::Outcome, parse, proc::Counters};
use crate::shell::{describe, for_each_line};

/// State changes of one connection that `inet_sock_set_state` tells of, both ends together: five each,
/// LISTEN -> SYN_RECV among them.
pub const TRANSITIONS_OF_A_CONNECTION: u64 = 10;

/// What happened in a run, as the load generator and the kernel counted it.
pub struct Happened {
    pub outcome: Outcome,
    pub counters: Counters,
}

/// One kind of thing: how many a contender told of, and how many there were.
#[derive(Clone, Debug, PartialEq)]
pub struct Completeness {
    pub what: &'static str,
    pub seen: u64,
    /// A range, where the load generator stopped in the middle of requests.
    pub happened: RangeInclusive<u64>,
}

impl Completeness {
    fn new(what: &'static str, seen: u64, happened: u64) -> Self {
        Self { what, seen, happened: happened..=happened }
    }

    /// Seen / happened; None where nothing happened.
    pub fn ratio(&self) -> Option<f64> {
        if self.happened.contains(&self.seen) {
            return (self.seen > 0).then_some(1.0);
        }
        let bound = self.seen.clamp(*self.happened.start(), *self.happened.end());
        (bound > 0).then(|| self.seen as f64 / bound as f64)
    }
}

impl Happened {
    pub fn connections(&self) -> u64 {
        self.counters.active_opens
    }

    pub fn transitions(&self) -> u64 {
        self.connections() * TRANSITIONS_OF_A_CONNECTION
    }

    /// A reset leaves out up to four changes at each end.
    fn transition_range(&self) -> RangeInclusive<u64> {
        let all = self.transitions();
        all.saturating_sub(self.counters.resets * 8)..=all
    }

    /// Requests with their responses, each told `times` times.
    fn exchanges(&self, times: u64) -> RangeInclusive<u64> {
        let Outcome { requests, under_way, .. } = self.outcome;
        requests * times..=(requests + under_way) * times
    }
}

/// What tracer told of one network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Ends of connections whose whole life was told.
    pub ends: u64,
    pub transitions: u64,
    /// Exchanges, both messages of them complete.
    pub exchanges: u64,
}

impl Told {
    /// Against what happened; without `http`, exchanges are not expected.
    pub fn against(self, happened: &Happened, http: bool) -> Vec<Completeness> {
        let mut found = vec![Completeness::new("connections", self.ends, happened.counters.ends())];
        // The changes of a connection that is open at the end of a run are fewer.
        if happened.outcome.under_way == 0 && happened.outcome.requests > 0 {
            let happened = happened.transition_range();
            found.push(Completeness { what: "transitions", seen: self.transitions, happened });
        }
        if http && happened.outcome.requests > 0 {
            let happened = happened.exchanges(2);
            found.push(Completeness { what: "exchanges", seen: self.exchanges, happened });
        }
        found
    }
}

/// Counts tracer's JSON lines of one network namespace. A connection's line, which alone names its
/// namespace, comes after all others of it.
pub struct Tally {
    namespace: String,
    open: HashMap<u64, Told>,
    pub told: Told,
    pub lost: u64,
}

impl Tally {
    pub fn new(namespace: u32) -> Self {
        Self {
            namespace: format!("\"netns\":{namespace},"),
            open: HashMap::new(),
            told: Told::default(),
            lost: 0,
        }
    }

    /// Lines are looked at by their fixed first fields: there are hundreds of thousands.
    pub fn take(&mut self, line: &str) {
        let Some((kind, rest)) = split_kind(line) else { return };
        match kind {
            // The end of TIME_WAIT comes a minute later, or never in a run.
            "transition" if !rest.contains("\"from\":\"TIME_WAIT\"") => {
                self.of(rest, |told| told.transitions += 1);
            }
            "exchange" if rest.contains("\"complete\":true") => {
                self.of(rest, |told| told.exchanges += 1);
            }
            "connection" => self.take_connection(rest),
            "loss" => self.lost += number_behind(rest, "\"events\":").unwrap_or(0),
            _ => {}
        }
    }

    fn of(&mut self, rest: &str, count: impl FnOnce(&mut Told)) {
        if let Some(id) = number_behind(rest, "\"conn\":\"c") {
            count(self.open.entry(id).or_default());
        }
    }

    fn take_connection(&mut self, rest: &str) {
        let id = number_behind(rest, "\"id\":\"c").unwrap_or(u64::MAX);
        let told = self.open.remove(&id).unwrap_or_default();
        if !rest.contains(&self.namespace) {
            return;
        }
        // A state that was passed through unseen stands there without its time.
        let whole = rest.contains("\"lost_events\":0") && !rest.contains("\"at\":null");
        self.told.ends += u64::from(whole);
        self.told.transitions += told.transitions;
        self.told.exchanges += told.exchanges;
    }
}

fn split_kind(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("{\"type\":\"")?.split_once('"')
}

fn number_behind(text: &str, label: &str) -> Option<u64> {
    let (_, rest) = text.split_once(label)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Counts the JSON lines in a file.
pub fn tally_file(file: &Path, namespace: u32) -> Result<Tally> {
    let mut tally = Tally::new(namespace);
    let open = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    for_each_line(open, |line| tally.take(line))?;
    Ok(tally)
}

/// Counts the JSON lines that `tracer export` makes of a recording.
pub fn tally_recording(tracer: &Path, file: &Path, namespace: u32) -> Result<Tally> {
    let mut tally = Tally::new(namespace);
    let mut command = Command::new(tracer);
    command.arg("export").arg(file).args(["--to", "jsonl"]).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {}", describe(&command)))?;
    let stdout = child.stdout.take().context("no pipe from tracer")?;
    for_each_line(stdout, |line| tally.take(line))?;
    let status = child.wait().context("waiting for tracer export")?;
    if !status.success() {
        bail!("{} failed ({status})", describe(&command));
    }
    Ok(tally)
}

/// Lines of a file that have `mark` in them.
fn lines_with(file: &Path, mark: &str) -> Result<u64> {
    let mut count = 0;
    let open = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    for_each_line(open, |line| count += u64::from(line.contains(mark)))?;
    Ok(count)
}

/// Of a tool that prints a line per state change, ports as words of their own.
pub fn of_transition_lines(file: &Path, port: u16, happened: &Happened) -> Result<Completeness> {
    let seen = lines_with(file, &format!(" {port} "))?;
    Ok(Completeness { what: "transitions", seen, happened: happened.transition_range() })
}

/// Of a tool that prints a line per end of a connection that is over.
pub fn of_connection_lines(file: &Path, port: u16, happened: &Happened) -> Result<Completeness> {
    let seen = lines_with(file, &format!(" {port} "))?;
    Ok(Completeness::new("connections", seen, happened.counters.ends()))
}

/// Of a tool that prints a line per HTTP message.
pub fn of_http_lines(file: &Path, happened: &Happened) -> Result<Completeness> {
    let seen = lines_with(file, " HTTP ")?;
    Ok(Completeness { what: "HTTP messages", seen, happened: happened.exchanges(2) })
}

/// Of tcpdump, by its own closing lines.
pub fn of_packets(stderr: &str, happened: &Happened) -> Result<Completeness> {
    let said = parse::tcpdump(stderr).with_context(|| format!("tcpdump said {stderr}"))?;
    Ok(Completeness::new("packets", said.captured, happened.counters.packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(requests: u64, under_way: u64, connections: u64) -> Happened {
        let outcome = Outcome { score: 0.0, requests, under_way, seconds: 1.0 };
        let (active_opens, passive_opens) = (connections, connections);
        let counters = Counters { active_opens, passive_opens, ..Counters::default() };
        Happened { outcome, counters }
    }

    #[test]
    fn complete_is_exactly_one() {
        assert_eq!(Completeness::new("packets", 7, 7).ratio(), Some(1.0));
        assert_eq!(Completeness::new("packets", 3, 4).ratio(), Some(0.75));
        assert_eq!(Completeness::new("packets", 5, 4).ratio(), Some(1.25));
        assert_eq!(Completeness::new("packets", 0, 0).ratio(), None);
        assert_eq!(Completeness::new("packets", 0, 5).ratio(), Some(0.0));
    }

    #[test]
    fn requests_under_way_at_the_end_may_be_told_or_not() {
        let told = |exchanges| Told { ends: 32, exchanges, ..Told::default() };
        let ratio = |exchanges| {
            let found = told(exchanges).against(&happened(100, 16, 16), true);
            assert_eq!(found.len(), 2, "{found:?}");
            found[1].ratio()
        };
        assert_eq!(ratio(200), Some(1.0));
        assert_eq!(ratio(232), Some(1.0));
        assert_eq!(ratio(150), Some(0.75));
        assert!(ratio(233).unwrap() > 1.0);
    }

    #[test]
    fn only_lines_of_the_namespace_and_whole_lives_count() {
        let mut tally = Tally::new(7);
        let life = |id, namespace, lost| {
            format!(
                r#"{{"type":"connection","id":"c{id}","netns":{namespace},"opened_at":"t","states":[{{"state":"CLOSE","at":"t"}}],"exchanges":1,"lost_events":{lost}}}"#
            )
        };
        for line in [
            r#"{"type":"host","schema":1}"#,
            r#"{"type":"transition","conn":"c1","at":"t","from":"CLOSE","to":"SYN_SENT"}"#,
            r#"{"type":"transition","conn":"c12","at":"t","from":"CLOSE","to":"SYN_SENT"}"#,
            r#"{"type":"transition","conn":"c1","at":"t","from":"TIME_WAIT","to":"CLOSE"}"#,
            r#"{"type":"exchange","conn":"c1","number":1,"complete":true,"missing_bytes":0}"#,
            r#"{"type":"exchange","conn":"c1","number":2,"complete":false,"missing_bytes":9}"#,
            &life(1, 7, 0),
            &life(12, 77, 0),
            &life(3, 7, 2),
            r#"{"type":"loss","at":"t","hook":"state","events":12}"#,
            "no JSON at all",
        ] {
            tally.take(line);
        }
        assert_eq!(tally.told, Told { ends: 1, transitions: 1, exchanges: 1 });
        assert_eq!(tally.lost, 12);
    }
}
