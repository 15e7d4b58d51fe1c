//! How the figures were made.

use std::fmt::Write as _;

use super::{Preface, Results, Table};
use crate::bench::contender::{CONTENDERS, ONE_LINER};

/// The last section of the document.
pub fn method(out: &mut String, preface: &Preface, results: &Results) {
    out.push_str("## Method\n\n");
    let pairs = || results.cells.iter().flat_map(|cell| &cell.pairs);
    let (all, disturbed) = (pairs().count(), pairs().filter(|pair| pair.is_disturbed()).count());
    let _ = write!(
        out,
        "- Each run has a network namespace of its own, with loopback only: it meets no TIME_WAIT of the run before, and the kernel's \
           counters begin at 0. The rounds go through all loads and contenders, one pair each; in every second round the traced run \
           comes first. Before a run the processors are given up to 1.5 s to become idle. In {disturbed} of {all} pairs other programs, or other \
           guests of the machine below, took more than 15 % of the processors' time: these are made again while there is time, \
           count for completeness, and for the other figures only where a contender has no others (marked *).\n\
         - A contender is waited for until it watches. It is ended by Ctrl-C once it has worked off what the load left it (*behind*), for \
           which it has some seconds; if it does not end then, it is killed.\n\
         - *Happened* are requests by the load generator's own count, connections (`ActiveOpens`, `PassiveOpens`) and packets (`lo`) by \
           the kernel's, and ten state changes for each connection, five at each end. Both ends are on this host, so a connection has two \
           ends and each exchange is told twice. Of tracer count connections with a whole life (no state missed, nothing lost) and \
           exchanges of which both messages are complete; of tcpstates and bpftrace lines, of tcplife a line per end, of tshark a line per \
           HTTP message, of tcpdump what it says it captured. Given is the worst run. More than 1 means more state changes than ten: a \
           connection that ended in another way.\n\
         - *Processor time for the same work* is that of client, server and contender together for each request (for each bit in \
           transfers) while the load runs, against the untraced run's. Other programs change it far less than the \
           throughput, so it is of all pairs.\n\
         - *Lost* is what the contender itself admits, in all runs together.\n\
         - Own processor time is that of the contender's processes from when it watches to its end. What its hooks take in the kernel is \
           paid by the traced programs: it shows in the throughput. Memory is the greatest of all runs, the other \
           figures are medians.\n\
         - The empty programs show what the hooks themselves cost: two instructions, nobody who reads. Hooks that run seldom (accept, \
           repeated segments, resets, processes) have none.\n\
         - The live view draws on a terminal that is read and thrown away. What it saw cannot be counted.\n\
         - Left out: contenders that see nothing of a load (tcpstates, tcplife and bpftrace where connections are kept), tracer's JSON \
           lines at a fixed rate and in transfers.\n\n"
    );
    let mut table = Table::new(&["contender", "what is run"]);
    for contender in &CONTENDERS {
        table.row(vec![contender.name.into(), contender.what.into()]);
    }
    table.write(out);
    let _ = write!(out, "The one-liner: `{ONE_LINER}`\n\n");
    for version in &preface.versions {
        let _ = writeln!(out, "- {version}");
    }
    if !results.failures.is_empty() {
        out.push_str("\nNot measured:\n\n");
    }
    for failure in &results.failures {
        let _ = writeln!(out, "- {failure}");
    }
}
