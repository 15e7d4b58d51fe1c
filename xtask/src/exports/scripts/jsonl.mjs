// node jsonl.mjs RECORDS SCHEMA: every line against the schema that the documents publish.

import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const [, , records, schema] = process.argv;
const ajv = addFormats.default(new Ajv.default({ strict: false }));
const isRecord = ajv.compile(JSON.parse(readFileSync(schema, "utf8")));
const lines = readFileSync(records, "utf8").trimEnd().split("\n");
for (const [index, line] of lines.entries()) {
  if (!isRecord(JSON.parse(line))) throw new Error(`line ${index + 1}: ${ajv.errorsText(isRecord.errors)}`);
}
console.log(`${lines.length} lines are as docs/schema/record.schema.json says`);
