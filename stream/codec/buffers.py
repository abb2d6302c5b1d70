"""PyAV's buffers as arrays, not copied.

In: a plane or side data of a frame. Out: a read-only flat array over FFmpeg's memory, which stays alive with the array.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np


def flat(buffer: object, dtype: np.dtype[Any] | type = np.uint8, *, count: int = -1, offset: int = 0) -> np.ndarray:
    """`count` items of `dtype` from byte `offset` on. Always read-only: numba compiles for that apart, so one kind is one
    compilation."""
    array: np.ndarray = np.frombuffer(cast(Any, buffer), dtype, count, offset)
    array.flags.writeable = False
    return array
