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

from stream.codec.connected import connected
from stream.codec.effort import Effort

SPAN_S, LEAST_PICTURES = 0.8, 3
"""How far back places are seen, and pictures that there are at least, however far apart."""
MOST_PICTURES = 32
"""However many come, and whatever their times say: a source may repeat one for ever."""
APART_S = 0.35
"""Least time from the pictures before to the newest one: `Effort` smears what it sees over nearly so long."""
SETTLE_S = 0.3
"""From a change that was told until the picture is a measure for the next one: what `Effort` smears has to be over."""
AT_WORK = 0.5
"""Strength from which a macroblock is at work."""
FEW_BLOCKS = 4.0
"""Macroblocks at work that are next to nothing: they are added to both sides of a comparison."""
STALE_S = 3.0
"""Effort older than this says nothing of now."""
ROUNDING_S = 1e-3


class Regions:
    """`push` pictures in decode order; `restart` where the stream breaks."""

    def __init__(self) -> None:
        self._newest: deque[tuple[float, np.ndarray]] = deque(maxlen=MOST_PICTURES)
        self._nothing_RC = np.zeros((0, 0), np.float32)
        self._settled_s = -math.inf

    def restart(self) -> None:
        self._newest.clear()
        self._settled_s = -math.inf

    def see_change(self, now_s: float) -> None:
        """A change was told, by whichever sign: what was before it is no measure any more, or it would be told twice."""
        self._settled_s = now_s + SETTLE_S - ROUNDING_S

    def push(self, now_s: float, effort: Effort) -> float:
        """Take a picture at media second `now_s`. Returns log(now / before) of the region that changed most, 0 where nothing is at work."""
        if self._nothing_RC.shape != effort.spent.shape:
            if self._newest:
                self.restart()
            self._nothing_RC = np.zeros(effort.spent.shape, np.float32)
        at_work_RC = self._nothing_RC if (unusual_RC := _at_work(effort)) is None else unusual_RC
        self._newest.append((now_s, at_work_RC))
        while len(self._newest) > LEAST_PICTURES and self._newest[0][0] < now_s - SPAN_S - ROUNDING_S:
            self._newest.popleft()
        until_s = now_s - APART_S + ROUNDING_S
        before = [each_RC for at_s, each_RC in self._newest if self._settled_s <= at_s < until_s]
        if not before or all(each_RC is self._nothing_RC for _, each_RC in self._newest):
            return 0.0
        places_RC, num = connected(_grown(np.logical_or.reduce([each_RC > 0 for _, each_RC in self._newest])))
        if num == 1:
            return 0.0
        now = _sums(places_RC, at_work_RC, num)
        then = _sums(places_RC, np.mean(before, axis=0), num)
        changes = np.log((now + FEW_BLOCKS) / (then + FEW_BLOCKS))
        return float(changes[np.argmax(np.abs(changes))])

    def is_known(self, now_s: float) -> bool:
        """Whether effort was read lately."""
        return bool(self._newest) and abs(now_s - self._newest[-1][0]) < STALE_S

    @property
    def num_blocks(self) -> float:
        """Macroblocks at work in the newest picture, each by its strength."""
        return float(self._newest[-1][1].sum()) if self._newest and self._newest[-1][1] is not self._nothing_RC else 0.0


def _at_work(effort: Effort) -> np.ndarray | None:
    """Strength of the macroblocks at work, 0 elsewhere; float32 [R, C]. None where all are still."""
    if not effort.spent.any():
        return None
    strength_RC = np.maximum(effort.spent, effort.moving * _grown(effort.spent > 0))
    at_work_RC: np.ndarray = np.where(strength_RC >= AT_WORK, strength_RC, 0).astype(np.float32)
    return at_work_RC if at_work_RC.any() else None


def _grown(mask_RC: np.ndarray) -> np.ndarray:
    """With the eight neighbours of each."""
    tall_RC = mask_RC.copy()
    tall_RC[1:] |= mask_RC[:-1]
    tall_RC[:-1] |= mask_RC[1:]
    grown_RC = tall_RC.copy()
    grown_RC[:, 1:] |= tall_RC[:, :-1]
    grown_RC[:, :-1] |= tall_RC[:, 1:]
    return grown_RC


def _sums(places_RC: np.ndarray, strength_RC: np.ndarray, num: int) -> np.ndarray:
    """Strength in each place; the first, outside all of them, is left at nothing."""
    sums: np.ndarray = np.bincount(places_RC.ravel(), strength_RC.ravel(), num)
    sums[0] = 0
    return sums
