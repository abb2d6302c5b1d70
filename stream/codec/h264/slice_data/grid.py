"""What is known of the macroblocks of one picture while its slices are read, and who is whose neighbour.

In: a picture's size in macroblocks. Out: arrays by macroblock address N; compiled look-ups for contexts and nC.

- `cells` uint8 [N * NUM_CELL]: `KIND`, `CBP` (CodedBlockPattern), `FLAGS`; from `TOTALS` on the coefficients of each of 24 blocks; from
  `REFS` on whether refIdx is above 0, by list and quarter; from `DIFFERENCES` on |mvd|, by list, block, and x or y.
- `counts` int32 [N * NUM_COUNT]: `SLICE` (the number of the slice that it was read in, -1 before), `BITS`, `SUM` of absolute levels, `MB_QP`.
- `motion` int16 [N * NUM_MOTION]: list 0 vectors of 16 blocks (x, y), then refIdx of four quarters (-1: none); of P slices.

Blocks within a macroblock are counted in raster order: luma 4x4 block (x, y) is y * 4 + x, chroma block 16 + 4 * component + y * 2 + x.
"""

from __future__ import annotations

import numpy as np

from stream.codec.compiled import lean
from stream.codec.h264.slice_data.bits import ABOVE, ADDRESS, LEFT, NUMBER, WIDTH
from stream.codec.h264.slice_data.reading import Reading

INTRA_BLOCKS, INTRA_16, PCM, SKIPPED, DIRECT, INTER = 1, 2, 4, 8, 16, 32
"""Bits of `KIND`: I_NxN; Intra_16x16; I_PCM; P_Skip and B_Skip; B_Skip and B_Direct_16x16; has vectors of its own."""
INTRA = INTRA_BLOCKS | INTRA_16 | PCM
LUMA_DC, CB_DC, CR_DC, EIGHT = 1, 2, 4, 8
"""Bits of `FLAGS`: coded_block_flag of each DC block; transform_size_8x8_flag. Above them: intra_chroma_pred_mode."""
MODE_SHIFT = 4
MOST_DIFFERENCE = 127
"""Vector differences are kept up to here; contexts tell none apart above 32 (9.3.3.1.1.7)."""


KIND, CBP, FLAGS, TOTALS, REFS, DIFFERENCES, NUM_CELL = 0, 1, 2, 8, 32, 40, 104
SLICE, BITS, SUM, MB_QP, NUM_COUNT = 0, 1, 2, 3, 4
INDICES, NUM_MOTION = 32, 36
"""First refIdx in `motion`."""


def new_grid(num: int, with_vectors: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells, counts and motion of pictures of `num` macroblocks; motion is empty unless vectors are wanted."""
    motion = np.zeros(num * NUM_MOTION if with_vectors else 0, np.int16)
    return np.zeros(num * NUM_CELL, np.uint8), np.zeros(num * NUM_COUNT, np.int32), motion


@lean
def get(reading: Reading, address: int, place: int) -> int:
    """One number of a cell."""
    return np.int64(reading.cells[address * NUM_CELL + place])


@lean
def set_cell(reading: Reading, address: int, place: int, value: int) -> None:
    """Write one."""
    reading.cells[address * NUM_CELL + place] = value


@lean
def left_of(reading: Reading, address: int) -> int:
    """mbAddrA (6.4.9): -1 outside the slice."""
    state = reading.state
    near = address - 1
    return near if address % state[WIDTH] and reading.counts[near * NUM_COUNT + SLICE] == state[NUMBER] else -1


@lean
def above_of(reading: Reading, address: int) -> int:
    """mbAddrB."""
    state = reading.state
    near = address - state[WIDTH]
    return near if near >= 0 and reading.counts[near * NUM_COUNT + SLICE] == state[NUMBER] else -1


@lean
def above_right_of(reading: Reading, address: int) -> int:
    """mbAddrC."""
    state = reading.state
    near = address - state[WIDTH] + 1
    return (
        near if (address + 1) % state[WIDTH] and near >= 0 and reading.counts[near * NUM_COUNT + SLICE] == state[NUMBER] else -1
    )


@lean
def above_left_of(reading: Reading, address: int) -> int:
    """mbAddrD."""
    state = reading.state
    near = address - state[WIDTH] - 1
    return near if address % state[WIDTH] and near >= 0 and reading.counts[near * NUM_COUNT + SLICE] == state[NUMBER] else -1


@lean
def predicted_total(reading: Reading, x: int, y: int) -> int:
    """nC of luma block (x, y) (9.2.1)."""
    state = reading.state
    address, left, above = state[ADDRESS], state[LEFT], state[ABOVE]
    total, num = 0, 0
    if x > 0:
        total, num = get(reading, address, TOTALS + 4 * y + x - 1), 1
    elif left >= 0:
        total, num = get(reading, left, TOTALS + 4 * y + 3), 1
    if y > 0:
        total, num = total + get(reading, address, TOTALS + 4 * y - 4 + x), num + 1
    elif above >= 0:
        total, num = total + get(reading, above, TOTALS + 12 + x), num + 1
    return (total + 1) >> 1 if num == 2 else total


@lean
def predicted_chroma_total(reading: Reading, component: int, x: int, y: int) -> int:
    """nC of chroma AC block (x, y)."""
    state = reading.state
    address, left, above = state[ADDRESS], state[LEFT], state[ABOVE]
    total, num, base = 0, 0, TOTALS + 16 + 4 * component
    if x > 0:
        total, num = get(reading, address, base + 2 * y), 1
    elif left >= 0:
        total, num = get(reading, left, base + 2 * y + 1), 1
    if y > 0:
        total, num = total + get(reading, address, base + x), num + 1
    elif above >= 0:
        total, num = total + get(reading, above, base + 2 + x), num + 1
    return (total + 1) >> 1 if num == 2 else total


@lean
def block_flag_increment(reading: Reading, x: int, y: int) -> int:
    """ctxIdxInc of coded_block_flag of luma block (x, y) (9.3.3.1.1.9)."""
    state = reading.state
    address, left, above = state[ADDRESS], state[LEFT], state[ABOVE]
    outside = get(reading, address, KIND) & INTRA != 0
    if x > 0:
        a = get(reading, address, TOTALS + 4 * y + x - 1) != 0
    else:
        a = get(reading, left, TOTALS + 4 * y + 3) != 0 if left >= 0 else outside
    if y > 0:
        b = get(reading, address, TOTALS + 4 * y - 4 + x) != 0
    else:
        b = get(reading, above, TOTALS + 12 + x) != 0 if above >= 0 else outside
    return int(a) + 2 * int(b)


@lean
def chroma_flag_increment(reading: Reading, component: int, x: int, y: int) -> int:
    """The same of chroma AC block (x, y)."""
    state = reading.state
    address, left, above = state[ADDRESS], state[LEFT], state[ABOVE]
    outside, base = get(reading, address, KIND) & INTRA != 0, TOTALS + 16 + 4 * component
    if x > 0:
        a = get(reading, address, base + 2 * y) != 0
    else:
        a = get(reading, left, base + 2 * y + 1) != 0 if left >= 0 else outside
    if y > 0:
        b = get(reading, address, base + x) != 0
    else:
        b = get(reading, above, base + 2 + x) != 0 if above >= 0 else outside
    return int(a) + 2 * int(b)


@lean
def dc_flag_increment(reading: Reading, flag: int) -> int:
    """The same of a DC block; `flag` is its bit in `FLAGS`."""
    state = reading.state
    left, above = state[LEFT], state[ABOVE]
    outside = get(reading, state[ADDRESS], KIND) & INTRA != 0
    a = get(reading, left, FLAGS) & flag != 0 if left >= 0 else outside
    b = get(reading, above, FLAGS) & flag != 0 if above >= 0 else outside
    return int(a) + 2 * int(b)


@lean
def difference_increment(reading: Reading, place: int, x: int, y: int) -> int:
    """Sum of |mvd| left of and above block (x, y); `place` is 32 * list + component (9.3.3.1.1.7)."""
    state = reading.state
    address, left, above, base = state[ADDRESS], state[LEFT], state[ABOVE], DIFFERENCES + place
    total = 0
    if x > 0:
        total = get(reading, address, base + 2 * (4 * y + x - 1))
    elif left >= 0 and get(reading, left, KIND) & INTER:
        total = get(reading, left, base + 2 * (4 * y + 3))
    if y > 0:
        total += get(reading, address, base + 2 * (4 * y - 4 + x))
    elif above >= 0 and get(reading, above, KIND) & INTER:
        total += get(reading, above, base + 2 * (12 + x))
    return total


@lean
def reference_increment(reading: Reading, which: int, x: int, y: int) -> int:
    """ctxIdxInc of ref_idx of the quarter (x, y) of list `which` (9.3.3.1.1.6)."""
    state = reading.state
    address, left, above, base = state[ADDRESS], state[LEFT], state[ABOVE], REFS + 4 * which
    a = b = 0
    if x > 0:
        a = get(reading, address, base + 2 * y)
    elif left >= 0 and get(reading, left, KIND) & INTER:
        a = get(reading, left, base + 2 * y + 1)
    if y > 0:
        b = get(reading, address, base + x)
    elif above >= 0 and get(reading, above, KIND) & INTER:
        b = get(reading, above, base + 2 + x)
    return a + 2 * b
