"""The state of a meter (stream.codec.effort), and what a picture adds to it: its speeds and what it spent, over 3 x 3 macroblocks and the
newest pictures.

In: what slice data tells of a picture. Out: planes of the state.

Shape letters: R and C, macroblock rows and columns; M, macroblocks in raster order; P, planes of a state; K, pictures kept.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled

QUARTER_PEL = 4.0
QP_STEP, QP_REFERENCE = 6.0, 26.0
"""The quantiser step doubles every 6 QP (H.264 8.5.9); in units of the step at 26."""
MOST_SPEED = 16.0
"""Pixels per second that one macroblock counts with over the steady time: a single wild vector would carry its whole neighbourhood."""

(
    MEDIAN,
    UPPER,
    KEY_MEDIAN,
    KEY_UPPER,
    USUAL_SPEED,
    SPREAD,
    KEY_SPREAD,
    OWN_SPENT,
    OWN_SPEED,
    NOW_SPENT,
    NOW_SPEED,
    SURE_SPENT,
    SURE_SPEED,
    DEVIATIONS,
    LEVEL,
    RAISED,
    WIDE,
    RECENT,
    SCRATCH,
    SUMS,
    NUM_PLANES,
) = range(21)
"""Planes float32 [M] of a state.

- What is usual: median and upper quartile of what is spent, of all pictures and of those after a keyframe, and a speed. Its deviations:
  `SPREAD`, `KEY_SPREAD`.
- `OWN`: the picture alone (`OWN_SPENT` of each macroblock, `OWN_SPEED` of 3 x 3). `NOW`, `SURE`: means over 3 x 3 macroblocks, the newest
  pictures, and over a longer time.
- `DEVIATIONS` above the usual; `LEVEL` of activity, `RAISED` where it lasts; `WIDE`, `RECENT`: see stream.codec.lasting. Room for what is
  needed for a moment.
"""
SPEED_X, SPEED_Y, SPENT, SURE_X, SURE_Y, NUM_PARTS = range(6)
"""What is kept of a picture, means over 3 x 3 macroblocks."""

_F = np.float32
_STEPS = np.exp2((np.arange(256, dtype=np.float32) - _F(QP_REFERENCE)) / _F(QP_STEP))
"""Quantiser steps; no QP is below 0."""


@compiled
def take(
    levels_RC: np.ndarray,
    qp_RC: np.ndarray,
    intra_RC: np.ndarray,
    vectors_RC2: np.ndarray,
    step_s: float,
    parts_5M: np.ndarray,
    planes_PM: np.ndarray,
) -> None:
    """One more picture: its parts, what it spent, and its own speed. In flat parts an encoder picks any vector, and the same for neighbours:
    only those beside coefficients are sure."""
    rows, columns = levels_RC.shape
    levels_M, qp_M, intra_M = levels_RC.reshape(-1), qp_RC.reshape(-1), intra_RC.reshape(-1)
    vectors_M2 = vectors_RC2.reshape(-1, 2)
    spent_M, own_M, scratch_M = planes_PM[OWN_SPENT], planes_PM[OWN_SPEED], planes_PM[SCRATCH]
    x_M, y_M, sure_x_M, sure_y_M = planes_PM[NOW_SPEED], planes_PM[NOW_SPENT], planes_PM[SURE_SPEED], planes_PM[SURE_SPENT]
    scale, most = _F(QUARTER_PEL * step_s), _F(MOST_SPEED)
    for at in range(len(levels_M)):
        spent_M[at] = _F(0) if intra_M[at] else _F(levels_M[at]) * _STEPS[np.uint8(qp_M[at])]
    for at in range(len(levels_M)):
        share = _F(0) if intra_M[at] else _F(1)
        x, y = share * vectors_M2[at, 0] / scale, share * vectors_M2[at, 1] / scale
        sure = most / max(np.sqrt(x * x + y * y), most) if levels_M[at] > 0 else _F(0)
        x_M[at], y_M[at], sure_x_M[at], sure_y_M[at] = x, y, sure * x, sure * y
    smooth(x_M, rows, columns, scratch_M, parts_5M[SPEED_X])
    smooth(y_M, rows, columns, scratch_M, parts_5M[SPEED_Y])
    smooth(spent_M, rows, columns, scratch_M, parts_5M[SPENT])
    smooth(sure_x_M, rows, columns, scratch_M, parts_5M[SURE_X])
    smooth(sure_y_M, rows, columns, scratch_M, parts_5M[SURE_Y])
    x_M, y_M = parts_5M[SPEED_X], parts_5M[SPEED_Y]
    for at in range(len(own_M)):
        own_M[at] = np.sqrt(x_M[at] * x_M[at] + y_M[at] * y_M[at])


@compiled
def smooth(values_M: np.ndarray, rows: int, columns: int, sums: np.ndarray, out_M: np.ndarray) -> None:
    """Mean over 3 x 3 macroblocks; those outside count as the nearest inside: a corner has no neighbours to even its noise out. `sums`: room
    for a row."""
    last, ninth = columns - 1, _F(9)
    for row in range(rows):
        here = values_M[row * columns : (row + 1) * columns]
        above, below = max(row - 1, 0), min(row + 1, rows - 1)
        up, down = values_M[above * columns : (above + 1) * columns], values_M[below * columns : (below + 1) * columns]
        for column in range(columns):
            sums[column] = up[column] + here[column] + down[column]
        out = out_M[row * columns : (row + 1) * columns]
        for column in range(1, last):
            out[column] = (sums[column - 1] + sums[column] + sums[column + 1]) / ninth
        out[0] = (sums[0] + sums[0] + sums[min(1, last)]) / ninth
        out[last] = (sums[max(last - 1, 0)] + sums[last] + sums[last]) / ninth


@compiled
def combine(ring_K5M: np.ndarray, newest: int, num_now: int, num_sure: int, planes_PM: np.ndarray) -> None:
    """Means over the newest pictures and over a longer time; `newest`: the place of the newest picture."""
    x_M, y_M = planes_PM[SCRATCH], planes_PM[SUMS]
    _mean(ring_K5M, newest, num_now, SPEED_X, x_M)
    _mean(ring_K5M, newest, num_now, SPEED_Y, y_M)
    _mean(ring_K5M, newest, num_now, SPENT, planes_PM[NOW_SPENT])
    _length(x_M, y_M, planes_PM[NOW_SPEED])
    _mean(ring_K5M, newest, num_sure, SURE_X, x_M)
    _mean(ring_K5M, newest, num_sure, SURE_Y, y_M)
    _mean(ring_K5M, newest, num_sure, SPENT, planes_PM[SURE_SPENT])
    _length(x_M, y_M, planes_PM[SURE_SPEED])


@compiled
def _mean(ring_K5M: np.ndarray, newest: int, num: int, part: int, out_M: np.ndarray) -> None:
    """Of the newest `num` pictures, two at a time, so that the sums are fetched and put back less often."""
    kept = len(ring_K5M)
    out_M[:] = ring_K5M[newest, part]
    for back in range(1, num - 1, 2):
        add_M, next_M = ring_K5M[(newest - back) % kept, part], ring_K5M[(newest - back - 1) % kept, part]
        for at in range(len(out_M)):
            out_M[at] = out_M[at] + add_M[at] + next_M[at]
    last_M, share = ring_K5M[(newest - num + 1) % kept, part], _F(1 - num % 2)
    for at in range(len(out_M)):
        out_M[at] = (out_M[at] + share * last_M[at]) / _F(num)


@compiled
def _length(x_M: np.ndarray, y_M: np.ndarray, out_M: np.ndarray) -> None:
    for at in range(len(out_M)):
        out_M[at] = np.sqrt(x_M[at] * x_M[at] + y_M[at] * y_M[at])
