// node page.mjs CHROMIUM PAGE RECORDS SHOT [PICTURE]: opens the page, works with it as a person does, and holds what it
// shows against the records. The browser must have nothing to say about it.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [, , executablePath, file, records, shot, picture] = process.argv;
const lines = readFileSync(records, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const exchanges = lines.filter(({ type }) => type === "exchange");
const connections = lines.filter(({ type }) => type === "connection");
const ids = new Set(lines.map((line) => line.conn ?? line.id).filter((id) => id !== undefined));
const address = pathToFileURL(file).href;

function must(condition, text) {
  if (!condition) throw new Error(text);
}

// What a tab says it lists: [shown, all].
async function figures(page, tab) {
  const text = await page.locator(`#tab-${tab} span`).textContent();
  const numbers = text.replaceAll(",", "").split(" of ").map(Number);
  return [numbers[0], numbers.at(-1)];
}

async function opens(page) {
  await page.goto(address);
  const [shown, requests] = [await figures(page, "connections"), await figures(page, "requests")];
  must(shown[1] === ids.size, `${shown[1]} connections listed, ${ids.size} recorded`);
  must(requests[1] === exchanges.length, `${requests[1]} requests listed, ${exchanges.length} recorded`);
  return `${ids.size} connections and ${exchanges.length} requests listed`;
}

async function searches(page) {
  const words = exchanges.map(({ target }) => target).filter((target) => target !== null).sort((a, b) => b.length - a.length)[0] ?? "";
  await page.keyboard.press("/");
  await page.keyboard.type(words);
  const [shown] = await figures(page, "requests");
  const expected = exchanges.filter((exchange) => JSON.stringify(exchange).includes(words)).length;
  must(shown === expected && shown > 0, `a search for ${words} shows ${shown} requests, ${expected} have it`);
  await page.locator("#search").fill("nothing is called like that");
  must((await figures(page, "connections"))[0] === 0, "a search for nothing shows something");
  await page.locator("#clear").click();
  must((await figures(page, "connections"))[0] === ids.size, "clearing does not bring all back");
  return `search for ${words}: ${shown}`;
}

async function filters(page) {
  const outcomes = new Set(connections.map(({ outcome }) => outcome ?? "unknown"));
  for (const outcome of outcomes) {
    await page.locator("#outcome").selectOption(outcome);
    const [shown] = await figures(page, "connections");
    const expected = connections.filter((end) => (end.outcome ?? "unknown") === outcome).length;
    must(shown === expected, `the filter ${outcome} shows ${shown}, recorded are ${expected}`);
  }
  await page.locator("#clear").click();
  return `${outcomes.size} outcomes filtered`;
}

async function opensLadder(page) {
  await page.locator("#connections tr[data-index='0']").click();
  const rungs = await page.locator("#detail .ladder .rung").count();
  must(rungs > 1, "the first connection's ladder is empty");
  await page.keyboard.press("Escape");
  must(await page.locator("#detail").isHidden(), "Escape does not close the ladder");
  return `a ladder of ${rungs - 1} lines`;
}

async function opensRequest(page) {
  await page.locator("#tab-requests").click();
  must(await page.locator("#connections").isHidden(), "the other tab's table stays");
  await page.locator("#requests tr[data-index='0']").click();
  const kind = await page.locator("#detail .kind").textContent();
  must(kind.startsWith("request "), `a request opens ${kind}`);
  const headers = await page.locator("#detail .headers tbody tr").count();
  await page.keyboard.press("Escape");
  await page.locator("#tab-connections").click();
  return `a request with ${headers} headers`;
}

// A client that closes first, and a server that is slow to follow: what the ladder is for. Else the richest life.
function shownConnection() {
  const late = exchanges.find(({ conn, target }) => target === "/leak" && connections.some(({ id, endpoint }) => id === conn && endpoint === "client"));
  const longest = connections.toSorted((a, b) => b.states.length - a.states.length)[0];
  return late?.conn ?? longest.id;
}

async function draws(page) {
  // An address that differs in its fragment alone does not load the page again.
  await page.goto("about:blank");
  await page.goto(`${address}#${shownConnection()}`);
  must(await page.locator("#detail .ladder").isVisible(), "the address does not open its connection");
  for (const path of [shot, picture]) if (path !== undefined) await page.screenshot({ path });
}

const browser = await chromium.launch({ executablePath });
try {
  const page = await browser.newPage({ viewport: { width: 1500, height: 980 } });
  const said = [];
  page.on("console", (message) => said.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.message}`));
  page.on("request", (request) => request.url().startsWith(address) || request.url() === "about:blank" || said.push(`asks for ${request.url()}`));
  const done = [];
  for (const step of [opens, searches, filters, opensLadder, opensRequest]) done.push(await step(page));
  await draws(page);
  must(said.length === 0, `the browser says:\n${said.join("\n")}`);
  console.log(`${done.join(", ")}; nothing on the console, nothing loaded`);
} finally {
  await browser.close();
}
