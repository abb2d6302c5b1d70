"""How often an engine may begin again.

In: a clock. Out: yes, or no: something that happens this often is not going to end by beginning again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MOST = 3
WITHIN_S = 60.0


class Restarts:
    """`take` before every one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken_s: deque[float] = deque(maxlen=MOST)

    def take(self) -> bool:
        """False when there have been `MOST` within `WITHIN_S`."""
        now_s = self._clock()
        if len(self._taken_s) == MOST and now_s - self._taken_s[0] < WITHIN_S:
            return False
        self._taken_s.append(now_s)
        return True
