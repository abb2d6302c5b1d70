"""Where in a picture its encoder does what it usually does not: vectors that agree with each other, and coefficients above each macroblock's
own usual.

In: slice data of P pictures, and the time since the picture that each refers to. Out: `Effort`, two strengths for every macroblock. No pixel is
looked at.

- *Moving*: sensor noise has vectors too, but they point anywhere. Their mean over a neighbourhood of 3 x 3 macroblocks and the newest pictures
  is near zero where nothing moves and a speed where something does, at night as by day (docs/selection.md shows both).
- *Spent*: sum of absolute levels times quantiser step, over the same neighbourhood, above its own running median by several of its own
  deviations, and by more than the picture as a whole: a lamp, or the rate control after a keyframe, raises all of them.

Both usuals are quantiles, so that what happens during less than a quarter of the time does not become usual; what goes on for longer, a tree in
the wind, does.

Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from stream.codec.codec import BlockGrids

QUARTER_PEL = 4.0
QP_STEP, QP_REFERENCE = 6.0, 26.0
"""The quantiser step doubles every 6 QP (H.264 8.5.9); in units of the step at 26."""
NEWEST_S, NEWEST_LEAST = 0.5, 4
"""Pictures that the mean is taken over: those of so many seconds, and at least so many."""
LEAST_SPEED = 4.0
"""Pixels per second: of a person far away who strolls. Encoders give the noise of a dark picture less."""
SPEED_RATIO = 2.0
"""How many times its usual a speed has to be."""
LEAST_DEVIATIONS = 5.0
MEDIAN, UPPER, BUSY = 0.5, 0.75, 0.8
"""Quantiles that are followed: of coefficients, of coefficients for their deviation, of speeds."""
NORMAL_UPPER = 0.6745
"""Deviations between the median and the upper quartile of a normal distribution."""
LEAST_SPREAD_SHARE, LEAST_SPREAD = 0.25, 0.3
"""Of the picture's typical spread, and levels at QP 26: where a macroblock hardly ever spends anything, one coefficient is no event."""
ACTIVE_MOVING, ACTIVE_SPENT = 0.9, 1.0
"""Mean strength of 3 x 3 macroblocks that is activity."""
STRONGEST = 0.95
RATE_PER_S = 0.1
"""How fast quantiles follow, in deviations per second."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Of one picture: `moving` and `spent`, float32 [R, C] in [0, 1], zero where nothing unusual is. `score` float32 [R, C] in [0, 1]: how much
    of either, for those who compare macroblocks; zero where neither is."""

    moving: np.ndarray
    spent: np.ndarray
    score: np.ndarray

    @property
    def strength(self) -> np.ndarray:
        """The stronger of the two, float32 [R, C]."""
        strength: np.ndarray = np.maximum(self.moving, self.spent)
        return strength

    @property
    def peak(self) -> float:
        """The strongest neighbourhood of 3 x 3 macroblocks: 1 and more is activity, which scattered noise never is (docs/activity.md)."""
        return max(float(_around(self.moving).max()) / ACTIVE_MOVING, float(_around(self.spent).max()) / ACTIVE_SPENT)

    @property
    def is_active(self) -> bool:
        return self.peak >= 1.0

    @property
    def area(self) -> float:
        """Macroblocks at work, as a share of the picture."""
        return float(self.strength.mean())


class _Quantile:
    """A running quantile of every macroblock, by stochastic approximation."""

    def __init__(self, start_RC: np.ndarray, share: float) -> None:
        self.now_RC = start_RC.astype(np.float32)
        self._share = np.float32(share)

    def learn(self, values_RC: np.ndarray, step_RC: np.ndarray) -> None:
        self.now_RC += step_RC * (self._share - (values_RC <= self.now_RC))


class EffortMeter:
    """`push` P pictures of one size in decode order; `restart` where the stream breaks."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Nothing is known of what is usual."""
        self._newest: deque[tuple[float, np.ndarray]] = deque()
        self._num_seen = 0

    def push(self, grids: BlockGrids, step_s: float) -> Effort:
        """`step_s`: seconds since the picture that it refers to."""
        assert grids.vectors is not None, "expected a parser that reads vectors"
        intra_RC = grids.intra
        coded_RC = ~intra_RC & (grids.levels > 0)
        vectors_RC2 = np.where(coded_RC[..., None], grids.vectors.mean((2, 3), dtype=np.float32), 0.0)
        speed_RC2 = vectors_RC2 / np.float32(QUARTER_PEL * step_s)
        spent_RC = np.where(intra_RC, 0.0, grids.levels * np.exp2((grids.qp - np.float32(QP_REFERENCE)) / np.float32(QP_STEP)))
        parts_3RC = np.stack([_around(part_RC) for part_RC in (speed_RC2[..., 0], speed_RC2[..., 1], spent_RC)])
        if self._newest and self._newest[-1][1].shape != parts_3RC.shape:
            self.restart()
        self._newest.append((step_s, parts_3RC))
        while len(self._newest) > NEWEST_LEAST and sum(each[0] for each in self._newest) - self._newest[0][0] >= NEWEST_S:
            self._newest.popleft()
        mean_3RC: np.ndarray = np.stack([parts_3RC for _, parts_3RC in self._newest]).mean(0)
        return self._compare(np.hypot(mean_3RC[0], mean_3RC[1]), mean_3RC[2], step_s)

    def _compare(self, speed_RC: np.ndarray, spent_RC: np.ndarray, step_s: float) -> Effort:
        if not self._num_seen:
            self._begin(speed_RC, spent_RC)
        spread_RC = (self._upper.now_RC - self._median.now_RC) / np.float32(NORMAL_UPPER)
        typical = float(np.median(spread_RC))
        spread_RC = np.maximum(spread_RC, LEAST_SPREAD_SHARE * typical + LEAST_SPREAD).astype(np.float32)
        usual_RC = np.maximum(self._median.now_RC, 0)
        ratio = max(1.0, float(np.median((spent_RC + LEAST_SPREAD) / (usual_RC + LEAST_SPREAD))))
        rise = max(0.0, float(np.median(spent_RC - usual_RC)))
        deviations_RC = (spent_RC - np.maximum(ratio * usual_RC, usual_RC + rise)) / (ratio * spread_RC)
        least_RC = np.maximum(LEAST_SPEED, SPEED_RATIO * self._speed.now_RC)
        moving_RC = np.clip(speed_RC / least_RC - 1, 0, 1).astype(np.float32)
        unusual_RC = np.clip(deviations_RC / LEAST_DEVIATIONS - 1, 0, 1).astype(np.float32)
        effort = Effort(moving=moving_RC, spent=unusual_RC, score=_score(moving_RC, unusual_RC, speed_RC, deviations_RC))
        self._num_seen += 1
        step = np.float32(max(RATE_PER_S * step_s, 1 / self._num_seen))
        self._median.learn(spent_RC, step * spread_RC)
        self._upper.learn(spent_RC, step * spread_RC)
        self._speed.learn(speed_RC, step * np.maximum(self._speed.now_RC, 1.0))
        return effort

    def _begin(self, speed_RC: np.ndarray, spent_RC: np.ndarray) -> None:
        """Until macroblocks have usuals of their own, they share the picture's."""
        median = float(np.median(spent_RC))
        spread = float(np.median(np.abs(spent_RC - median))) / NORMAL_UPPER
        self._median = _Quantile(np.full(spent_RC.shape, median), MEDIAN)
        self._upper = _Quantile(np.full(spent_RC.shape, median + NORMAL_UPPER * spread), UPPER)
        speed = min(float(np.quantile(speed_RC, BUSY)), LEAST_SPEED)
        self._speed = _Quantile(np.full(spent_RC.shape, speed), BUSY)


def _score(moving_RC: np.ndarray, spent_RC: np.ndarray, speed_RC: np.ndarray, deviations_RC: np.ndarray) -> np.ndarray:
    """Speed and deviations, each as a share of what the strongest twentieth of the macroblocks at work has."""
    strength_RC: np.ndarray = np.maximum(moving_RC, spent_RC)
    at_work_RC = strength_RC > 0
    if not at_work_RC.any():
        return strength_RC
    shares = [
        np.clip(values_RC / max(float(np.quantile(values_RC[at_work_RC], STRONGEST)), 1e-6), 0, 1)
        for values_RC in (speed_RC, deviations_RC)
    ]
    score_RC: np.ndarray = (strength_RC * (1 + shares[0] + shares[1]) / 3).astype(np.float32)
    return score_RC


def _around(values_RC: np.ndarray) -> np.ndarray:
    """Mean over 3 x 3 macroblocks, those outside the picture as zeros: a corner's own noise has no neighbours to even it
    out. float32 [R, C]."""
    padded = np.pad(values_RC.astype(np.float32), 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    around: np.ndarray = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9.0)
    return around
