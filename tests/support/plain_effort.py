"""The formulas of `stream.codec.effort_pass` and `stream.codec.lasting` in NumPy, a step at a time: what those are held against. No test in
here."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from stream.codec.codec import BlockGrids
from stream.codec.effort import AFTER_KEY_S, NEWEST_LEAST, NEWEST_S, RATE_PER_S, STEADY_LEAST, STEADY_S, Effort, SteadyEffort
from stream.codec.effort_pass import (
    ACTIVE_MOVING,
    ACTIVE_SPENT,
    AREA_POWER,
    BUSY_SHARE,
    FAINT,
    FULL,
    LEAST_DEVIATIONS,
    LEAST_SHARED,
    LEAST_SPEED,
    LEAST_SPREAD,
    LEAST_SPREAD_SHARE,
    MEDIAN_SHARE,
    MOST_DEVIATIONS,
    MOST_STEP,
    NORMAL_UPPER,
    SPEED_RATIO,
    START_PICTURES,
    STEADY_WEIGHT,
    STRONGEST,
    UPPER_SHARE,
)
from stream.codec.effort_state import MOST_SPEED, QP_REFERENCE, QP_STEP, QUARTER_PEL
from stream.codec.lasting import (
    ACTIVE_WIDE,
    ACTIVE_WIDE_NOW,
    RECENT_REACH,
    RECENT_S,
    RECENT_SHARE,
    RECENT_STEP,
    WIDE_MOST,
    WIDE_REACH,
    WIDE_S,
    WIDE_STEP,
)


class _Lasting:
    """Of one stream, for pictures of one size."""

    def __init__(self) -> None:
        self._wide_RC: np.ndarray | None = None
        self._recent_RC: np.ndarray | None = None

    def raised(self, level_RC: np.ndarray, deviations_RC: np.ndarray, passed_s: float, *, is_sure: bool) -> np.ndarray:
        """Levels of the next picture, 1 and more is activity: float32 [R, C]. `deviations_RC`: 0 at least. `passed_s`: since the one before.
        `is_sure`: False where nobody knows yet what is usual: nothing is learnt from such a picture."""
        if self._wide_RC is None or self._recent_RC is None:
            self._wide_RC, self._recent_RC = np.zeros_like(level_RC), np.zeros_like(level_RC)
        now_RC = mean_around(deviations_RC, WIDE_REACH)
        if is_sure:
            step = np.float32(min(WIDE_STEP, 1 - math.exp(-passed_s / WIDE_S)))
            self._wide_RC += step * (mean_around(np.minimum(deviations_RC, np.float32(WIDE_MOST)), WIDE_REACH) - self._wide_RC)
        wide_RC = np.minimum(self._wide_RC / np.float32(ACTIVE_WIDE), now_RC / np.float32(ACTIVE_WIDE_NOW))
        enough_RC = 1 - np.float32(1 - RECENT_SHARE) * self._recent_RC
        at_work_RC = np.maximum(level_RC / enough_RC, wide_RC) >= 1
        raised_RC: np.ndarray = np.maximum(level_RC, wide_RC) / enough_RC
        self._remember(at_work_RC & is_sure, passed_s)
        return raised_RC

    def _remember(self, at_work_RC: np.ndarray, passed_s: float) -> None:
        recent_RC = self._recent_RC
        assert recent_RC is not None, "expected a picture"
        near_RC = mean_around(at_work_RC, RECENT_REACH) > 0 if at_work_RC.any() else at_work_RC
        np.clip(recent_RC + np.where(near_RC, np.float32(RECENT_STEP), np.float32(-passed_s / RECENT_S)), 0, 1, out=recent_RC)


def mean_around(values_RC: np.ndarray, reach: int) -> np.ndarray:
    """Mean over the macroblocks up to `reach` away in rows and columns; those outside the picture count as 0. float32 [R, C]."""
    rows, cols = values_RC.shape
    width = 2 * reach + 1
    padded = np.zeros((rows + 2 * reach, cols + 2 * reach), np.float32)
    padded[reach : reach + rows, reach : reach + cols] = values_RC
    tall = padded[:rows].copy()
    for row in range(1, width):
        tall += padded[row : row + rows]
    sums = tall[:, :cols].copy()
    for column in range(1, width):
        sums += tall[:, column : column + cols]
    mean_RC: np.ndarray = sums / np.float32(width * width)
    return mean_RC


class _Quantile:
    """A running quantile of every macroblock, by stochastic approximation."""

    def __init__(self, start_RC: np.ndarray, share: float) -> None:
        self.now_RC = start_RC.astype(np.float32)
        self._share = np.float32(share)

    def learn(self, values_RC: np.ndarray, step_RC: np.ndarray) -> None:
        self.now_RC += step_RC * (self._share - (values_RC <= self.now_RC))


class _Usual:
    """What macroblocks usually spend, begun with the first pictures."""

    def __init__(self) -> None:
        self._first: list[np.ndarray] = []
        self._quantiles: tuple[_Quantile, _Quantile] | None = None
        self._spread_RC: np.ndarray | None = None

    @property
    def is_known(self) -> bool:
        return self._quantiles is not None

    @property
    def median(self) -> np.ndarray:
        assert self._quantiles is not None, "expected enough pictures"
        return self._quantiles[0].now_RC

    def spread(self) -> np.ndarray:
        """Their deviations; a share of the picture's typical one at least."""
        if self._spread_RC is None:
            assert self._quantiles is not None, "expected enough pictures"
            median, upper = self._quantiles
            spread_RC = (upper.now_RC - median.now_RC) / np.float32(NORMAL_UPPER)
            least = LEAST_SPREAD_SHARE * _median(spread_RC) + LEAST_SPREAD
            self._spread_RC = np.maximum(spread_RC, least).astype(np.float32)
        return self._spread_RC

    def learn(self, spent_RC: np.ndarray, step: np.float32) -> None:
        """One more picture."""
        if self._quantiles is not None:
            step_RC = step * self.spread()
            for quantile in self._quantiles:
                quantile.learn(spent_RC, step_RC)
            self._spread_RC = None
            return
        self._first.append(spent_RC)
        if len(self._first) >= START_PICTURES:
            spents_PRC = np.stack(self._first)
            self._quantiles = (
                _Quantile(np.quantile(spents_PRC, MEDIAN_SHARE, axis=0), MEDIAN_SHARE),
                _Quantile(np.quantile(spents_PRC, UPPER_SHARE, axis=0), UPPER_SHARE),
            )
            self._first.clear()


class PlainMeter:
    """`push` P pictures of one size in decode order; `restart` where the stream breaks."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Nothing is known of what is usual."""
        self._newest: deque[tuple[float, np.ndarray]] = deque()
        self._usual, self._after_key = _Usual(), _Usual()
        self._lasting = _Lasting()
        self._first_speeds: list[np.ndarray] = []
        self._speed: _Quantile | None = None
        self._num_seen = 0

    def push(self, grids: BlockGrids, step_s: float, passed_s: float | None = None, *, since_key_s: float = math.inf) -> Effort:
        """`step_s`: seconds since the picture that it refers to. `passed_s`: since the one pushed before; the same by default. `since_key_s`:
        since the newest intra picture."""
        assert grids.mean_vectors is not None
        passed_s = step_s if passed_s is None else passed_s
        intra_RC = grids.intra
        vectors_RC2 = np.where(intra_RC[..., None], 0.0, grids.mean_vectors)
        speed_RC2 = vectors_RC2 / np.float32(QUARTER_PEL * step_s)
        spent_RC = np.where(intra_RC, 0.0, grids.levels * np.exp2((grids.qp - np.float32(QP_REFERENCE)) / np.float32(QP_STEP)))
        # in flat parts an encoder picks any vector, and the same for neighbours: only those beside coefficients are sure
        share_RC = np.minimum(1, MOST_SPEED / np.maximum(np.hypot(*np.moveaxis(speed_RC2, 2, 0)), MOST_SPEED))
        sure_RC2 = np.where((grids.levels > 0)[..., None], speed_RC2 * share_RC[..., None], 0.0)
        grids_5RC = np.stack([*np.moveaxis(speed_RC2, 2, 0), spent_RC, *np.moveaxis(sure_RC2, 2, 0)])
        parts_5RC = _around(grids_5RC)
        if self._newest and self._newest[-1][1].shape != parts_5RC.shape:
            self.restart()
        self._newest.append((passed_s, parts_5RC))
        x_RC, y_RC, mean_RC, _, _ = self._mean(NEWEST_S, NEWEST_LEAST)
        _, _, steady_RC, sure_x_RC, sure_y_RC = self._mean(STEADY_S, STEADY_LEAST)
        while len(self._newest) >= STEADY_LEAST and sum(each[0] for each in self._newest) >= STEADY_S:
            self._newest.popleft()
        speed_RC, sure_RC = np.hypot(x_RC, y_RC), np.hypot(sure_x_RC, sure_y_RC)
        self._num_seen += 1
        is_after_key = since_key_s <= AFTER_KEY_S
        usual = self._after_key if is_after_key and self._after_key.is_known else self._usual
        moving_RC, deviations_RC, excess_RC = self._unusual(usual, sure_RC, steady_RC, spent_RC)
        is_sure = self._after_key.is_known or not is_after_key
        counted_RC = np.minimum(deviations_RC, np.float32(MOST_DEVIATIONS))
        level_RC = _level(moving_RC, counted_RC)
        raised_RC = self._lasting.raised(level_RC, counted_RC, passed_s, is_sure=is_sure)
        newest = np.hypot(*parts_5RC[:2]), excess_RC
        # where a picture is active by itself, what lasts would only blur where: whatever stands beside it would count as much
        shown_RC = level_RC if level_RC.max() >= 1 else raised_RC
        steady = _steady_effort(shown_RC, float(raised_RC.max()), deviations_RC, newest)
        effort = self._compare(speed_RC, mean_RC, steady)
        self._learn(speed_RC, mean_RC, passed_s, is_after_key=is_after_key)
        return effort

    def _mean(self, seconds: float, least: int) -> np.ndarray:
        """Of the newest pictures."""
        total_s, chosen = 0.0, list[np.ndarray]()
        for passed_s, parts_5RC in reversed(self._newest):
            if len(chosen) >= least and total_s >= seconds:
                break
            chosen.append(parts_5RC)
            total_s += passed_s
        mean_5RC: np.ndarray = np.stack(chosen).mean(0, dtype=np.float32)
        return mean_5RC

    def _compare(self, speed_RC: np.ndarray, spent_RC: np.ndarray, steady: SteadyEffort) -> Effort:
        if self._speed is None or not self._usual.is_known:
            nothing_RC = np.zeros_like(spent_RC)
            return Effort(nothing_RC, nothing_RC, steady)
        deviations_RC = (spent_RC - self._usual.median) / self._usual.spread()
        deviations_RC -= max(0.0, _median(deviations_RC))
        return Effort(
            moving=np.clip(speed_RC / _least_speed(self._speed) - 1, 0, 1).astype(np.float32),
            spent=np.clip(deviations_RC / LEAST_DEVIATIONS - 1, 0, 1).astype(np.float32),
            steady=steady,
        )

    def _unusual(
        self, usual: _Usual, sure_RC: np.ndarray, steady_RC: np.ndarray, spent_RC: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Strength of what moves and deviations of what is spent, both over the longer time; excess of the picture itself."""
        if self._speed is None or not usual.is_known:
            nothing_RC = np.zeros_like(spent_RC)
            moving_RC = np.clip(sure_RC / LEAST_SPEED - 1, 0, 1) if self._num_seen >= STEADY_LEAST else nothing_RC
            return moving_RC, nothing_RC, nothing_RC
        moving_RC = np.clip(sure_RC / _least_speed(self._speed) - 1, 0, 1)
        deviations_RC = np.maximum(_above(steady_RC, usual), 0)
        return moving_RC, deviations_RC, np.maximum(spent_RC - usual.median, 0)

    def _learn(self, speed_RC: np.ndarray, spent_RC: np.ndarray, passed_s: float, *, is_after_key: bool) -> None:
        step = np.float32(min(MOST_STEP, max(RATE_PER_S * passed_s, 1 / self._num_seen)))
        self._usual.learn(spent_RC, step)
        if is_after_key:
            self._after_key.learn(spent_RC, np.float32(MOST_STEP))
        if self._speed is not None:
            self._speed.learn(speed_RC, step * np.maximum(self._speed.now_RC, 1.0))
            return
        self._first_speeds.append(speed_RC)
        if len(self._first_speeds) >= START_PICTURES:
            self._speed = _Quantile(np.quantile(np.stack(self._first_speeds), BUSY_SHARE, axis=0), BUSY_SHARE)
            self._first_speeds.clear()


def _above(spent_RC: np.ndarray, usual: _Usual) -> np.ndarray:
    """Deviations above the usual, where the usual rises with the picture as a whole, by a factor or by as much everywhere."""
    usual_RC = np.maximum(usual.median, 0)
    ratio = max(1.0, _median((spent_RC + LEAST_SPREAD) / (usual_RC + LEAST_SPREAD)))
    rise = max(0.0, _median(spent_RC - usual_RC))
    above_RC: np.ndarray = (spent_RC - np.maximum(ratio * usual_RC, usual_RC + rise)) / (ratio * usual.spread())
    return above_RC


def _least_speed(usual: _Quantile) -> np.ndarray:
    least_RC: np.ndarray = np.maximum(LEAST_SPEED, SPEED_RATIO * usual.now_RC)
    return least_RC


def _level(moving_RC: np.ndarray, deviations_RC: np.ndarray) -> np.ndarray:
    """Of every neighbourhood of 3 x 3 macroblocks, 1 where it is activity."""
    moving_RC, spent_RC = _around(np.stack([moving_RC, deviations_RC]), outside=0.0)
    level_RC: np.ndarray = np.maximum(moving_RC / np.float32(ACTIVE_MOVING), spent_RC / np.float32(ACTIVE_SPENT))
    return level_RC


def _steady_effort(
    level_RC: np.ndarray, peak: float, deviations_RC: np.ndarray, newest: tuple[np.ndarray, np.ndarray]
) -> SteadyEffort:
    """`newest`: speed and excess of the picture itself."""
    strength_RC: np.ndarray = np.clip((level_RC - FAINT) / (FULL - FAINT), 0, 1).astype(np.float32)
    return SteadyEffort(strength_RC, _score(strength_RC, *newest, deviations_RC), peak, float(strength_RC.mean()))


def _score(strength_RC: np.ndarray, speed_RC: np.ndarray, excess_RC: np.ndarray, deviations_RC: np.ndarray) -> np.ndarray:
    """Speed and excess of the picture itself, which say where in it something is, and not where it was; and, by less, deviations over a longer
    time, which stand out of noise, too (docs/selection.md). Each is a share of the picture's own, so pictures in which more is at work are
    given more, for they compete with others. Nothing where nothing is at work."""
    if not strength_RC.any():
        return strength_RC
    parts = _share(speed_RC) + _share(excess_RC) + np.float32(STEADY_WEIGHT) * _share(deviations_RC)
    weight = float(strength_RC.mean()) ** AREA_POWER / (2 + STEADY_WEIGHT)
    score_RC: np.ndarray = (np.float32(weight) * parts).astype(np.float32)
    return score_RC


def _share(values_RC: np.ndarray) -> np.ndarray:
    """Of what the strongest twentieth of the macroblocks has, in [0, 1]."""
    ranked = np.partition(values_RC, at := round(STRONGEST * (values_RC.size - 1)), axis=None)
    share_RC: np.ndarray = np.minimum(values_RC / np.float32(max(float(ranked[at]), LEAST_SHARED)), 1)
    return share_RC


def _median(values_RC: np.ndarray) -> float:
    """As NumPy's, which takes several times as long over so few."""
    middle = values_RC.size // 2
    if values_RC.size % 2:
        return float(np.partition(values_RC, middle, axis=None)[middle])
    return float(np.partition(values_RC, (middle - 1, middle), axis=None)[middle - 1 : middle + 1].mean())


def _around(grids_NRC: np.ndarray, *, outside: float | None = None) -> np.ndarray:
    """Mean over 3 x 3 macroblocks of each grid; at the edge, those outside count as the nearest inside, or as `outside`: a corner has no
    neighbours to even its noise out. float32 [N, R, C]."""
    num, rows, cols = grids_NRC.shape
    padded = np.empty((num, rows + 2, cols + 2), np.float32)
    padded[:, 1:-1, 1:-1] = grids_NRC
    edges = ((1, -2), (0, -1))
    for inside, at in zip(*edges, strict=True):
        padded[:, at, 1:-1] = padded[:, inside, 1:-1] if outside is None else outside
    for inside, at in zip(*edges, strict=True):
        padded[:, :, at] = padded[:, :, inside] if outside is None else outside
    sums = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    around: np.ndarray = (sums[:, :, :-2] + sums[:, :, 1:-1] + sums[:, :, 2:]) / np.float32(9.0)
    return around
