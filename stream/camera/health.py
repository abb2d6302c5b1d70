"""Is a camera that sends also well? Counts what was lost, tells it once a second, and says when the camera is degraded.

In: the counters of drops and how old the newest frame was when it was taken, as often as the camera's thread comes by. Out: one log line a
second at most, and the reason why the camera is degraded, or None.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic as _monotonic

log = logging.getLogger(__name__)

EVERY_S = 1.0
REMEMBERED_S = 10.0
"""A loss makes a camera degraded for this long."""
LATE_S = 5.0
"""A frame that was older than this when it was taken is late: the network, or this machine, is behind."""
HARMLESS = frozenset({"no_picture", "before_key", "quota_widened"})
"""What is counted and is no loss."""


class Health:
    """`look` now and then, from one thread."""

    def __init__(self, name: str, *, monotonic: Callable[[], float] = _monotonic) -> None:
        self._name = name
        self._monotonic = monotonic
        self._next_s = 0.0
        self._known: Counter[str] = Counter()
        self._losses: deque[tuple[float, Counter[str]]] = deque()

    def look(self, drops: Callable[[], Counter[str]], late_s: float) -> tuple[bool, str | None]:
        """(whether it was time to look, why the camera is degraded)."""
        now_s = self._monotonic()
        if now_s < self._next_s:
            return False, None
        self._next_s = now_s + EVERY_S
        known, self._known = self._known, Counter(drops())
        lost = Counter({reason: count for reason, count in (self._known - known).items() if reason not in HARMLESS})
        if lost:
            log.warning("%s: lost in the last second: %s", self._name, _told(lost))
            self._losses.append((now_s, lost))
        while self._losses and now_s - self._losses[0][0] > REMEMBERED_S:
            self._losses.popleft()
        return True, self._verdict(late_s)

    def _verdict(self, late_s: float) -> str | None:
        if self._losses:
            total: Counter[str] = sum((lost for _, lost in self._losses), Counter())
            return f"lost in the last {REMEMBERED_S:.0f} s: {_told(total)}"
        if late_s > LATE_S:
            return f"frames are {late_s:.1f} s old when they are taken: they come late, or this machine is behind"
        return None


def _told(lost: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in lost.most_common())
