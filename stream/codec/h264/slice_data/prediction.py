"""Inter prediction in the macroblock layer (H.264 7.3.5.1, 7.3.5.2): reference indices and vector differences of every partition.

In: a reading, and how a macroblock is parted. Out: both in the grid, as contexts of later ones need them, and vectors where they are wanted.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean
from stream.codec.h264.slice_data import elements
from stream.codec.h264.slice_data.bits import FAILED, INFERENCE, IS_CABAC, NUM_REF_0, NUM_REF_1, SLOT, TYPE, WITH_VECTORS
from stream.codec.h264.slice_data.grid import (
    DIFFERENCES,
    INDICES,
    MOST_DIFFERENCE,
    NUM_MOTION,
    REFS,
    difference_increment,
    reference_increment,
    set_cell,
)
from stream.codec.h264.slice_data.reading import Reading
from stream.codec.h264.slice_data.slice_header import B_SLICE
from stream.codec.h264.slice_data.vectors import predict, put

_MOST_VECTOR = 1 << 13
"""Quarter pixels; level 6.2 allows 8192 down and 8192 across (A.3.1, table A-1)."""

B_PARTS = np.array(
    # lists of each partition (1: list 0, 2: list 1, 3: both), and the shape: 0 is 16x16, 1 is 16x8, 2 is 8x16
    [(0, 0, 0), (1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 1, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2), (1, 2, 1), (1, 2, 2), (2, 1, 1), (2, 1, 2),
     (1, 3, 1), (1, 3, 2), (2, 3, 1), (2, 3, 2), (3, 1, 1), (3, 1, 2), (3, 2, 1), (3, 2, 2), (3, 3, 1), (3, 3, 2)],
    np.int64,
)  # fmt: skip
"""mb_type 0 to 21 of B slices (table 7-14)."""
_B_SUB_LISTS = np.array([0, 1, 2, 3, 1, 1, 2, 2, 3, 3, 1, 2, 3], np.int64)
_B_SUB_SHAPES = np.array([0, 0, 0, 0, 1, 2, 1, 2, 1, 2, 3, 3, 3], np.int64)
"""Lists and shape (8x8, 8x4, 4x8, 4x4) of sub_mb_type of B slices (table 7-18); 0 is direct."""


@lean
def _read_difference(reading: Reading, which: int, box: tuple[int, int, int, int]) -> None:
    """mvd of one partition; `box` is its place and size in blocks."""
    state = reading.state
    slot, (x, y, width, height), place = state[SLOT], box, 32 * which
    sum_x = sum_y = 0
    if state[IS_CABAC]:
        sum_x = difference_increment(reading, place, x, y)
        sum_y = difference_increment(reading, place + 1, x, y)
    difference_x = elements.difference(reading, 0, sum_x)
    difference_y = elements.difference(reading, 1, sum_y)
    if abs(difference_x) > 2 * _MOST_VECTOR or abs(difference_y) > 2 * _MOST_VECTOR:
        state[FAILED] = 1
        return
    if state[IS_CABAC]:
        far_x, far_y = min(abs(difference_x), MOST_DIFFERENCE), min(abs(difference_y), MOST_DIFFERENCE)
        for row in range(y, y + height):
            for column in range(x, x + width):
                set_cell(reading, slot, DIFFERENCES + place + 2 * (4 * row + column), far_x)
                set_cell(reading, slot, DIFFERENCES + place + 2 * (4 * row + column) + 1, far_y)
    if state[WITH_VECTORS]:
        index = reading.motion[slot * NUM_MOTION + INDICES + (y >> 1) * 2 + (x >> 1)]
        vector_x, vector_y = predict(reading, x, y, width, height, index)
        put(reading, slot, x, y, width, height, vector_x + difference_x, vector_y + difference_y)


@lean
def _read_reference(reading: Reading, which: int, box: tuple[int, int, int, int], is_read: bool) -> None:
    """ref_idx of the partition `box` (place and size in quarters), where it is in the stream."""
    state = reading.state
    slot, (x, y, width, height), index = state[SLOT], box, 0
    num_refs = state[NUM_REF_1] if which else state[NUM_REF_0]
    if num_refs > 1 and is_read:
        increment = reference_increment(reading, which, x, y) if state[IS_CABAC] else 0
        index = elements.reference_index(reading, num_refs, increment)
    for row in range(y, y + height):
        for column in range(x, x + width):
            set_cell(reading, slot, REFS + 4 * which + 2 * row + column, index > 0)
            if state[WITH_VECTORS]:
                reading.motion[slot * NUM_MOTION + INDICES + 2 * row + column] = index


@lean
def read_parts(reading: Reading, shape: int, lists: tuple[int, int]) -> None:
    """Reference indices and vectors of 16x16, 16x8 and 8x16 partitions; `lists` of the first and second one."""
    num_parts, num_lists = 1 if shape == 0 else 2, 2 if reading.state[TYPE] == B_SLICE else 1
    wide, high = 1 if shape == 2 else 2, 1 if shape == 1 else 2
    for which in range(num_lists):
        for number in range(num_parts):
            if lists[number] >> which & 1:
                x, y = number if shape == 2 else 0, number if shape == 1 else 0
                _read_reference(reading, which, (x, y, wide, high), True)
    for which in range(num_lists):
        for number in range(num_parts):
            if lists[number] >> which & 1:
                x, y = number if shape == 2 else 0, number if shape == 1 else 0
                box = (2 * x, 2 * y, 2 * wide, 2 * high)
                _read_difference(reading, which, box)


@lean
def read_quarters(reading: Reading, with_references: bool) -> bool:
    """sub_mb_pred of P_8x8 and B_8x8 (7.3.5.2); True when a transform of 8x8 may follow."""
    state = reading.state
    is_b = state[TYPE] == B_SLICE
    may_be_eight, num_lists, all_lists, all_shapes = True, 2 if is_b else 1, 0, 0
    for quarter in range(4):
        kind = elements.sub_mb_type(reading)
        if kind >= (len(_B_SUB_LISTS) if is_b else 4):
            state[FAILED] = 1
            return False
        lists, shape = (_B_SUB_LISTS[kind], _B_SUB_SHAPES[kind]) if is_b else (np.int64(1), np.int64(kind))
        all_lists |= lists << 2 * quarter
        all_shapes |= shape << 2 * quarter
        may_be_eight = may_be_eight and (state[INFERENCE] != 0 if lists == 0 else shape == 0)
    for which in range(num_lists):
        for quarter in range(4):
            if all_lists >> 2 * quarter + which & 1:
                box = (quarter & 1, quarter >> 1, 1, 1)
                _read_reference(reading, which, box, with_references)
    for which in range(num_lists):
        for quarter in range(4):
            if all_lists >> 2 * quarter + which & 1 == 0:
                continue
            left, top = 2 * (quarter & 1), 2 * (quarter >> 1)
            shape = all_shapes >> 2 * quarter & 3
            wide, high = 1 if shape & 2 else 2, 1 if shape & 1 else 2
            for y in range(top, top + 2, high):
                for x in range(left, left + 2, wide):
                    _read_difference(reading, which, (x, y, wide, high))
    return may_be_eight
