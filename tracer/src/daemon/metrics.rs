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
use rustc_hash::FxHashMap;

use crate::engine::{EngineCounters, Output};
use crate::record::{ConnId, Connection, Exchange, Host, Loss, LossUnit, Record, Source, peers};
use crate::tcp::{Direction, Endpoint, TcpState};

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
struct OfKind {
    kind: String,
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
    /// Of the HTTP engine: what it counts beside its losses, which have records.
    pub http: HttpFigures,
}

/// See [`crate::http::Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpFigures {
    /// Bytes after CONNECT or 101: no HTTP any more, and no loss.
    pub tunnel_bytes: u64,
    /// Holes in HTTP streams that were never filled.
    pub holes: u64,
}

/// Counts what is told.
pub struct Metrics {
    registry: Registry,
    transitions: Family<OfTransition, Counter>,
    ended: Family<OfConnection, Counter>,
    exchanges: Family<OfExchange, Counter>,
    unasked: Counter,
    waits: Histogram,
    retransmitted: Counter,
    resets: Family<OfReset, Counter>,
    lost: Family<OfHook, Counter>,
    unseen_bytes: Family<OfKind, Counter>,
    unseen: Family<OfKind, Counter>,
    in_state: Family<InState, Gauge>,
    /// Connections whose other end is on this host too: which end they are, and the id of the other one.
    paired: FxHashMap<ConnId, (Option<Endpoint>, ConnId)>,
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
        registry.register("exchanges", "HTTP requests with their responses", exchanges.clone());
        let unasked = Counter::default();
        registry.register(
            "responses_without_request",
            "HTTP responses whose request is not known",
            unasked.clone(),
        );
        registry.register_with_unit(
            "exchange_wait",
            "From a request's last byte to its answer's first",
            Unit::Seconds,
            waits.clone(),
        );
        registry.register("segments_retransmitted", "Repeated segments", retransmitted.clone());
        registry.register("resets", "RST segments", resets.clone());
        registry.register("events_lost", "Kernel events known to be lost", lost.clone());
        let unseen_bytes = Family::<OfKind, Counter>::default();
        registry.register_with_unit(
            "http_unseen",
            "Bytes of HTTP messages that were not seen or not kept",
            Unit::Bytes,
            unseen_bytes.clone(),
        );
        let unseen = Family::<OfKind, Counter>::default();
        registry.register(
            "http_unseen",
            "HTTP messages, or places in HTTP streams, that were not understood or not kept",
            unseen.clone(),
        );
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
        let metrics = Metrics {
            registry,
            transitions,
            ended,
            exchanges,
            unasked,
            waits,
            retransmitted,
            resets,
            lost,
            unseen_bytes,
            unseen,
            in_state,
            paired: FxHashMap::default(),
        };
        for (name, _) in EngineCounters::default().losses() {
            metrics.count_loss(&Loss { at: host.started_at, hook: name.to_owned(), events: 0 });
        }
        metrics
    }

    /// Counts one look's outputs.
    pub fn take(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Record(record) => self.count(record),
                Output::Changed(connection) => self.note_peer(connection),
                Output::Lasting(_) => {}
            }
        }
    }

    fn note_peer(&mut self, connection: &Connection) {
        if let Some(peer) = connection.peer {
            self.paired.insert(connection.id, (connection.endpoint, peer));
        }
    }

    /// Whether the other end of this connection, on this host too, reports the same exchanges and is counted.
    fn is_counted_at_peer(&self, id: ConnId) -> bool {
        let Some(&(endpoint, peer)) = self.paired.get(&id) else { return false };
        let of_peer = self.paired.get(&peer).and_then(|(endpoint, _)| *endpoint);
        // A peer that has ended is forgotten already; it was the other kind of end.
        let of_peer = of_peer.or_else(|| endpoint.map(Endpoint::opposite));
        !peers::stands_for_both((id, endpoint), (peer, of_peer))
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
            Record::Loss(loss) => self.count_loss(loss),
        }
    }

    fn count_loss(&self, loss: &Loss) {
        let kind = || {
            let name = loss.hook.strip_prefix("http_").unwrap_or(&loss.hook);
            OfKind { kind: name.strip_suffix("_bytes").unwrap_or(name).to_owned() }
        };
        _ = match loss.unit() {
            LossUnit::Events => {
                self.lost.get_or_create(&OfHook { hook: loss.hook.clone() }).inc_by(loss.events)
            }
            LossUnit::Bytes => self.unseen_bytes.get_or_create(&kind()).inc_by(loss.events),
            LossUnit::Places | LossUnit::Messages => {
                self.unseen.get_or_create(&kind()).inc_by(loss.events)
            }
        };
    }

    fn count_exchange(&self, exchange: &Exchange) {
        if self.is_counted_at_peer(exchange.conn) {
            return;
        }
        // Every exchange has one request: a response without one is counted apart.
        if exchange.request.is_none() {
            self.unasked.inc();
            return;
        }
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
        self.paired.remove(&connection.id);
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
        now.register_with_unit(
            "http_tunnel",
            "Bytes after CONNECT or 101, which are no HTTP",
            Unit::Bytes,
            ConstCounter::new(figures.http.tunnel_bytes),
        );
        now.register(
            "http_holes",
            "Holes in HTTP streams that were never filled",
            ConstCounter::new(figures.http.holes),
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
    use std::sync::Arc;

    use super::*;
    use crate::export::fixture::EXAMPLES;
    use crate::time::Timestamp;

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
            http: HttpFigures { tunnel_bytes: 3, holes: 2 },
        };
        let text = metrics.text(&figures);
        assert!(text.ends_with("# EOF\n"));
        // Series of one family come in no order.
        let mut series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        series.sort_unstable();
        insta::assert_snapshot!(series.join("\n"));
    }

    fn series(metrics: &mut Metrics, name: &str) -> Vec<String> {
        let text = metrics.text(&RunFigures::default());
        let mut found: Vec<String> =
            text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect();
        found.sort_unstable();
        found
    }

    /// An exchange at both ends of a connection on this host.
    fn at_both_ends(endpoints: [Option<Endpoint>; 2]) -> Vec<Output> {
        let (_, outputs) = told();
        let found = outputs.iter().find_map(|output| match output {
            Output::Record(Record::Exchange(exchange)) => Some(exchange),
            _ => None,
        });
        let connection = outputs.iter().find_map(|output| match output {
            Output::Record(Record::Connection(connection)) => Some(connection),
            _ => None,
        });
        let (exchange, connection) = (found.unwrap(), connection.unwrap());
        let end = |id, peer, endpoint| Connection {
            id: ConnId(id),
            peer: Some(ConnId(peer)),
            endpoint,
            ..(**connection).clone()
        };
        let ends = [end(1, 2, endpoints[0]), end(2, 1, endpoints[1])].map(Arc::new);
        let of = |id| Exchange { conn: ConnId(id), ..(**exchange).clone() };
        let changed = ends.iter().cloned().map(Output::Changed);
        let over = |i: usize| Output::Record(Record::Connection(Arc::clone(&ends[i])));
        let exchange = |id| Output::Record(Record::Exchange(of(id).into()));
        changed.chain([exchange(1), over(0), exchange(2), over(1)]).collect()
    }

    #[test]
    fn an_exchange_that_both_its_ends_report_counts_once() {
        let (client, server) = (Some(Endpoint::Client), Some(Endpoint::Server));
        for endpoints in [[client, server], [server, client], [None, None]] {
            let mut metrics = Metrics::new(&told().0);
            metrics.take(&at_both_ends(endpoints));
            let counted = [
                series(&mut metrics, "tracer_exchanges_total"),
                series(&mut metrics, "tracer_exchange_wait_seconds_count"),
            ];
            let wanted = [
                "tracer_exchanges_total{status=\"2xx\",complete=\"true\"} 1",
                "tracer_exchange_wait_seconds_count 1",
            ];
            assert_eq!(counted.concat(), wanted, "{endpoints:?}");
            assert!(metrics.paired.is_empty(), "what has ended is forgotten");
        }
    }

    #[test]
    fn a_half_is_no_exchange_and_has_no_wait() {
        let mut outputs = at_both_ends([Some(Endpoint::Client), Some(Endpoint::Server)]);
        let halves = outputs.iter().find_map(|output| match output {
            Output::Record(Record::Exchange(exchange)) => {
                let (mut asked, mut answered) = ((**exchange).clone(), (**exchange).clone());
                (asked.conn, answered.conn) = (ConnId(7), ConnId(7));
                (asked.response, asked.status, asked.timing.wait_us) = (None, None, None);
                (answered.request, answered.timing.wait_us) = (None, None);
                Some([asked, answered])
            }
            _ => None,
        });
        outputs.extend(halves.unwrap().map(|half| Output::Record(Record::Exchange(half.into()))));
        let mut metrics = Metrics::new(&told().0);
        metrics.take(&outputs);
        let exchanges = series(&mut metrics, "tracer_exchanges_total");
        assert!(exchanges.contains(
            &"tracer_exchanges_total{status=\"unknown\",complete=\"true\"} 1".to_owned()
        ));
        assert_eq!(exchanges.len(), 2);
        let unasked = series(&mut metrics, "tracer_responses_without_request_total");
        assert_eq!(unasked, ["tracer_responses_without_request_total 1"]);
        let waits = series(&mut metrics, "tracer_exchange_wait_seconds_count");
        assert_eq!(waits, ["tracer_exchange_wait_seconds_count 1"]);
    }

    #[test]
    fn what_http_lost_is_counted_in_its_own_units() {
        let mut metrics = Metrics::new(&told().0);
        let loss = |(hook, events): (&str, u64)| {
            let loss = Loss { at: Timestamp(1), hook: hook.to_owned(), events };
            Output::Record(Record::Loss(loss))
        };
        let losses = [("http_missing_bytes", 700), ("http_framing", 2), ("unattributed", 5)];
        metrics.take(&losses.map(loss));
        let counted = series(&mut metrics, "tracer_http_unseen");
        for expected in [
            "tracer_http_unseen_bytes_total{kind=\"missing\"} 700",
            "tracer_http_unseen_bytes_total{kind=\"head\"} 0",
            "tracer_http_unseen_total{kind=\"framing\"} 2",
            "tracer_http_unseen_total{kind=\"malformed\"} 0",
        ] {
            assert!(counted.iter().any(|line| line == expected), "{expected}: {counted:?}");
        }
        let lost = series(&mut metrics, "tracer_events_lost_total{hook=\"unattributed\"");
        assert_eq!(lost, ["tracer_events_lost_total{hook=\"unattributed\"} 5"]);
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
