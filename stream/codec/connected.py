"""Connected parts of a mask of blocks.

In: a mask, bool [R, C]. Out: which part each block belongs to. Blocks that touch, by an edge or a corner, are one part.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled


def connected(mask_RC: np.ndarray) -> tuple[np.ndarray, int]:
    """Labels int32 [R, C], 0 outside the mask and 1 to n inside, and n + 1."""
    labels_RC = np.zeros(mask_RC.shape, np.int32)
    return labels_RC, 1 + _label(np.ascontiguousarray(mask_RC), labels_RC, np.empty((mask_RC.size, 2), np.int32))


@compiled
def _label(mask_RC: np.ndarray, labels_RC: np.ndarray, waiting: np.ndarray) -> int:
    """Fill each part from its first block; `waiting` holds those whose neighbours are still to be looked at."""
    rows, columns = mask_RC.shape
    num = 0
    for first in range(rows * columns):
        row, column = first // columns, first % columns
        if not mask_RC[row, column] or labels_RC[row, column]:
            continue
        num += 1
        labels_RC[row, column] = num
        waiting[0, 0], waiting[0, 1] = row, column
        num_waiting = 1
        while num_waiting:
            num_waiting -= 1
            row, column = waiting[num_waiting, 0], waiting[num_waiting, 1]
            for y in range(max(0, row - 1), min(rows, row + 2)):
                for x in range(max(0, column - 1), min(columns, column + 2)):
                    if mask_RC[y, x] and not labels_RC[y, x]:
                        labels_RC[y, x] = num
                        waiting[num_waiting, 0], waiting[num_waiting, 1] = y, x
                        num_waiting += 1
    return num


def warm_up() -> None:
    """Compile (or load from the cache) what runs per picture."""
    connected(np.ones((1, 1), np.bool_))
