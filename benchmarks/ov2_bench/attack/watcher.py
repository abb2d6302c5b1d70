"""Weighs the service while it is attacked, and reads its log.

In: a target. Out: what it holds, once a second; tracebacks, each charged to the attack that was under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ov2_bench.chaos.footprint import footprint

EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Of the service with its children, at a moment. `temporary_bytes`: in its temporary folder."""

    at_s: float
    memory_bytes: int
    fds: int
    threads: int
    processes: int
    temporary_bytes: int


def weigh(pid: int, temporary: Path) -> Weight:
    """Raises `psutil.NoSuchProcess`."""
    held = footprint(pid)
    return Weight(
        at_s=time.monotonic(), memory_bytes=held.memory_bytes, fds=held.fds, threads=held.threads, processes=held.processes,
        temporary_bytes=folder_bytes(temporary),
    )  # fmt: skip


async def weigh_on(weights: list[Weight], pid: Callable[[], int | None], temporary: Path) -> None:
    """Until cancelled. While the service is being started again there is nothing to weigh."""
    import psutil

    while True:
        if (number := pid()) is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                weights.append(await asyncio.to_thread(weigh, number, temporary))
        await asyncio.sleep(EVERY_S)


def folder_bytes(folder: Path) -> int:
    """Of all files in it; what is deleted meanwhile does not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def median(weights: Sequence[Weight], since_s: float, until_s: float) -> Weight | None:
    """Of the second half of that time, when things have settled; None where nothing was weighed."""
    inside = [each for each in weights if (since_s + until_s) / 2 <= each.at_s <= until_s] or [
        each for each in weights if since_s <= each.at_s <= until_s
    ]
    if not inside:
        return None

    def middle(of: Callable[[Weight], int]) -> int:
        return round(statistics.median(map(of, inside)))

    return Weight(
        at_s=until_s, memory_bytes=middle(lambda each: each.memory_bytes), fds=middle(lambda each: each.fds),
        threads=middle(lambda each: each.threads), processes=middle(lambda each: each.processes),
        temporary_bytes=middle(lambda each: each.temporary_bytes),
    )  # fmt: skip
