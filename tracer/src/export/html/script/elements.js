// Elements. Whatever a record says goes in as text.

// An element of `tag` and classes (`td.number`), with properties, and strings or nodes in it.
function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// The page's one drawing element tells the name space that its like are made in.
const drawing = document.getElementById("drawing").content.firstElementChild;

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(drawing.namespaceURI, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// What is not known is said, never left as 0 or nothing.
function unknown() {
  return make("span.unknown", {}, "unknown");
}

// `form` of a value, or that it is unknown.
function known(value, form = (text) => clean(text)) {
  return value === null || value === undefined ? unknown() : form(value);
}

function button(words, onclick, classes = "link") {
  return make(`button.${classes}`, { type: "button", onclick }, words);
}

// A sign and words: the colour says nothing that they do not.
function told({ sign, words, tone }) {
  return make(`span.told.${tone}`, {}, make("span.sign", { "aria-hidden": "true" }, sign), words);
}

// A table of a few rows; a cell is a node, a string, or `{ number: … }`.
function plainTable(heads, rows, classes = "plain") {
  const cell = (tag, what) => {
    const isNumber = what !== null && typeof what === "object" && "number" in what;
    return make(isNumber ? `${tag}.number` : tag, tag === "th" ? { scope: "col" } : {}, isNumber ? what.number : what);
  };
  const line = (tag, cells) => make("tr", {}, ...cells.map((what) => cell(tag, what)));
  return make(`table.${classes}`, {}, make("thead", {}, line("th", heads)), make("tbody", {}, ...rows.map((row) => line("td", row))));
}
