"""Connected parts of a mask of blocks.

In: a mask, bool [R, C]. Out: which part each block belongs to. Blocks that touch, by an edge or a corner, are one part.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import compiled


@compiled
def label(mask_RC: np.ndarray, labels_RC: np.ndarray, waiting: np.ndarray) -> int:
    """Fill each part of `labels_RC`, zero before, from its first block; `waiting`, int32 [R * C, 2], holds those whose neighbours are still
    to be looked at. Returns the number of parts."""
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
