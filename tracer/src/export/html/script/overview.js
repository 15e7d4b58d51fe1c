// The head of the page and the figures over all of it.

function showHead() {
  const [host] = hosts;
  const name = host ? clean(host.hostname) : "host unknown";
  document.title = `${name} – TCP connections`;
  document.getElementById("host").textContent = name;
  document.getElementById("origin").append(...origin(host));
  const notes = [...hosts.slice(1).map(anotherHost), ...completeness(), ...secrets(), ...leftOutNotes()];
  document.getElementById("notes").replaceChildren(...notes.map((note) => make("li", {}, note)));
  const records = plural(summary.records, "record");
  document.getElementById("footer").textContent =
    `${records} · times are UTC · written by tracer ${summary.version} · this page is whole: it loads nothing`;
}

function origin(host) {
  const when =
    span === null
      ? ["no times are known"]
      : [make("b", {}, dateOf(span.from)), ` ${clock(span.from, 3)} to ${dateOf(span.to) === dateOf(span.from) ? "" : `${dateOf(span.to)} `}${clock(span.to, 3)} UTC, `, make("b", {}, duration(span.to - span.from))];
  const made = host ? `Linux ${clean(host.kernel)} · traced by tracer ${clean(host.version)} · ` : "";
  return [made, ...when];
}

function anotherHost(host) {
  return told({ sign: "!", words: `also holds a run on ${clean(host.hostname)}, Linux ${clean(host.kernel)}`, tone: "notice" });
}

// What is missing, or that nothing is.
function completeness() {
  const notes = [];
  const perHook = (some) => {
    const byHook = new Map();
    for (const loss of some) byHook.set(loss.hook, (byHook.get(loss.hook) ?? 0) + loss.events);
    return [...byHook].map(([hook, events]) => `${clean(hook)} ${count(events)}`).join(", ");
  };
  if (lostEvents > 0) notes.push({ sign: "!", words: `${plural(lostEvents, "event")} lost: ${perHook(losses.filter(countsEvents))}`, tone: "bad" });
  const ofHttp = losses.filter((loss) => !countsEvents(loss));
  if (ofHttp.length > 0) notes.push({ sign: "!", words: `HTTP not seen whole: ${perHook(ofHttp)}`, tone: "bad" });
  const missed = [...ends.values()].reduce((sum, end) => sum + (end.record?.lost_events ?? 0), 0);
  if (missed > 0) notes.push({ sign: "!", words: `${plural(missed, "lost event")} known to be of connections here`, tone: "bad" });
  if (summary.broke_off !== null) notes.push({ sign: "!", words: `incomplete: ${clean(summary.broke_off)}`, tone: "bad" });
  const unfinished = [...ends.values()].filter((end) => end.record === null).length;
  if (unfinished > 0 && !leftOut.has("connection")) {
    notes.push({ sign: "!", words: `${plural(unfinished, "connection")} without a final record: cut short, or filtered out`, tone: "notice" });
  }
  const toldOf = [...ends.values()].reduce((sum, end) => sum + (end.record?.exchanges ?? 0), 0);
  if (toldOf > exchanges.length && !leftOut.has("exchange")) {
    notes.push({ sign: "!", words: `connections tell of ${plural(toldOf, "request")}, ${count(exchanges.length)} are in this page`, tone: "notice" });
  }
  if (unreadable > 0) notes.push({ sign: "!", words: `${plural(unreadable, "line")} of this page cannot be read`, tone: "bad" });
  for (const [hook, state] of Object.entries(hosts[0]?.hooks ?? {})) {
    if (state !== "attached") notes.push({ sign: "!", words: `${clean(hook)}: ${clean(state)}`, tone: "notice" });
  }
  if (lostEvents === 0 && missed === 0 && hosts.length > 0 && !leftOut.has("loss")) notes.unshift({ sign: "✓", words: "no event was lost", tone: "good" });
  if (hosts.length === 0) notes.unshift({ sign: "?", words: "whose recording it is, and with which hooks, is unknown", tone: "notice" });
  return notes.map(told);
}

function secrets() {
  if (hosts.length === 0) return [];
  const filters = hosts.map((host) => host.filter).filter((filter) => filter !== undefined);
  const shown = hosts.some((host) => host.show_secrets === true);
  const kept = shown ? { sign: "!", words: "secrets are shown: mind whom you give this page", tone: "bad" } : { sign: "✓", words: "secrets are redacted", tone: "good" };
  return [kept, ...filters.map((filter) => ({ sign: "!", words: `recorded was only what this filter lets through: ${filter}`, tone: "notice" }))].map(told);
}

const KINDS = { host: "hosts", loss: "losses", connection: "connections", exchange: "requests", segment: "segments", transition: "state changes" };

function leftOutNotes() {
  if (summary.left_out.length === 0) return [];
  const kinds = summary.left_out.map((kind) => {
    const since = kind.from === null ? "" : ` (from ${clock(time(kind.from), 3)} on)`;
    return `${count(kind.records)} ${KINDS[kind.type] ?? kind.type}${since}`;
  });
  const all = summary.records + summary.left_out.reduce((sum, kind) => sum + kind.records, 0);
  const words = `this page holds ${count(summary.records)} of ${count(all)} records; left out: ${kinds.join(", ")}`;
  return [told({ sign: "!", words, tone: "notice" })];
}

// Three lists side by side: what states there were, how it ended, who closed.
function showOverview(choose) {
  const all = [...ends.values()];
  const paired = all.filter((end) => end.isTold).length;
  const asked = exchanges.filter((exchange) => !ends.get(exchange.conn).isTold).length;
  const lead = `${plural(all.length - paired, "connection")}, ${plural(asked, "request")}.` +
    (paired > 0 ? ` Of ${count(paired)} both ends are here: each end, and each request as that end saw it, is a row of its own.` : "");
  const outcomes = tally(all, outcomeOf).map(([key, ends]) => ({ key, words: told({ ...OUTCOMES[key], tone: FAILED.has(key) ? "bad" : "calm" }), ends, field: "outcome" }));
  const closers = tally(all, closerOf).map(([key, ends]) => ({ key, words: CLOSERS[key], ends, field: "closer" }));
  document.getElementById("overview").append(
    make("p.lead", {}, lead),
    make("div.columns", {},
      make("div", {}, make("h2", {}, "States"), stateTable(all)),
      make("div", {}, make("h2", {}, "Outcome"), bars(outcomes, all.length, choose)),
      make("div", {}, make("h2", {}, "Closed first by"), bars(closers, all.length, choose)),
    ),
  );
}

function tally(all, keyOf) {
  const counts = new Map();
  for (const end of all) counts.set(keyOf(end), (counts.get(keyOf(end)) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function bars(items, all, choose) {
  const line = ({ key, words, ends, field }) => {
    const bar = make("i.share", { "aria-hidden": "true" });
    bar.style.width = `${(100 * ends) / all}%`;
    const row = make("button.share-row", { type: "button", "aria-pressed": "false", onclick: () => choose(field, key) }, make("span.what", {}, words), make("span.number", {}, count(ends)), bar);
    row.dataset.field = field;
    row.dataset.key = key;
    return make("li", {}, row);
  };
  return make("ul.shares", {}, ...items.map(line));
}

// How many ends were in each state, for how long, and how many still were at the end.
function stateTable(all) {
  const figures = new Map(STATES.map((state) => [state, { times: [], ends: 0, last: 0 }]));
  for (const end of all) {
    const seen = new Set();
    end.states.forEach((entry, index) => {
      const figure = figures.get(entry.state);
      if (figure === undefined) return;
      if (!seen.has(entry.state)) figure.ends += 1;
      seen.add(entry.state);
      const next = end.states[index + 1];
      if (next === undefined) figure.last += 1;
      else if (entry.at !== null && next.at !== null) figure.times.push(next.at - entry.at);
    });
  }
  const rows = STATES.filter((state) => figures.get(state).ends > 0).map((state) => {
    const { times, ends, last } = figures.get(state);
    times.sort((a, b) => a - b);
    const at = (share) => (times.length === 0 ? (state === "CLOSE" ? "" : unknown()) : duration(times[Math.min(times.length - 1, Math.floor(share * times.length))]));
    return [stateName(state), { number: count(ends) }, { number: at(0.5) }, { number: at(0.95) }, { number: at(1) }, { number: count(last) }];
  });
  return plainTable(["state", { number: "ends" }, { number: "median" }, { number: "p95" }, { number: "longest" }, { number: "last seen in it" }], rows);
}

function stateName(state) {
  return make(`span.state.${stateGroup(state)}`, { title: MEANINGS[state] ?? "" }, state);
}

function stateGroup(state) {
  if (state === "SYN_SENT" || state === "SYN_RECV") return "opening";
  if (state === "ESTABLISHED") return "standing";
  return state === "CLOSE" || state === "LISTEN" ? "over" : "closing";
}
