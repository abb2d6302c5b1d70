"""Where in the picture something begins or ceases: regions of macroblocks at work, each against itself half a second ago.

In: the `Effort` of sampled pictures, with their times. Out: by how much the region that changed most has changed.

All macroblocks that were at work within the last `SPAN_S` seconds, grown by one, fall into connected parts: the places in which something
goes on. Whoever walks stays in one place over so short a time, so in each place what is at work now is compared with what was at work
before. A walk that goes on is no change, wherever it leads; somebody who sets off, comes to rest, or is joined in his place by another is
one, however small his part of the picture's cost. Nothing is followed from picture to picture, so nothing can be lost or mixed up.

Vectors count only beside coefficients: encoders copy the vector of a skipped macroblock from its neighbours, and in noise whole regions
share one that means nothing.

Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from stream.codec.effort import Effort
from stream.codec.places import find_at_work, most_changed

SPAN_S, LEAST_PICTURES = 0.8, 3
"""How far back places are seen, and pictures that there are at least, however far apart."""
MOST_PICTURES = 32
"""However many come, and whatever their times say: a source may repeat one for ever."""
APART_S = 0.35
"""Least time from the pictures before to the newest one: `Effort` smears what it sees over nearly so long."""
SETTLE_S = 0.3
"""From a change that was told until the picture is a measure for the next one: what `Effort` smears has to be over."""
STALE_S = 3.0
"""Effort older than this says nothing of now."""
ROUNDING_S = 1e-3


NOTHING = -1
"""In the place of a picture's number where no macroblock is at work."""


class Regions:
    """`push` pictures in decode order; `restart` where the stream breaks."""

    def __init__(self) -> None:
        self._newest: deque[tuple[float, int]] = deque(maxlen=MOST_PICTURES)
        self._pictures_KRC = np.zeros((MOST_PICTURES + 1, 0, 0), np.float32)
        self._settled_s = -math.inf

    def restart(self) -> None:
        self._newest.clear()
        self._settled_s = -math.inf

    def see_change(self, now_s: float) -> None:
        """A change was told, by whichever sign: what was before it is no measure any more, or it would be told twice."""
        self._settled_s = now_s + SETTLE_S - ROUNDING_S

    def push(self, now_s: float, effort: Effort) -> float:
        """Take a picture at media second `now_s`. Returns log(now / before) of the region that changed most, 0 where nothing is at work."""
        if self._pictures_KRC.shape[1:] != effort.spent.shape:
            if self._newest:
                self.restart()
            self._pictures_KRC = np.zeros((MOST_PICTURES + 1, *effort.spent.shape), np.float32)
        self._newest.append((now_s, self._number(effort)))
        while len(self._newest) > LEAST_PICTURES and self._newest[0][0] < now_s - SPAN_S - ROUNDING_S:
            self._newest.popleft()
        until_s = now_s - APART_S + ROUNDING_S
        is_before = [self._settled_s <= at_s < until_s for at_s, _ in self._newest]
        kept = [number for _, number in self._newest]
        if not any(is_before) or max(kept) == NOTHING:
            return 0.0
        return math.log(most_changed(self._pictures_KRC, np.array(kept), np.array(is_before)))

    def is_known(self, now_s: float) -> bool:
        """Whether effort was read lately."""
        return bool(self._newest) and abs(now_s - self._newest[-1][0]) < STALE_S

    @property
    def num_blocks(self) -> float:
        """Macroblocks at work in the newest picture, each by its strength."""
        return float(self._pictures_KRC[number].sum()) if self._newest and (number := self._newest[-1][1]) != NOTHING else 0.0

    def _number(self, effort: Effort) -> int:
        """Where the picture is kept: the first place that is free, so that few are ever touched."""
        if not effort.is_unusual:
            return NOTHING
        taken = {number for _, number in self._newest}
        free = next(number for number in range(len(self._pictures_KRC)) if number not in taken)
        return free if find_at_work(effort.moving, effort.spent, self._pictures_KRC[free]) else NOTHING
