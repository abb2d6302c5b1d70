"""What a slice is read with, in one hand: functions of the slice data pass it on instead of six arrays.

In: arrays as `bits` and `grid` describe them. Out: `Reading`, of bare pointers in compiled code. An array is seven numbers to Numba, and is
counted: with many small functions that cost more than the work itself. With NUMBA_BOUNDSCHECK=1 a reading holds the arrays, and every
index is looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.codec.compiled import lean, pointer_to


class Reading(NamedTuple):
    """The payload, the `state` of the slice, the contexts of CABAC; `cells`, `counts` and `motion` of the grid."""

    data: np.ndarray
    state: np.ndarray
    contexts: np.ndarray
    cells: np.ndarray
    counts: np.ndarray
    motion: np.ndarray


@lean
def reading_of(
    data: np.ndarray,
    state: np.ndarray,
    contexts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
    motion: np.ndarray,
) -> Reading:
    """For compiled callers, who keep the arrays alive."""
    return Reading(
        pointer_to(data),
        pointer_to(state),
        pointer_to(contexts),
        pointer_to(cells),
        pointer_to(counts),
        pointer_to(motion),
    )
