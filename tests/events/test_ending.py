"""Tasks end, also those whose first cancellation is lost."""

from __future__ import annotations

import asyncio
import gc

import pytest

from stream.events.ending import end


def test_a_task_that_loses_its_first_cancellations_ends_all_the_same() -> None:
    """As `asyncio.wait_for` of Python 3.11 does when what it waits for is done in the same turn."""
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost > 2:
                    raise

    async def main() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(end([task]), 10)
        assert task.cancelled()

    asyncio.run(main())
    assert lost == 3


def test_tasks_that_failed_or_have_ended_are_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> None:
        raise ValueError("a failure of its own")

    async def main() -> None:
        tasks = [asyncio.create_task(failing()), asyncio.create_task(asyncio.sleep(0))]
        await asyncio.sleep(0.01)
        await end(tasks)

    asyncio.run(main())
    gc.collect()
    assert "never retrieved" not in caplog.text
