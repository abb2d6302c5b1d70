"""How often a log line may be repeated.

In: occasions to log. Out: whether to do it now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

EVERY_S = 1.0


class LogLimit:
    """`allows()` is True for the first occasion, then at most once in `every_s`: what fails a thousand times a second is one line of it. The
    caller counts what it does not log. Used by one thread, or where a line too many does no harm."""

    def __init__(self, every_s: float = EVERY_S, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._monotonic = every_s, monotonic
        self._next_s = -math.inf

    def allows(self) -> bool:
        now_s = self._monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True

    def reset(self) -> None:
        """The next occasion counts as the first."""
        self._next_s = -math.inf
