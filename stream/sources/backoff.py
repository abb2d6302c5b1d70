"""How long to wait before the next attempt.

In: what became of the last one. Out: seconds. Exponential with full jitter, so that cameras behind one switch do not come back in
step; begun anew after a connection that was good for a minute.
"""

from __future__ import annotations

import random
from collections.abc import Callable

GOOD_S = 60.0
"""A connection that lasted this long was a good one."""


class Backoff:
    """`pause_s()` before each attempt but the first; `ceiling_s` is the longest that the last pause could have been.

    The ceiling doubles from `first_s` to `longest_s`.
    """

    def __init__(
        self, *, first_s: float = 1.0, longest_s: float = 30.0, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self.ceiling_s = 0.0
        self.num_attempts = 0
        self._first_s, self._longest_s = first_s, max(first_s, longest_s)
        self._uniform = uniform

    def pause_s(self) -> float:
        self.ceiling_s = min(self._longest_s, max(self._first_s, 2 * self.ceiling_s))
        self.num_attempts += 1
        return self._uniform(0.0, self.ceiling_s)

    def lasted(self, seconds: float) -> None:
        """A connection has ended after `seconds` in which packets came."""
        if seconds >= GOOD_S:
            self.ceiling_s, self.num_attempts = 0.0, 0
