"""What goes on but weakly: activity that noise hides from any half second, and does not hide from two.

In: activity levels and deviations of every macroblock, picture by picture (docs/activity.md). Out: the levels, raised in two places. At a
held rate by night somebody in dark clothes is half as strong as what nobody would mistake for noise, and for whole seconds.

- *Wide*: deviations over 5 x 5 macroblocks and the newest 1.2 seconds are evener than those over 3 x 3 and half a second, so less is enough.
  Each counts with little, so that what was strong is soon forgotten, and the picture itself must show some of it.
- *Recent*: where something was active in the last seconds, half is enough for it to go on (hysteresis, as of edges by Canny 1986). Noise that
  the whole picture rarely has, 7 x 7 macroblocks hardly ever have. Only what is strong, or goes on from picture to picture, renews that: a
  rate control that catches up in the ground for ten seconds after a crowd has gone is wide, and must end.

Shape letters: R and C, macroblock rows and columns.
"""

from __future__ import annotations

import math

import numpy as np

WIDE_REACH, WIDE_S, WIDE_STEP = 2, 1.2, 1 / 6
"""Macroblocks to each side; time constant of the mean; and the most that one picture may count, where few are read."""
WIDE_MOST = 3.0
"""Deviations that one macroblock counts with in the mean over time."""
ACTIVE_WIDE, ACTIVE_WIDE_NOW = 1.2, 1.0
"""Mean deviations that are activity, over time and in the picture itself: still pictures of every film have less than 1 of the former, but for
the street of 400 kbit/s (1.13)."""
RECENT_REACH, RECENT_S, RECENT_STEP = 3, 3.0, 0.5
"""Macroblocks to each side of what is active that are recent; seconds until they are not; what one picture adds: two are needed."""
RECENT_SHARE = 0.5
"""Of a level that is enough where something was active just now."""


class Lasting:
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
