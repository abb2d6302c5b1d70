"""When a camera began to film: the zero of its stream's media time, on the wall clock.

In: a client of the service, a camera's name. Out: UTC epoch seconds.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from ov2_bench.errors import RunError

if TYPE_CHECKING:
    from ov2_client import AsyncClient

POLL_S = 0.1


async def first_picture_s(client: AsyncClient, camera: str, within_s: float) -> float:
    """Wall time at which the stream's first picture was filmed, from the service's own count of media time. Raises `RunError` when none
    comes."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        timeline = await client.timeline(camera)
        if timeline.media_s is not None and timeline.wall_s is not None:
            return timeline.wall_s - timeline.media_s
        await asyncio.sleep(POLL_S)
    raise RunError(f"no picture came from camera {camera} within {within_s:.0f} s")
