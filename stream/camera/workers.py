"""The workers of a service: who of its cameras is tokenized where.

In: how many. Out: a `WorkerProcess` for each camera.
"""

from __future__ import annotations

import itertools
import os

from stream.camera.tokenizing import warm_up
from stream.camera.worker_process import WorkerProcess


class Workers:
    """`num` of them; None: as many as there are cores, and no more than cameras; 0: cameras are tokenized in this process. `start`, then `end`.

    Not one fewer, for the model: it leaves its core half of the time. Where others want a core, too, the system shares it out by threads: on
    two busy cores one worker got a quarter of one and dropped packets; two did not (docs/ingest.md)."""

    def __init__(self, num: int | None, *, num_cameras: int) -> None:
        planned = min(_num_cores(), num_cameras) if num is None else num
        self._workers = [WorkerProcess(f"worker {number}") for number in range(planned)]
        self._turns = itertools.cycle(self._workers)

    def next(self) -> WorkerProcess | None:
        """That of one camera more: they take turns. None where there are none."""
        return next(self._turns, None)

    def figures(self) -> dict[str, int]:
        """How many run, and how often one died or hung."""
        everyone = [each for worker in self._workers for each in (worker, *worker.apart)]
        return {"running": sum(each.is_running for each in everyone), "lost": sum(each.num_lost for each in everyone)}

    def start(self) -> None:
        """Returns once all are ready, or cannot be had, and what is compiled is loaded where it runs."""
        for worker in self._workers:
            worker.start()
        if not self._workers:
            warm_up()

    def end(self) -> None:
        for worker in self._workers:
            worker.end()


def _num_cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
