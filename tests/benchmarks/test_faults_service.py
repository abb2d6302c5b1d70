"""The whole testbed breaks and every event arrives: the short form of `ov2 bench faults`, against the real service, Mosquitto and Redis."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mqtt_fixtures import Mosquitto, mosquitto  # noqa: F401
from ov2_bench.faults.clockwork import HOUR_S, Clockwork
from ov2_bench.faults.disk import small_disk
from ov2_bench.faults.run import FaultRun, run_faults
from ov2_bench.faults.schedule import OF_TESTBED, FaultKind, Limits, draw_faults
from ov2_bench.faults.screen import draw, show, tell
from ov2_bench.faults.subscriber import Told, key_of
from ov2_bench.faults.tap import Listener
from ov2_bench.faults.testbed import FaultSettings
from ov2_bench.faults.verdict import PROMISES, broken_promises, deliveries, lives, verdict
from redis_fixtures import RedisServer, redis_server  # noqa: F401
from rich.console import Console
from service_fixtures import checkpoint  # noqa: F401
from stopping import running

# ruff: noqa: F811


@pytest.fixture
def compiler() -> None:
    """Looked for before the test (conftest.PROGRAMS)."""


SHORT = Limits(between_s=(0.3, 1.0), away_s=(0.5, 1.5))


def page_of(run: FaultRun, result: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(draw(run))
    tell(run, result, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.timeout(240)
def test_whatever_breaks_every_event_reaches_its_subscriber_once_and_in_order(
    tmp_path: Path, checkpoint: Path, mosquitto: Mosquitto, redis_server: RedisServer, compiler: None
) -> None:
    """With Redis, since all else breaks there as well; `ov2 bench faults` is the same with SQLite, and longer."""
    lines = Console(file=io.StringIO())
    settings = FaultSettings(
        seed=7, faults_s=1.0, out=tmp_path, journal="redis", model=str(checkpoint), cameras=2, limits=SHORT, toggle_s=(0.3, 0.9)
    )
    run = asyncio.run(run_faults(settings, lambda run: show(run, lines)))
    result = verdict(run)
    assert broken_promises(result) == [], (tmp_path / "service.log").read_text()[-4000:]
    assert result["events"] == result["delivered"] >= 10
    assert result["watch_events"] >= 4
    injected = Counter(fault.kind for _, fault in run.injected)
    assert set(injected) == set(FaultKind)
    assert result["clock"] == injected[FaultKind.CLOCK_MOVED]
    assert result["restarts"] == {
        "mosquitto": injected[FaultKind.BROKER_KILLED] + injected[FaultKind.BROKER_STOPPED],
        "redis": injected[FaultKind.REDIS_KILLED],
        "service": injected[FaultKind.SERVICE_KILLED],
    }
    assert (result["sessions_lost"], result["exit_status"]) == (0, 0)
    assert "every promise held" in page_of(run, result)


def test_a_clock_that_is_moved_is_moved_for_a_running_process_and_for_nobody_else(tmp_path: Path, compiler: None) -> None:
    clock = Clockwork(tmp_path, "cc")
    numbers = "time.time(), time.monotonic(), datetime.datetime.now().timestamp()"
    look = f"import sys, time, datetime\nfor _ in sys.stdin: time.sleep(0.001); print({numbers})"
    with running(
        [sys.executable, "-u", "-c", look],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **clock.environment},
    ) as child:
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018
        for offset_s in (0, HOUR_S, -HOUR_S, 0):
            clock.move(offset_s)
            child.stdin.write("go\n")
            child.stdin.flush()
            wall_s, monotonic_s, date_s = map(float, child.stdout.readline().split())
            assert wall_s - time.time() == pytest.approx(offset_s, abs=60)
            assert date_s - time.time() == pytest.approx(offset_s, abs=60)
            assert monotonic_s == pytest.approx(time.monotonic(), abs=60)
        child.stdin.close()


def test_what_is_published_is_heard_in_whatever_pieces_it_comes() -> None:
    body = json.dumps({"type": "new", "before": None, "after": {"id": "a1"}}).encode()
    marked = json.dumps({"type": "new", "before": None, "after": {"id": "a1"}, "duplicate": True}).encode()

    def publish(first: int, payload: bytes, topic: bytes = b"ov2/events") -> bytes:
        packet = len(topic).to_bytes(2, "big") + topic + (b"\0\7" if first & 6 else b"") + payload
        assert 128 <= len(packet) < 1 << 14
        return bytes([first, len(packet) & 0x7F | 0x80, len(packet) >> 7]) + packet

    wire = bytes([0x10, 3]) + b"abc" + publish(0x32, body + b" " * 100) + publish(0x32, b" " * 200, b"ov2/x") + bytes([0xC0, 0])
    wire += publish(0x32, marked + b" " * 100) + publish(0x3A, body + b" " * 100) + publish(0x30, body + b" " * 100)
    for step in (1, 2, 7, len(wire)):
        heard: Counter[str] = Counter()
        listener = Listener(heard)
        for at in range(0, len(wire), step):
            listener.hear(wire[at : at + step])
        assert heard == {key_of(json.loads(body)): 2}


def test_the_limit_of_a_process_stands_for_a_disk_where_none_may_be_mounted(tmp_path: Path) -> None:
    write = "import sys; print('up', flush=True); sys.stdin.readline(); print('x', file=open('kept', 'w'), flush=True)"
    with small_disk(tmp_path, may_mount=False) as disk:
        for is_full in (True, False):
            pipe, command = subprocess.PIPE, [sys.executable, "-c", write]
            with running(command, cwd=disk.folder, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == "up\n"
                disk.fill([child.pid])
                if not is_full:
                    disk.free([child.pid])
                said, _ = child.communicate("go\n", timeout=60)
            assert ("File too large" in said) == is_full
    assert "no file system" in disk.kind


def test_a_seed_tells_what_breaks_and_each_round_has_every_fault() -> None:
    first, second = (list(itertools.islice(draw_faults(7, OF_TESTBED), 20)) for _ in range(2))
    assert first == second
    assert first != list(itertools.islice(draw_faults(8, OF_TESTBED), 20))
    for begin in range(0, 20, 2):
        assert {fault.kind for fault in first[begin : begin + 2]} == set(OF_TESTBED)


def step(position: int, name: str, kind: str = "new", camera: str = "a", watch: str | None = None) -> dict[str, Any]:
    """An entry; the digits of its event's id are when it began."""
    begun_s = float("".join(filter(str.isdigit, name)))
    after = {"id": name, "camera": camera, "watch": watch, "start_time": begun_s, "at": position}
    return {
        "position": position,
        "kind": "watch" if watch else "boundary",
        "body": {"type": kind, "before": after, "after": after},
    }


def journal_of(*steps: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {entry["position"]: entry for entry in steps}


def message(entry: dict[str, Any], *, marked: bool = False, repeated: bool = False) -> Told:
    return Told(key_of(entry["body"]), entry["body"]["after"]["camera"], marked, repeated)


def test_what_is_missing_doubled_or_out_of_order_is_counted() -> None:
    one, two, three, four = step(1, "a1"), step(2, "b2"), step(3, "c3", camera="b"), step(4, "d4")
    entries = journal_of(one, two, three, four)
    clean = [message(one), message(three), message(two), message(four)]
    well = deliveries(entries, clean)
    assert (well["events"], well["delivered"]) == (4, 4)
    assert not any(well[name] for name in well if name not in ("events", "delivered"))
    again = deliveries(entries, [*clean, message(two, marked=True), message(two, repeated=True), message(two)])
    assert (again["duplicates"], again["repeated_by_broker"], again["unmarked_duplicates"]) == (3, 1, 1)
    assert again["out_of_order"] == 0, "only first copies have an order"
    twice = deliveries(entries, [*clean, message(two)], {key_of(two["body"]): 2})
    once = deliveries(entries, [*clean, message(two)], {key_of(two["body"]): 1})
    assert (twice["unmarked_duplicates"], twice["repeated_by_broker"]) == (1, 0)
    assert (once["unmarked_duplicates"], once["repeated_by_broker"]) == (0, 1), (
        "Mosquitto, killed, had not written that it had sent it"
    )
    mixed = deliveries(entries, [message(two), message(one), message(step(9, "x9"))])
    assert (mixed["missing"], mixed["out_of_order"], mixed["unwritten"]) == (2, 1, 1)


def test_a_second_id_for_what_is_under_way_and_a_life_that_is_none_are_counted() -> None:
    whole = journal_of(step(1, "a1"), step(2, "a1", "update"), step(3, "a1", "end"), step(4, "b4"), step(5, "c5", watch="w"))
    assert lives(whole) == {"second_ids": 0, "broken_lives": 0}
    assert lives(journal_of(step(1, "a1"), step(2, "b2")))["second_ids"] == 1
    assert lives(journal_of(step(1, "a1"), step(2, "a1", "end"), step(3, "b1")))["second_ids"] == 1
    assert (
        lives(journal_of(step(1, "a1", "update"), step(2, "b2"), step(3, "b2", "end"), step(4, "b2", "end")))["broken_lives"]
        == 2
    )


def test_each_broken_promise_is_named() -> None:
    held: dict[str, Any] = dict.fromkeys(PROMISES, 0)
    held |= {"events": 9, "disk_full": 1, "disk_full_degraded": 1, "disk_full_recovered": True, "drops": 0, "drops_told": 0}
    assert broken_promises(held) == []
    for name in PROMISES:
        assert broken_promises({**held, name: 2}) == [f"{name}: 2"]
    for broken in ({"disk_full_degraded": 0}, {"disk_full_recovered": False}, {"drops": 1}, {"events": 0}):
        assert len(broken_promises({**held, **broken})) == 1
