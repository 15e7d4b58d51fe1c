//! What the load generators and the contenders say at their end.

use serde_json::Value;

use super::stats::percentile;

/// ab's own account of a run.
#[derive(Debug, PartialEq)]
pub struct Ab {
    pub requests: u64,
    pub failed: u64,
    pub seconds: f64,
}

/// None where a line is missing.
pub fn ab(text: &str) -> Option<Ab> {
    Some(Ab {
        requests: after(text, "Complete requests:")?.parse().ok()?,
        failed: after(text, "Failed requests:")?.parse().ok()?,
        seconds: after(text, "Time taken for tests:")?.parse().ok()?,
    })
}

/// The word that follows `label`.
fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    text.split_once(label)?.1.split_whitespace().next()
}

/// wrk's own account of a run.
#[derive(Debug, PartialEq)]
pub struct Wrk {
    pub requests: u64,
    pub per_second: f64,
}

/// None where a line is missing, or where wrk tells of errors: such a run measures something else.
pub fn wrk(text: &str) -> Option<Wrk> {
    if text.contains("Socket errors:") || text.contains("Non-2xx") {
        return None;
    }
    let (before, _) = text.split_once(" requests in ")?;
    Some(Wrk {
        requests: before.split_whitespace().next_back()?.parse().ok()?,
        per_second: after(text, "Requests/sec:")?.parse().ok()?,
    })
}

/// Requests per second in h2load's closing lines, the failed ones left out.
pub fn h2load_per_second(text: &str) -> Option<f64> {
    let (before, _) = text.split_once(" req/s")?;
    before.split_whitespace().next_back()?.parse().ok()
}

/// Figures from h2load's log: a line per request of start, status and duration in µs.
#[derive(Debug, PartialEq)]
pub struct H2Log {
    pub requests: u64,
    pub failed: u64,
    pub p99_us: u64,
}

/// None where no request succeeded.
pub fn h2load_log(text: &str) -> Option<H2Log> {
    let mut durations_us = Vec::new();
    let mut failed = 0;
    for line in text.lines() {
        let mut columns = line.split('\t');
        match (columns.nth(1), columns.next().and_then(|duration| duration.parse().ok())) {
            (Some("200"), Some(duration_us)) => durations_us.push(duration_us),
            _ => failed += 1,
        }
    }
    let p99_us = percentile(&mut durations_us, 99)?;
    Some(H2Log { requests: durations_us.len() as u64, failed, p99_us })
}

/// Bits per second that iperf3's server received, from the client's `--json`.
pub fn iperf3(text: &str) -> Option<f64> {
    let report: Value = serde_json::from_str(text).ok()?;
    report["end"]["sum_received"]["bits_per_second"].as_f64()
}

/// Events that `tracer record` says it lost, in its closing line.
pub fn tracer_lost(stderr: &str) -> Option<u64> {
    lost_in_line_of(stderr, "recorded: ")
}

/// Likewise `tracer drain`.
pub fn drain_lost(stdout: &str) -> Option<u64> {
    lost_in_line_of(stdout, "drained: ")
}

fn lost_in_line_of(text: &str, words: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.contains(words))?;
    let (before, _) = line.split_once(" events lost")?;
    before.split_whitespace().next_back()?.parse().ok()
}

/// Events that a tool of libbpf or bpftrace says it lost, in all its lines together: `lost 12 events on
/// CPU #0!`, `Lost 12 events`.
pub fn lost_events(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| {
        let (before, _) = line.split_once(" events")?;
        let mut words = before.split_whitespace().rev();
        let count = words.next()?.parse::<u64>().ok()?;
        words.next()?.eq_ignore_ascii_case("lost").then_some(count)
    });
    lines.sum()
}

/// tcpdump's closing lines.
#[derive(Debug, PartialEq)]
pub struct Tcpdump {
    pub captured: u64,
    pub dropped: u64,
}

/// None where a line is missing.
pub fn tcpdump(stderr: &str) -> Option<Tcpdump> {
    let before = |label: &str| -> Option<u64> {
        let (before, _) = stderr.split_once(label)?;
        before.split_whitespace().next_back()?.parse().ok()
    };
    Some(Tcpdump {
        captured: before(" packets captured").or_else(|| before(" packet captured"))?,
        dropped: before(" packets dropped by kernel")
            .or_else(|| before(" packet dropped by kernel"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ab_is_read_and_half_of_its_report_is_not() {
        let text = "Concurrency Level:      8\nTime taken for tests:   5.404 seconds\n\
                    Complete requests:      20000\nFailed requests:        3\n";
        assert_eq!(ab(text), Some(Ab { requests: 20000, failed: 3, seconds: 5.404 }));
        assert_eq!(ab("Complete requests: 7"), None);
    }

    #[test]
    fn wrk_is_read_unless_it_met_errors() {
        let text = "  1 threads and 16 connections\n  Thread Stats   Avg      Stdev     Max\n\
                    \x20 338612 requests in 3.00s, 143.70MB read\nRequests/sec: 112870.21\n";
        assert_eq!(wrk(text), Some(Wrk { requests: 338_612, per_second: 112_870.21 }));
        let broken = format!("{text}  Socket errors: connect 0, read 5, write 0, timeout 0\n");
        assert_eq!(wrk(&broken), None);
    }

    #[test]
    fn h2load_says_its_rate() {
        let text = "finished in 1.01s, 98211.00 req/s, 40.65MB/s\nrequests: 98211 total\n";
        assert_eq!(h2load_per_second(text), Some(98211.0));
        assert_eq!(h2load_per_second("starting benchmark..."), None);
    }

    #[test]
    fn failed_requests_of_h2load_are_counted_and_do_not_count_as_fast() {
        let mut log: String = (1..=100).map(|n| format!("1700000000000000\t200\t{n}\n")).collect();
        log += "1700000000000000\t-1\t0\n";
        assert_eq!(h2load_log(&log), Some(H2Log { requests: 100, failed: 1, p99_us: 99 }));
        assert_eq!(h2load_log("1\t-1\t0\n"), None);
    }

    #[test]
    fn iperf3_is_read_by_what_arrived() {
        let text = r#"{"end":{"sum_sent":{"bits_per_second":3e9},"sum_received":{"bits_per_second":2.5e9}}}"#;
        assert_eq!(iperf3(text), Some(2.5e9));
        assert_eq!(iperf3(r#"{"error":"unable to connect"}"#), None);
    }

    #[test]
    fn the_closing_line_of_a_recording_tells_the_loss() {
        let text = "a warning\nrecorded: 36004 connections, 35982 exchanges, 398873 records, \
                    57194 events lost, in r.trc\n";
        assert_eq!(tracer_lost(text), Some(57194));
        assert_eq!(tracer_lost("tracer: no such thing"), None);
        assert_eq!(drain_lost("drains\ndrained: 57212 events taken, 3 events lost\n"), Some(3));
        assert_eq!(drain_lost("drains\n"), None);
    }

    #[test]
    fn lines_about_lost_events_are_added_up() {
        assert_eq!(lost_events("lost 12 events on CPU #0!\nLost 3 events\nab 80 9 1 -> 2\n"), 15);
        assert_eq!(lost_events("recorded: 3 events"), 0);
    }

    #[test]
    fn tcpdump_is_read_in_singular_too() {
        let text = "listening on lo\n1 packet captured\n24 packets received by filter\n\
                    12 packets dropped by kernel\n";
        assert_eq!(tcpdump(text), Some(Tcpdump { captured: 1, dropped: 12 }));
    }
}
