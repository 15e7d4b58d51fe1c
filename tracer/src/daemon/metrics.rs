//! What a run amounts to, as figures that a scraper reads (docs/daemon.md names each).
//!
//! Records in, text out: it counts what is told, and what is told as lost.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::engine::Output;
use crate::record::{Connection, Exchange, Host, Loss, Record, Source};
use crate::tcp::{Direction, TcpState};

/// Upper bounds of the time that an answer is waited for, seconds.
const WAITS_S: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// In place of what is not known.
const UNKNOWN: &str = "unknown";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTransition {
    to: &'static str,
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    endpoint: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfExchange {
    status: &'static str,
    complete: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReset {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHook {
    hook: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// Figures about the run at one moment, which no record tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFigures {
    /// Kernel events taken in.
    pub seen: u64,
    /// Connection ends in each state.
    pub states: Vec<(TcpState, u64)>,
    /// Processor time of the process, seconds.
    pub cpu_s: f64,
    /// Resident memory of the process, bytes.
    pub rss_bytes: u64,
    /// Bytes of history that are kept.
    pub history_bytes: u64,
    /// Clients that watch.
    pub clients: u64,
    /// Clients that fell too far behind and were cut off.
    pub clients_cut_off: u64,
}

/// Counts what is told.
pub struct Metrics {
    registry: Registry,
    transitions: Family<OfTransition, Counter>,
    ended: Family<OfConnection, Counter>,
    exchanges: Family<OfExchange, Counter>,
    waits: Histogram,
    retransmitted: Counter,
    resets: Family<OfReset, Counter>,
    lost: Family<OfHook, Counter>,
    in_state: Family<InState, Gauge>,
}

impl Metrics {
    /// Of a run on this host.
    #[must_use]
    pub fn new(host: &Host) -> Metrics {
        let mut registry = Registry::with_prefix("tracer");
        let transitions = Family::<OfTransition, Counter>::default();
        let ended = Family::<OfConnection, Counter>::default();
        let exchanges = Family::<OfExchange, Counter>::default();
        let waits = Histogram::new(WAITS_S);
        let (retransmitted, resets) = (Counter::default(), Family::<OfReset, Counter>::default());
        let (lost, in_state) = (Family::<OfHook, Counter>::default(), Family::default());
        registry.register("transitions", "State changes told", transitions.clone());
        registry.register("connections_ended", "Connection ends that are over", ended.clone());
        registry.register("exchanges", "HTTP exchanges told", exchanges.clone());
        registry.register_with_unit(
            "exchange_wait",
            "From a request's last byte to its answer's first",
            Unit::Seconds,
            waits.clone(),
        );
        registry.register("segments_retransmitted", "Repeated segments", retransmitted.clone());
        registry.register("resets", "RST segments", resets.clone());
        registry.register("events_lost", "Kernel events known to be lost", lost.clone());
        registry.register("connections", "Connection ends in each state", in_state.clone());
        let attached = Family::<OfHook, Gauge>::default();
        registry.register(
            "hook_attached",
            "Whether a group of hooks is attached",
            attached.clone(),
        );
        for (hook, health) in &host.hooks {
            let is_attached = i64::from(health == "attached");
            attached.get_or_create(&OfHook { hook: hook.clone() }).set(is_attached);
            // A series that begins when the first loss comes shows no increase.
            drop(lost.get_or_create(&OfHook { hook: hook.clone() }));
        }
        Metrics {
            registry,
            transitions,
            ended,
            exchanges,
            waits,
            retransmitted,
            resets,
            lost,
            in_state,
        }
    }

    /// Counts one look's outputs.
    pub fn take(&mut self, outputs: &[Output]) {
        for output in outputs {
            if let Output::Record(record) = output {
                self.count(record);
            }
        }
    }

    fn count(&mut self, record: &Record) {
        match record {
            Record::Host(_) => {}
            Record::Transition(transition) => {
                let source = match transition.source {
                    Source::Observed => "observed",
                    Source::Inferred => "inferred",
                };
                let labels = OfTransition { to: transition.to.name(), source };
                self.transitions.get_or_create(&labels).inc();
            }
            Record::Segment(segment) => {
                self.retransmitted.inc_by(u64::from(segment.retransmit));
                if segment.flags.contains('R') {
                    let direction = match segment.direction {
                        Direction::Sent => "sent",
                        Direction::Received => "received",
                    };
                    self.resets.get_or_create(&OfReset { direction }).inc();
                }
            }
            Record::Exchange(exchange) => self.count_exchange(exchange),
            Record::Connection(connection) => self.count_end(connection),
            Record::Loss(Loss { hook, events, .. }) => {
                _ = self.lost.get_or_create(&OfHook { hook: hook.clone() }).inc_by(*events);
            }
        }
    }

    fn count_exchange(&mut self, exchange: &Exchange) {
        let status = match exchange.status {
            Some(100..=199) => "1xx",
            Some(200..=299) => "2xx",
            Some(300..=399) => "3xx",
            Some(400..=499) => "4xx",
            Some(500..=599) => "5xx",
            Some(_) => "other",
            None => UNKNOWN,
        };
        let complete = if exchange.complete { "true" } else { "false" };
        self.exchanges.get_or_create(&OfExchange { status, complete }).inc();
        if let Some(wait_us) = exchange.timing.wait_us {
            self.waits.observe(wait_us as f64 / 1e6);
        }
    }

    fn count_end(&mut self, connection: &Connection) {
        let endpoint = connection.endpoint.map_or(UNKNOWN, |endpoint| endpoint.name());
        let outcome = connection.outcome.name().unwrap_or(UNKNOWN);
        self.ended.get_or_create(&OfConnection { endpoint, outcome }).inc();
    }

    /// All of it as OpenMetrics text, which Prometheus reads too.
    #[must_use]
    pub fn text(&self, figures: &RunFigures) -> String {
        for (state, count) in &figures.states {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.in_state.get_or_create(&InState { state: state.name() }).set(count);
        }
        let mut now = Registry::with_prefix("tracer");
        let gauge = |value: u64| ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        now.register("events", "Kernel events taken in", ConstCounter::new(figures.seen));
        now.register_with_unit(
            "process_cpu",
            "Processor time of the daemon",
            Unit::Seconds,
            ConstCounter::new(figures.cpu_s),
        );
        now.register_with_unit(
            "process_resident_memory",
            "Resident memory of the daemon",
            Unit::Bytes,
            gauge(figures.rss_bytes),
        );
        now.register_with_unit(
            "history",
            "History kept",
            Unit::Bytes,
            gauge(figures.history_bytes),
        );
        now.register("clients", "Clients that watch", gauge(figures.clients));
        now.register(
            "clients_cut_off",
            "Clients that fell too far behind",
            ConstCounter::new(figures.clients_cut_off),
        );
        let mut text = String::new();
        let encoded = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)
            .and_then(|()| encode(&mut text, &now));
        // Writing into memory cannot fail.
        debug_assert!(encoded.is_ok());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::EXAMPLES;

    fn told() -> (Host, Vec<Output>) {
        let records = EXAMPLES.lines().map(|line| Record::from_json(line).unwrap());
        let outputs: Vec<Output> = records.map(Output::Record).collect();
        let host = outputs.iter().find_map(|output| match output {
            Output::Record(Record::Host(host)) => Some((**host).clone()),
            _ => None,
        });
        (host.unwrap(), outputs)
    }

    #[test]
    fn what_was_told_is_counted() {
        let (host, outputs) = told();
        let mut metrics = Metrics::new(&host);
        metrics.take(&outputs);
        let figures = RunFigures {
            seen: 4711,
            states: vec![(TcpState::Established, 3), (TcpState::TimeWait, 0)],
            cpu_s: 1.5,
            rss_bytes: 1 << 20,
            history_bytes: 77,
            clients: 2,
            clients_cut_off: 1,
        };
        let text = metrics.text(&figures);
        assert!(text.ends_with("# EOF\n"));
        // Series of one family come in no order.
        let mut series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        series.sort_unstable();
        insta::assert_snapshot!(series.join("\n"));
    }

    #[test]
    fn a_counter_adds_up_over_looks() {
        let (host, outputs) = told();
        let mut metrics = Metrics::new(&host);
        let lost = |metrics: &Metrics| {
            let text = metrics.text(&RunFigures::default());
            let lines = text.lines().filter(|line| line.starts_with("tracer_events_lost_total{"));
            let counts = lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
            counts.sum::<u64>()
        };
        metrics.take(&outputs);
        let once = lost(&metrics);
        metrics.take(&outputs);
        assert!(once > 0);
        assert_eq!(lost(&metrics), 2 * once);
    }
}
