// What is known of the connection or the request that was chosen.

// Requests of a connection listed at once.
const LISTED = 200;

function connectionDetail(end, go) {
  const sides = sidesOf(end);
  const [left, right] = [end.role === "server" ? sides.server : sides.client, end.peer];
  const remote = end.record === null ? null : address(end.record.remote);
  const way = end.role === null ? "↔" : end.role === "client" ? "→" : "←";
  const title = [owner(end) ?? "process unknown", " ", make("span.way", {}, way), " ", known(remote)];
  return [
    detailHead(`connection ${end.id}`, title, told(verdict(end))),
    make("p.story", {}, story(end)),
    drawLadder(end, go.request),
    make("h3", {}, right === null ? "This end" : "Both ends"),
    endTable(left, right, go),
    make("h3", {}, "States"),
    ...[left, right].filter((one) => one !== null).map((one) => statesTable(one, right !== null)),
    ...requestList(end, go),
  ];
}

function detailHead(kind, title, verdict) {
  return make("div.detail-head", {}, make("p.kind", {}, kind), make("h2", {}, ...title), make("p.verdict", {}, verdict));
}

const END_FACTS = [
  ["which end", (end) => known(end.role)],
  ["local", (end) => known(end.record?.local, address)],
  ["remote", (end) => known(end.record?.remote, address)],
  ["process", (end) => known(owner(end))],
  ["binary", (end) => known(end.record?.exe)],
  ["cgroup", (end) => known(end.record?.cgroup)],
  ["container", (end) => (end.record === null || end.record.cgroup === null ? known(end.record?.container) : known(end.record.container ?? "none"))],
  ["network namespace", (end) => known(end.record?.netns, String)],
  ["opened", (end) => known(end.openedAt, (at) => clock(at))],
  ["done with", (end) => (end.record !== null && end.closedAt === null && outcomeOf(end) !== "unknown" ? "not yet" : known(end.closedAt, (at) => clock(at)))],
  ["closed first by", (end) => (closerOf(end) === "unknown" ? unknown() : CLOSERS[closerOf(end)])],
  ["bytes sent", (end) => known(end.record?.bytes_sent, count)],
  ["bytes received", (end) => known(end.record?.bytes_received, count)],
  ["segments sent again", (end) => known(end.record?.segments_retransmitted, count)],
  ["round trip", (end) => known(end.record?.srtt_us, duration)],
  ["requests", (end) => known(end.record?.exchanges, count)],
  ["lost events", (end) => known(end.record?.lost_events, count)],
];

function endTable(left, right, go) {
  const shown = [left, right].filter((end) => end !== null);
  const name = (end) => (end === shown[0] ? end.id : button(end.id, () => go.connection(end)));
  return plainTable(["", ...shown.map(name)], END_FACTS.map(([words, fact]) => [make("span.what", {}, words), ...shown.map(fact)]), "facts");
}

function statesTable(end, isNamed) {
  const rows = end.states.map((entry, index) => {
    const next = end.states[index + 1];
    const since = entry.at !== null ? clock(entry.at) : index === 0 ? "before tracing" : unknown();
    const spent = entry.at === null || (next && next.at === null) ? unknown() : next ? duration(next.at - entry.at) : "";
    const name = make("span", {}, stateName(entry.state), entry.inferred ? make("small", {}, " inferred") : "");
    return [name, { number: since }, { number: spent }, make("span.what", {}, MEANINGS[entry.state] ?? "")];
  });
  const head = isNamed ? `${end.role ?? "end"} ${end.id}` : "state";
  return plainTable([head, { number: "since (UTC)" }, { number: "for" }, "means"], rows);
}

function requestList(end, go) {
  if (end.exchanges.length === 0) return [];
  const rows = end.exchanges.slice(0, LISTED).map((exchange) => [
    { number: String(exchange.number) },
    button(shorten(requestWords(exchange)), () => go.request(exchange)),
    answerWords(exchange),
    { number: known(total(exchange), duration) },
  ]);
  const left = end.exchanges.length - rows.length;
  return [
    make("h3", {}, `Requests (${count(end.exchanges.length)})`),
    plainTable([{ number: "#" }, "request", "answer", { number: "time" }], rows),
    ...(left > 0 ? [make("p.note", {}, `${plural(left, "more request")}: search for ${end.id} among the requests.`)] : []),
  ];
}

function requestDetail(exchange, go) {
  const end = ends.get(exchange.conn);
  const { request, response } = exchange;
  return [
    detailHead(`request ${exchange.number} on connection ${exchange.conn}`, [requestWords(exchange)], told(answerVerdict(exchange))),
    make("p.story", {}, requestStory(exchange), " ", button(`Its connection, ${exchange.conn}`, () => go.connection(end)), "."),
    make("h3", {}, "Where the time went"),
    timingTable(exchange),
    make("h3", {}, "Request"),
    request === null ? make("p", {}, "Its head was not seen.") : messageTable(request, [["authority", known(exchange.authority)], ["scheme", known(exchange.scheme)], ["protocol", known(exchange.protocol)]]),
    make("h3", {}, "Answer"),
    response === null ? make("p", {}, "Its head was not seen.") : messageTable(response, [["status", known(exchange.status, String)], ["reason", exchange.reason === null ? "none, or unknown" : clean(exchange.reason)], ["media type", known(response.media_type)], ["from a cache", known(response.from_cache, (is) => (is ? "yes" : "no"))]]),
  ];
}

function answerVerdict(exchange) {
  const { status } = exchange;
  const words = answerWords(exchange);
  if (status === null) return { sign: "?", words, tone: "notice" };
  return status >= 500 ? { sign: "✕", words, tone: "bad" } : status >= 400 ? { sign: "!", words, tone: "notice" } : { sign: "✓", words, tone: "calm" };
}

function requestStory(exchange) {
  const reuse = { true: "The connection was there already.", false: "The connection was opened for it." }[exchange.reused_connection] ?? "Whether the connection had carried others before is unknown.";
  const whole = exchange.complete ? "Seen whole." : `Not seen whole: ${exchange.missing_bytes > 0 ? `${bytes(exchange.missing_bytes)} missing` : "how much is missing is unknown"}.`;
  return `${reuse} ${whole}`;
}

const PART_WORDS = {
  connect: "connect: SYN to ESTABLISHED",
  tls: "TLS handshake",
  send: "send: first to last byte of the request",
  wait: "wait: to the first byte of the answer",
  receive: "receive: first to last byte of the answer",
};

function timingTable(exchange) {
  const all = total(exchange);
  const rows = PARTS.map((part) => {
    const us = exchange.timing[`${part}_us`];
    const isSpared = us === null && part === "connect" && exchange.reused_connection === true;
    const words = make("span", {}, make(`i.key.${part}`, { "aria-hidden": "true" }), PART_WORDS[part]);
    return [words, { number: isSpared ? "not needed" : known(us, duration) }, us === null || !all ? "" : waterfall(exchange, all, part)];
  });
  rows.push([make("b", {}, "in all, as far as known"), { number: make("b", {}, known(all, duration)) }, ""]);
  return plainTable(["part", { number: "time" }, ""], rows, "timing");
}

function messageTable(message, facts) {
  const own = [["first byte", known(message.at, (at) => clock(at, 9))], ...facts, ["content", known(message.body_bytes, (n) => (n < 1024 ? bytes(n) : `${bytes(n)} (${count(n)} B)`))]];
  const rows = own.map(([name, value]) => [make("span.what", {}, name), value]);
  const headers = message.headers.map(([name, value]) => [make("span.header", {}, clean(name)), make("span.value", {}, clean(value))]);
  const heads = headers.length === 0 ? [make("p.note", {}, "No header fields.")] : [plainTable(["header", "value"], headers, "facts.headers")];
  return make("div", {}, plainTable(["", ""], rows, "facts"), ...heads);
}

// The parts of an exchange's time as pieces of a line `scale` microseconds long; `only` one of them in its place.
function waterfall(exchange, scale, only = null) {
  const line = make("span.waterfall", { "aria-hidden": "true" });
  for (const part of PARTS) {
    const us = exchange.timing[`${part}_us`];
    if (us === null || us === 0) continue;
    const piece = make(only === null || only === part ? `i.${part}` : "i", { title: `${part} ${duration(us)}` });
    piece.style.width = `${Math.min((100 * us) / scale, 100)}%`;
    line.append(piece);
  }
  return line;
}
