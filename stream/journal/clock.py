"""The journal's clock: wall time that does not follow every jump.

In: a wall clock and a monotonic one. Out: UTC epoch seconds. Small corrections of the wall clock are followed. A jump is believed
when it has lasted for a minute: an hour forth and back within it neither ages entries out nor leaves them in the future. Only a
jump back that is believed turns this time back; the writer's positions still grow then, by the microsecond, until it has caught up.
"""

from __future__ import annotations

import time
from collections.abc import Callable

JUMP_S = 5.0
BELIEVED_AFTER_S = 60.0


class SteadyClock:
    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset_s = wall() - monotonic()
        self._jumped_at_s: float | None = None

    def __call__(self) -> float:
        now_s = self._monotonic()
        offset_s = self._wall() - now_s
        if abs(offset_s - self._offset_s) <= JUMP_S:
            self._offset_s, self._jumped_at_s = offset_s, None
        elif self._jumped_at_s is None:
            self._jumped_at_s = now_s
        elif now_s - self._jumped_at_s > BELIEVED_AFTER_S:
            self._offset_s, self._jumped_at_s = offset_s, None
        return self._offset_s + now_s
