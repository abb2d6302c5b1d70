"""What goes on but weakly: activity that noise hides from any half second, and does not hide from two.

In: activity levels and deviations of every macroblock, picture by picture (docs/activity.md). Out: the levels, raised in two places. At a
held rate by night somebody in dark clothes is half as strong as what nobody would mistake for noise, and for whole seconds.

- *Wide*: deviations over 5 x 5 macroblocks and the newest 1.2 seconds are evener than those over 3 x 3 and half a second, so less is enough.
  Each counts with little, so that what was strong is soon forgotten, and the picture itself must show some of it.
- *Recent*: where something was active in the last seconds, half is enough for it to go on (hysteresis, as of edges by Canny 1986). Noise that
  the whole picture rarely has, 7 x 7 macroblocks hardly ever have. Only what is strong, or goes on from picture to picture, renews that: a
  rate control that catches up in the ground for ten seconds after a crowd has gone is wide, and must end.

Shape letters: M, macroblocks in raster order.
"""

from __future__ import annotations

import math

import numpy as np

from stream.codec.compiled import compiled

WIDE_REACH, WIDE_S, WIDE_STEP = 2, 1.2, 1 / 6
"""Macroblocks to each side; time constant of the mean; and the most that one picture may count, where few are read."""
WIDE_MOST = 3.0
"""Deviations that one macroblock counts with in the mean over time."""
ACTIVE_WIDE, ACTIVE_WIDE_NOW = 1.2, 1.0
"""Mean deviations that are activity, over time and in the picture itself: still pictures of every film have less than 1 of the former, but for
the street of 400 kbit/s (1.13)."""
RECENT_REACH, RECENT_S, RECENT_STEP = 3, 2.0, 0.5
"""Macroblocks to each side of what is active that are recent; seconds until they are not; what one picture adds: two are needed."""
RECENT_SHARE = 0.5
"""Of a level that is enough where something was active just now."""


_F = np.float32


@compiled
def raise_levels(
    level_M: np.ndarray,
    raised_M: np.ndarray,
    deviations_M: np.ndarray,
    wide_M: np.ndarray,
    recent_M: np.ndarray,
    room_3M: tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: int,
    passed_s: float,
    is_sure: bool,
) -> None:
    """Levels of the next picture, raised where it lasts; 1 and more is activity. `deviations_M`: 0 at least. `wide_M`, `recent_M`: the state,
    zero at first. `passed_s`: since the picture before. `is_sure`: False where nobody knows yet what is usual: nothing is learnt from
    such a picture."""
    now_M, each_M, sums = room_3M
    if is_sure:
        for at in range(len(level_M)):
            each_M[at] = min(deviations_M[at], _F(WIDE_MOST))
        mean_around(each_M, columns, WIDE_REACH, sums, now_M)
        step = _F(min(WIDE_STEP, 1 - math.exp(-passed_s / WIDE_S)))
        for at in range(len(level_M)):
            wide_M[at] += step * (now_M[at] - wide_M[at])
    mean_around(deviations_M, columns, WIDE_REACH, sums, now_M)
    num_at_work = 0
    for at in range(len(level_M)):
        wide = min(wide_M[at] / _F(ACTIVE_WIDE), now_M[at] / _F(ACTIVE_WIDE_NOW))
        enough = _F(1) - _F(1 - RECENT_SHARE) * recent_M[at]
        is_at_work = is_sure and max(level_M[at] / enough, wide) >= 1
        raised_M[at] = max(level_M[at], wide) / enough
        each_M[at] = _F(1) if is_at_work else _F(0)
        num_at_work += is_at_work
    now_M[:] = _F(0)
    if num_at_work:
        mean_around(each_M, columns, RECENT_REACH, sums, now_M)
    fade = _F(passed_s / RECENT_S)
    for at in range(len(level_M)):
        recent_M[at] = min(max(recent_M[at] + (_F(RECENT_STEP) if now_M[at] > 0 else -fade), _F(0)), _F(1))


@compiled
def mean_around(values_M: np.ndarray, columns: int, reach: int, sums: np.ndarray, out_M: np.ndarray) -> None:
    """Mean over the macroblocks up to `reach` away in rows and columns; those outside the picture count as 0. `sums`: room for a row."""
    rows, width = len(values_M) // columns, 2 * reach + 1
    num = _F(width * width)
    for row in range(rows):
        above, below = max(row - reach, 0), min(row + reach, rows - 1)
        sums[:columns] = values_M[above * columns : (above + 1) * columns]
        for near in range(above + 1, below + 1):
            add = values_M[near * columns : (near + 1) * columns]
            for column in range(columns):
                sums[column] += add[column]
        out = out_M[row * columns : (row + 1) * columns]
        out[:] = _F(0)
        for shift in range(-reach, reach + 1):
            first, end = max(0, -shift), min(columns, columns - shift)
            here, add = out[first:end], sums[first + shift : end + shift]
            for column in range(len(here)):
                here[column] += add[column]
        for column in range(columns):
            out[column] /= num
