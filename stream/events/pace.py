"""A bounded burst, then a steady pace: a token bucket.

In: the wish to send. Out: a pause, where one is needed. A thousand topics that all wait after a broker's restart go out over
seconds, and nobody's broker or Home Assistant sees a storm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class Pace:
    def __init__(
        self,
        per_s: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        assert per_s > 0
        assert burst >= 1
        self._per_s, self._burst = per_s, burst
        self._clock, self._pause = clock, pause
        self._tokens = float(burst)
        self._at_s = clock()

    async def wait(self) -> None:
        """Until one more may be sent."""
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        self._tokens -= 1
        if self._tokens < 0:
            await self._pause(-self._tokens / self._per_s)
