"""The running level of a camera's cost, and what does not belong to it: bins in the wake of a keyframe.

In: costs of bins, on a log scale. Out: sums of deviations to both sides (Page, 1954), for `stream.events.boundary`.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque

from stream.events.boundary_settings import BoundarySettings

STEP_TO_SIGMA = 1.4826 / math.sqrt(2)
"""Of independent normal values: standard deviation over the median size of the step from one to the next."""
FEW_BINS = 6
"""A scale from this many bins is taken twice as large: it may be far off."""
ECHO_SHARE = 0.25
"""No more than this part of the time between keyframes is left out after each."""
LOUD = 1.5
"""A bin in the wake of a keyframe counts when it is above the level by this many times `onset`."""


class CostLevel:
    """The running level and scale of a cost, and its deviations summed to both sides."""

    def __init__(self, settings: BoundarySettings) -> None:
        self._settings = settings
        self._steps = RunningMedian(max(1, round(settings.scale_s / settings.bin_s)))
        self._gain = settings.bin_s / settings.level_s
        self.restart()

    def restart(self) -> None:
        """A new level from here on. The scale stays."""
        self._level = 0.0
        self._num_bins = 0
        self._last = 0.0
        self.up = self.down = 0.0

    @property
    def warm(self) -> bool:
        return len(self._steps) * self._settings.bin_s >= self._settings.warm_up_s

    def push(self, cost: float) -> float:
        """Take the next bin's cost. Returns the larger of the two sums, 0 while there is no level or no scale yet."""
        self._num_bins += 1
        if self._num_bins == 1:
            self._level = self._last = cost
            return 0.0
        self._steps.push(abs(cost - self._last))
        self._last = cost
        young = math.sqrt((self._num_bins - 1) / self._num_bins)  # a level of few bins is itself uncertain
        deviation = young * (cost - self._level) / self._scale()
        self._level += (cost - self._level) * max(self._gain, 1 / self._num_bins)
        if not self.warm:
            return 0.0
        self.up = max(0.0, self.up + deviation - self._settings.slack)
        self.down = max(0.0, self.down - deviation - self._settings.slack)
        return max(self.up, self.down)

    def stands_out(self, cost: float) -> bool:
        """Whether a cost is so far above the level that no keyframe explains it."""
        known = self.warm and self._num_bins > 1
        return known and cost - self._level > LOUD * self._settings.onset * self._scale()

    def _scale(self) -> float:
        uncertain = 1 + FEW_BINS / len(self._steps)
        return max(STEP_TO_SIGMA * self._steps.value() * uncertain, self._settings.floor)


class RunningMedian:
    """Of the newest `most` numbers, kept in order: there is a new one ten times a second."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._newest: deque[float] = deque()
        self._in_order: list[float] = []

    def __len__(self) -> int:
        return len(self._newest)

    def push(self, number: float) -> None:
        if len(self._newest) == self._most:
            del self._in_order[bisect_left(self._in_order, self._newest.popleft())]
        self._newest.append(number)
        insort(self._in_order, number)

    def value(self) -> float:
        """Of an even number the mean of the two in the middle."""
        middle = len(self._in_order) // 2
        above = self._in_order[middle]
        return above if len(self._in_order) % 2 else (self._in_order[middle - 1] + above) / 2


class Wake:
    """Which bins lie in the wake of a keyframe."""

    def __init__(self, settings: BoundarySettings) -> None:
        self._settings = settings
        self._key: int | None = None
        self._most = math.inf

    def restart(self) -> None:
        self._key, self._most = None, math.inf

    def see_key(self, index: int) -> None:
        """A keyframe came in bin `index`."""
        if self._key is not None and index > self._key:
            self._most = ECHO_SHARE * (index - self._key)
        self._key = index

    def holds(self, index: int) -> bool:
        """Whether the bin is left out: the keyframe's own is, for what stands with it."""
        if self._key is None:
            return False
        return index - self._key < min(self._settings.echo_s / self._settings.bin_s, self._most)
