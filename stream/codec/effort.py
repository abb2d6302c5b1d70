"""Where in a picture its encoder does what it usually does not: vectors that agree with each other, and coefficients above each macroblock's
own usual.

In: slice data of P pictures, and the time since the picture that each refers to. Out: `Effort`, two strengths for every macroblock. No pixel is
looked at.

- *Moving*: sensor noise has vectors too, but they point anywhere. Their mean over a neighbourhood of 3 x 3 macroblocks and the newest pictures
  is near zero where nothing moves and a speed where something does, at night as by day (docs/boundaries.md).
- *Spent*: sum of absolute levels times quantiser step, over the same neighbourhood, above its own running median by several of its own
  deviations, and by more than the picture as a whole: a lamp, or the rate control after a keyframe, raises all of them.

What is steady is raised where it lasts (stream/codec/lasting.py).

Pictures may be left out: nobody has to read all of them. The first `START_PICTURES` only say what is usual: of them no more is known than
what moves, and that only where it is steady.

Both usuals are quantiles, so that what happens during less than a quarter of the time does not become usual; what goes on for longer, a tree in
the wind, does.

Shape letters: R and C, macroblock rows and columns; P, first pictures; N, grids.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from stream.codec import effort_pass as run
from stream.codec import effort_state as state
from stream.codec.codec import BlockGrids
from stream.codec.effort_pass import START_PICTURES

NEWEST_S, NEWEST_LEAST = 0.3, 2
"""Pictures that the mean is taken over: those of so many seconds, and at least so many."""
STEADY_S, STEADY_LEAST = 0.5, 4
"""The same of what is steady."""
AFTER_KEY_S = 1.0
"""A rate control that refines what a keyframe left coarse does it within so long; a macroblock has a usual of its own then."""
RATE_PER_S = 0.1
"""How fast quantiles follow, in deviations per second."""
ROOM = 8
"""Pictures that there is room for at first."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Of one picture: `moving` and `spent`, float32 [R, C] in [0, 1], zero where nothing unusual is. `steady`: the same over a longer time, for
    those who want to be sure rather than quick; None where nobody measured it. `is_unusual`: False where both are zero everywhere."""

    moving: np.ndarray
    spent: np.ndarray
    steady: SteadyEffort | None = None
    is_unusual: bool = True

    @property
    def strength(self) -> np.ndarray:
        """The stronger of the two, float32 [R, C]."""
        strength: np.ndarray = np.maximum(self.moving, self.spent)
        return strength

    @property
    def area(self) -> float:
        """Macroblocks at work, as a share of the picture."""
        return float(self.strength.mean())


@dataclass(frozen=True, slots=True)
class SteadyEffort:
    """`strength` float32 [R, C] in [0, 1]: of motion, or of what is spent. `score` float32 [R, C] in [0, 1]: for those who compare
    macroblocks, zero where none is at work. `peak`: the strongest neighbourhood of 3 x 3 macroblocks: 1 and more is activity, which scattered
    noise hardly ever is (docs/activity.md). `area`: macroblocks at work, as a share of the picture."""

    strength: np.ndarray
    score: np.ndarray
    peak: float
    area: float


class _First:
    """The first pictures, until what is usual begins with their quantiles: `of_spent` and `of_speed`, planes with their shares."""

    def __init__(self, of_spent: dict[int, float], of_speed: dict[int, float]) -> None:
        self._shares = {state.NOW_SPENT: of_spent, state.NOW_SPEED: of_speed}
        self._pictures: list[np.ndarray] = []
        self.is_known = False

    def see(self, planes_PM: np.ndarray) -> None:
        self._pictures.append(planes_PM[[*self._shares]])
        self.is_known = len(self._pictures) >= START_PICTURES
        if not self.is_known:
            return
        for firsts_PM, shares in zip(np.stack(self._pictures, 1), self._shares.values(), strict=True):
            for plane, share in shares.items():
                planes_PM[plane] = np.quantile(firsts_PM, share, axis=0)
        self._pictures.clear()


class EffortMeter:
    """`push` P pictures of one size in decode order; `restart` where the stream breaks."""

    def __init__(self) -> None:
        self._start((0, 0))

    def restart(self) -> None:
        """Nothing is known of what is usual."""
        self._start(self._shape)

    def _start(self, shape_RC: tuple[int, int]) -> None:
        num = shape_RC[0] * shape_RC[1]
        self._shape = shape_RC
        self._planes_PM = np.zeros((state.NUM_PLANES, num), np.float32)
        self._ring_K5M = np.zeros((ROOM, state.NUM_PARTS, num), np.float32)
        self._newest = -1
        self._passed_s: deque[float] = deque()
        self._usual = _First(
            {state.MEDIAN: run.MEDIAN_SHARE, state.UPPER: run.UPPER_SHARE}, {state.USUAL_SPEED: run.BUSY_SHARE}
        )
        self._after_key = _First({state.KEY_MEDIAN: run.MEDIAN_SHARE, state.KEY_UPPER: run.UPPER_SHARE}, {})
        self._num_seen = 0
        self._now, self._steady = _room(shape_RC), _room(shape_RC)
        self._nothing_RC = np.zeros(shape_RC, np.float32)

    def push(self, grids: BlockGrids, step_s: float, passed_s: float | None = None, *, since_key_s: float = math.inf) -> Effort:
        """`step_s`: seconds since the picture that it refers to. `passed_s`: since the one pushed before; the same by default. `since_key_s`:
        since the newest intra picture."""
        vectors_RC2 = grids.mean_vectors
        assert vectors_RC2 is not None, "expected a parser that reads motion"
        passed_s = step_s if passed_s is None else passed_s
        if grids.levels.shape != self._shape:
            self._start(grids.levels.shape)
        self._make_room(passed_s)
        self._num_seen += 1
        is_after_key = since_key_s <= AFTER_KEY_S
        (now_2RC, now_2M), (steady_2RC, steady_2M) = self._now, self._steady
        is_unusual, peak, area = run.measure(
            (grids.levels, grids.qp, grids.intra, vectors_RC2),
            step_s,
            passed_s,
            self._ring_K5M,
            self._newest,
            (self._num(NEWEST_S, NEWEST_LEAST), self._num(STEADY_S, STEADY_LEAST)),
            self._planes_PM,
            (self._usual.is_known, self._after_key.is_known, self._num_seen >= STEADY_LEAST),
            is_after_key,
            min(run.MOST_STEP, max(RATE_PER_S * passed_s, 1 / self._num_seen)),
            now_2M,
            steady_2M,
        )
        self._forget()
        self._begin(is_after_key=is_after_key)
        moving_RC = spent_RC = strength_RC = score_RC = self._nothing_RC
        if is_unusual:
            (moving_RC, spent_RC), self._now = now_2RC, _room(self._shape)
        if area > 0:
            (strength_RC, score_RC), self._steady = steady_2RC, _room(self._shape)
        return Effort(moving_RC, spent_RC, SteadyEffort(strength_RC, score_RC, peak, area), is_unusual)

    def _make_room(self, passed_s: float) -> None:
        """For a picture beside those that are remembered."""
        kept = len(self._ring_K5M)
        if len(self._passed_s) == kept:
            older_K5M = np.roll(self._ring_K5M, kept - 1 - self._newest, 0)
            self._ring_K5M, self._newest = np.concatenate([older_K5M, np.zeros_like(older_K5M)]), kept - 1
        self._newest = (self._newest + 1) % len(self._ring_K5M)
        self._passed_s.append(passed_s)

    def _forget(self) -> None:
        while len(self._passed_s) >= STEADY_LEAST and sum(self._passed_s) >= STEADY_S:
            self._passed_s.popleft()

    def _num(self, seconds: float, least: int) -> int:
        """Of the newest pictures, those of so many seconds, and at least so many."""
        total_s, num = 0.0, 0
        for passed_s in reversed(self._passed_s):
            if num >= least and total_s >= seconds:
                break
            num += 1
            total_s += passed_s
        return num

    def _begin(self, *, is_after_key: bool) -> None:
        """What is usual is known from the first pictures on."""
        if not self._usual.is_known:
            self._usual.see(self._planes_PM)
        if is_after_key and not self._after_key.is_known:
            self._after_key.see(self._planes_PM)


def _room(shape_RC: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Of two strengths, and the same macroblock by macroblock."""
    both_2RC = np.empty((2, *shape_RC), np.float32)
    return both_2RC, both_2RC.reshape(2, -1)


def warm_up() -> None:
    """Compile (or load from the cache) what runs per picture."""
    shape_RC = 1, 1
    grids = (
        np.zeros(shape_RC, np.int32),
        np.zeros(shape_RC, np.int8),
        np.zeros(shape_RC, np.bool_),
        np.zeros((*shape_RC, 2), np.float32),
    )
    ring_K5M, planes_PM = np.zeros((1, state.NUM_PARTS, 1), np.float32), np.zeros((state.NUM_PLANES, 1), np.float32)
    (_, now_2M), (_, steady_2M) = _room(shape_RC), _room(shape_RC)
    run.measure(grids, 1.0, 1.0, ring_K5M, 0, (1, 1), planes_PM, (True, True, True), False, 0.0, now_2M, steady_2M)
