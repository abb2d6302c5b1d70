"""`ov2 bench journal`: how long the journal takes, with as many events as a house makes in months.

In: a number of events; a Redis, or none: then `redis-server` is started where it is installed. Out: for SQLite and Redis Streams,
milliseconds (median and 95th percentile) of one durable append, of a batch of 100, and of pages of 100 entries asked for in ways that
users ask: the newest, of one camera, a rare kind, a time range in the middle, one event by its id; and what a million of them weigh.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ov2_bench.testbed.ports import HOST, free_port
from ov2_bench.testbed.redis_server import PROGRAM, redis_server

if TYPE_CHECKING:
    from stream.journal import Entry, Journal

BATCH = 500
SINGLE = 200
CAMERAS = 16
PAGE = 100
FIRST_S = 1_700_000_000.0
EVERY_S = 7.0
"""Seconds from one event of the house to the next."""

Row = dict[str, float]


def bench_sqlite(events: int, folder: Path | None, tell: Callable[[str], None]) -> dict[str, Row]:
    """Times in milliseconds by kind of work."""
    from stream.journal.sqlite import SqliteJournal

    with tempfile.TemporaryDirectory(prefix="ov2-journal-", dir=folder) as inside:
        return _measure(SqliteJournal(Path(inside) / "journal.sqlite"), events, tell)


def bench_redis(events: int, url: str | None, tell: Callable[[str], None]) -> dict[str, Row]:
    """The same. What it writes to a Redis of yours stands under a name of its own; empty where there is no Redis."""
    if url is not None:
        return _measure_redis(events, url, tell)
    if shutil.which(PROGRAM) is None:
        tell(f"redis: {PROGRAM} is not installed; give --redis redis://HOST:PORT/DB")
        return {}
    return asyncio.run(_measure_own_redis(events, tell))


async def _measure_own_redis(events: int, tell: Callable[[str], None]) -> dict[str, Row]:
    """A Redis for the time of this, that keeps an append-only file as Redis does by default when told to."""
    with tempfile.TemporaryDirectory(prefix="ov2-redis-") as name:
        folder, port = Path(name), free_port()
        async with redis_server(folder, folder, port):
            return await asyncio.to_thread(_measure_redis, events, f"redis://{HOST}:{port}/0", tell)


def _measure_redis(events: int, url: str, tell: Callable[[str], None]) -> dict[str, Row]:
    from stream.journal.redis_streams import RedisJournal

    return _measure(RedisJournal(url, name=f"ov2-bench-{time.time_ns()}", held=1000), events, tell)


def _measure(journal: Journal, events: int, tell: Callable[[str], None]) -> dict[str, Row]:
    from stream.journal import Query

    rows: dict[str, list[float]] = {}
    batches = []
    for start in range(0, events, BATCH):
        batch = [_entry(number) for number in range(start, min(events, start + BATCH))]
        batches.append(_timed(partial(journal.write, batch, {})))
        if start % (events // 10) < BATCH:
            tell(f"{journal.address}: {start} of {events}")
    rows[f"append {BATCH}"] = batches
    rows["append 1"] = [_timed(partial(journal.write, [_entry(events + n)], {})) for n in range(SINGLE)]
    chance = random.Random(7)
    last = _entry(events - 1).position

    def at(share: float) -> int:
        return int(_entry(0).position + share * (last - _entry(0).position))

    def camera() -> str:
        return f"camera-{chance.randrange(CAMERAS)}"

    wanted: dict[str, Callable[[], Query]] = {
        "newest": lambda: Query(newest_first=True, limit=PAGE),
        "newest of a camera": lambda: Query(camera=camera(), newest_first=True, limit=PAGE),
        "watches of a camera": lambda: Query(camera=camera(), kind="watch", after=at(chance.random()), limit=PAGE),
        "answers (rare)": lambda: Query(kind="answer", newest_first=True, limit=PAGE),
        "a time range": lambda: Query(since=at(share := chance.random()), until=at(share + 0.01), limit=PAGE),
        "an event by id": lambda: Query(id=_entry(chance.randrange(events)).id, limit=PAGE),
    }
    for name, make in wanted.items():
        rows[f"page: {name}"] = [_timed(partial(journal.page, make())) for _ in range(SINGLE)]
    used = journal.retain(before=0, keep_after=last, max_bytes=1 << 60)
    journal.close()
    return {name: _percentiles(times) for name, times in rows.items()} | {"bytes per event": {"mean": used / (events + SINGLE)}}


def _entry(number: int) -> Entry:
    """Three entries tell of one event; one in a thousand is an answer, one in ten a watch."""
    from stream.journal import Entry

    kind = "answer" if number % 1000 == 0 else "watch" if number % 10 == 0 else "boundary"
    micros = int((FIRST_S + EVERY_S * number) * 1e6)
    name = f"{micros // 3_000_000}.{number // 3 % 1_000_000:06d}-abcdef"
    camera = f"camera-{number // 3 % CAMERAS}"
    event = {
        "id": name,
        "camera": camera,
        "kind": kind,
        "watch": "door" if kind == "watch" else None,
        "label": "more",
        "start_time": FIRST_S + EVERY_S * number,
        "end_time": None,
        "score": 6.25,
        "top_score": 7.5,
        "caption": None,
        "frame_time": FIRST_S + EVERY_S * number,
        "frame_age_ms": 41.5,
        "evidence": [{"start": FIRST_S, "end": FIRST_S + 0.5, "frames": 8}],
        "has_snapshot": False,
        "has_clip": False,
        "severity": "detection",
    }
    return Entry(position=micros, kind=kind, camera=camera, id=name, body={"type": "new", "before": event, "after": event})


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - began)


def _percentiles(times: list[float]) -> Row:
    ordered = sorted(times)
    return {"p50_ms": ordered[len(ordered) // 2], "p95_ms": ordered[int(0.95 * (len(ordered) - 1))]}
