//! What is run, how often, and how long that takes.

use std::time::Duration;

use super::{
    contender::{
        Contender, DRAINED, EMPTY, Kind, Mode, RECORDING, STATES, STATES_DRAINED, STATES_RECORDED,
        VIEW, named,
    },
    load::{Load, Size},
};

/// The whole run, the programs installed and tracer built, stays below this.
pub const BUDGET_MINUTES: u32 = 20;
/// What is kept of it for writing the report and for a machine that is slower than thought.
pub const RESERVE: Duration = Duration::from_secs(30);

/// A contender under a load.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub load: Load,
    pub contender: &'static Contender,
    /// Runs without and with it.
    pub pairs: u32,
}

/// Pairs for what the goals are about, and for everything else.
const MANY: u32 = 5;
const SOME: u32 = 3;

/// Each load with those who have something to see in it.
const CELLS: [(Load, &[(&str, u32)]); 5] = [
    (
        Load::Churn,
        &[
            (STATES, SOME),
            (STATES_RECORDED, MANY),
            ("tracer, states and timers", SOME),
            (RECORDING, MANY),
            ("tracer, JSON lines", SOME),
            (VIEW, SOME),
            ("tracer, filtered out", SOME),
            (STATES_DRAINED, SOME),
            (DRAINED, SOME),
            ("tcpstates", SOME),
            ("tcplife", SOME),
            ("bpftrace", SOME),
            ("tshark", SOME),
            ("tcpdump", SOME),
            ("empty, state hook", SOME),
            ("empty, states and timers", SOME),
            (EMPTY, SOME),
        ],
    ),
    (
        Load::KeepAlive,
        &[
            (RECORDING, MANY),
            ("tracer, JSON lines", SOME),
            (VIEW, SOME),
            ("tracer, filtered out", SOME),
            (DRAINED, SOME),
            ("tshark", SOME),
            ("tcpdump", SOME),
            (EMPTY, SOME),
        ],
    ),
    (Load::Chunked, &[(RECORDING, MANY), (DRAINED, SOME), ("tshark", SOME), ("tcpdump", SOME)]),
    (
        Load::FixedRate,
        &[(RECORDING, MANY), (VIEW, SOME), (DRAINED, MANY), ("tcpdump", SOME), (EMPTY, MANY)],
    ),
    (Load::Transfer, &[(RECORDING, MANY), ("tcpdump", SOME), (EMPTY, SOME)]),
];

/// What a run of the command was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// All, when empty.
    pub loads: Vec<Load>,
    /// All, when empty.
    pub contenders: Vec<String>,
    /// For every cell, instead of the plan's own.
    pub pairs: Option<u32>,
}

/// The cells to measure, in the order of the report.
pub fn cells(wanted: &Wanted) -> Vec<Cell> {
    let loads =
        CELLS.iter().filter(|(load, _)| wanted.loads.is_empty() || wanted.loads.contains(load));
    let cells = loads.flat_map(|(load, contenders)| {
        contenders.iter().filter_map(|(name, pairs)| {
            let contender = named(name)?;
            Some(Cell { load: *load, contender, pairs: wanted.pairs.unwrap_or(*pairs) })
        })
    });
    cells
        .filter(|cell| {
            let name = cell.contender.name;
            wanted.contenders.is_empty() || wanted.contenders.iter().any(|part| name.contains(part))
        })
        .collect()
}

/// Length of a run.
pub const fn size(quick: bool) -> Size {
    Size { churn_addresses: if quick { 1 } else { 3 }, seconds: if quick { 1 } else { 2 }, rate: 0 }
}

/// How long a pair takes on two cores that do nothing else, in seconds.
pub fn pair_seconds(cell: &Cell, size: Size) -> f64 {
    /// Silence, a network and a server, for each run of the two.
    const AROUND: f64 = 0.6;
    /// Of nginx and ab on such a machine.
    const CONNECTIONS_PER_SECOND: f64 = 15_000.0;
    let untraced = match cell.load {
        Load::Churn => f64::from(size.churn_addresses) * 10_000.0 / CONNECTIONS_PER_SECOND,
        _ => f64::from(size.seconds),
    };
    let slower = match (cell.load, cell.contender.kind) {
        (Load::Churn, Kind::TcpStates | Kind::Bpftrace) => 2.5,
        (Load::Churn, Kind::Tshark | Kind::TcpLife) => 1.7,
        (Load::Churn, _) => 1.2,
        _ => 1.0,
    };
    2.0 * AROUND + untraced * (1.0 + slower) + beside_the_load(cell)
}

/// Starting, catching up, ending and counting what was told.
fn beside_the_load(cell: &Cell) -> f64 {
    match cell.contender.kind {
        Kind::Empty(_) => 0.1,
        Kind::Tracer(Mode::Drained | Mode::DrainedHooks(_)) => 0.5,
        Kind::Tracer(Mode::Recording | Mode::RecordedHooks(_) | Mode::Json) => match cell.load {
            Load::KeepAlive => 6.0,
            Load::FixedRate => 4.0,
            Load::Churn | Load::Chunked | Load::Transfer => 2.5,
        },
        Kind::Tracer(_) => 1.5,
        Kind::Tshark if cell.load == Load::KeepAlive => 18.0,
        Kind::Tshark => 12.0,
        Kind::Bpftrace => 4.0,
        Kind::TcpStates | Kind::TcpLife | Kind::Tcpdump => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What everything but the pairs takes: idle, memory, first event, programs, calibration.
    const EXTRAS: Duration = Duration::from_secs(100);

    #[test]
    fn the_whole_plan_fits_its_budget() {
        let cells = cells(&Wanted::default());
        let pairs: f64 =
            cells.iter().map(|cell| f64::from(cell.pairs) * pair_seconds(cell, size(false))).sum();
        let all = pairs + (EXTRAS + RESERVE).as_secs_f64();
        assert!(all <= f64::from(BUDGET_MINUTES) * 60.0, "{all:.0} s");
    }

    #[test]
    fn every_contender_of_the_plan_is_known_and_has_at_least_three_pairs() {
        for (load, contenders) in CELLS {
            for (name, pairs) in contenders {
                assert!(named(name).is_some(), "{load:?}: {name}");
                assert!(*pairs >= 3, "{load:?}: {name}");
            }
        }
    }

    #[test]
    fn a_wish_leaves_only_what_it_names() {
        let wanted = Wanted {
            loads: vec![Load::Churn, Load::Transfer],
            contenders: vec!["tcpdump".to_owned()],
            pairs: Some(1),
        };
        let cells = cells(&wanted);
        assert_eq!(cells.len(), 2);
        assert!(cells.iter().all(|cell| cell.contender.kind == Kind::Tcpdump && cell.pairs == 1));
    }
}
