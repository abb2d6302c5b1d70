"""`ov2 bench faults` from start to end.

In: a seed, minutes, a folder. Out: a `FaultRun`: the journal, what a subscriber got, what was broken meanwhile. Two lines of faults at the same
time, one for the broker, one for the rest; then all is left alone until everything has been told.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ov2_bench.errors import RunError
from ov2_bench.faults.schedule import OF_BROKER, Fault, FaultKind, draw_faults
from ov2_bench.faults.subscriber import EVENTS, Told, key_of
from ov2_bench.faults.testbed import FaultSettings, Testbed, open_testbed

READ_EVERY_S = 0.5
FIRST_EVENT_S = 60.0
SETTLE_S = 120.0
"""After the last fault: twice the longest back-off of the outbox and of the connection."""


@dataclass(slots=True, kw_only=True)
class FaultRun:
    """What is known so far. `injected`: faults with the time they came. `entries`, `told`: the journal and what the subscriber got, in the end;
    `read_before`: the journal as it was read while things broke."""

    settings: FaultSettings
    testbed: Testbed
    began_s: float
    phase: str = "start"
    injected: list[tuple[float, Fault]] = field(default_factory=list)
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    read_before: dict[int, dict[str, Any]] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    settled_s: float = 0.0
    tracebacks: int = 0


Work = Coroutine[Any, Any, None]
Show = Callable[[FaultRun], Work]


async def run_faults(settings: FaultSettings, show: Show) -> FaultRun:
    """Run it all. `show` is a task beside it, ended in the end. Raises `RunError` where a program is missing or does not start."""
    async with open_testbed(settings) as testbed:
        run = FaultRun(settings=settings, testbed=testbed, began_s=time.monotonic())
        showing = asyncio.create_task(show(run))
        try:
            await _phases(run)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
    run.tracebacks = testbed.service.tracebacks()
    return run


async def _phases(run: FaultRun) -> None:
    testbed, settings = run.testbed, run.settings
    beside = [asyncio.create_task(_read(testbed))]
    beside += [asyncio.create_task(_toggle(testbed, name)) for name in testbed.cameras]
    try:
        if not await _until(lambda: len(testbed.entries) >= len(testbed.cameras), FIRST_EVENT_S):
            raise RunError(f"expected events within {FIRST_EVENT_S:.0f} s, got none; see {testbed.service.log}")
        run.phase = "faults"
        until_s = time.monotonic() + settings.faults_s
        lines = [asyncio.create_task(_line(run, faults, until_s)) for faults in (OF_BROKER, testbed.faults)]
        await _all_or_none([*lines, *beside], lines)
    finally:
        await _end(beside)
    run.phase = "quiet"
    await _settle(run)


async def _line(run: FaultRun, faults: tuple[FaultKind, ...], until_s: float) -> None:
    """Fault after fault until the time is over; each is seen through. Even a short run sees every kind once."""
    missing = set(faults)
    for fault in draw_faults(run.settings.seed, faults, run.settings.limits):
        if time.monotonic() + fault.after_s > until_s and not missing:
            return
        await asyncio.sleep(fault.after_s)
        run.injected.append((time.monotonic(), fault))
        await run.testbed.inject(fault)
        missing.discard(fault.kind)


async def _toggle(testbed: Testbed, camera: str) -> None:
    """Switch a camera's watch off and on: its event ends and begins."""
    chance, on = random.Random(f"{testbed.settings.seed} {camera}"), True
    while True:
        await asyncio.sleep(chance.uniform(*testbed.settings.toggle_s))
        on = not on
        await testbed.switch(camera, on)


async def _read(testbed: Testbed) -> None:
    while True:
        await testbed.read()
        await testbed.look()
        await asyncio.sleep(READ_EVERY_S)


async def _settle(run: FaultRun) -> None:
    """Wait until what the journal holds now has come; then take both."""
    testbed = run.testbed
    began_s = time.monotonic()
    run.read_before = dict(testbed.entries)
    wanted: dict[int, dict[str, Any]] | None = None
    while wanted is None and time.monotonic() - began_s < SETTLE_S:
        wanted = await testbed.pages(0)
    keys = {key_of(entry["body"]) for entry in (wanted or {}).values() if entry["kind"] in EVENTS}

    def came() -> bool:
        return keys <= {message.key for message in testbed.subscriber.told()}

    await _until(came, SETTLE_S - (time.monotonic() - began_s))
    run.settled_s = time.monotonic() - began_s
    run.told = testbed.subscriber.told()
    newest = max(wanted or {}, default=0)
    now = await testbed.pages(0) or {}
    told = {message.key for message in run.told}
    run.entries = {
        position: entry
        for position, entry in now.items()
        if position <= newest or (entry["kind"] in EVENTS and key_of(entry["body"]) in told)
    }


async def _until(test: Callable[[], bool], longest_s: float) -> bool:
    until_s = time.monotonic() + longest_s
    while not test():
        if time.monotonic() > until_s:
            return False
        await asyncio.sleep(0.1)
    return True


async def _all_or_none(tasks: list[asyncio.Task[None]], wanted: list[asyncio.Task[None]]) -> None:
    """Wait for those that are wanted; the first error ends the wait."""
    waiting = set(wanted)
    try:
        while waiting:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            waiting -= done
            tasks = [task for task in tasks if task not in done]
    finally:
        await _end(list(waiting))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
