"""What was told, held against the journal.

In: the journal's entries in order, what a subscriber got in order. Out: counts; those of broken promises are zero where docs/mqtt.md and
docs/journal.md hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ov2_bench.faults.schedule import FaultKind
from ov2_bench.faults.subscriber import EVENTS, key_of

if TYPE_CHECKING:
    from ov2_bench.faults.run import FaultRun
    from ov2_bench.faults.subscriber import Told

PROMISES = (
    "missing",
    "unwritten",
    "lost_from_journal",
    "unmarked_duplicates",
    "out_of_order",
    "second_ids",
    "broken_lives",
    "exceptions",
    "refused",
)
"""Counts that are zero."""

Entries = Mapping[int, Mapping[str, Any]]


def deliveries(entries: Entries, told: Sequence[Told], num_unmarked: Mapping[str, int] | None = None) -> dict[str, int]:
    """Counts of what came, and how. `num_unmarked`: how often the service itself published each key without a mark (`tap`); where it is not
    known, what came again without one is the service's.

    - `events`: entries of events in the journal; `delivered`: those that came, `missing`: that did not.
    - `unwritten`: came, and are not in the journal.
    - `duplicates`: came again. `unmarked_duplicates`: the service published it again without saying so.
    - `repeated_by_broker`: of the duplicates, the broker's own: by its DUP flag, or because the service published it once.
    - `out_of_order`: first copies behind a later one of their camera.
    """
    place = {key_of(entry["body"]): position for position, entry in entries.items() if entry["kind"] in EVENTS}
    counts = dict.fromkeys(("duplicates", "unmarked_duplicates", "repeated_by_broker", "unwritten", "out_of_order"), 0)
    seen: set[str] = set()
    newest: dict[str, int] = defaultdict(int)
    for message in told:
        key, camera = message.key, message.camera
        if key in seen:
            counts["duplicates"] += 1
            published_once = num_unmarked is not None and num_unmarked.get(key, 0) <= 1
            by_broker = message.repeated or published_once
            counts["unmarked_duplicates"] += not message.marked and not by_broker
            counts["repeated_by_broker"] += not message.marked and by_broker
            continue
        seen.add(key)
        if key not in place:
            counts["unwritten"] += 1
            continue
        counts["out_of_order"] += place[key] < newest[camera]
        newest[camera] = max(newest[camera], place[key])
    delivered = len(place.keys() & seen)
    return {"events": len(place), "delivered": delivered, "missing": len(place) - delivered, **counts}


def lives(entries: Entries) -> dict[str, int]:
    """Counts of what the journal itself tells wrong.

    - `second_ids`: events that began under an id while one of the same camera and watch was under way under another, or that began at the
      same moment as one.
    - `broken_lives`: ids that do not begin with `new`, have it twice, or go on after their `end`.
    """
    open_ids: dict[tuple[str, Any], str] = {}
    started: dict[tuple[str, Any, float], str] = {}
    types: dict[str, list[str]] = defaultdict(list)
    second = 0
    for _, entry in sorted(entries.items()):
        if entry["kind"] not in EVENTS:
            continue
        kind, event = entry["body"]["type"], entry["body"]["after"]
        name, who = event["id"], (event["camera"], event["watch"])
        types[name].append(kind)
        if kind == "new":
            second += open_ids.get(who, name) != name or started.get((*who, event["start_time"]), name) != name
            open_ids[who] = started[*who, event["start_time"]] = name
        elif kind == "end":
            open_ids.pop(who, None)
    broken = sum(each[0] != "new" or each.count("new") > 1 or "end" in each[:-1] for each in types.values())
    return {"second_ids": second, "broken_lives": broken}


def verdict(run: FaultRun) -> dict[str, Any]:
    """The JSON object of `ov2 bench faults`.

    - `lost_from_journal`: entries that were read while it went on, and are not there in the end.
    - `exceptions`: tracebacks in the service's log, programs that ended by themselves, a bad exit status. `refused`: changes of a watch that
      were answered with an internal error.
    - `drops`: entries of the journal that announce a loss; `drops_told`: those that came over MQTT.
    - `sessions_lost`: how often the broker had forgotten the subscriber, and what was for it.
    """
    settings, testbed = run.settings, run.testbed
    full = testbed.full
    own_ends = sum(program.num_own_ends for program in testbed.running)
    kinds = [entry["kind"] for entry in run.entries.values()]
    return {
        "seed": settings.seed,
        "minutes": round(settings.faults_s / 60, 2),
        "journal": settings.journal,
        "disk": testbed.disk.kind,
        "clock": sum(fault.kind is FaultKind.CLOCK_MOVED for _, fault in run.injected)
        if testbed.clock is not None
        else "not moved: expected a C compiler (cc), found none",
        **deliveries(run.entries, run.told, testbed.tap.num_unmarked),
        **lives(run.entries),
        "watch_events": sum(kind == "watch" for kind in kinds),
        "lost_from_journal": len(run.read_before.keys() - run.entries.keys()),
        "drops": sum(kind == "dropped" for kind in kinds),
        "drops_told": testbed.subscriber.num_drops_told,
        "restarts": {
            "mosquitto": testbed.broker.num_starts - 1,
            "redis": testbed.redis.num_starts - 1 if testbed.redis is not None else 0,
            "service": testbed.service.num_starts - 1,
        },
        "disk_full": len(full),
        "disk_full_degraded": sum(bool(each.degraded) for each in full),
        "disk_full_recovered": all(each.recovered for each in full) if full else None,
        "sessions_lost": testbed.subscriber.num_lost_sessions,
        "settled_s": round(run.settled_s, 1),
        "refused": testbed.num_refused,
        "exceptions": run.tracebacks + own_ends + int(testbed.service.status != 0),
        "exit_status": testbed.service.status,
    }


def broken_promises(result: Mapping[str, Any]) -> list[str]:
    """Which, in words; none where all is well."""
    broken = [f"{name}: {result[name]}" for name in PROMISES if result[name]]
    if not result["events"]:
        broken.append("no event came to the journal")
    if result["disk_full_degraded"] < result["disk_full"]:
        broken.append(f"a full disk was noticed {result['disk_full_degraded']} times of {result['disk_full']}")
    if result["disk_full_recovered"] is False:
        broken.append("the journal did not recover from a full disk")
    if result["drops_told"] != result["drops"]:
        broken.append(f"{result['drops']} drops in the journal, {result['drops_told']} told")
    return broken
