// A table of any length: only the rows that can be seen are in the page.

const ROW = 27;
const SPARE = 8;
// Rows that are put into the page for printing.
const PRINTED = 2000;

class Table {
  // `columns`: { words, width, number, value(row), cell(row) }; `open(row)` is asked for on Enter and on a click.
  constructor(root, { label, columns, open, keyOf, nothing }) {
    Object.assign(this, { root, columns, open, keyOf, nothing, rows: [], order: null, down: false, cursor: -1, isPrinting: false, drawn: new Map() });
    this.prefix = root.id;
    [this.above, this.below] = [space(), space()];
    this.body = make("tbody", {}, this.above, this.below);
    this.heads = columns.map((column, index) => this.head(column, index));
    const widths = make("colgroup", {}, ...columns.map((column) => make(`col.${column.width}`)));
    this.table = make("table.rows", { role: "presentation" }, widths, make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...this.heads)), this.body);
    this.body.setAttribute("role", "rowgroup");
    this.view = make("div.scroll", { tabIndex: 0, role: "grid", "aria-label": label, "aria-colcount": columns.length }, this.table);
    this.note = make("p.note");
    root.append(this.view, this.note);
    this.view.addEventListener("scroll", () => this.later(), { passive: true });
    this.view.addEventListener("keydown", (event) => this.key(event));
    this.body.addEventListener("click", (event) => this.click(event));
    new ResizeObserver(() => this.later()).observe(this.view);
  }

  head(column, index) {
    const sort = button(column.words, () => this.sortBy(index), "sort");
    return make(column.number ? "th.number" : "th", { scope: "col", role: "columnheader", "aria-sort": "none", title: column.title ?? "" }, sort);
  }

  sortBy(index, down = this.order === index ? !this.down : false) {
    [this.order, this.down] = [index, down];
    this.heads.forEach((head, at) => head.setAttribute("aria-sort", at !== index ? "none" : down ? "descending" : "ascending"));
    this.show(this.rows);
  }

  // Shows these rows; the one that was under the cursor stays under it.
  show(rows) {
    const key = this.cursor < 0 || this.cursor >= this.rows.length ? null : this.keyOf(this.rows[this.cursor]);
    this.rows = this.order === null ? rows : sorted(rows, this.columns[this.order].value, this.down);
    this.cursor = key === null ? -1 : this.rows.findIndex((row) => this.keyOf(row) === key);
    this.view.setAttribute("aria-rowcount", this.rows.length + 1);
    this.view.style.setProperty("--rows", this.rows.length);
    this.drawn.clear();
    this.body.replaceChildren(this.above, this.below);
    this.draw();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  draw() {
    const tall = this.view.clientHeight;
    const first = this.isPrinting ? 0 : Math.max(Math.floor(this.view.scrollTop / ROW) - SPARE, 0);
    const fit = this.isPrinting ? PRINTED : Math.ceil(tall / ROW) + 2 * SPARE;
    const last = Math.min(first + fit, this.rows.length);
    this.place(first, last);
    const left = this.rows.length - last;
    this.note.textContent = this.rows.length === 0 ? this.nothing : this.isPrinting && left > 0 ? `${plural(left, "more row")} not printed.` : "";
    if (this.cursor >= first && this.cursor < last) this.view.setAttribute("aria-activedescendant", `${this.prefix}-${this.cursor}`);
    else this.view.removeAttribute("aria-activedescendant");
  }

  // Rows that stay in sight stay as they are: a browser lays out again only what is new.
  place(first, last) {
    for (const [index, row] of this.drawn) {
      if (index >= first && index < last) continue;
      row.remove();
      this.drawn.delete(index);
    }
    let before = this.above;
    for (let index = first; index < last; index += 1) {
      if (!this.drawn.has(index)) {
        this.drawn.set(index, this.row(index));
        before.after(this.drawn.get(index));
      }
      before = this.drawn.get(index);
      before.setAttribute("aria-selected", String(index === this.cursor));
    }
    stretch(this.above, first);
    stretch(this.below, this.isPrinting ? 0 : this.rows.length - last);
  }

  row(index) {
    const row = this.rows[index];
    const cells = this.columns.map((column) => make(column.number ? "td.number" : "td", { role: "gridcell" }, column.cell(row)));
    const line = make("tr", { id: `${this.prefix}-${index}`, role: "row", "aria-rowindex": index + 2 }, ...cells);
    line.dataset.index = index;
    return line;
  }

  click(event) {
    const line = event.target.closest("tr[data-index]");
    if (line === null || String(getSelection()) !== "") return;
    this.moveTo(Number(line.dataset.index));
    this.open(this.rows[this.cursor]);
  }

  key(event) {
    const page = Math.max(Math.floor(this.view.clientHeight / ROW) - 2, 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.target !== this.view || this.rows.length === 0) return;
    if (Object.hasOwn(steps, event.key)) {
      event.preventDefault();
      this.moveTo(Math.min(Math.max(this.cursor + steps[event.key], 0), this.rows.length - 1));
      if (document.body.classList.contains("has-detail")) this.open(this.rows[this.cursor], { focus: false });
    } else if (event.key === "Enter" && this.cursor >= 0) {
      this.open(this.rows[this.cursor]);
    }
  }

  moveTo(index) {
    this.cursor = index;
    const top = index * ROW;
    const room = this.view.clientHeight - 2 * ROW;
    if (top < this.view.scrollTop) this.view.scrollTop = top;
    else if (top > this.view.scrollTop + room) this.view.scrollTop = top - room;
    this.draw();
  }

  // Puts the cursor on the row with this key, where it is shown.
  select(key) {
    const index = this.rows.findIndex((row) => this.keyOf(row) === key);
    if (index >= 0) this.moveTo(index);
  }

  print(isPrinting) {
    this.isPrinting = isPrinting;
    this.draw();
  }
}

function space() {
  return make("tr.space", { "aria-hidden": "true" });
}

// Makes the space as high as so many rows.
function stretch(space, rows) {
  space.style.height = `${rows * ROW}px`;
}

// Unknown comes last, whichever way it is sorted.
function sorted(rows, valueOf, down) {
  const keyed = rows.map((row) => ({ row, value: valueOf(row) ?? null }));
  const way = down ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    return a.value < b.value ? -way : a.value > b.value ? way : 0;
  });
  return keyed.map(({ row }) => row);
}
