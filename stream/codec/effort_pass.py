"""The arithmetic of `stream.codec.effort`, compiled: one pass over a picture's macroblocks, without an array made on the way.

In: what slice data tells of a picture, and the state of a meter. Out: the state, moved on, and the picture's strengths. What is a median in
most pictures of a still camera is known by its sign, so it is looked for only where that matters.

Shape letters: M, macroblocks in raster order; P, planes of a state; K, pictures kept.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled
from stream.codec.effort_state import (
    DEVIATIONS,
    KEY_MEDIAN,
    KEY_SPREAD,
    KEY_UPPER,
    LEVEL,
    MEDIAN,
    NOW_SPEED,
    NOW_SPENT,
    OWN_SPEED,
    OWN_SPENT,
    RAISED,
    RECENT,
    SCRATCH,
    SPREAD,
    SUMS,
    SURE_SPEED,
    SURE_SPENT,
    UPPER,
    USUAL_SPEED,
    WIDE,
    combine,
    take,
)
from stream.codec.lasting import mean_around, raise_levels
from stream.codec.selection import median_of, ranked

START_PICTURES = 15
"""Quantiles of these are where the running ones start: where a macroblock usually spends much, or nothing, is known from the first picture
that is judged. Started from the whole picture's median, a textured wall at a held rate took half a minute."""
LEAST_SPEED = 4.0
"""Pixels per second: of a person far away who strolls. Encoders give the noise of a dark picture less."""
SPEED_RATIO = 2.0
"""How many times its usual a speed has to be."""
LEAST_DEVIATIONS = 5.0
MOST_DEVIATIONS = 10.0
"""Deviations over the steady time that one macroblock counts with, at most."""
MEDIAN_SHARE, UPPER_SHARE, BUSY_SHARE = 0.5, 0.75, 0.8
"""Quantiles that are followed: of coefficients, of coefficients for their deviation, of speeds."""
NORMAL_UPPER = 0.6745
"""Deviations between the median and the upper quartile of a normal distribution."""
LEAST_SPREAD_SHARE, LEAST_SPREAD = 0.25, 0.3
"""Of the picture's typical spread, and levels at QP 26: where a macroblock hardly ever spends anything, one coefficient is no event."""
ACTIVE_MOVING, ACTIVE_SPENT = 0.9, 3.2
"""Mean of 3 x 3 macroblocks that is activity: strength of what moves, deviations of what is spent."""
FAINT, FULL = 0.75, 1.25
"""Shares of that at which macroblocks are just at work, and fully."""
STRONGEST = 0.95
LEAST_SHARED = 1e-6
STEADY_WEIGHT = 0.7
"""Of steady deviations in the score, beside speed and excess of the picture itself."""
AREA_POWER = 0.25
"""Of the area at work, by which the scores of a picture are raised: with 1 a large one takes all; with 0 any three of a group are as good."""
MOST_STEP = 1 / START_PICTURES
"""Deviations that one picture can move a quantile: what is usual does not change because a camera was silent for an hour."""
_F = np.float32


@compiled
def spread(planes_PM: np.ndarray, median: int, upper: int, out: int) -> None:
    """Deviations of what is usual; a share of the picture's typical one at least."""
    median_M, upper_M, out_M = planes_PM[median], planes_PM[upper], planes_PM[out]
    for at in range(len(out_M)):
        out_M[at] = (upper_M[at] - median_M[at]) / _F(NORMAL_UPPER)
    least = _F(LEAST_SPREAD_SHARE * median_of(out_M, planes_PM[SCRATCH]) + LEAST_SPREAD)
    for at in range(len(out_M)):
        out_M[at] = max(out_M[at], least)


@compiled
def compare(planes_PM: np.ndarray, moving_M: np.ndarray, unusual_M: np.ndarray) -> bool:
    """What is unusual just now: strengths of what moves, and of what is spent. Whether anything is."""
    spent_M, speed_M, usual_speed_M = planes_PM[NOW_SPENT], planes_PM[NOW_SPEED], planes_PM[USUAL_SPEED]
    median_M, spread_M, deviations_M = planes_PM[MEDIAN], planes_PM[SPREAD], planes_PM[SUMS]
    num_above = 0
    for at in range(len(spent_M)):
        deviations_M[at] = (spent_M[at] - median_M[at]) / spread_M[at]
        num_above += deviations_M[at] > 0
    rise = _F(0)
    if 2 * num_above >= len(spent_M):  # else half of them are not above zero, and neither is their median
        rise = _F(max(0.0, median_of(deviations_M, planes_PM[SCRATCH])))
    most = _F(0)
    for at in range(len(spent_M)):
        least = max(_F(LEAST_SPEED), _F(SPEED_RATIO) * usual_speed_M[at])
        moving_M[at] = min(max(speed_M[at] / least - _F(1), _F(0)), _F(1))
        unusual_M[at] = min(max((deviations_M[at] - rise) / _F(LEAST_DEVIATIONS) - _F(1), _F(0)), _F(1))
        most = max(most, max(moving_M[at], unusual_M[at]))
    return most > 0


@compiled
def stand_out(planes_PM: np.ndarray, median: int, spread_at: int) -> None:
    """Deviations above the usual, where the usual rises with the picture as a whole, by a factor or by as much everywhere."""
    spent_M, median_M, spread_M, out_M = planes_PM[SURE_SPENT], planes_PM[median], planes_PM[spread_at], planes_PM[DEVIATIONS]
    num_above = 0
    for at in range(len(spent_M)):
        num_above += spent_M[at] > max(median_M[at], _F(0))
    ratio, rise = _F(1), _F(0)
    if 2 * num_above >= len(spent_M):
        each_M, scratch_M, little = planes_PM[SUMS], planes_PM[SCRATCH], _F(LEAST_SPREAD)
        for at in range(len(spent_M)):
            each_M[at] = (spent_M[at] + little) / (max(median_M[at], _F(0)) + little)
        ratio = _F(max(1.0, median_of(each_M, scratch_M)))
        for at in range(len(spent_M)):
            each_M[at] = spent_M[at] - max(median_M[at], _F(0))
        rise = _F(max(0.0, median_of(each_M, scratch_M)))
    for at in range(len(spent_M)):
        usual = max(median_M[at], _F(0))
        out_M[at] = max((spent_M[at] - max(ratio * usual, usual + rise)) / (ratio * spread_M[at]), _F(0))


@compiled
def level(planes_PM: np.ndarray, columns: int, knows_speed: bool) -> None:
    """How much every neighbourhood is at work over the longer time, by `SURE_SPEED` and `DEVIATIONS`: 1 is activity. Leaves those that
    count in `SUMS`."""
    speed_M, usual_M, deviations_M = planes_PM[SURE_SPEED], planes_PM[USUAL_SPEED], planes_PM[DEVIATIONS]
    counted_M, sums, moving_M, level_M = planes_PM[SUMS], planes_PM[SCRATCH], planes_PM[SURE_SPENT], planes_PM[LEVEL]
    for at in range(len(speed_M)):
        least = max(_F(LEAST_SPEED), _F(SPEED_RATIO) * usual_M[at]) if knows_speed else _F(LEAST_SPEED)
        counted_M[at] = min(max(speed_M[at] / least - _F(1), _F(0)), _F(1))
    mean_around(counted_M, columns, 1, sums, moving_M)
    for at in range(len(speed_M)):
        counted_M[at] = min(deviations_M[at], _F(MOST_DEVIATIONS))
    mean_around(counted_M, columns, 1, sums, level_M)
    for at in range(len(speed_M)):
        level_M[at] = max(moving_M[at] / _F(ACTIVE_MOVING), level_M[at] / _F(ACTIVE_SPENT))


@compiled
def strongest(level_M: np.ndarray) -> float:
    """None is negative, so their bits are in the order of the numbers, and quicker to compare."""
    words, most = level_M.view(np.int32), np.zeros(1, np.int32)
    for at in range(len(words)):
        most[0] = max(most[0], words[at])
    return float(most.view(np.float32)[0])


@compiled
def strength(level_M: np.ndarray, peak: float, strength_M: np.ndarray) -> float:
    """Of every macroblock, in [0, 1], by levels of which `peak` is the strongest. The share of the picture at work."""
    total = 0.0
    for at in range(len(level_M)):
        strength_M[at] = min(max((level_M[at] - _F(FAINT)) / _F(FULL - FAINT), _F(0)), _F(1))
    if peak > FAINT:
        for at in range(len(level_M)):
            total += strength_M[at]
    return total / len(level_M)


@compiled
def score(planes_PM: np.ndarray, median: int, knows_usual: bool, area: float, out_M: np.ndarray) -> None:
    """Speed and excess of the picture itself, which say where in it something is, and not where it was; and, by less, deviations over a longer
    time, which stand out of noise, too (docs/selection.md). Each is a share of the picture's own, so pictures in which more is at work are
    given more, for they compete with others."""
    own_M, scratch_M, each_M = planes_PM[OWN_SPEED], planes_PM[SCRATCH], planes_PM[SUMS]
    weight = _F(area**AREA_POWER / (2 + STEADY_WEIGHT))
    out_M[:] = _F(0)
    _add_share(own_M, _F(1), scratch_M, out_M)
    if knows_usual:
        spent_M, median_M, deviations_M = planes_PM[OWN_SPENT], planes_PM[median], planes_PM[DEVIATIONS]
        for at in range(len(out_M)):
            each_M[at] = max(spent_M[at] - median_M[at], _F(0))
        _add_share(each_M, _F(1), scratch_M, out_M)
        _add_share(deviations_M, _F(STEADY_WEIGHT), scratch_M, out_M)
    for at in range(len(out_M)):
        out_M[at] *= weight


@compiled
def _add_share(values_M: np.ndarray, weight: float, scratch_M: np.ndarray, out_M: np.ndarray) -> None:
    """Of what the strongest twentieth of the macroblocks has, in [0, 1]."""
    most = max(ranked(values_M, round(STRONGEST * (len(values_M) - 1)), scratch_M), _F(LEAST_SHARED))
    for at in range(len(out_M)):
        out_M[at] += weight * min(values_M[at] / most, _F(1))


@compiled
def learn_spent(planes_PM: np.ndarray, median: int, upper: int, spread_at: int, step: float) -> None:
    """Running quantiles of every macroblock, by stochastic approximation; `step` in spreads."""
    values_M, median_M, upper_M, spread_M = planes_PM[NOW_SPENT], planes_PM[median], planes_PM[upper], planes_PM[spread_at]
    for at in range(len(values_M)):
        each = _F(step) * spread_M[at]
        median_M[at] += each * (_F(MEDIAN_SHARE) - (_F(1) if values_M[at] <= median_M[at] else _F(0)))
        upper_M[at] += each * (_F(UPPER_SHARE) - (_F(1) if values_M[at] <= upper_M[at] else _F(0)))


@compiled
def learn_speed(planes_PM: np.ndarray, step: float) -> None:
    """The same of speeds, whose deviation is as large as they are."""
    values_M, now_M = planes_PM[NOW_SPEED], planes_PM[USUAL_SPEED]
    for at in range(len(values_M)):
        each = _F(step) * max(now_M[at], _F(1))
        now_M[at] += each * (_F(BUSY_SHARE) - (_F(1) if values_M[at] <= now_M[at] else _F(0)))


@compiled
def measure(
    grids: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    step_s: float,
    passed_s: float,
    ring_K5M: np.ndarray,
    newest: int,
    nums: tuple[int, int],
    planes_PM: np.ndarray,
    knows: tuple[bool, bool, bool],
    is_after_key: bool,
    step: float,
    now_2M: np.ndarray,
    steady_2M: np.ndarray,
) -> tuple[bool, float, float]:
    """One picture, and what is learnt of it: whether anything is unusual now; the peak of what is steady, and its area.

    - `grids`: levels, quantisers, intra, mean vectors. `nums`: pictures that means are taken over, of now and of a longer time.
    - `knows`: what is usual, what is usual after a keyframe, and whether there are enough pictures to be sure of what moves.
    - `step`: to learn by. `now_2M`, `steady_2M`: written, where anything is unusual, and where the area is above 0."""
    columns, (knows_usual, knows_after_key, is_sure) = grids[0].shape[1], knows
    take(grids[0], grids[1], grids[2], grids[3], step_s, ring_K5M[newest], planes_PM)
    combine(ring_K5M, newest, nums[0], nums[1], planes_PM)
    is_unusual, median = False, MEDIAN
    if knows_usual:
        spread(planes_PM, MEDIAN, UPPER, SPREAD)
        spread_at = SPREAD
        if is_after_key and knows_after_key:
            spread(planes_PM, KEY_MEDIAN, KEY_UPPER, KEY_SPREAD)
            median, spread_at = KEY_MEDIAN, KEY_SPREAD
        stand_out(planes_PM, median, spread_at)
        is_unusual = compare(planes_PM, now_2M[0], now_2M[1])
    else:
        planes_PM[DEVIATIONS] = _F(0)
        if not is_sure:
            planes_PM[SURE_SPEED] = _F(0)
    level(planes_PM, columns, knows_usual)
    raise_levels(
        planes_PM[LEVEL],
        planes_PM[RAISED],
        planes_PM[SUMS],
        planes_PM[WIDE],
        planes_PM[RECENT],
        (planes_PM[SURE_SPENT], planes_PM[SURE_SPEED], planes_PM[SCRATCH]),
        columns,
        passed_s,
        knows_after_key or not is_after_key,
    )
    own, peak = strongest(planes_PM[LEVEL]), strongest(planes_PM[RAISED])
    # where a picture is active by itself, what lasts would only blur where: whatever stands beside it would count as much
    area = strength(planes_PM[LEVEL], own, steady_2M[0]) if own >= 1 else strength(planes_PM[RAISED], peak, steady_2M[0])
    if area > 0:
        score(planes_PM, median, knows_usual, area, steady_2M[1])
    if knows_usual:
        learn_spent(planes_PM, MEDIAN, UPPER, SPREAD, step)
        learn_speed(planes_PM, step)
    if is_after_key and knows_after_key:
        learn_spent(planes_PM, KEY_MEDIAN, KEY_UPPER, KEY_SPREAD, MOST_STEP)
    return is_unusual, peak, area
