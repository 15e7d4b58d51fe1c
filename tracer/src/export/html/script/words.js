// Figures and verdicts in words.

const HAZARDS = new RegExp(`[${summary.hazards.map(([first, last]) => `\\u{${first.toString(16)}}-\\u{${last.toString(16)}}`).join("")}]`, "gu");

// Text of a record, with what would reorder or hide text made visible.
function clean(text) {
  return String(text).replace(HAZARDS, (found) => `\\u{${found.codePointAt(0).toString(16)}}`);
}

const numbers = new Intl.NumberFormat("en");

function count(n) {
  return numbers.format(n);
}

function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// Three digits, cut and never rounded up: 59.9 s must not become a minute before it is over.
function three(value) {
  const decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
  const scale = 10 ** decimals;
  return (Math.floor(value * scale + 1e-9) / scale).toFixed(decimals);
}

function duration(us) {
  if (us > 0 && us < 1) return `${Math.round(us * 1000)} ns`;
  if (us < 1e3) return `${Math.floor(us)} µs`;
  if (us < 1e6) return `${three(us / 1e3)} ms`;
  if (us < 120e6) return `${three(us / 1e6)} s`;
  const seconds = Math.floor(us / 1e6);
  const two = (n) => String(n).padStart(2, "0");
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${two(Math.floor(seconds / 3600) % 24)} h`;
}

function bytes(n) {
  if (n < 1024) return `${n} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = n / 1024;
  let unit = 0;
  while (value >= 1024 && unit < 3) [value, unit] = [value / 1024, unit + 1];
  return `${three(value)} ${units[unit]}`;
}

// `2026-03-01T12:00:01.000200000` of a time, in UTC.
function isoOf(at) {
  const whole = Math.floor(at / 1e6);
  const ns = Math.round((at - whole * 1e6) * 1000);
  const second = new Date((baseSecond + whole) * 1000).toISOString().slice(0, 19);
  return `${second}.${String(ns).padStart(9, "0")}`;
}

function dateOf(at) {
  return isoOf(at).slice(0, 10);
}

// `12:00:01.000200`, to as many decimals.
function clock(at, decimals = 6) {
  return isoOf(at).slice(11, decimals === 0 ? 19 : 20 + decimals);
}

function address(where) {
  const ip = where.ip.includes(":") ? `[${where.ip}]` : where.ip;
  return `${ip}:${where.port === 0 ? "*" : where.port}`;
}

// `curl[812]`; null where nothing is known of the process.
function owner(end) {
  const { comm, pid } = end?.record ?? { comm: null, pid: null };
  if (comm === null && pid === null) return null;
  return `${comm === null ? "?" : clean(comm)}${pid === null ? "" : `[${pid}]`}`;
}

// Port of the service: the server's.
function servicePort(end) {
  if (end.record === null || end.role === null) return null;
  return end.role === "client" ? end.record.remote.port : end.record.local.port;
}

const OUTCOMES = {
  graceful: { sign: "✓", words: "closed in order" },
  reset_by_local: { sign: "✕", words: "reset by this end" },
  reset_by_remote: { sign: "✕", words: "reset by the other end" },
  refused: { sign: "✕", words: "refused" },
  timed_out: { sign: "✕", words: "timed out" },
  unreachable: { sign: "✕", words: "unreachable" },
  aborted: { sign: "–", words: "given up" },
  open: { sign: "○", words: "still open" },
  unknown: { sign: "?", words: "end not seen" },
  none: { sign: "?", words: "no final record" },
};

// The key of an end's outcome in OUTCOMES.
function outcomeOf(end) {
  if (end.record === null) return "none";
  const outcome = end.record.outcome ?? "unknown";
  return Object.hasOwn(OUTCOMES, outcome) ? outcome : "unknown";
}

// Nobody closes what never stood, lasts, or was given up for lack of an answer.
const NOT_CLOSED = new Set(["refused", "timed_out", "unreachable", "aborted", "open"]);
const CLOSERS = { local: "this end", remote: "the other end", both: "both at once", nobody: "nobody", unknown: "unknown" };

// The key of who closed first: a key of CLOSERS.
function closerOf(end) {
  const by = end.record?.closed_by ?? null;
  if (by !== null && Object.hasOwn(CLOSERS, by)) return by;
  return NOT_CLOSED.has(outcomeOf(end)) ? "nobody" : "unknown";
}

// A few words for a cell: what became of an end.
function verdict(end) {
  const key = outcomeOf(end);
  const { sign, words } = OUTCOMES[key];
  const tone = end.failed ? "bad" : key === "unknown" || key === "none" || key === "aborted" ? "notice" : "calm";
  if (key === "graceful") {
    const by = { local: "closed by this end", remote: "closed by the other", both: "closed by both" };
    return { sign, words: by[end.record.closed_by] ?? words, tone };
  }
  if (key === "open") return { sign, words: end.state === null ? words : `open, ${end.state}`, tone };
  return { sign, words, tone };
}

// What became of an end, in sentences that name who did what.
function story(end) {
  if (end.record === null) {
    return "No final record of this connection is in the page: who it was, and how it ended, is unknown.";
  }
  const { record } = end;
  const us = owner(end) ?? "this end";
  const remote = address(record.remote);
  const older = record.older_than_tracer ? " It is older than the recording: what came before is unknown." : "";
  const missed =
    record.lost_events === 0
      ? " Nothing about it was missed."
      : ` ${plural(record.lost_events, "event")} about it ${record.lost_events === 1 ? "was" : "were"} lost: steps may be missing.`;
  return ending(end, us, remote) + older + missed;
}

function ending(end, us, remote) {
  switch (outcomeOf(end)) {
    case "graceful":
      return closedInOrder(end, us, remote);
    case "reset_by_local":
      return `Cut off: ${us} sent a reset.`;
    case "reset_by_remote":
      return `Cut off: ${remote} sent a reset.`;
    case "refused":
      return `Refused: ${end.role === "server" ? us : remote} answered the SYN with a reset.`;
    case "timed_out":
      return `Timed out: ${remote} did not answer.`;
    case "unreachable":
      return `Unreachable: the network knows no way to ${remote}.`;
    case "aborted":
      return `Given up by ${us} before it stood.`;
    case "open":
      return lasting(end, us, remote);
    default:
      return "Gone; the events that told how were lost.";
  }
}

function closedInOrder(end, us, remote) {
  const held = end.closedAt === null ? " The kernel still holds its addresses." : "";
  switch (end.record.closed_by) {
    case "local":
      return `Closed in order: ${us} sent the first FIN.${held}`;
    case "remote":
      return `Closed in order: ${remote} sent the first FIN.${held}`;
    case "both":
      return `Closed in order: both ends sent their FIN at once.${held}`;
    default:
      return `Closed in order; who closed first is unknown.${held}`;
  }
}

function lasting(end, us, remote) {
  switch (end.state) {
    case "SYN_SENT":
      return `${us} knocks at ${remote}; no answer had come when the recording ended.`;
    case "SYN_RECV":
      return `SYN+ACK was sent; the ACK of ${remote} had not come when the recording ended.`;
    case "CLOSE_WAIT":
      return `${remote} has closed; ${us} had not when the recording ended.`;
    case "FIN_WAIT1":
      return `${us} has closed; ${remote} had not acknowledged it when the recording ended.`;
    case "FIN_WAIT2":
      return `${us} has closed; ${remote} kept its side open when the recording ended.`;
    case "LAST_ACK":
      return `Both ends have closed, ${remote} first; its last ACK had not come when the recording ended.`;
    case null:
      return "Nothing is known of its state.";
    default:
      return "It had not ended when the recording did.";
  }
}

const MEANINGS = {
  LISTEN: "waits for SYNs",
  SYN_SENT: "SYN sent, an answer is awaited",
  SYN_RECV: "a SYN came, SYN+ACK sent: the client can reach it",
  ESTABLISHED: "both ends can send and receive",
  FIN_WAIT1: "its FIN is sent: it sends no more, still reads",
  FIN_WAIT2: "its FIN is acknowledged; the other side may still send",
  CLOSING: "FINs crossed, the ACK of its own is awaited",
  TIME_WAIT: "kept so that a late FIN can be answered",
  CLOSE_WAIT: "the other side's FIN came; this one may still send",
  LAST_ACK: "its FIN is sent too, the last ACK is awaited",
  CLOSE: "the end",
};

// In the order of a connection's life.
const STATES = ["SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK", "CLOSE"];

// Microseconds of an exchange's known parts; null where none is known.
const PARTS = ["connect", "tls", "send", "wait", "receive"];

function total(exchange) {
  let sum = null;
  for (const part of PARTS) {
    const us = exchange.timing[`${part}_us`];
    if (us !== null) sum = (sum ?? 0) + us;
  }
  return sum;
}

function requestWords(exchange) {
  if (exchange.method === null && exchange.target === null) return "request not seen";
  return `${clean(exchange.method ?? "?")} ${clean(exchange.target ?? "?")}`;
}

function answerWords(exchange) {
  const { response, status } = exchange;
  if (status === null && response === null) return "no answer seen";
  const parts = [status === null ? "answer" : String(status), response?.media_type, response?.body_bytes == null ? null : bytes(response.body_bytes)];
  return parts.filter((part) => part != null).map(clean).join(" ");
}
