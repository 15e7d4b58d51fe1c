// What happened when: connections opened and closed, requests, and what went wrong. A part of the time can be chosen
// by dragging, by a click on a bar, or with the arrow keys.

const LEFT = 92;
const RIGHT = 14;
const LANES = [
  { key: "opened", words: "opened", top: 8, height: 30 },
  { key: "closed", words: "closed", top: 40, height: 24, down: true },
  { key: "requests", words: "requests", top: 74, height: 30 },
  { key: "failures", words: "failures", top: 114, height: 20 },
];
const AXIS = 146;
const HEIGHT = 164;

class Timeline {
  constructor(root, choose) {
    this.root = root;
    this.choose = choose;
    this.chosen = null;
    this.events = timelineEvents();
    if (span === null) {
      root.append(make("p.unknown", {}, "No times are known."));
      return;
    }
    this.from = span.from;
    this.length = Math.max(span.to - span.from, 1);
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Time line. Arrow keys move the chosen part of the time, Shift and arrow keys widen it, Escape takes all of it.");
    root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(root);
    this.draw();
  }

  draw() {
    const width = Math.max(this.root.clientWidth, 320);
    if (span === null || width === this.width) return;
    this.width = width;
    this.plot = width - LEFT - RIGHT;
    this.bins = Math.max(Math.floor(this.plot / 7), 20);
    this.svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
    this.mark = draw("rect", { class: "brush", y: 2, height: AXIS - 2, visibility: "hidden" });
    this.svg.append(this.mark, ...this.ticks(), ...LANES.flatMap((lane) => this.lane(lane)));
    this.svg.addEventListener("pointerdown", (event) => this.drag(event));
    this.root.replaceChildren(this.svg);
    this.showChosen();
  }

  x(at) {
    return LEFT + ((at - this.from) / this.length) * this.plot;
  }

  timeAt(x) {
    const share = (x - LEFT) / this.plot;
    return this.from + Math.min(Math.max(share, 0), 1) * this.length;
  }

  lane({ key, words, top, height, down = false }) {
    const bins = new Array(this.bins).fill(0);
    for (const at of this.events[key]) {
      bins[Math.min(Math.floor(((at - this.from) / this.length) * this.bins), this.bins - 1)] += 1;
    }
    const most = bins.reduce((a, b) => Math.max(a, b), 1);
    const step = this.plot / this.bins;
    const bars = bins.flatMap((n, index) => {
      if (n === 0) return [];
      const tall = Math.max((n / most) * height, 2);
      const y = down ? top : top + height - tall;
      const from = this.from + (index / this.bins) * this.length;
      const bar = draw("rect", { class: `bar-${key}`, x: (LEFT + index * step).toFixed(2), y: y.toFixed(2), width: Math.max(step - 1.5, 1).toFixed(2), height: tall.toFixed(2) });
      const title = draw("title");
      title.textContent = `${count(n)} ${words} in ${duration(this.length / this.bins)} from ${clock(from, 3)}`;
      bar.append(title);
      return [bar];
    });
    const label = draw("text", { x: LEFT - 10, y: top + height / 2 + 1, class: "lane" });
    label.textContent = words;
    const figure = draw("text", { x: LEFT - 10, y: top + height / 2 + 12, class: "lane-figure" });
    figure.textContent = count(this.events[key].length);
    // What hangs down hangs from the line of the lane above it.
    const base = down ? [] : [draw("line", { class: "base", x1: LEFT, x2: LEFT + this.plot, y1: top + height, y2: top + height })];
    return [...base, label, figure, ...bars];
  }

  ticks() {
    const step = tickStep((this.length / this.plot) * 110);
    const first = Math.ceil(this.from / step) * step;
    const decimals = step >= 1e6 ? 0 : step >= 1e3 ? 3 : 6;
    const ticks = [];
    for (let at = first; at <= this.from + this.length; at += step) {
      const x = this.x(at).toFixed(2);
      const text = draw("text", { x, y: AXIS + 13, class: "tick" });
      text.textContent = clock(at, decimals);
      ticks.push(draw("line", { class: "grid", x1: x, x2: x, y1: 2, y2: AXIS }), text);
    }
    return ticks;
  }

  drag(start) {
    if (start.button !== 0) return;
    start.preventDefault();
    this.root.focus({ preventScroll: true });
    const scale = this.width / this.svg.getBoundingClientRect().width;
    const xOf = (event) => (event.clientX - this.svg.getBoundingClientRect().left) * scale;
    const startX = xOf(start);
    const move = (event) => {
      const x = xOf(event);
      if (Math.abs(x - startX) < 4) return;
      this.set(this.timeAt(Math.min(x, startX)), this.timeAt(Math.max(x, startX)));
    };
    const end = (event) => {
      this.svg.removeEventListener("pointermove", move);
      if (event.type === "pointerup" && Math.abs(xOf(event) - startX) < 4) this.setBin(startX);
    };
    this.svg.setPointerCapture(start.pointerId);
    this.svg.addEventListener("pointermove", move);
    this.svg.addEventListener("pointerup", end, { once: true });
    this.svg.addEventListener("pointercancel", end, { once: true });
  }

  setBin(x) {
    const index = Math.min(Math.max(Math.floor(((x - LEFT) / this.plot) * this.bins), 0), this.bins - 1);
    const width = this.length / this.bins;
    this.set(this.from + index * width, this.from + (index + 1) * width);
  }

  key(event) {
    const step = (this.length / this.bins) * (event.key === "ArrowLeft" ? -1 : 1);
    if (event.key === "Escape" && this.chosen !== null) {
      event.stopPropagation();
      this.clear();
    } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      const { from, to } = this.chosen ?? { from: this.from - Math.max(step, 0), to: this.from + (step < 0 ? -step : 0) };
      if (event.shiftKey) this.set(from, Math.max(to + step, from + Math.abs(step)));
      else this.set(from + step, to + step);
    }
  }

  set(from, to) {
    const width = to - from;
    const last = this.from + this.length;
    const begin = Math.min(Math.max(from, this.from), Math.max(last - width, this.from));
    this.chosen = { from: begin, to: Math.min(begin + width, last) };
    this.showChosen();
    this.choose(this.chosen);
  }

  clear() {
    this.chosen = null;
    this.showChosen();
    this.choose(null);
  }

  showChosen() {
    this.mark.setAttribute("visibility", this.chosen === null ? "hidden" : "visible");
    if (this.chosen === null) return;
    const x = this.x(this.chosen.from);
    this.mark.setAttribute("x", x);
    this.mark.setAttribute("width", Math.max(this.x(this.chosen.to) - x, 2));
  }
}

// Times of what each lane shows; a connection with both ends here counts once.
function timelineEvents() {
  const events = { opened: [], closed: [], requests: [], failures: [] };
  for (const end of ends.values()) {
    if (end.isTold) continue;
    if (end.openedAt !== null) events.opened.push(end.openedAt);
    if (end.closingAt !== null) events.closed.push(end.closingAt);
    const failedAt = end.failed ? end.closingAt ?? end.closedAt : null;
    if (failedAt !== null) events.failures.push(failedAt);
  }
  for (const exchange of exchanges) {
    if (ends.get(exchange.conn).isTold) continue;
    if (exchange.at !== null) events.requests.push(exchange.at);
    if (exchange.status >= 500 && exchange.at !== null) events.failures.push(exchange.response?.at ?? exchange.at);
  }
  return events;
}

// The next round number of microseconds that is no less than `least`.
function tickStep(least) {
  const rounds = [1, 2, 5];
  for (let unit = 1; unit < 1e6; unit *= 10) {
    for (const round of rounds) if (unit * round >= least) return unit * round;
  }
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  for (const second of seconds) if (second * 1e6 >= least) return second * 1e6;
  return Math.ceil(least / 86400e6) * 86400e6;
}
