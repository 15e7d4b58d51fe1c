// The records, put together by connection end. Times are microseconds since the first host record's second: a number
// holds them to the nanosecond, which it could not for times since 1970.

const summary = JSON.parse(document.getElementById("summary").textContent);
const hosts = [];
const losses = [];
const exchanges = [];
const ends = new Map();
const FAILED = new Set(["reset_by_local", "reset_by_remote", "refused", "timed_out", "unreachable"]);
const CLOSING = new Set(["FIN_WAIT1", "FIN_WAIT2", "CLOSING", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK", "CLOSE"]);

// Seconds since 1970 that all times are counted from.
let baseSecond = null;
// Most times share their second with the one before.
const lastSecond = { text: "", value: 0 };

// Microseconds of an RFC 3339 time with nine decimals; null stays null.
function time(text) {
  if (text === null) return null;
  const second = text.slice(0, 19);
  if (second !== lastSecond.text) {
    lastSecond.text = second;
    lastSecond.value = Date.parse(second + "Z") / 1000;
    baseSecond ??= lastSecond.value;
  }
  return (lastSecond.value - baseSecond) * 1e6 + Number(text.slice(20, 29)) / 1000;
}

function endOf(id) {
  let end = ends.get(id);
  if (end === undefined) {
    end = { id, record: null, role: null, transitions: [], segments: [], exchanges: [] };
    ends.set(id, end);
  }
  return end;
}

const takes = {
  host(record) {
    time(record.started_at);
    hosts.push(record);
  },
  loss(record) {
    losses.push(record);
  },
  transition(record) {
    record.at = time(record.at);
    const end = endOf(record.conn);
    end.role ??= record.endpoint;
    end.transitions.push(record);
  },
  segment(record) {
    record.at = time(record.at);
    endOf(record.conn).segments.push(record);
  },
  exchange(record) {
    if (record.request) record.request.at = time(record.request.at);
    if (record.response) record.response.at = time(record.response.at);
    record.at = record.request?.at ?? record.response?.at ?? null;
    exchanges.push(record);
    endOf(record.conn).exchanges.push(record);
  },
  connection(record) {
    const end = endOf(record.id);
    record.opened_at = time(record.opened_at);
    record.closed_at = time(record.closed_at);
    for (const entry of record.states) entry.at = time(entry.at);
    end.record = record;
    end.role = record.endpoint ?? end.role;
  },
};

// Lines that cannot be read are counted, not hidden.
let unreadable = 0;

function readRecords() {
  const text = document.getElementById("records").textContent;
  for (let from = 0; from < text.length; ) {
    let to = text.indexOf("\n", from);
    if (to < 0) to = text.length;
    if (to > from) readLine(text.slice(from, to));
    from = to + 1;
  }
}

function readLine(line) {
  try {
    const record = JSON.parse(line);
    // Kinds of a later version are passed over, as docs/schema asks of readers.
    if (Object.hasOwn(takes, record.type)) takes[record.type](record);
  } catch {
    unreadable += 1;
  }
}

// An end whose connection record is missing (the recording was cut short) has the states that its changes tell.
function statesOf(end) {
  if (end.record !== null) return end.record.states;
  const [first] = end.transitions;
  if (first === undefined) return [];
  const before = first.from === "CLOSE" || first.from === "LISTEN" ? [] : [{ state: first.from, at: null }];
  return before.concat(end.transitions.map((change) => ({ state: change.to, at: change.at })));
}

function finish(end) {
  end.states = statesOf(end);
  const guessed = end.transitions.filter((change) => change.source === "inferred");
  for (const entry of end.states) {
    entry.inferred = guessed.some((change) => change.to === entry.state && change.at === entry.at);
  }
  end.state = end.states.at(-1)?.state ?? null;
  end.openedAt = end.record ? end.record.opened_at : firstAt(end);
  end.closedAt = end.record ? end.record.closed_at : null;
  end.closingAt = end.states.find((entry) => CLOSING.has(entry.state))?.at ?? null;
  end.peer = end.record?.peer ? ends.get(end.record.peer) ?? null : null;
  end.isTold = end.peer !== null && comesAfter(end, end.peer);
  end.failed = end.record !== null && FAILED.has(end.record.outcome);
  end.segments.sort((a, b) => a.at - b.at);
}

// Where both ends tell the same, figures over connections count the client's side.
function comesAfter(end, peer) {
  const rank = { client: 0, server: 2 };
  const [own, theirs] = [rank[end.role] ?? 1, rank[peer.role] ?? 1];
  return own === theirs ? Number(end.id.slice(1)) > Number(peer.id.slice(1)) : own > theirs;
}

// The first change's time is the opening's only where it led out of nothing.
function firstAt(end) {
  const [first] = end.transitions;
  return first !== undefined && (first.from === "CLOSE" || first.from === "LISTEN") ? first.at : null;
}

// From the first to the last time that any record tells.
function spanOfAll() {
  let [from, to] = [Infinity, -Infinity];
  const see = (at) => {
    if (at === null) return;
    if (at < from) from = at;
    if (at > to) to = at;
  };
  for (const host of hosts) see(time(host.started_at));
  for (const loss of losses) see(time(loss.at));
  for (const end of ends.values()) {
    for (const entry of end.states) see(entry.at);
    for (const segment of end.segments) see(segment.at);
    for (const exchange of end.exchanges) {
      see(exchange.at);
      see(exchange.response?.at ?? null);
    }
  }
  return from <= to ? { from, to } : null;
}

readRecords();
for (const end of ends.values()) finish(end);
const span = spanOfAll();
// Losses of the HTTP engine count bytes, places or messages (docs/schema), which do not add up with events.
const countsEvents = (loss) => !loss.hook.startsWith("http_");
const lostEvents = losses.filter(countsEvents).reduce((sum, loss) => sum + loss.events, 0);
const leftOut = new Map(summary.left_out.map((kind) => [kind.type, kind]));
