"""The end of asyncio tasks.

In: tasks. Out: they have ended. One `cancel` is not enough on Python 3.11: `asyncio.wait_for`, which libraries use, swallows it when what it
waits for is done in the same turn of the loop, and the task goes on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 0.2


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel until they have ended; what they raised is dropped."""
    ending = list(tasks)
    left = {task for task in ending if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    for task in ending:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio tells of it when the task is forgotten
