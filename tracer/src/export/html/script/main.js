// What is chosen, and what follows from it.

const chosen = { range: null, text: "", outcome: "", closer: "", process: "", port: "", tab: "connections" };
const byId = (id) => document.getElementById(id);
const allEnds = [...ends.values()].sort((a, b) => (a.openedAt ?? Infinity) - (b.openedAt ?? Infinity) || 0);
exchanges.sort((a, b) => (a.at ?? Infinity) - (b.at ?? Infinity) || 0);

// Text that a search looks in; made when it is first asked for.
function textOf(end) {
  const { record } = end;
  const texts = record === null ? [] : [owner(end), record.exe, record.cgroup, record.container, address(record.local), address(record.remote), verdict(end).words];
  end.text ??= [end.id, end.state, ...texts].filter((text) => text != null).join("\n").toLowerCase();
  return end.text;
}

function textOfRequest(exchange) {
  const headers = [exchange.request, exchange.response].flatMap((message) => message?.headers ?? []).map(([name, value]) => `${name}: ${value}`);
  exchange.text ??= [exchange.conn, exchange.method, exchange.authority, exchange.target, exchange.status, exchange.reason, ...headers].filter((text) => text != null).join("\n").toLowerCase();
  return exchange.text;
}

// What the selects and the overview choose; the rest is each table's own.
function isOfChosen(end) {
  return (
    (chosen.outcome === "" || outcomeOf(end) === chosen.outcome) &&
    (chosen.closer === "" || closerOf(end) === chosen.closer) &&
    (chosen.process === "" || (end.record?.comm ?? null) === JSON.parse(chosen.process)) &&
    (chosen.port === "" || servicePort(end) === Number(chosen.port))
  );
}

// Open at some time of the chosen part; what is unknown may have been.
function isInRange(end) {
  if (chosen.range === null) return true;
  return (end.openedAt ?? -Infinity) <= chosen.range.to && (end.closedAt ?? Infinity) >= chosen.range.from;
}

function isRequestInRange(exchange) {
  const { range } = chosen;
  return range === null || (exchange.at !== null && exchange.at >= range.from && exchange.at <= range.to);
}

function apply() {
  const text = chosen.text.toLowerCase();
  const shownEnds = allEnds.filter((end) => isOfChosen(end) && isInRange(end) && (text === "" || textOf(end).includes(text)));
  const shownRequests = exchanges.filter((exchange) => {
    const end = ends.get(exchange.conn);
    return isOfChosen(end) && isRequestInRange(exchange) && (text === "" || textOfRequest(exchange).includes(text) || textOf(end).includes(text));
  });
  connections.show(shownEnds);
  requests.show(shownRequests);
  showFigure("tab-connections", shownEnds.length, allEnds.length);
  showFigure("tab-requests", shownRequests.length, exchanges.length);
  showChosen();
}

function showFigure(id, shown, all) {
  byId(id).querySelector("span").textContent = shown === all ? count(all) : `${count(shown)} of ${count(all)}`;
}

function showChosen() {
  const { range } = chosen;
  byId("range").textContent = range === null ? "all of it; drag over it to take a part" : `${clock(range.from, 6)} to ${clock(range.to, 6)} · ${duration(range.to - range.from)}`;
  byId("range-clear").hidden = range === null;
  byId("clear").hidden = range === null && ["text", "outcome", "closer", "process", "port"].every((field) => chosen[field] === "");
  for (const row of document.querySelectorAll(".share-row")) {
    row.setAttribute("aria-pressed", String(chosen[row.dataset.field] === row.dataset.key));
  }
}

const connections = new Table(byId("connections"), {
  label: "Connections",
  nothing: "No connection is like that.",
  keyOf: (end) => end.id,
  open: (end, how) => openConnection(end, how),
  columns: [
    { words: "Outcome", width: "w12", value: (end) => verdict(end).words, cell: (end) => told(verdict(end)) },
    { words: "Opened", width: "w8", number: true, value: (end) => end.openedAt, cell: (end) => known(end.openedAt, (at) => clock(at, 3)) },
    { words: "Lasted", title: "From the SYN to the end of TIME_WAIT", width: "w7", number: true, value: lasted, cell: lastedCell },
    { words: "Process", width: "w10", value: owner, cell: (end) => known(owner(end)) },
    { words: "Local", width: "w11", number: true, value: (end) => end.record && address(end.record.local), cell: (end) => known(end.record?.local, address) },
    { words: "", title: "Which end opened it", width: "w2", value: (end) => end.role, cell: (end) => wayOf(end) },
    { words: "Remote", width: "w11", value: (end) => end.record && address(end.record.remote), cell: (end) => known(end.record?.remote, address) },
    figure("Requests", "w6", "exchanges", count),
    figure("Sent", "w6", "bytes_sent", bytes),
    figure("Received", "w6", "bytes_received", bytes),
    figure("Again", "w6", "segments_retransmitted", count, "Segments sent again"),
    figure("RTT", "w6", "srtt_us", duration, "Smoothed round-trip time"),
    figure("Lost", "w5", "lost_events", count, "Events about it that were lost"),
    { words: "Id", width: "w4", number: true, value: (end) => Number(end.id.slice(1)), cell: (end) => end.id },
  ],
});

function figure(words, width, field, form, title = "") {
  return { words, title, width, number: true, value: (end) => end.record?.[field], cell: (end) => known(end.record?.[field], form) };
}

function lasted(end) {
  return end.openedAt === null || end.closedAt === null ? null : end.closedAt - end.openedAt;
}

function lastedCell(end) {
  const us = lasted(end);
  if (us !== null) return duration(us);
  return end.record !== null && end.closedAt === null && outcomeOf(end) !== "unknown" ? make("span.what", {}, "lasts") : unknown();
}

function wayOf(end) {
  const way = { client: ["→", "client: this end opened it"], server: ["←", "server: the other end opened it"] }[end.role] ?? ["?", "who opened it is unknown"];
  return make("span.way", { title: way[1] }, way[0]);
}

const requests = new Table(byId("requests"), {
  label: "Requests",
  nothing: "No request is like that.",
  keyOf: requestKey,
  open: (exchange, how) => openRequest(exchange, how),
  columns: [
    { words: "At", width: "w8", number: true, value: (exchange) => exchange.at, cell: (exchange) => known(exchange.at, (at) => clock(at, 3)) },
    { words: "Method", width: "w5", value: (exchange) => exchange.method, cell: (exchange) => known(exchange.method) },
    { words: "Authority", width: "w10", value: (exchange) => exchange.authority, cell: (exchange) => known(exchange.authority) },
    { words: "Target", width: "w16", value: (exchange) => exchange.target, cell: (exchange) => known(exchange.target) },
    { words: "Status", width: "w6", value: (exchange) => exchange.status, cell: (exchange) => statusCell(exchange) },
    { words: "Type", width: "w8", value: (exchange) => exchange.response?.media_type, cell: (exchange) => known(exchange.response?.media_type) },
    { words: "Size", title: "Content of the answer", width: "w6", number: true, value: (exchange) => exchange.response?.body_bytes, cell: (exchange) => known(exchange.response?.body_bytes, bytes) },
    { words: "Connection", title: "Which one, and whether the request found it open", width: "w9", value: (exchange) => Number(exchange.conn.slice(1)) * 1e6 + exchange.number, cell: reuseCell },
    { words: "Time", width: "w6", number: true, value: total, cell: (exchange) => known(total(exchange), duration) },
    { words: "Where it went", title: "The parts of its own time; sorts by waiting", width: "w12", value: (exchange) => exchange.timing.wait_us, cell: (exchange) => (total(exchange) === null ? unknown() : waterfall(exchange, total(exchange))) },
  ],
});

function requestKey(exchange) {
  return `${exchange.conn}/${exchange.number}`;
}

function statusCell(exchange) {
  const { sign, tone } = answerVerdict(exchange);
  const words = exchange.status === null ? "unknown" : String(exchange.status);
  const cell = told({ sign, words, tone });
  if (!exchange.complete) cell.append(make("small", { title: "not seen whole" }, " cut"));
  return cell;
}

function reuseCell(exchange) {
  const reuse = exchange.reused_connection === null ? "first seen" : exchange.reused_connection ? `reused, #${exchange.number}` : "new";
  return `${exchange.conn} ${reuse}`;
}

// The keys to the pieces of a request's line, above the table.
byId("requests").prepend(make("p.keys", {}, ...PARTS.flatMap((part) => [make(`i.key.${part}`, { "aria-hidden": "true" }), `${part}  `])));

let openKey = null;

function openDetail(key, content, { focus = true } = {}) {
  const detail = byId("detail");
  const close = button("Close (Esc)", closeDetail, "close");
  openKey = key;
  detail.replaceChildren(close, ...content);
  detail.hidden = false;
  detail.scrollTop = 0;
  document.body.classList.add("has-detail");
  history.replaceState(null, "", `#${key}`);
  if (focus) detail.focus({ preventScroll: true });
}

function openConnection(end, how) {
  openDetail(end.id, connectionDetail(end, { connection: openConnection, request: openRequest }), how);
  connections.select(end.id);
}

function openRequest(exchange, how) {
  openDetail(requestKey(exchange), requestDetail(exchange, { connection: openConnection, request: openRequest }), how);
  requests.select(requestKey(exchange));
}

function closeDetail() {
  if (openKey === null) return;
  openKey = null;
  byId("detail").hidden = true;
  document.body.classList.remove("has-detail");
  history.replaceState(null, "", "#");
  (chosen.tab === "connections" ? connections : requests).view.focus({ preventScroll: true });
}

// `#c14` is a connection, `#c14/3` its third request.
function openFromAddress() {
  const [id, number] = location.hash.slice(1).split("/");
  const end = ends.get(id);
  if (end === undefined) return;
  const exchange = end.exchanges.find((one) => String(one.number) === number);
  if (exchange === undefined) openConnection(end);
  else openRequest(exchange);
}

function showTab(tab) {
  chosen.tab = tab;
  for (const name of ["connections", "requests"]) {
    byId(name).hidden = name !== tab;
    byId(`tab-${name}`).setAttribute("aria-selected", String(name === tab));
    byId(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
  }
  (tab === "connections" ? connections : requests).draw();
}

function fillSelect(id, field, any, options) {
  const select = byId(id);
  select.append(make("option", { value: "" }, any), ...options.map(([value, words, n]) => make("option", { value }, `${words} (${count(n)})`)));
  select.addEventListener("change", () => choose(field, select.value));
}

// Choosing what is chosen already takes it back.
function choose(field, value) {
  chosen[field] = chosen[field] === value ? "" : value;
  if (field === "outcome") byId("outcome").value = chosen.outcome;
  apply();
}

function clearAll() {
  Object.assign(chosen, { text: "", outcome: "", closer: "", process: "", port: "" });
  for (const id of ["search", "outcome", "process", "port"]) byId(id).value = "";
  timeline.clear();
}

// Most values of a select: longer ones are no help, the search is.
const OPTIONS = 300;

fillSelect("outcome", "outcome", "any", tally(allEnds, outcomeOf).map(([key, n]) => [key, OUTCOMES[key].words, n]));
fillSelect("process", "process", "any", tally(allEnds, (end) => end.record?.comm ?? null).slice(0, OPTIONS).map(([comm, n]) => [JSON.stringify(comm), comm === null ? "unknown" : clean(comm), n]));
fillSelect("port", "port", "any", tally(allEnds.filter((end) => servicePort(end) !== null), servicePort).slice(0, OPTIONS).map(([port, n]) => [String(port), String(port), n]));

byId("search").addEventListener("input", (event) => {
  chosen.text = event.target.value.trim();
  apply();
});
byId("clear").addEventListener("click", clearAll);
byId("range-clear").addEventListener("click", () => timeline.clear());
for (const tab of ["connections", "requests"]) byId(`tab-${tab}`).addEventListener("click", () => showTab(tab));
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
  showTab(chosen.tab === "connections" ? "requests" : "connections");
  byId(`tab-${chosen.tab}`).focus();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input, select");
  if (event.key === "Escape") closeDetail();
  else if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    byId("search").focus();
  }
});
addEventListener("hashchange", openFromAddress);
addEventListener("beforeprint", () => [connections, requests].forEach((table) => table.print(true)));
addEventListener("afterprint", () => [connections, requests].forEach((table) => table.print(false)));

showHead();
showOverview(choose);
const timeline = new Timeline(byId("timeline"), (range) => {
  chosen.range = range;
  apply();
});
apply();
showTab("connections");
openFromAddress();
