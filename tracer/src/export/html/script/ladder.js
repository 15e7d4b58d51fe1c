// A connection as a ladder: the client's states left, the server's right, and between them what passed, in time.
// Nothing is made up: what was seen at one end alone says so.

// A state change this close to a segment stands on its line, microseconds.
const NEAR = 1000;
// From here on nothing happening is worth a line, microseconds.
const QUIET = 1000;
// Lines shown at once.
const RUNGS = 400;

const SIDES = ["client", "server"];
const other = (side) => (side === "client" ? "server" : "client");

// Both ends by side, as far as they are in the recording.
function sidesOf(end) {
  return end.role === "server" ? { client: end.peer, server: end } : { client: end, server: end.peer };
}

// The program's name, or which end it is, where that is unknown or the same on both sides.
function sideName(sides, side) {
  const comm = sides[side]?.record?.comm ?? null;
  const theirs = sides[other(side)]?.record?.comm ?? null;
  return comm === null || comm === theirs ? `the ${side}` : clean(comm);
}

function sideAddress(sides, side) {
  const own = sides[side]?.record?.local ?? sides[other(side)]?.record?.remote;
  return own ? address(own) : null;
}

function rungsOf(end) {
  const sides = sidesOf(end);
  let rungs = segmentRungs(sides).concat(messageRungs(sides));
  for (const side of SIDES) {
    rungs.sort((a, b) => a.at - b.at);
    rungs = rungs.concat(placeStates(rungs, side, sides[side]));
  }
  rungs.sort((a, b) => a.at - b.at);
  for (const rung of rungs) rung.proves = proves(rung, sides);
  return withGaps(rungs, sides);
}

// What is the same of a segment at both its ends.
function segmentKey(segment) {
  return `${segment.flags} ${segment.seq} ${segment.ack} ${segment.payload_bytes}`;
}

// A line for every segment: one for both its ends.
function segmentRungs(sides) {
  const rungs = [];
  for (const from of SIDES) {
    const of = (side, direction) => (sides[side]?.segments ?? []).filter((segment) => segment.direction === direction);
    const arrived = new Map();
    for (const segment of of(other(from), "received")) {
      const key = segmentKey(segment);
      if (!arrived.has(key)) arrived.set(key, []);
      arrived.get(key).push(segment);
    }
    for (const segment of of(from, "sent")) {
      const same = arrived.get(segmentKey(segment)) ?? [];
      const index = same.findIndex((candidate) => candidate.at >= segment.at);
      const [arrival] = index < 0 ? [null] : same.splice(index, 1);
      rungs.push({ kind: "segment", at: segment.at, from, segment, arrival, isLost: arrival === null && sides[other(from)] !== null });
    }
    for (const segment of [...arrived.values()].flat()) {
      rungs.push({ kind: "segment", at: segment.at, from, segment, arrival: segment, isLost: false });
    }
  }
  return rungs;
}

// Requests and answers, as the client's end tells them where it is here.
function messageRungs(sides) {
  const told = sides.client?.exchanges.length > 0 ? sides.client : sides.server;
  return (told?.exchanges ?? []).flatMap((exchange) => {
    const asked = exchange.request?.at ?? null;
    const answered = exchange.response?.at ?? null;
    return [
      ...(asked === null ? [] : [{ kind: "request", at: asked, from: "client", exchange }]),
      ...(answered === null ? [] : [{ kind: "answer", at: answered, from: "server", exchange }]),
    ];
  });
}

// Puts the states of a side onto the lines of what brought them; returns lines of their own for the others.
function placeStates(rungs, side, end) {
  const alone = [];
  let notBefore = 0;
  for (const entry of end?.states ?? []) {
    if (entry.at === null) continue;
    const index = lineFor(rungs, side, entry, notBefore);
    if (index < 0) {
      alone.push({ kind: "change", at: entry.at, [side]: entry });
    } else {
      rungs[index][side] = entry;
      notBefore = index;
    }
  }
  return alone;
}

// The line of the segment that goes with a state change. The kernel changes the state first and then sends; what
// arrives comes before the change that it brings.
function lineFor(rungs, side, { state, at }, notBefore) {
  const isReset = (rung) => rung.kind === "segment" && rung.from === side && rung.segment.flags.includes("R") && rung.at >= at && rung.at - at <= NEAR;
  const sends = state === "SYN_SENT" || state === "FIN_WAIT1" || state === "LAST_ACK" || (state === "CLOSE" && rungs.some(isReset));
  const fits = (rung) => {
    if (rung.kind !== "segment" || rung.segment.retransmit || rung[side] !== undefined) return false;
    if ((rung.from === side) !== sends) return false;
    return sends ? rung.at >= at && rung.at - at <= NEAR : rung.at <= at && at - rung.at <= NEAR;
  };
  if (sends) return rungs.findIndex((rung, index) => index >= notBefore && fits(rung));
  return rungs.findLastIndex((rung, index) => index >= notBefore && fits(rung));
}

function flagWords(flags) {
  const names = [["S", "SYN"], ["F", "FIN"], ["R", "RST"]].filter(([letter]) => flags.includes(letter)).map(([, name]) => name);
  // An ACK says nothing beside a FIN: every segment of a connection that stands has one.
  if (flags.includes("S") && flags.includes("A")) names.push("ACK");
  return names.length === 0 ? "data" : names.join("+");
}

// What a line proves to whom.
function proves(rung, sides) {
  const [client, server] = SIDES.map((side) => sideName(sides, side));
  if (rung.kind === "segment") return segmentProves(rung, sides, client, server);
  if (rung.kind === "change") {
    const side = rung.client ? "client" : "server";
    return enters(side, rung[side].state, sideName(sides, side));
  }
  return messageProves(rung);
}

function messageProves({ kind, exchange }) {
  if (kind === "request") return exchange.reused_connection === true ? `request ${exchange.number}, on a connection that was there` : `request ${exchange.number}`;
  const waited = exchange.timing.wait_us === null ? "" : ` after ${duration(exchange.timing.wait_us)} of waiting`;
  return `answer${waited}${exchange.complete ? "" : "; not seen whole"}`;
}

function segmentProves({ segment, from, arrival, isLost }, sides, client, server) {
  const sender = sideName(sides, from);
  const meaning = {
    // A segment proves nothing before it is known to have come.
    SYN: arrival === null ? `${client} asks for a connection` : `${server} learns: ${client} can send`,
    "SYN+ACK": arrival === null ? `${server} answers` : `${client} learns: both can send and receive`,
    FIN: `${sender} sends no more, still reads`,
    RST: `${sender} cuts it off at once`,
  };
  const words = [segment.retransmit ? "sent again: the first was not answered" : meaning[flagWords(segment.flags)] ?? ""];
  if (isLost) words.push("not seen to arrive");
  else if (arrival !== null && arrival !== segment) words.push(`there after ${duration(arrival.at - segment.at)}`);
  return words.filter((text) => text !== "").join("; ");
}

function enters(side, state, name) {
  // The ACK is a segment like any other of a connection that stands: it is not told.
  if (side === "server" && state === "ESTABLISHED") return `the ACK came: ${name} knows it too`;
  if (state === "FIN_WAIT2") return `${name}'s FIN is acknowledged`;
  return `${name}: ${MEANINGS[state] ?? ""}`;
}

// Lines for the times in which nothing happened, which are often the answer.
function withGaps(rungs, sides) {
  return rungs.flatMap((next, index) => {
    const last = rungs[index - 1];
    const quiet = last === undefined ? 0 : next.at - last.at;
    if (quiet < QUIET) return [next];
    const works = last.kind === "request" && next.kind === "answer" ? `${sideName(sides, "server")} works on the answer` : "";
    return [{ kind: "gap", at: last.at, quiet, proves: works }, next];
  });
}

function drawLadder(end, openRequest) {
  const sides = sidesOf(end);
  const rungs = rungsOf(end);
  const lines = make("div", { role: "table", "aria-label": "What passed between client and server" }, ladderHead(sides, end));
  const ladder = make("div.ladder", {}, lines);
  if (rungs.length === 0) ladder.append(make("p.note", {}, "Nothing with a time is known of it."));
  const began = rungs[0]?.at;
  const showMore = (from) => {
    lines.append(...rungs.slice(from, from + RUNGS).map((rung) => drawRung(rung, began, openRequest)));
    const left = rungs.length - from - RUNGS;
    if (left <= 0) return;
    const more = make("p.note", {}, `${plural(left, "more line")}. `, button(`show ${count(Math.min(left, RUNGS))}`, () => (more.remove(), showMore(from + RUNGS))));
    lines.append(more);
  };
  showMore(0);
  ladder.append(make("p.note", {}, "Drawn are segments that open, close, reset or repeat, and HTTP messages; other data may have passed between them."));
  const missing = leftOutOf(sides);
  if (missing !== null) ladder.append(make("p.note", {}, told({ sign: "!", words: missing, tone: "notice" })));
  return ladder;
}

function ladderHead(sides, end) {
  const who = (side) => {
    const name = owner(sides[side]);
    const where = sideAddress(sides, side);
    const here = sides[side] === null ? (end.record === null ? "unknown" : "not in this recording") : sides[side] === end ? "this end" : "the other end";
    return make(`div.who.${side}`, { role: "columnheader" }, make("small", {}, end.role === null ? "which end opened it is unknown" : `${side} · ${here}`), make("b", {}, name ?? "process unknown"), known(where));
  };
  return make("div.rung.head", { role: "row" }, who("client"), who("server"));
}

// What of these ends' ladder the page's bound may have left out.
function leftOutOf(sides) {
  const missing = ["segment", "exchange"].flatMap((type) => {
    const kind = leftOut.get(type);
    if (kind === undefined) return [];
    const from = kind.from === null ? null : time(kind.from);
    const ends = SIDES.map((side) => sides[side]).filter((end) => end !== null);
    const isOver = from !== null && ends.every((end) => end.closedAt !== null && end.closedAt < from);
    return isOver ? [] : [`${KINDS[type]}${from === null ? "" : ` from ${clock(from, 3)} on`}`];
  });
  return missing.length === 0 ? null : `This page leaves out ${missing.join(" and ")}: some of this connection may be missing here.`;
}

function drawRung(rung, began, openRequest) {
  const state = (side) => {
    const entry = rung[side];
    const cell = make(`div.at-${side}`, { role: "cell" });
    if (entry !== undefined) cell.append(stateName(entry.state), entry.inferred ? make("small", { title: "not told by the kernel; it follows from other evidence" }, " inferred") : "");
    return cell;
  };
  const since = rung.kind === "gap" ? "" : `+${duration(rung.at - began)}`;
  const when = make("div.since.number", { role: "cell", title: rung.kind === "gap" ? "" : clock(rung.at, 9) }, since);
  const line = make(`div.rung.${rung.kind}`, { role: "row" }, when, state("client"), wire(rung, openRequest), state("server"), make("div.proves", { role: "cell" }, rung.proves));
  if (rung.kind === "gap") line.style.setProperty("--quiet", Math.log10(rung.quiet / QUIET).toFixed(2));
  return line;
}

// The line between the two ends: an arrow from who sent, or the time in which nothing passed.
function wire(rung, openRequest) {
  if (rung.kind === "gap") return make("div.wire", { role: "cell" }, make("span.words", {}, `⋮ ${duration(rung.quiet)}`));
  if (rung.kind === "change") return make("div.wire", { role: "cell" });
  const kind = rung.kind !== "segment" ? "message" : rung.segment.retransmit ? "again" : rung.segment.flags.includes("R") ? "reset" : "plain";
  const arrow = make(`div.arrow.from-${rung.from}.${kind}${rung.isLost ? ".lost" : ""}`, { "aria-hidden": "true" }, slope(rung.from, rung.isLost), make("i", {}, rung.isLost ? "✕" : ""));
  return make("div.wire", { role: "cell" }, arrow, make("span.words", {}, ...wireWords(rung, openRequest)));
}

function slope(from, isLost) {
  const [x1, x2] = from === "client" ? [0, isLost ? 88 : 100] : [100, isLost ? 12 : 0];
  return draw("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" }, draw("line", { x1, x2, y1: 22, y2: isLost ? 71 : 78, "vector-effect": "non-scaling-stroke" }));
}

function wireWords({ kind, segment, exchange }, openRequest) {
  if (kind === "request") return [button(shorten(requestWords(exchange)), () => openRequest(exchange))];
  if (kind === "answer") return [button(shorten(answerWords(exchange)), () => openRequest(exchange))];
  const ack = segment.ack === null ? "" : ` ack ${segment.ack}`;
  const size = segment.payload_bytes === 0 ? "" : ` ${bytes(segment.payload_bytes)}`;
  return [make("b", {}, flagWords(segment.flags)), `${segment.retransmit ? " again" : ""} `, make("span.figures", {}, `seq ${segment.seq}${ack}${size}`)];
}

function shorten(text) {
  return text.length <= 48 ? text : `${text.slice(0, 47)}…`;
}
