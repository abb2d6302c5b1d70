"""How long to wait before the next attempt.

In: what became of the last one. Out: seconds. Exponential with jitter, so that cameras behind one switch, or services before one broker,
do not come back in step; begun anew after an attempt that was good.
"""

from __future__ import annotations

import random
from collections.abc import Callable

GOOD_S = 60.0
"""A connection that lasted this long was a good one."""


class Backoff:
    """`pause_s()` before each attempt but the first; `ceiling_s` is the longest that the last pause could have been.

    The ceiling doubles from `first_s` to `longest_s`. A pause is drawn between `least_share` of it and all of it. What `lasted` at least
    `good_s` was good.
    """

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        longest_s: float = 30.0,
        least_share: float = 0.0,
        good_s: float = GOOD_S,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.ceiling_s = 0.0
        self.num_attempts = 0
        self._first_s, self._longest_s = first_s, max(first_s, longest_s)
        self._least_share, self._good_s = least_share, good_s
        self._uniform = uniform

    def pause_s(self) -> float:
        self.ceiling_s = min(self._longest_s, max(self._first_s, 2 * self.ceiling_s))
        self.num_attempts += 1
        return self._uniform(self._least_share * self.ceiling_s, self.ceiling_s)

    def lasted(self, seconds: float) -> None:
        """A connection has ended after `seconds` in which it worked."""
        if seconds >= self._good_s:
            self.succeeded()

    def succeeded(self) -> None:
        """The next pause is as after the first failure."""
        self.ceiling_s, self.num_attempts = 0.0, 0
