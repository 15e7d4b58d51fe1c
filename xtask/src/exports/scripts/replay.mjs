// node replay.mjs CHROMIUM ARCHIVE: Playwright answers a browser from the archive, with no server there.
//
// Pages are opened, and then everything of their host is asked for by fetch(). Bodies are not recorded: status and
// headers must be those of an entry with that URL.

import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [, , executablePath, archive] = process.argv;
const entries = JSON.parse(readFileSync(archive, "utf8")).log.entries;
const REDIRECTS = [301, 302, 303, 307, 308];

// What a browser's GET of `url` may be answered with: redirects are followed.
function answersTo(url) {
  const found = entries.filter((entry) => entry.request.method === "GET" && entry.request.url === url && entry.response.status > 0);
  return found.flatMap(({ response }) => (REDIRECTS.includes(response.status) && response.redirectURL ? answersTo(new URL(response.redirectURL, url).href) : [response]));
}

// Fields that stand once; the others are joined in the one place and not in the other.
function singles(headers) {
  const names = headers.map(({ name }) => name);
  return headers.filter(({ name }) => names.indexOf(name) === names.lastIndexOf(name));
}

// Why `status` and `headers` are no answer of these; undefined where they are one.
function difference(answers, status, headers) {
  const isThis = (answer) => answer.status === status && singles(answer.headers).every(({ name, value }) => headers[name] === undefined ? isHidden(name) : headers[name] === value);
  if (answers.some(isThis)) return undefined;
  return `${status} ${JSON.stringify(headers)}, recorded ${JSON.stringify(answers.map((answer) => [answer.status, singles(answer.headers)]))}`;
}

// fetch() shows no cookies to a page.
function isHidden(name) {
  return name === "set-cookie";
}

function must(condition, text) {
  if (!condition) throw new Error(text);
}

const answered = entries.filter((entry) => entry.request.method === "GET" && answersTo(entry.request.url).length > 0);
const urls = [...new Set(answered.map((entry) => entry.request.url))].filter((url) => url.startsWith("http"));
// A failure without a body is no page to Chromium, which puts one of its own in its place; fetch() gets it.
const isPage = (url) => answersTo(url).every(({ status, content }) => status === 200 && content.mimeType.startsWith("text/html"));

const browser = await chromium.launch({ executablePath });
try {
  const context = await browser.newContext();
  await context.routeFromHAR(archive, { notFound: "abort" });
  const page = await context.newPage();
  let [opened, fetched] = [0, 0];
  for (const origin of new Set(urls.map((url) => new URL(url).origin))) {
    const own = urls.filter((url) => new URL(url).origin === origin);
    const pages = own.filter(isPage);
    for (const url of pages) {
      const response = await page.goto(url);
      const wrong = difference(answersTo(url), response.status(), await response.allHeaders());
      must(wrong === undefined, `goto ${url}: ${wrong}`);
      opened += 1;
    }
    if (pages.length === 0) continue;
    for (const url of own) {
      const [status, headers] = await page.evaluate(async (url) => {
        const response = await fetch(url);
        return [response.status, Object.fromEntries(response.headers)];
      }, url);
      const wrong = difference(answersTo(url), status, headers);
      must(wrong === undefined, `fetch ${url}: ${wrong}`);
      fetched += 1;
    }
  }
  must(opened > 0, "no page to open in it");
  const outcome = await page.goto(`${new URL(urls[0]).origin}/never-recorded`).then(() => "answered", () => "refused");
  must(outcome === "refused", "a URL that was not recorded was answered");
  console.log(`${opened} pages opened and ${fetched} URLs fetched without a server, status and headers as recorded; what was not recorded is refused`);
} finally {
  await browser.close();
}
