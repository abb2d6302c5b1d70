"""Macroblocks at work, and by how much the place that changed most has changed: the arithmetic of `stream.events.regions`, compiled.

In: strengths of pictures. Out: which macroblocks are at work in one; of several pictures the ratio of now to before, in the place where it is
farthest from one.

Shape letters: K, pictures kept; R and C, macroblock rows and columns.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled
from stream.codec.connected import label

AT_WORK = 0.5
"""Strength from which a macroblock is at work."""
FEW_BLOCKS = 4.0
"""Macroblocks at work that are next to nothing: they are added to both sides of a comparison."""


@compiled
def grow(mask_RC: np.ndarray, grown_RC: np.ndarray) -> None:
    """With the eight neighbours of each."""
    rows, columns = mask_RC.shape
    grown_RC[:] = False
    for row in range(rows):
        for column in range(columns):
            if mask_RC[row, column]:
                grown_RC[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True


@compiled
def find_at_work(moving_RC: np.ndarray, spent_RC: np.ndarray, at_work_RC: np.ndarray) -> bool:
    """Strength of the macroblocks at work, 0 elsewhere; whether there are any. Vectors count only beside coefficients."""
    rows, columns = spent_RC.shape
    beside_RC, any_at_work = np.empty((rows, columns), np.bool_), False
    grow(spent_RC > 0, beside_RC)
    for row in range(rows):
        for column in range(columns):
            strength = max(spent_RC[row, column], moving_RC[row, column] if beside_RC[row, column] else np.float32(0))
            at_work_RC[row, column] = strength if strength >= np.float32(AT_WORK) else np.float32(0)
            any_at_work |= strength >= np.float32(AT_WORK)
    return any_at_work


@compiled
def most_changed(pictures_KRC: np.ndarray, kept: np.ndarray, is_before: np.ndarray) -> float:
    """Ratio of what is at work now to the mean of before, in the place where it is farthest from one; 1 where there is none. `kept`: numbers
    of the pictures, the newest last, below 0 of those in which nothing is at work; `is_before`: those that now is compared with."""
    _, rows, columns = pictures_KRC.shape
    mask_RC, grown_RC = np.zeros((rows, columns), np.bool_), np.empty((rows, columns), np.bool_)
    then_RC, num_before = np.zeros((rows, columns), np.float32), np.float32(0)
    for at in range(len(kept)):
        num_before += np.float32(is_before[at])
        if kept[at] < 0:
            continue
        picture_RC = pictures_KRC[kept[at]]
        mask_RC |= picture_RC > 0
        if is_before[at]:
            then_RC += picture_RC
    grow(mask_RC, grown_RC)
    places_RC = np.zeros((rows, columns), np.int32)
    num = 1 + label(grown_RC, places_RC, np.empty((rows * columns, 2), np.int32))
    now, then = np.zeros(num), np.zeros(num)
    for row in range(rows):
        for column in range(columns):
            then[places_RC[row, column]] += then_RC[row, column] / num_before
            if kept[-1] >= 0:
                now[places_RC[row, column]] += pictures_KRC[kept[-1], row, column]
    most = 1.0
    for place in range(1, num):
        ratio = (now[place] + FEW_BLOCKS) / (then[place] + FEW_BLOCKS)
        if max(ratio, 1 / ratio) > max(most, 1 / most):
            most = ratio
    return most


def warm_up() -> None:
    """Compile (or load from the cache) what runs per picture."""
    pictures_KRC = np.ones((1, 1, 1), np.float32)
    find_at_work(pictures_KRC[0], pictures_KRC[0], pictures_KRC[0])
    most_changed(pictures_KRC, np.zeros(1, np.int64), np.ones(1, np.bool_))
