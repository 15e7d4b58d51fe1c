// node har.mjs ARCHIVE RECORDS: the archive against the published schema of HAR 1.2, its entries beside the exchanges.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import Ajv from "ajv";
import addFormats from "ajv-formats";

const [, , archive, records] = process.argv;
const require = createRequire(import.meta.url);
// "fast", as har-validator has it: what is no URI to the letter, such as the brackets in `?a[]=1`, is sent all the same, and
// an archive tells what was sent.
const ajv = addFormats.default(new Ajv.default({ strict: false, allErrors: true }), { mode: "fast" });
ajv.addMetaSchema(require("ajv/dist/refs/json-schema-draft-06.json"));
for (const schema of Object.values(require("har-schema"))) ajv.addSchema(schema);

const har = JSON.parse(readFileSync(archive, "utf8"));
if (!ajv.validate("har.json#", har)) {
  const errors = ajv.errors.map((error) => `${error.instancePath} ${error.message}`);
  throw new Error(`${errors.length} errors:\n${errors.slice(0, 20).join("\n")}`);
}

// Once for both ends of this host, from the client's side.
const lines = readFileSync(records, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const ends = new Map(lines.filter(({ type }) => type === "connection").map((end) => [end.id, end]));
const isToldByClient = (conn) => ends.get(conn)?.endpoint === "server" && ends.get(ends.get(conn).peer)?.endpoint === "client";
const told = lines.filter((line) => line.type === "exchange" && !isToldByClient(line.conn) && (line.request?.at ?? line.response?.at));
const keyOf = (conn, number) => `${conn}/${number}`;
const expected = told.map((exchange) => keyOf(exchange.conn, exchange.number)).join(" ");
const found = har.log.entries.map((entry) => keyOf(entry.connection, entry._number)).join(" ");
if (found !== expected) throw new Error(`the entries are ${found}\nthe exchanges are ${expected}`);
console.log(`valid HAR ${har.log.version}, ${told.length} entries, an entry for each exchange`);
