"""python3 timeline.py TRACE RECORDS: the trace in Perfetto's own classes, and its states beside the connections' records."""

import datetime
import json
import sys
from collections import Counter

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent


def unknown_fields(message):
    """How many fields of a message, and of those in it, Perfetto does not know."""
    count = len(UnknownFieldSet(message))
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            count += sum(map(unknown_fields, value if hasattr(value, "__len__") else [value]))
    return count


def ns(text):
    """Nanoseconds since 1970 of a record's time; a datetime would round them."""
    if text is None:
        return None
    second = datetime.datetime.fromisoformat(text[:19] + "+00:00")
    return int(second.timestamp()) * 10**9 + int(text[20:29])


def stretches(connection, started_at):
    """[name, begin, end] of the states whose begin is known; what began unseen goes on under the name before it."""
    found, before = [], []
    for entry in connection["states"]:
        state, at = entry["state"], ns(entry["at"])
        if at is not None and (not found or found[-1][1] <= at):
            if found:
                found[-1][2] = at
            found.append([state, at, None])
        elif found:
            found[-1][0] += f", then {state}"
        else:
            before.append(state)
    closed_at = ns(connection["closed_at"])
    if found and closed_at is not None:
        found[-1][2] = max(closed_at, found[-1][1])
    first = found[0][1] if found else closed_at
    if connection["older_than_tracer"] and before and (first is None or first >= started_at):
        found.insert(0, [", then ".join(before) + " (since before tracing)", started_at, first])
    return found


def sums(slices):
    """Nanoseconds of each state of one connection, and how many of it have no end. CLOSE takes no time."""
    spent, lasting = Counter(), Counter()
    for name, begin, end in slices:
        if end is None:
            lasting[name] += 1
        elif (name, begin) != ("CLOSE", end):
            spent[name] += end - begin
    return spent, lasting


def slices_by_track(trace):
    """[name, begin, end] of the state slices, and how many exchanges there are, by the name of the track."""
    names, found, open_slices, exchanges = {}, {}, {}, 0
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            names[packet.track_descriptor.uuid] = packet.track_descriptor.name
        if not packet.HasField("track_event"):
            continue
        event, track = packet.track_event, packet.track_event.track_uuid
        assert track in names, f"an event on a track {track} that nobody told of"
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            one = [event.name, packet.timestamp, None]
            open_slices.setdefault(track, []).append(one)
            if "state" in event.categories:
                found.setdefault(names[track].split(" ")[0], []).append(one)
            exchanges += "exchange" in event.categories
        elif event.type == TrackEvent.TYPE_SLICE_END:
            open_slices[track].pop()[2] = packet.timestamp
    return found, exchanges


def main(trace_file, records_file):
    trace = Trace()
    with open(trace_file, "rb") as file:
        trace.ParseFromString(file.read())
    with open(records_file, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    unknown = unknown_fields(trace)
    assert unknown == 0, f"{unknown} fields that Perfetto does not know"

    found, exchanges = slices_by_track(trace)
    started_at = ns(next(record["started_at"] for record in records if record["type"] == "host"))
    connections = [record for record in records if record["type"] == "connection"]
    total = count = 0
    for connection in connections:
        slices = found.pop(connection["id"], [])
        expected, told = sums(stretches(connection, started_at)), sums(slices)
        assert told == expected, f"{connection['id']}: {told}, the record says {expected}"
        count += len(slices)
        total += sum(told[0].values())
    assert not found, f"states of connections without a record: {sorted(found)}"
    timed = [one for one in records if one["type"] == "exchange" and any((one[half] or {}).get("at") for half in ("request", "response"))]
    assert exchanges >= len(timed), f"{exchanges} slices of {len(timed)} exchanges"
    print(
        f"{len(trace.packet)} packets, 0 unknown fields; {count} state slices of {len(connections)} connections"
        f" add up to the {total} ns of their records, {exchanges} exchange slices"
    )


main(*sys.argv[1:])
