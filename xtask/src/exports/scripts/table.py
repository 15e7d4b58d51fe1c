"""python3 table.py TABLE RECORDS: the table as Python's csv reads it, strictly, beside the JSON lines."""

import csv
import json
import sys

table, records = sys.argv[1:]
with open(table, newline="", encoding="utf-8") as file:
    head, *rows = csv.reader(file, strict=True)
with open(records, encoding="utf-8") as file:
    lines = [json.loads(line) for line in file]

assert len(set(head)) == len(head), "two columns of one name"
assert len(rows) == len(lines), f"{len(rows)} rows, {len(lines)} JSON lines"
for number, (row, line) in enumerate(zip(rows, lines), start=2):
    assert len(row) == len(head), f"row {number}: {len(row)} cells under {len(head)} heads"
    cells = dict(zip(head, row))
    for field in ("type", "conn", "id", "at", "flags", "number", "status", "outcome"):
        told = line.get(field)
        assert cells[field] == ("" if told is None else str(told)), f"row {number}: {field}: {cells[field]!r}, not {told!r}"
print(f"{len(rows)} rows, as many as JSON lines, of {len(head)} columns")
